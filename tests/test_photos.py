import io
import logging
import os
import signal
import struct
import subprocess
import sys
import time
import warnings
import zlib
from contextlib import suppress
from pathlib import Path, PosixPath

import imagehash
import numpy as np
import polars as pl
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageFile, features

from kembar.errors import ConfigError, EvidenceError, PhotoError
from kembar.photos import MAX_PIXELS, PhotoHashes, draft_hash, hamming, hash_photos, open_photo, perceptual_hash

DATA = Path(os.environ.get("KEMBAR_DATA", Path(__file__).parents[2] / "shared" / "data"))
MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "F", "I;16"]


def scene(seed: int = 0, width: int = 120, height: int = 90) -> Image.Image:
    """A smooth colour picture with some structure at every scale."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def in_mode(image: Image.Image, mode: str) -> Image.Image:
    if mode == "I;16":
        return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    return image.convert(mode)


def oracle(image: Image.Image) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return int(str(imagehash.phash(image)), 16)


def oracle_of(path: Path) -> int:
    with Image.open(path) as image:
        return oracle(image)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def real_photos(folder: str, step: int = 1) -> list[Path]:
    paths = sorted((DATA / folder / "images").glob("*.jpg"))[::step]
    if not paths:
        pytest.skip(f"no photos in {DATA / folder}: set KEMBAR_DATA to the folder of the data")
    return paths


def halves(folder: Path, kind: str, **options: object) -> Path:
    """A photo cut off in the middle."""
    buffer = io.BytesIO()
    textured = Image.fromarray(np.random.default_rng(5).integers(0, 256, (90, 120, 3), dtype=np.uint8))
    textured.save(buffer, kind, **options)
    path = folder / f"half-{'-'.join(map(str, options))}.{kind.lower()}"
    path.write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    return path


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises so many pixels and holds none."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


class Deadly(PosixPath):
    """A photo that kills every other process it is handed to."""

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return os._exit, (3,)


# --- the exact hash


@pytest.mark.parametrize("mode", MODES)
def test_hash_equals_imagehash_in_every_mode(mode: str) -> None:
    for seed in range(8):
        image = in_mode(scene(seed, 50 + 31 * seed, 200 - 20 * seed), mode)
        assert perceptual_hash(image) == oracle(image)


@settings(deadline=None, max_examples=80)
@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 70), st.integers(1, 70), st.just(3))))
def test_hash_equals_imagehash_on_any_pixels(array: np.ndarray) -> None:
    image = Image.fromarray(array)
    assert perceptual_hash(image) == oracle(image)


def test_hash_of_a_palette_with_transparency_equals_imagehash_and_leaves_the_image_alone() -> None:
    image = scene().quantize(16)
    image.info["transparency"] = bytes([0, 128] + [255] * 14)
    assert perceptual_hash(image) == oracle(image)
    assert image.info["transparency"] == bytes([0, 128] + [255] * 14)


def test_hash_of_real_photos_equals_imagehash() -> None:
    paths = real_photos("shopee") + real_photos("clothing", 200) + real_photos("grocery", 200)
    expected = [oracle_of(path) for path in paths]
    assert hash_photos(paths, workers=1).hashes.tolist() == expected


def test_hash_reproduces_the_hashes_given_with_the_shopee_posts() -> None:
    paths = real_photos("shopee")
    posts = pl.read_csv(DATA / "shopee" / "posts.csv", columns=["image", "image_phash"])
    given_hashes = dict(posts.unique("image").iter_rows())
    left = np.array([int(given_hashes[path.name], 16) for path in paths], np.uint64)
    differing = hamming(left, hash_photos(paths, workers=1).hashes)
    assert np.count_nonzero(differing) <= 1
    assert differing.max() <= 4


# --- the draft hash


def test_draft_hash_differs_in_few_bits_on_real_photos() -> None:
    paths = real_photos("shopee") + real_photos("clothing", 50) + real_photos("grocery", 50)
    exact = hash_photos(paths, workers=1).hashes
    draft = hash_photos(paths, workers=1, draft=True).hashes
    assert draft.tolist() == [draft_hash(path) for path in paths]
    differing = hamming(exact, draft)
    assert differing.max() <= 6
    assert 0 < np.count_nonzero(differing) < 0.15 * len(paths)


def test_draft_hash_of_other_formats_is_exact(tmp_path: Path) -> None:
    scene().save(tmp_path / "a.png")
    assert draft_hash(tmp_path / "a.png") == perceptual_hash(scene())


# --- opening


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
        assert hash_photos([tmp_path / name]).hashes[0] == oracle_of(tmp_path / name)


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
    assert hash_photos([tmp_path / f"a.{kind}"]).problems.is_empty()


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
    turned, plain = hash_photos([tmp_path / "turned.jpg", tmp_path / "plain.jpg"]).hashes
    assert turned == plain


def test_garbled_exif_is_ignored(tmp_path: Path) -> None:
    scene().save(tmp_path / "a.jpg", exif=b"Exif\x00\x00II*\x00\x08\x00\x00\x00\xff\xff\x01")
    assert open_photo(tmp_path / "a.jpg").size == (120, 90)


@settings(deadline=None, max_examples=25)
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
    scene(3, 1600, 1200).save(tmp_path / "a.jpg", quality=95)
    scene(3, 1600, 1200).save(tmp_path / "a.png")
    full = scene(3, 1600, 1200).resize((133, 100), Image.Resampling.BICUBIC)
    for name in ("a.jpg", "a.png"):
        assert abs(pixels(open_photo(tmp_path / name, size=100)) - pixels(full)).mean() < 2


# --- photos that cannot be used


def bad_photos(folder: Path) -> dict[str, Path]:
    (folder / "text.jpg").write_text("<html>404 Not Found</html>")
    (folder / "empty.jpg").touch()
    (folder / "folder.jpg").mkdir()
    (folder / "huge.png").write_bytes(png_header(30_000, 30_000))
    (folder / "large.png").write_bytes(png_header(10_000, 10_000))  # where Pillow warns only
    scene().save(folder / "start.jpg")
    whole = (folder / "start.jpg").read_bytes()
    (folder / "start.jpg").write_bytes(whole[: whole.index(b"\xff\xda") + 14])
    (folder / "stub.jpg").write_bytes(whole[:40])
    scene().save(folder / "page.eps")
    os.mkfifo(folder / "pipe.jpg")
    return {
        "is no image": folder / "text.jpg",
        "is empty": folder / "empty.jpg",
        "does not exist": folder / "missing.jpg",
        "is a folder or device": folder / "folder.jpg",
        "is too large": folder / "huge.png",
        "has 10000 x 10000 pixels": folder / "large.png",
        "cannot be decoded": folder / "start.jpg",
        "is no image that": folder / "stub.jpg",
        "is no image that can": folder / "page.eps",
        "device, no file": folder / "pipe.jpg",
        "cannot be read": folder / ("x" * 300),
        "cannot be read (embedded": Path("nul\0.jpg"),
    }


def test_bad_photos_raise_alone_and_are_listed_in_a_run(tmp_path: Path) -> None:
    bad = bad_photos(tmp_path)
    for reason, path in bad.items():
        for use in (open_photo, draft_hash, lambda path: open_photo(path, size=20)):
            with pytest.raises(PhotoError) as caught:
                use(path)
            assert reason in caught.value.given
            assert len(caught.value.given) < 300
            assert caught.value.expected
            assert caught.value.fix.endswith(".")
    scene().save(tmp_path / "good.png")
    result = hash_photos([tmp_path / "good.png", None, *bad.values()])
    assert result.hashed.tolist() == [True] + [False] * (len(bad) + 1)
    assert result.hashes[1:].max() == 0
    assert result.problems["row"].to_list() == list(range(2, len(bad) + 2))
    assert all(reason in text for reason, text in zip(bad, result.problems["problem"], strict=True))


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
    with caplog.at_level(logging.WARNING, "kembar.photos"):
        photo = open_photo(path)
    assert photo.size == (120, 90)
    assert photo.info == {"truncated": True}
    assert pixels(photo).std() > 20
    assert [record.getMessage().startswith("truncated") for record in caplog.records] == [True]
    result = hash_photos([None, path])
    assert result.hashed.tolist() == [False, True]
    assert result.problems["row"].to_list() == [1]
    assert result.problems["problem"][0].startswith("truncated")
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


@settings(deadline=None, max_examples=60)
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
    result = hash_photos([path])
    assert result.hashed[0] or result.problems.height == 1
    with suppress(PhotoError):
        assert open_photo(path, size=16).mode == "RGB"


# --- many photos, many processes


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


def test_workers_do_not_change_the_result(catalogue: list[Path | None]) -> None:
    calls: list[tuple[str, int, int]] = []
    alone = hash_photos(catalogue, workers=1)
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


def test_a_photo_that_kills_its_process_is_a_problem(catalogue: list[Path | None]) -> None:
    alone = hash_photos(catalogue, workers=1)
    paths = catalogue.copy()
    paths[70] = Deadly(str(catalogue[70]))
    result = hash_photos(paths, workers=2)
    assert result.problems["row"].to_list() == [20, 70, 140]
    assert "stopped the process" in result.problems["problem"][1]
    assert np.flatnonzero(~result.hashed).tolist() == [3, 20, 70]
    others = np.arange(len(paths)) != 70
    np.testing.assert_array_equal(result.hashes[others], alone.hashes[others])


SCRIPT = """
import sys
from pathlib import Path
from kembar.photos import hash_photos
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


def group_is_gone(group: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while living(group) and time.monotonic() < end:
        time.sleep(0.05)
    return not living(group)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_stopping_the_caller_stops_the_workers(tmp_path: Path, number: signal.Signals) -> None:
    scene(0, 3500, 3500).save(tmp_path / "a.jpg")  # a worker would need 10 seconds for what it holds
    path = script(tmp_path, 'if __name__ == "__main__":\n    main()\n')
    with subprocess.Popen(
        [sys.executable, path, tmp_path / "a.jpg", "20000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        time.sleep(0.3)  # the workers are importing: where an interrupt would print a traceback each
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does: to all of the group
        else:
            process.kill()
        _, errors = process.communicate(timeout=10)
    assert process.returncode == -number
    assert errors.count("Traceback") == (number == signal.SIGINT)
    assert group_is_gone(process.pid, 5)


def test_without_the_main_guard_the_caller_does_the_work(tmp_path: Path) -> None:
    scene().save(tmp_path / "a.jpg")
    command = [sys.executable, script(tmp_path, "main()\n"), tmp_path / "a.jpg", "100"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert ended.stdout.endswith("\n100\n")
    assert "lack the guard" in ended.stderr


# --- small things


def test_no_photos_at_all() -> None:
    assert hash_photos([]).hashes.shape == (0,)
    result = hash_photos([None, None])
    assert (result.hashed.any(), result.problems.height) == (False, 0)


def test_options_are_checked(tmp_path: Path) -> None:
    scene().save(tmp_path / "a.png")
    with pytest.raises(ConfigError, match="workers=0"):
        hash_photos([None], workers=0)
    with pytest.raises(ConfigError, match="size=-1"):
        open_photo(tmp_path / "a.png", size=-1)
    with pytest.raises(ConfigError, match="max_pixels=0"):
        open_photo(tmp_path / "a.png", max_pixels=0)


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)), max_size=20))
def test_hamming_counts_bits(pairs: list[tuple[int, int]]) -> None:
    left, right = np.array(pairs, np.uint64).reshape(-1, 2).T
    differing = hamming(left, right)
    assert differing.dtype == np.uint8
    assert differing.tolist() == [(a ^ b).bit_count() for a, b in pairs]


def test_hamming_and_photo_hashes_check_what_they_are_given() -> None:
    three, problems = np.zeros(3, np.uint64), pl.DataFrame(schema={"row": pl.UInt32, "problem": pl.String})
    for wrong in (np.zeros(2, np.uint64), np.zeros(3, np.int64), np.zeros((3, 1), np.uint64)):
        with pytest.raises(EvidenceError):
            hamming(three, wrong)
        with pytest.raises(EvidenceError):
            PhotoHashes(wrong, np.zeros(3, np.bool_), problems)
    with pytest.raises(EvidenceError):
        PhotoHashes(three, np.zeros(3, np.uint8), problems)
    with pytest.raises(EvidenceError, match="problems with the columns"):
        PhotoHashes(three, np.zeros(3, np.bool_), problems.rename({"row": "post"}))
