import base64
import io
import logging
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageFile, features

from kembar.errors import ConfigError, EvidenceError, PhotoError
from kembar.posts import photos
from kembar.posts.photos import (
    MAX_PIXELS,
    MAX_WORK,
    draft_hash,
    hamming,
    hash_file,
    open_photo,
    perceptual_hash,
    truncation,
)
from pictures import DATA, bad_photos, halves, oracle, oracle_of, real_photos, scene
from properties import examples

MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "F", "I;16"]


def in_mode(image: Image.Image, mode: str) -> Image.Image:
    if mode == "I;16":
        return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    return image.convert(mode)


def as_it_looks(image: Image.Image) -> Image.Image:
    """16 bits to 8; imagehash clips them, so that all such images have one hash."""
    return Image.fromarray((np.asarray(image) // 257).astype(np.uint8))


def exact(path: Path) -> int:
    return hash_file(path, draft=False)[0]


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


# --- the exact hash


@pytest.mark.parametrize("mode", MODES)
def test_hash_equals_imagehash_in_every_mode(mode: str) -> None:
    for seed in range(8):
        image = in_mode(scene(seed, 50 + 31 * seed, 200 - 20 * seed), mode)
        assert perceptual_hash(image) == oracle(image.convert("L") if mode != "I;16" else as_it_looks(image))


@examples(40)
@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 70), st.integers(1, 70), st.just(3))))
def test_hash_equals_imagehash_on_any_pixels(array: np.ndarray) -> None:
    image = Image.fromarray(array)
    assert perceptual_hash(image) == oracle(image)


def test_hash_of_a_palette_with_transparency_equals_imagehash_and_leaves_the_image_alone() -> None:
    image = scene().quantize(16)
    image.info["transparency"] = bytes([0, 128] + [255] * 14)
    assert perceptual_hash(image) == oracle(image)
    assert image.info["transparency"] == bytes([0, 128] + [255] * 14)


@pytest.fixture(scope="module")
def real() -> tuple[list[Path], list[int]]:
    """Real photos, those of Shopee first, and their exact hashes."""
    paths = real_photos("shopee") + real_photos("clothing", 50) + real_photos("grocery", 50)
    return paths, [exact(path) for path in paths]


def test_hash_of_real_photos_equals_imagehash(real: tuple[list[Path], list[int]]) -> None:
    paths, hashes = real
    shopee = len(real_photos("shopee"))
    some = [*range(shopee), *range(shopee, len(paths), 4)]
    expected = [oracle_of(paths[row]) for row in some]
    large = [min(open_photo(paths[row]).size) >= 1024 for row in some]
    bits = [(hashes[row] ^ value).bit_count() for row, value in zip(some, expected, strict=True)]
    assert not any(differing for differing, reduced in zip(bits, large, strict=True) if not reduced)
    assert max(bits) <= 2
    assert np.count_nonzero(bits) <= 1  # decoded at reduced scale


def test_hash_reproduces_the_hashes_given_with_the_shopee_posts(real: tuple[list[Path], list[int]]) -> None:
    posts = pl.read_csv(DATA / "shopee" / "posts.csv", columns=["image", "image_phash"])
    given_hashes = dict(posts.unique("image").iter_rows())
    count = len(real_photos("shopee"))
    left = np.array([int(given_hashes[path.name], 16) for path in real[0][:count]], np.uint64)
    differing = hamming(left, np.array(real[1][:count], np.uint64))
    assert np.count_nonzero(differing) <= 2  # one of them is large, and decoded at reduced scale
    assert differing.max() <= 4


# --- the draft hash


def test_draft_hash_differs_in_few_bits_on_real_photos(real: tuple[list[Path], list[int]]) -> None:
    paths, hashes = real
    draft = [draft_hash(path) for path in paths]
    differing = hamming(np.array(hashes, np.uint64), np.array(draft, np.uint64))
    assert differing.max() <= 6
    assert 0 < np.count_nonzero(differing) < 0.15 * len(paths)


def test_draft_hash_of_other_formats_is_exact(tmp_path: Path) -> None:
    scene().save(tmp_path / "a.png")
    assert draft_hash(tmp_path / "a.png") == perceptual_hash(scene())


# --- opening


HEIC = (  # 64 x 64 pixels: red and blue rise downwards, green to the right
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAVZtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAACJpbG9jAAAA"
    "AERAAAEAAQAAAAABegABAAAAAAAAAD4AAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRtAAAAAAABAAAA1mlwcnAAAAC3"
    "aXBjbwAAAHhodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQArQgEBA3AAAAMAkAAAAwAA"
    "AwAeoCCBBZbqSSmubgIaDAgAAAMAyAAAAwAIQGIAAQAHRAHBcrAiQAAAABNjb2xybmNseAABAA0ABoAAAAAUaXNwZQAAAAAAAABAAAAAQAAAABBw"
    "aXhpAAAAAAMICAgAAAAXaXBtYQAAAAAAAAABAAEEgQIDBAAAAEZtZGF0AAAAOigBrxmA934yLVtkDGlrqVUWPUDs8d3pEDqFAQjPY1z5SfenLHr/"
    "Nts2s0677NydpjjT5UXY9sNtFIA="
)


@pytest.fixture
def heic(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "phone.jpg").write_bytes(base64.b64decode(HEIC))
    photos._formats.cache_clear()
    yield tmp_path / "phone.jpg"
    photos._formats.cache_clear()


def test_heic_is_read_with_the_extra(heic: Path) -> None:
    pytest.importorskip("pi_heif")
    corners = [open_photo(heic).getpixel(at) for at in ((1, 1), (62, 1), (1, 62), (62, 62))]
    assert [tuple(value > 127 for value in corner) for corner in corners] == [  # type: ignore[union-attr]
        *((False, False, False), (False, True, False), (True, False, True), (True, True, True))
    ]


def test_heic_without_the_extra_names_what_to_install(heic: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    with pytest.raises(PhotoError, match=r'it is HEIC, for which pip install "kembar\[heif\]" is needed'):
        hash_file(heic, draft=False)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_png_mode_opens_as_rgb(tmp_path: Path, mode: str) -> None:
    image = in_mode(scene(), mode)
    image.save(tmp_path / "a.png")
    photo = open_photo(tmp_path / "a.png")
    assert (photo.mode, photo.size, photo.info) == ("RGB", (120, 90), {})
    expected = scene().convert("L") if mode == "I;16" else image
    np.testing.assert_array_equal(pixels(photo), pixels(expected.convert("RGB")))


def test_sixteen_bit_is_scaled_not_clipped(tmp_path: Path) -> None:
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    Image.fromarray(ramp).save(tmp_path / "a.png")
    Image.fromarray(ramp.astype(np.int32)).save(tmp_path / "a.tiff")
    expected = np.floor(ramp / 257 + 0.5)
    for name in ("a.png", "a.tiff"):
        np.testing.assert_array_equal(pixels(open_photo(tmp_path / name))[..., 1], expected)


@pytest.mark.parametrize("scale", [1.0, 255.0])
def test_float_tiff_of_either_range(tmp_path: Path, scale: float) -> None:
    grey = np.asarray(scene().convert("L"))
    Image.fromarray((grey / 255 * scale).astype(np.float32)).save(tmp_path / "a.tiff")
    np.testing.assert_array_equal(pixels(open_photo(tmp_path / "a.tiff"))[..., 0], grey)


@pytest.mark.parametrize("kind", ["png", "webp"])
def test_transparency_is_laid_on_white(tmp_path: Path, kind: str) -> None:
    image = Image.new("RGBA", (40, 30), (200, 0, 0, 255))
    image.paste((0, 0, 0, 0), (0, 0, 20, 30))
    image.paste((0, 0, 0, 128), (20, 0, 30, 30))
    image.save(tmp_path / f"a.{kind}", lossless=True)
    photo = open_photo(tmp_path / f"a.{kind}")
    assert [photo.getpixel((x, 5)) for x in (5, 25, 35)] == [(255,) * 3, (127,) * 3, (200, 0, 0)]


def test_palette_and_colour_key_transparency(tmp_path: Path) -> None:
    palette = Image.new("P", (20, 20), 0)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.paste(1, (0, 0, 10, 20))
    palette.save(tmp_path / "index.gif", transparency=0)
    palette.save(tmp_path / "bytes.png", transparency=bytes([0, 255]))
    palette.convert("RGB").save(tmp_path / "key.png", transparency=(10, 20, 30))
    for name in ("index.gif", "bytes.png", "key.png"):
        photo = open_photo(tmp_path / name)
        assert [photo.getpixel((x, 5)) for x in (5, 15)] == [(40, 50, 60), (255, 255, 255)], name
        assert exact(tmp_path / name) == oracle_of(tmp_path / name)


@pytest.mark.parametrize("kind", ["jpeg", "tiff"])
def test_cmyk(tmp_path: Path, kind: str) -> None:
    scene().convert("CMYK").save(tmp_path / f"a.{kind}", **({"quality": 95} if kind == "jpeg" else {}))
    photo = open_photo(tmp_path / f"a.{kind}")
    assert photo.mode == "RGB"
    assert abs(pixels(photo) - pixels(scene())).mean() < 3
    assert open_photo(tmp_path / f"a.{kind}", size=30).size == (40, 30)


@pytest.mark.parametrize("kind", ["gif", "webp", "png"])
def test_first_frame_of_an_animation(tmp_path: Path, kind: str) -> None:
    frames = [Image.new("RGB", (30, 20), colour) for colour in ("red", "blue", "lime")]
    options = {"lossless": True} if kind == "webp" else {}
    frames[0].save(tmp_path / f"a.{kind}", save_all=True, append_images=frames[1:], duration=50, **options)
    assert open_photo(tmp_path / f"a.{kind}").getpixel((3, 3)) == (255, 0, 0)
    assert not hash_file(tmp_path / f"a.{kind}", draft=False)[1]


KINDS = ["jpeg", "png", "webp", "tiff", *(["avif"] if features.check("avif") else [])]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(tmp_path: Path, kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    corners = np.zeros((40, 60, 3), np.uint8)
    corners[:20, :30], corners[:20, 30:], corners[20:, :30] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
    Image.fromarray(corners).save(tmp_path / f"a.{kind}", exif=exif, **({"quality": 95} if kind != "png" else {}))
    flip, turned = {1: (1, 1), 2: (1, -1), 3: (-1, -1), 4: (-1, 1)}, {5: (1, 1), 6: (-1, 1), 7: (-1, -1), 8: (1, -1)}
    if orientation in flip:
        rows, columns = flip[orientation]
        expected = corners[::rows, ::columns]
    else:
        rows, columns = turned[orientation]
        expected = corners[::rows, ::columns].transpose(1, 0, 2)
    photo = open_photo(tmp_path / f"a.{kind}")
    assert photo.size == (expected.shape[1], expected.shape[0])
    assert abs(pixels(photo) - expected).mean() < 6
    assert "exif" not in photo.info
    assert open_photo(tmp_path / f"a.{kind}", size=20).size == ((30, 20) if orientation < 5 else (20, 30))


def test_hash_ignores_the_orientation(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    scene().save(tmp_path / "turned.jpg", exif=exif)
    scene().save(tmp_path / "plain.jpg")
    assert exact(tmp_path / "turned.jpg") == exact(tmp_path / "plain.jpg")


def test_garbled_exif_is_ignored(tmp_path: Path) -> None:
    scene().save(tmp_path / "a.jpg", exif=b"Exif\x00\x00II*\x00\x08\x00\x00\x00\xff\xff\x01")
    assert open_photo(tmp_path / "a.jpg").size == (120, 90)


@examples(25)
@given(width=st.integers(1, 300), height=st.integers(1, 300), size=st.integers(1, 120))
def test_shorter_side_is_the_size_asked_for(
    tmp_path_factory: pytest.TempPathFactory, width: int, height: int, size: int
) -> None:
    path = tmp_path_factory.mktemp("sizes") / "a.jpg"
    scene(1, width, height).save(path)
    photo = open_photo(path, size=size)
    assert min(photo.size) == size
    longer = max(width, height) * size / min(width, height)
    assert abs(max(photo.size) - longer) <= 0.5 + longer / (2 * size)  # of the rounding when decoded at a half


def test_reduced_decoding_looks_like_full_decoding(tmp_path: Path) -> None:
    photo = scene(3, 1600, 1200)
    photo.save(tmp_path / "a.jpg", quality=95)
    photo.save(tmp_path / "a.png", compress_level=1)
    full = photo.resize((133, 100), Image.Resampling.BICUBIC)
    for name in ("a.jpg", "a.png"):
        assert abs(pixels(open_photo(tmp_path / name, size=100)) - pixels(full)).mean() < 2


# --- photos that cannot be used


def test_bad_photos_raise(tmp_path: Path) -> None:
    bad = bad_photos(tmp_path)
    for reason, path in bad.items():
        for use in (open_photo, draft_hash, lambda path: open_photo(path, size=20)):
            with pytest.raises(PhotoError) as caught:
                use(path)
            assert reason in caught.value.given
            assert len(caught.value.given) < 300
            assert caught.value.expected
            assert caught.value.fix.endswith(".")


def test_a_long_path_is_quoted_by_its_end(tmp_path: Path) -> None:
    with pytest.raises(PhotoError) as caught:
        open_photo(tmp_path / ("x" * 200) / ("x" * 200) / "missing.jpg")
    assert re.search(r"'\.\.\.x+/x{200}/missing\.jpg' does not exist", caught.value.given)


def test_pixel_limit_is_the_callers(tmp_path: Path) -> None:
    scene().save(tmp_path / "a.png")
    with pytest.raises(PhotoError, match="120 x 90 pixels; expected at most 10,000 pixels"):
        open_photo(tmp_path / "a.png", max_pixels=10_000)
    assert open_photo(tmp_path / "a.png", max_pixels=10_800).size == (120, 90)
    scene(0, 2000, 1).save(tmp_path / "thin.png")
    with pytest.raises(PhotoError, match="would be resized to 2000000 x 1000"):
        open_photo(tmp_path / "thin.png", size=1000)
    assert MAX_PIXELS > 64_200_000


@pytest.mark.parametrize(
    ("kind", "options"),
    [("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("GIF", {}), ("BMP", {}), ("TIFF", {})],
)
def test_truncated_photo_is_used_and_listed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str, options: dict[str, object]
) -> None:
    path = halves(tmp_path, kind, **options)
    with caplog.at_level(logging.WARNING, "kembar.posts.photos"):
        photo = open_photo(path)
    assert photo.size == (120, 90)
    assert photo.info == {"truncated": True}
    assert pixels(photo).std() > 20
    assert [record.getMessage().startswith("truncated") for record in caplog.records] == [True]
    assert hash_file(path, draft=False)[1]
    assert truncation(path).startswith("truncated")
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


@examples(40)
@given(kind=st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM"]), data=st.data())
def test_damage_never_raises_anything_else(
    tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject
) -> None:
    buffer = io.BytesIO()
    scene().save(buffer, kind)
    damaged = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "a.img"
    path.write_bytes(damaged[: data.draw(st.integers(1, len(damaged)))])
    with suppress(PhotoError):
        hash_file(path, draft=False)
    with suppress(PhotoError):
        assert open_photo(path, size=16).mode == "RGB"


# --- photos that would take all of the time or memory


def many_scans(path: Path, width: int, height: int, scans: int) -> Path:
    """A progressive JPEG that repeats its shortest scan."""
    buffer = io.BytesIO()
    Image.new("L", (width, height), 7).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    scan = data[data.rindex(b"\xff\xda") : -2]
    path.write_bytes(data[:-2] + scan * (scans - data.count(b"\xff\xda")) + data[-2:])
    return path


def test_a_jpeg_of_thousands_of_scans_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = many_scans(tmp_path / "a.jpg", 4000, 4000, 3000)
    assert path.stat().st_size < 200_000
    for use in (open_photo, exact, draft_hash):
        with pytest.raises(PhotoError, match="takes 3,000 scans to decode; expected at most 125 scans of 16,000,000"):
            use(path)


def test_scans_are_counted_against_the_pixels(tmp_path: Path) -> None:
    assert exact(many_scans(tmp_path / "small.jpg", 64, 64, 3000)) is not None
    assert MAX_WORK // MAX_PIXELS >= 25  # more than any photo of a phone has
    scene(0, 3000, 2000).save(tmp_path / "usual.jpg", progressive=True)
    assert open_photo(tmp_path / "usual.jpg", size=64).size == (96, 64)


def test_conversion_in_strips_is_conversion_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 256, (50, 31, 4), dtype=np.uint8)
    images = [Image.fromarray(pixels), Image.fromarray(pixels).convert("LA"), Image.fromarray(pixels[..., 0])]
    images += [Image.fromarray(rng.integers(0, 65536, (50, 31)).astype(np.uint16))]
    images += [Image.fromarray(rng.random((50, 31)).astype(np.float32)), Image.fromarray(pixels[..., :3]).quantize(9)]
    images[-1].info["transparency"] = bytes([0, 100] + [255] * 7)
    whole = [np.asarray(photos._rgb(image)) for image in images]
    monkeypatch.setattr(photos, "_STRIP", 100)
    for image, expected in zip(images, whole, strict=True):
        np.testing.assert_array_equal(np.asarray(photos._rgb(image)), expected)
    white = Image.alpha_composite(Image.new("RGBA", (31, 50), "white"), images[0])
    np.testing.assert_array_equal(whole[0], np.asarray(white.convert("RGB")))


PEAK = """
import re
import sys
from pathlib import Path
from PIL import Image
from kembar.posts.photos import hash_file, open_photo

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

Image.new("RGB", (8, 8)).save(sys.argv[1] + ".small.png")
open_photo(Path(sys.argv[1] + ".small.png"), size=224)  # what is loaded for the first photo is no decode
before = peak()
open_photo(Path(sys.argv[1]), size=224)
hash_file(Path(sys.argv[1]), draft=False)
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc to read the peak of memory from")
@pytest.mark.parametrize("mode", ["RGBA", "I;16", "P"])
def test_memory_of_a_decode_is_what_the_docs_say(tmp_path: Path, mode: str) -> None:
    width, height = 4000, 3500
    image = Image.new("RGBA" if mode == "P" else mode, (width, height))
    (image.quantize(4) if mode == "P" else image).save(tmp_path / "a.png", compress_level=1)
    words = [sys.executable, "-c", PEAK, str(tmp_path / "a.png")]
    found = int(subprocess.run(words, capture_output=True, check=True).stdout)
    assert found < 9.5 * width * height  # 8 bytes per pixel, and strips of 1 megapixel


def test_large_photos_are_decoded_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "LARGE", 100)
    scene().save(tmp_path / "large.png")
    scene(0, 10, 10).save(tmp_path / "small.png")
    done: list[str] = []
    threads = [
        threading.Thread(target=lambda name=name: (exact(tmp_path / f"{name}.png"), done.append(name)))
        for name in ("large", "small")
    ]
    with photos._large_lock:
        for thread in threads:
            thread.start()
        threads[1].join()
        assert done == ["small"]
    threads[0].join()
    assert done == ["small", "large"]


# --- small things


def test_options_are_checked(tmp_path: Path) -> None:
    scene().save(tmp_path / "a.png")
    with pytest.raises(ConfigError, match="size=-1"):
        open_photo(tmp_path / "a.png", size=-1)
    with pytest.raises(ConfigError, match="max_pixels=0"):
        open_photo(tmp_path / "a.png", max_pixels=0)


@examples(50)
@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)), max_size=20))
def test_hamming_counts_bits(pairs: list[tuple[int, int]]) -> None:
    left, right = np.array(pairs, np.uint64).reshape(-1, 2).T
    differing = hamming(left, right)
    assert differing.dtype == np.uint8
    assert differing.tolist() == [(a ^ b).bit_count() for a, b in pairs]


def test_hamming_checks_what_it_is_given() -> None:
    for wrong in (np.zeros(2, np.uint64), np.zeros(3, np.int64), np.zeros((3, 1), np.uint64)):
        with pytest.raises(EvidenceError):
            hamming(np.zeros(3, np.uint64), wrong)
