import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PosixPath
from types import SimpleNamespace

import numpy as np
import polars as pl
import psutil
import pytest

from kembar.errors import ConfigError, EvidenceError
from kembar.posts import hashing
from kembar.posts.hashing import PhotoHashes, hash_photos
from kembar.posts.photos import draft_hash
from pictures import bad_photos, halves, oracle_of, scene


class Deadly(PosixPath):
    """A photo that kills every other process it is handed to."""

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return os._exit, (3,)


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> list[Path | None]:
    folder = tmp_path_factory.mktemp("catalogue")
    for row in range(150):
        scene(row, 60 + row % 7, 80).save(folder / f"{row}.jpg")
    paths: list[Path | None] = [folder / f"{row}.jpg" for row in range(150)]
    paths[3] = None
    paths[20] = folder / "missing.jpg"
    paths[140] = halves(folder, "PNG")
    return paths


@pytest.fixture(scope="module")
def alone(catalogue: list[Path | None]) -> PhotoHashes:
    """What one worker makes of the catalogue."""
    return hash_photos(catalogue, workers=1)


def test_workers_do_not_change_the_result(catalogue: list[Path | None], alone: PhotoHashes) -> None:
    calls: list[tuple[str, int, int]] = []
    spread = hash_photos(catalogue, workers=2, progress=lambda *call: calls.append(call))
    np.testing.assert_array_equal(alone.hashes, spread.hashes)
    np.testing.assert_array_equal(alone.hashed, spread.hashed)
    assert alone.problems.equals(spread.problems)
    assert alone.problems["row"].to_list() == [20, 140]
    assert np.flatnonzero(~alone.hashed).tolist() == [3, 20]
    expected = [oracle_of(path) for path in catalogue[4:20] if path is not None]
    assert alone.hashes[4:20].tolist() == expected
    assert calls == sorted(calls)
    assert calls[-1] == ("hash photos", 149, 149)


def test_a_photo_that_kills_its_process_is_a_problem(catalogue: list[Path | None], alone: PhotoHashes) -> None:
    paths = catalogue.copy()
    paths[70] = Deadly(str(catalogue[70]))
    result = hash_photos(paths, workers=2)
    assert result.problems["row"].to_list() == [20, 70, 140]
    assert "stopped the process" in result.problems["problem"][1]
    assert np.flatnonzero(~result.hashed).tolist() == [3, 20, 70]
    others = np.arange(len(paths)) != 70
    np.testing.assert_array_equal(result.hashes[others], alone.hashes[others])


def test_processes_start_where_signals_have_no_mask(
    catalogue: list[Path | None], alone: PhotoHashes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashing, "signal", SimpleNamespace())
    np.testing.assert_array_equal(hash_photos(catalogue, workers=2).hashes, alone.hashes)


SCRIPT = """
import sys
from pathlib import Path
from kembar.posts.hashing import hash_photos
def main():
    print("started", flush=True)
    print(hash_photos([Path(sys.argv[1])] * int(sys.argv[2]), workers=2).hashed.sum())
"""


def script(folder: Path, call: str) -> Path:
    path = folder / "script.py"
    path.write_text(SCRIPT + call)
    return path


def living(group: int) -> list[psutil.Process]:
    """Processes of a group; those that ended and wait for an init to take notice do not count."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def until(condition: Callable[[], object]) -> bool:
    """Wait for something that is only a matter of time; minutes at most, if the machine is busy with other things."""
    end = time.monotonic() + 300
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return bool(condition())


def workers_of(caller: int) -> list[psutil.Process]:
    found = []
    for process in psutil.Process(caller).children():
        with suppress(psutil.Error):
            if "spawn_main" in " ".join(process.cmdline()):
                found.append(process)
    return found


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo so large that 20,000 like it are the work of half an hour."""
    path = tmp_path_factory.mktemp("large") / "a.jpg"
    scene(0, 3500, 3500).save(path)
    return path


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_stopping_the_caller_stops_the_workers(tmp_path: Path, large: Path, number: signal.Signals) -> None:
    path = script(tmp_path, 'if __name__ == "__main__":\n    main()\n')
    with subprocess.Popen(
        [sys.executable, path, large, "20000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        assert until(lambda: len(workers_of(process.pid)) == 2)  # importing: an interrupt would print a traceback each
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does: to all of the group
        else:
            process.kill()
        _, errors = process.communicate(timeout=300)
    assert process.returncode == -number
    assert errors.count("Traceback") == (number == signal.SIGINT)
    assert until(lambda: not living(process.pid))


def test_without_the_main_guard_the_caller_does_the_work(tmp_path: Path) -> None:
    scene().save(tmp_path / "a.jpg")
    command = [sys.executable, script(tmp_path, "main()\n"), tmp_path / "a.jpg", "100"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout.endswith("\n100\n")
    assert "lack the guard" in ended.stderr


def test_draft_hashes_are_those_of_the_single_photos(catalogue: list[Path | None]) -> None:
    some = [path for path in catalogue[4:20] if path is not None]
    assert hash_photos(some, draft=True).hashes.tolist() == [draft_hash(path) for path in some]


def test_bad_photos_are_listed(tmp_path: Path) -> None:
    bad = bad_photos(tmp_path)
    scene().save(tmp_path / "good.png")
    result = hash_photos([tmp_path / "good.png", None, *bad.values()])
    assert result.hashed.tolist() == [True] + [False] * (len(bad) + 1)
    assert result.hashes[1:].max() == 0
    assert result.problems["row"].to_list() == list(range(2, len(bad) + 2))
    assert all(reason in text for reason, text in zip(bad, result.problems["problem"], strict=True))


def test_truncated_photo_is_used_and_listed(tmp_path: Path) -> None:
    path = halves(tmp_path, "JPEG")
    result = hash_photos([None, path])
    assert result.hashed.tolist() == [False, True]
    assert result.problems["row"].to_list() == [1]
    assert result.problems["problem"][0].startswith("truncated")


def test_no_photos_at_all() -> None:
    assert hash_photos([]).hashes.shape == (0,)
    result = hash_photos([None, None])
    assert (result.hashed.any(), result.problems.height) == (False, 0)


def test_the_number_of_workers_is_checked() -> None:
    with pytest.raises(ConfigError, match="workers=0"):
        hash_photos([None], workers=0)


def test_photo_hashes_check_what_they_are_given() -> None:
    three, problems = np.zeros(3, np.uint64), pl.DataFrame(schema={"row": pl.UInt32, "problem": pl.String})
    for wrong in (np.zeros(2, np.uint64), np.zeros(3, np.int64), np.zeros((3, 1), np.uint64)):
        with pytest.raises(EvidenceError):
            PhotoHashes(wrong, np.zeros(3, np.bool_), problems)
    with pytest.raises(EvidenceError):
        PhotoHashes(three, np.zeros(3, np.uint8), problems)
    with pytest.raises(EvidenceError, match="problems with the columns"):
        PhotoHashes(three, np.zeros(3, np.bool_), problems.rename({"row": "post"}))
