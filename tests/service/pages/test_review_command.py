"""`kembar review` on a run folder and on a store: a real process that is stopped with Ctrl-C."""

import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from conftest import Cli
from kembar.errors import StoreError
from kembar.store import Live


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, cli: Cli, shop: Path) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert cli("match", shop / "posts.csv", "--images", shop / "photos", "-o", folder, "-q").exit_code == 0
    return folder


def reviewed(folder: Path) -> tuple[str, int]:
    """Start the command, ask for its first page, stop it: the page and the exit code."""
    command = [sys.executable, "-m", "kembar", "review", str(folder), "--port", "0", "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    try:
        address = re.search(r"http://\S+/review", process.stdout.readline())
        assert address, process.stderr.read()
        with urllib.request.urlopen(address[0]) as answer:  # follows to the question for a name
            page = answer.read().decode()
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    return page, process.returncode


def test_a_run_gets_a_store_beside_it_and_keeps_it(run: Path) -> None:
    page, code = reviewed(run)
    assert "Who reviews?" in page
    assert code == 0
    beside = run.with_name("run.store")
    with Live.open(beside) as live:
        assert live.counts().posts == 60
        ids = [post for (post,) in live.reading().execute("SELECT id FROM posts ORDER BY id LIMIT 2")]
        live.decide(*ids, "different", by="ana")
    for folder in (run, beside):
        with Live.beside(folder) as live:
            assert live.counts().decisions == 1
            with pytest.raises(StoreError):  # one process at a time
                Live.beside(folder)


def test_a_folder_that_is_neither_is_told(cli: Cli, tmp_path: Path, run: Path) -> None:
    outcome = cli("review", tmp_path / "nothing", "--no-browser")
    assert outcome.exit_code == 2
    assert "nothing" in outcome.stderr
    assert not (tmp_path / "nothing.store").exists()
    shutil.copytree(run, tmp_path / "broken")
    (tmp_path / "broken" / "manifest.json").write_text("{}")
    assert cli("review", tmp_path / "broken", "--no-browser").exit_code == 2
    assert not (tmp_path / "broken.store").exists()


def test_a_linking_run_can_be_reviewed(cli: Cli, tmp_path: Path) -> None:
    sides = {"mine": ["sabun dove 500 ml", "teh botol 1 l"], "theirs": ["dove sabun 500ml", "gula 1 kg"]}
    for name, titles in sides.items():
        rows = "".join(f"{name}{at},{title}\n" for at, title in enumerate(titles))
        (tmp_path / f"{name}.csv").write_text(f"posting_id,title\n{rows}")
    assert cli("link", tmp_path / "mine.csv", tmp_path / "theirs.csv", "-o", tmp_path / "run", "-q").exit_code == 0
    with Live.beside(tmp_path / "run") as live:
        assert live.counts().posts == 4
        assert live.post("left/mine0").source == "left"
