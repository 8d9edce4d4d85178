import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Cli
from kembar.cli.doctor import examined, text_of
from kembar.cli.installation import Dependency, dependencies, devices, models, without_folders

ASKED = [
    "numpy>=2.0",
    "polars<0.1",
    "no-such-package>=3",
    "never-there; platform_system == 'NoSuchSystem'",
    "onnx>=1; extra == 'more'",
    "another-missing; extra == 'more' and python_version >= '3'",
]
SECRET = "jane-at-acme"
DOCTOR = "from kembar.cli.app import main; main()"


@pytest.fixture(scope="module")
def found() -> dict:
    return examined()


def doctor(*words: str, code: str = DOCTOR, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", code, "doctor", *words]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})


def test_dependencies_tell_what_is_missing_and_what_is_too_old() -> None:
    core, more = dependencies(ASKED), dependencies(ASKED, "more")
    assert [(each.name, each.wanted, each.fits) for each in core] == [
        ("no-such-package", ">=3", False),
        ("numpy", ">=2.0", True),
        ("polars", "<0.1", False),
    ]
    assert core[0].found is None
    assert core[2].found
    assert [(each.name, each.found is None) for each in more] == [("another-missing", True), ("onnx", False)]


def test_matching_works_here(found: dict) -> None:
    assert found["problems"] == []
    assert found["match"] is None
    assert found["models"] == dict.fromkeys(
        ["kembar-classifier", "kembar-classifier-photos", "kembar-title", "kembar-photo"]
    )
    text = text_of(found)
    assert text.endswith("\n\nMatching works.")
    assert re.match(r"kembar \d+\.\d+", text)
    assert f"CPython {sys.version.split()[0]}" in text


def test_every_extra_that_lacks_something_has_its_pip_line(found: dict) -> None:
    there, gone = Dependency("numpy", ">=2", "2.1", True), Dependency("torch", ">=2.6", None, False)
    old = Dependency("onnx", ">=9", "1.0", False)
    text = text_of({**found, "packages": {"": [there], "all": [there], "train": [there, old, gone]}})
    assert "\n  all: numpy 2.1\n" in text
    told = "numpy 2.1, onnx 1.0 (kembar needs >=9); without torch; to add it: pip install 'kembar[train]'"
    assert f"\n  train: {told}\n" in text


def test_one_paste_tells_nothing_private(tmp_path: Path) -> None:
    home = tmp_path / SECRET
    kept = home / "kept"
    kept.mkdir(parents=True)
    private = {"HOME": str(home), "USER": SECRET, "LOGNAME": SECRET, "KEMBAR_TOKEN": f"token-of-{SECRET}"}
    for cache in ({"KEMBAR_CACHE": str(kept)}, {"KEMBAR_CACHE": "", "XDG_CACHE_HOME": ""}):
        for words in ((), ("--json",)):
            done = doctor(*words, **private, **cache, MPLCONFIGDIR=str(tmp_path / "fonts"))
            assert (done.returncode, done.stderr) == (0, "")
            assert SECRET not in done.stdout
            assert str(Path(sys.prefix)) not in done.stdout
            assert ("~/.cache/kembar" in done.stdout) == (not cache["KEMBAR_CACHE"])
            if words:
                assert json.loads(done.stdout)["problems"] == []
    assert list(kept.iterdir()) == []  # it leaves nothing in the cache either


def test_folders_of_the_user_are_never_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", f"/home/{SECRET}")
    assert without_folders(f"no /home/{SECRET}/x") == "no ~/x"
    assert without_folders(f"{sys.prefix}/lib") == "PREFIX/lib"
    monkeypatch.setenv("HOME", "/")
    assert without_folders("/a/b") == "/a/b"


WITHOUT = """
import builtins, sys
imports = builtins.__import__
def without(name, *rest, **more):
    if name.split(".")[0] == "sparse_dot_topn":
        raise ImportError("libgomp.so.1: cannot open shared object file")
    return imports(name, *rest, **more)
builtins.__import__ = without
"""


def test_a_broken_library_is_named() -> None:
    done = doctor(code=WITHOUT + DOCTOR)
    assert done.returncode == 1
    assert done.stdout.endswith("ImportError: libgomp.so.1: cannot open shared object file\n")
    assert "Traceback" not in done.stderr


def test_a_missing_package_is_named_with_its_pip_line(tmp_path: Path) -> None:
    about = tmp_path / "kembar-9.9.dist-info"
    about.mkdir()
    lines = ["Metadata-Version: 2.1", "Name: kembar", "Version: 9.9", "Requires-Dist: no-such-package>=3"]
    (about / "METADATA").write_text("\n".join(lines) + "\n")
    paths = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = doctor(PYTHONPATH=paths)
    assert done.returncode == 1
    assert "pip install 'no-such-package>=3'" in done.stdout
    assert done.stdout.startswith("kembar 9.9\n")


def test_damaged_models_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: dict) -> None:
    monkeypatch.setattr("kembar.encoders.registry._MODELS", tmp_path)  # where there are none
    damaged = models()
    assert damaged["kembar-classifier"] is None
    assert "kembar-title" in damaged["kembar-title"]
    assert "kembar-title does not open" in text_of({**found, "models": damaged})


def test_torch_is_not_imported_to_look_at_it() -> None:
    code = "from kembar.cli.installation import devices, packages, system; devices(); packages(); system()"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print('torch' in sys.modules)"], capture_output=True, text=True
    )
    assert done.stdout == "False\n", done.stderr


def test_json(cli: Cli, found: dict) -> None:
    told = json.loads(cli("doctor", "--json").stdout)
    assert set(told) == set(found)
    assert told["packages"][""][0].keys() == {"name", "wanted", "found", "fits"}


def test_gpus_are_read_from_what_the_driver_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: dict) -> None:
    for number, model in ((0, "NVIDIA H200"), (1, "NVIDIA L4")):
        place = tmp_path / "gpus" / f"0000:0{number}:00.0"
        place.mkdir(parents=True)
        (place / "information").write_text(f"Model: \t\t {model}\nIRQ:   \t\t 26\nGPU UUID: \t GPU-1234\n")
    monkeypatch.setattr("kembar.cli.installation._NVIDIA", tmp_path)
    told = devices()
    assert told["gpus"] == ["NVIDIA H200", "NVIDIA L4"]
    text = text_of({**found, "devices": {**told, "torch": "2.13.0+cpu"}})
    assert "\nGPUs: NVIDIA H200, NVIDIA L4; torch 2.13.0+cpu, which is built without CUDA\n" in text
