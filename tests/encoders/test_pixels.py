import threading
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kembar.encoders.pixels import Frame, pixel_batches
from kembar.errors import ConfigError
from pictures import bad_photos, real_photos, scene
from properties import examples


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    paths = [folder / f"{i}.{'jpg' if i % 2 else 'png'}" for i in range(23)]
    for i, path in enumerate(paths):
        scene(i, 60 + 7 * i, 120 - 3 * i).save(path)
    return paths


def apart(left: np.ndarray, right: np.ndarray) -> float:
    """Mean difference, of 255."""
    return float(np.abs(left.astype(float) - right.astype(float)).mean())


@examples(60)
@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.sampled_from(["squash", "crop", "pad"]),
    st.sampled_from(["bicubic", "bilinear", "lanczos"]),
    st.integers(1, 40),
    st.floats(0.3, 1),
)
def test_any_photo_becomes_a_square(
    width: int, height: int, resize: str, interpolation: str, size: int, crop: float
) -> None:
    photo = Image.new("RGB", (width, height), (10, 200, 90))
    square = np.asarray(Frame(size, resize, interpolation, crop).fit(photo))
    assert square.shape == (size, size, 3)
    if resize != "pad":
        assert (np.abs(square.astype(int) - [10, 200, 90]) <= 1).all(), "no border comes in"


def test_pad_shows_the_whole_photo_on_white() -> None:
    square = np.asarray(Frame(40, "pad").fit(Image.new("RGB", (100, 50), "black")))
    assert (square[:10] == 255).all()
    assert (square[-10:] == 255).all()
    assert (square[10:30] == 0).all()


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear", "lanczos"])
def test_reading_at_reduced_scale_is_close_to_resizing_the_whole(interpolation: str, tmp_path: Path) -> None:
    scene(3, 900, 700).save(tmp_path / "a.jpg", quality=95)
    with Image.open(tmp_path / "a.jpg") as whole:
        for resize in ("squash", "crop", "pad"):
            frame = Frame(96, resize, interpolation)
            assert apart(frame.read(tmp_path / "a.jpg"), np.asarray(frame.fit(whole.convert("RGB")))) < 1.5


@pytest.mark.parametrize(("size", "crop"), [(224, 0.875), (96, 0.95), (64, 1.0), (518, 518 / 592)])
def test_crop_is_what_timm_does(size: int, crop: float, tmp_path: Path) -> None:
    data = pytest.importorskip("timm.data")
    transform = data.create_transform(
        (3, size, size), interpolation="bicubic", mean=(0, 0, 0), std=(1, 1, 1), crop_pct=crop
    )
    for width, height in [(300, 200), (251, 333), (640, 640), (80, 100)]:
        photo = scene(1, width, height)
        photo.save(tmp_path / "a.png")
        theirs = transform(photo).permute(1, 2, 0).numpy() * 255
        frame = Frame(size, "crop", crop=crop)
        assert apart(np.asarray(frame.fit(photo)), theirs) < 0.3
        assert apart(frame.read(tmp_path / "a.png"), theirs) < 3, "the longer side may be scaled to one pixel more"


@pytest.mark.parametrize("batch_size", [1, 4, 23, 100])
@pytest.mark.parametrize("threads", [1, 3])
def test_batches_hold_every_photo_once_in_order(photos: list[Path], batch_size: int, threads: int) -> None:
    frame = Frame(16)
    batches = list(pixel_batches(photos, frame, batch_size, threads=threads))
    assert np.concatenate([rows for rows, _ in batches]).tolist() == list(range(23))
    assert all(len(rows) == batch_size for rows, _ in batches[:-1])
    pixels = np.concatenate([pixels for _, pixels in batches])
    assert pixels.dtype == np.uint8
    for path, square in zip(photos, pixels, strict=True):
        assert (square == frame.read(path)).all()


def test_bad_photos_are_reported_and_left_out(photos: list[Path], tmp_path: Path) -> None:
    bad = bad_photos(tmp_path)
    mixed = [path for pair in zip(photos, bad.values(), strict=False) for path in pair]
    told: dict[int, str] = {}
    rows = np.concatenate([rows for rows, _ in pixel_batches(mixed, Frame(8), 5, problem=told.__setitem__)])
    assert sorted(told) == list(range(1, 2 * len(bad), 2))
    assert rows.tolist() == list(range(0, 2 * len(bad), 2))
    for part, path in bad.items():
        assert part in told[mixed.index(path)]


def test_only_bad_photos_make_no_batch(tmp_path: Path) -> None:
    assert list(pixel_batches([tmp_path / "a", tmp_path / "b"], Frame(8), 4)) == []
    assert list(pixel_batches([], Frame(8), 4)) == []


class Counting(Frame):
    __slots__ = ()
    count: ClassVar[int] = 0
    threads: ClassVar[set[int]] = set()

    def read(self, path: Path) -> np.ndarray:
        Counting.count += 1
        Counting.threads.add(threading.get_ident())
        return super().read(path)


def test_decoding_stays_little_ahead(photos: list[Path]) -> None:
    batches = pixel_batches(photos * 10, Counting(8), 4, threads=2)
    next(batches)
    assert 4 <= Counting.count <= 4 + 2 * 4 + 2
    batches.close()
    assert Counting.count <= 4 + 2 * 4 + 2, "nothing is decoded for nobody"
    assert threading.get_ident() not in Counting.threads


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 0}, "1 to 4096"),
        ({"size": 2.5}, "2.5"),
        ({"resize": "squish"}, "'squash'"),
        ({"interpolation": "cubic"}, "'bicubic'"),
        ({"crop": 0.0}, "above 0"),
        ({"crop": 1.5}, "at most 1"),
    ],
)
def test_bad_options(options: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Frame(**options)


def test_real_photos_look_the_same_through_either_door() -> None:
    """Twice resized along the longer axis, and from a JPEG at reduced scale: still the same photo."""
    for path in real_photos("shopee")[:40]:
        frame = Frame(224, "squash")
        with Image.open(path) as whole:
            assert apart(frame.read(path), np.asarray(whole.convert("RGB").resize((224, 224), 3))) < 2.5
