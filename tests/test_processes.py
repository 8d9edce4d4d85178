"""kembar starts no processes: plain scripts need no guard, and what uses it may itself be a worker or a fork."""

import subprocess
import sys
from pathlib import Path

import pytest

from kembar import Drawing, write_shop

README = """
print("the script ran")
import kembar

config = kembar.Config(model="rules", title=False, photo=False)
result = kembar.match("shop/posts.csv", images="shop/photos", config=config)
print(result.groups_frame().height)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 100 posts and their photos."""
    folder = tmp_path_factory.mktemp("place")
    write_shop(folder / "shop", 100, seed=1, photos=Drawing(size=48))
    (folder / "script.py").write_text(README)
    return folder


@pytest.mark.parametrize("how", ["script", "option", "input"])
def test_a_script_without_a_main_guard_runs_once(place: Path, how: str) -> None:
    command = {"script": ["script.py"], "option": ["-c", README], "input": ["-"]}[how]
    given = README if how == "input" else ""
    ended = subprocess.run(
        [sys.executable, *command], cwd=place, input=given, capture_output=True, text=True, check=True
    )
    assert ended.stdout.split("\n") == ["the script ran", "100", ""]
    assert ended.stderr == ""


FORKS = """
import os, signal, sys
import numpy as np
import kembar

posts = kembar.synthesize(300, seed=1, hashes=True).posts
catalog = kembar.Catalog.read(posts)
config = kembar.Config(model="rules", title=False)
result = kembar.match(posts, config=config)
result.save("forked-run")
posts.write_csv("posts.csv")
one, two = catalog.ids[:2]
doors = {
    "read a file": lambda: kembar.Catalog.read("posts.csv"),
    "read a frame": lambda: kembar.Catalog.read(posts),
    "take": lambda: catalog.take([0, 1]),
    "fingerprint": lambda: catalog.fingerprint(),
    "save posts": lambda: catalog.save("forked-catalog"),
    "match": lambda: kembar.match(posts, config=config),
    "Matcher": lambda: kembar.Matcher(config).match(catalog),
    "load": lambda: kembar.Result.load("forked-run"),
    "explain": lambda: result.explain(one, two),
    "weakest links": lambda: result.weakest_links(3),
    "label queue": lambda: result.label_queue(3),
    "differences": lambda: result.differences(),
    "save": lambda: result.save("forked-again"),
    "normalize": lambda: kembar.normalize(catalog.titles),
    "quantities": lambda: kembar.Quantities.parse(catalog.titles),
    "synthesize": lambda: kembar.synthesize(50),
    "neighbours": lambda: kembar.dense_neighbors(np.eye(300, dtype=np.float32), 5),
    "nothing of kembar": lambda: sum(range(10)),
}
for name, door in doors.items():
    child = os.fork()
    if not child:
        signal.alarm(60)  # kills it
        try:
            door()
            told = "worked"
        except kembar.ForkedError as error:
            told = "refused"
        print(name, told, sep=": ", flush=True)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        print(name, "hung or died", sep=": ", flush=True)
"""


def test_a_fork_of_a_process_that_used_kembar_is_refused_at_once(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", FORKS], cwd=tmp_path, capture_output=True, text=True, check=True)
    told = dict(line.split(": ") for line in ended.stdout.splitlines())
    assert len(told) == 18
    assert told.pop("nothing of kembar") == "worked"
    assert set(told.values()) == {"refused"}, told


POOL = """
import multiprocessing
import kembar

def count(seed):
    return len(kembar.Catalog.read(kembar.synthesize(50, seed=seed).posts))

with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.map(count, [1, 2]))
"""


def test_forks_of_a_process_that_only_imported_kembar_work(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", POOL], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ended.stdout == "[50, 50]\n"
