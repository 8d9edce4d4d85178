"""kembar calls nobody and leaves nothing in the user's folders but what its pages tell."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kembar import Drawing, write_shop

SOCKET = re.compile(r"\bsocket\(AF_(?!UNIX)\w+.*")
MATCH = "from kembar.cli.app import main; main()"


def traced() -> list[str]:
    """strace, where it is at hand and may watch other processes."""
    path = shutil.which("strace")
    works = path and not subprocess.run([path, "-f", "-o", os.devnull, "true"], check=False).returncode
    return [str(path), "-f", "-q", "--seccomp-bpf", "-e", "trace=socket", "-o"] if works else []


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """The surroundings of a user whose home is empty."""
    (tmp_path / "home").mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "ORT_"))}
    # The vectors of posts, and matplotlib's list of fonts: both are told, and may lie elsewhere.
    told = {"KEMBAR_CACHE": str(tmp_path / "cache"), "MPLCONFIGDIR": str(tmp_path / "fonts")}
    return {**kept, "HOME": str(tmp_path / "home"), **told}


def test_a_run_opens_no_socket_and_leaves_no_file_at_home(tmp_path: Path, home: dict[str, str]) -> None:
    write_shop(tmp_path / "shop", 70, seed=2, photos=Drawing(size=32, threads=1))
    watch = traced()
    command = [*watch, str(tmp_path / "trace")] if watch else []
    options = ["--images", tmp_path / "shop" / "photos", "-o", tmp_path / "run", "--quiet"]
    command += [sys.executable, "-c", MATCH, "match", tmp_path / "shop" / "posts.csv", *options]
    subprocess.run(command, env=home, check=True, capture_output=True)
    assert (tmp_path / "run" / "matches.csv").is_file()
    assert list((tmp_path / "home").rglob("*")) == []
    if watch:
        assert SOCKET.findall((tmp_path / "trace").read_text()) == []


@pytest.mark.parametrize("module", ["onnxruntime", "kembar.training.quantization"])
def test_no_way_of_loading_onnxruntime_leaves_a_device_id(tmp_path: Path, home: dict[str, str], module: str) -> None:
    pytest.importorskip(module)
    subprocess.run([sys.executable, "-c", f"import kembar, {module}"], env=home, check=True)
    assert list((tmp_path / "home").rglob("deviceid*")) == []


def test_a_user_who_wants_telemetry_is_not_overruled(home: dict[str, str]) -> None:
    code = "import kembar, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    for given, found in ({}, "1"), ({"ORT_DISABLE_TELEMETRY": "0"}, "0"):
        ended = subprocess.run([sys.executable, "-c", code], env={**home, **given}, capture_output=True, check=True)
        assert ended.stdout.decode().strip() == found
