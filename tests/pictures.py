"""Pictures and files that several test modules draw from."""

import io
import os
import struct
import warnings
import zlib
from pathlib import Path

import imagehash
import numpy as np
import pytest
from PIL import Image

from places import DATA


def scene(seed: int = 0, width: int = 120, height: int = 90) -> Image.Image:
    """A smooth colour picture with some structure at every scale."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def oracle(image: Image.Image) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return int(str(imagehash.phash(image)), 16)


def oracle_of(path: Path) -> int:
    with Image.open(path) as image:
        return oracle(image)


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
        "is not an image": folder / "text.jpg",
        "is empty": folder / "empty.jpg",
        "does not exist": folder / "missing.jpg",
        "is a folder or device": folder / "folder.jpg",
        "is too large": folder / "huge.png",
        "has 10000 x 10000 pixels": folder / "large.png",
        "cannot be decoded": folder / "start.jpg",
        "is not an image that": folder / "stub.jpg",
        "is not an image that can": folder / "page.eps",
        "device, not a file": folder / "pipe.jpg",
        "cannot be read": folder / ("x" * 300),
        "embedded null": Path("nul\0.jpg"),
    }
