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
