import threading
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from kembar.errors import ConfigError, EvidenceError
from kembar.posts.hashing import PhotoHashes, hash_photos
from kembar.posts.photos import draft_hash
from pictures import bad_photos, halves, oracle_of, scene


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
    """What one thread makes of the catalogue."""
    return hash_photos(catalogue, threads=1)


def test_threads_do_not_change_the_result(catalogue: list[Path | None], alone: PhotoHashes) -> None:
    calls: list[tuple[str, int, int]] = []
    spread = hash_photos(catalogue, threads=2, progress=lambda *call: calls.append(call))
    np.testing.assert_array_equal(alone.hashes, spread.hashes)
    np.testing.assert_array_equal(alone.hashed, spread.hashed)
    assert alone.problems.equals(spread.problems)
    assert alone.problems["row"].to_list() == [20, 140]
    assert np.flatnonzero(~alone.hashed).tolist() == [3, 20]
    expected = [oracle_of(path) for path in catalogue[4:20] if path is not None]
    assert alone.hashes[4:20].tolist() == expected
    assert calls == sorted(calls)
    assert calls[-1] == ("hash photos", 149, 149)


def test_an_error_while_hashing_leaves_no_thread(catalogue: list[Path | None]) -> None:
    def interrupt(stage: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        hash_photos(catalogue, threads=3, progress=interrupt)
    assert threading.active_count() == before


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


def test_the_number_of_threads_is_checked() -> None:
    with pytest.raises(ConfigError, match="threads=0"):
        hash_photos([None], threads=0)


def test_photo_hashes_check_what_they_are_given() -> None:
    three, problems = np.zeros(3, np.uint64), pl.DataFrame(schema={"row": pl.UInt32, "problem": pl.String})
    for wrong in (np.zeros(2, np.uint64), np.zeros(3, np.int64), np.zeros((3, 1), np.uint64)):
        with pytest.raises(EvidenceError):
            PhotoHashes(wrong, np.zeros(3, np.bool_), problems)
    with pytest.raises(EvidenceError):
        PhotoHashes(three, np.zeros(3, np.uint8), problems)
    with pytest.raises(EvidenceError, match="problems with the columns"):
        PhotoHashes(three, np.zeros(3, np.bool_), problems.rename({"row": "post"}))
