"""Perceptual hashes in the store of vectors."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import kembar.encoders.photo_hashes as module
from kembar import Catalog, Config
from kembar.encoders.photo_hashes import PhotoHasher, hashes_of
from kembar.encoders.store import VectorStore
from kembar.evidence.photo_hashes import with_photo_hashes
from kembar.posts.hashing import PhotoHashes, hash_photos
from properties import examples


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Four photos: two alike, one cut short, one that is none."""
    rng = np.random.default_rng(3)
    paths = [tmp_path / f"{number}.jpg" for number in range(4)]
    Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(paths[0])
    paths[1].write_bytes(paths[0].read_bytes())
    Image.fromarray(rng.integers(0, 255, (256, 256, 3), dtype=np.uint8)).save(paths[2])
    paths[2].write_bytes(paths[2].read_bytes()[:-9000])
    paths[3].write_bytes(b"no photo")
    return paths


def catalog_of(paths: list[Path]) -> Catalog:
    names = [path.name for path in paths]
    return Catalog.read({"posting_id": names, "image": names}, images=paths[0].parent)


def check_hashed(found: Catalog, paths: list[Path]) -> None:
    alone = hash_photos(paths)
    np.testing.assert_array_equal(found.hashes, alone.hashes)
    np.testing.assert_array_equal(found.hashed, alone.hashed)
    assert found.problems["problem"].to_list() == alone.problems["problem"].to_list()
    assert found.problems["posting_id"].to_list() == ["2.jpg", "3.jpg"]


def test_a_photo_is_hashed_once(photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = []

    def noted(paths: list[Path], **options: object) -> PhotoHashes:
        hashed.extend(path.name for path in paths)
        return hash_photos(paths, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "hash_photos", noted)
    catalog, store = catalog_of(photos), tmp_path / "store"
    check_hashed(with_photo_hashes(catalog, Config()), photos)
    assert sorted(hashed) == ["0.jpg", "2.jpg", "3.jpg"]  # one of equal photos
    hashed.clear()
    check_hashed(with_photo_hashes(catalog, Config(), store=VectorStore(store)), photos)
    hashed.clear()
    check_hashed(with_photo_hashes(catalog, Config(), store=VectorStore(store)), photos)
    assert sorted(hashed) == ["2.jpg", "3.jpg"]  # what is wrong with a photo is told in every run


def test_how_far_it_is(photos: list[Path]) -> None:
    calls: list[tuple[str, int, int]] = []
    with_photo_hashes(catalog_of(photos), Config(), lambda *call: calls.append(call))
    assert {(stage, total) for stage, _, total in calls} == {("hash photos", 4)}
    assert calls[-1][1] == 4


@given(st.lists(st.none() | st.integers(0, 2**64 - 1), max_size=9))
@examples(50)
def test_hashes_come_back_from_their_vectors(given: list[int | None]) -> None:
    hashes = np.array([each or 0 for each in given], dtype=np.uint64)
    hashed = np.array([each is not None for each in given], dtype=bool)
    problems = hash_photos([]).problems
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "hash_photos", lambda *_, **__: PhotoHashes(hashes, hashed, problems))
        vectors = PhotoHasher().encode([Path("a.jpg")] * len(given))
    assert vectors.shape == (len(given), PhotoHasher.dimension)
    found = hashes_of(vectors)
    np.testing.assert_array_equal(found[0], hashes)
    np.testing.assert_array_equal(found[1], hashed)
