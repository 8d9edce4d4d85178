"""Photos: decoding, resizing and the perceptual hash.

A photo that cannot be used raises `PhotoError`. No global setting of Pillow is changed.
"""

import functools
import io
import logging
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import IO, Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, ImageOps

from kembar.errors import ConfigError, EvidenceError, PhotoError, quoted
from kembar.remote import is_remote, read_photo

Hashes: TypeAlias = npt.NDArray[np.uint64]
_Draft: TypeAlias = tuple[str | None, int]  # mode, and the side both edges must keep when decoded at reduced scale

MAX_PIXELS = 80_000_000
"""Largest photo decoded by default: enough for a phone of 64 megapixels, and 320 MB decoded, for Pillow takes 4 bytes
per pixel. Turning, and laying transparent pixels on white, take as much again for a moment."""
LARGE: Final = 16_000_000
"""Pixels from which on a photo is decoded alone, whatever the number of threads: memory is bounded by one such photo
and 16 megapixels (64 to 128 MB) per thread."""
MAX_WORK: Final = 2_000_000_000
"""Pixels times scans of a JPEG: a file of kilobytes can ask for thousands of passes over all of the photo. This many
take some seconds; progressive photos have some ten scans. A bound on work and not on seconds, so that the same photos
are used on every machine."""

_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "HEIF", "BMP", "TIFF", "JPEG2000", "PPM")
_END_OF_JPEG, _SCAN = b"\xff\xd9", b"\xff\xda"
_HASH_SIDE = 512  # measured on 66 real photos: of three the hash changes, by 2 bits each; below 1,024 pixels of none
_STRIP = 1 << 20  # pixels converted at once
_DRAFT_SIDE = 96  # measured on real photos: 64 is no faster and differs twice as often, 128 is up to 1.5x slower
_log = logging.getLogger(__name__)
_warnings_lock = threading.Lock()
_large_lock = threading.Lock()


def open_photo(path: Path, *, size: int | None = None, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode a photo to upright RGB.

    The EXIF orientation is applied, transparent pixels become white, 16 bit is scaled to 8 bit, and of an
    animation the first frame is taken. Colour profiles are not applied. A file that ends early, though not in its upper
    quarter, is decoded as far as it goes: a warning is logged, and `info["truncated"]` of the image is true.

    Args:
        path: JPEG, PNG, GIF, WebP, AVIF, BMP, TIFF, JPEG 2000 or PPM file, or HEIC with the extra heif; the suffix of
            its name does not matter.
        size: shorter side of the returned image, in pixels; larger photos are scaled down and smaller ones
            up, the proportions kept, which suits encoders that resize and then crop. A JPEG is decoded at
            reduced scale, never below 1.5 times this size. None keeps the photo's own size.
        max_pixels: width times height a photo may have; checked in the header, before anything is decoded.
            Pillow's own limit, twice `PIL.Image.MAX_IMAGE_PIXELS`, holds besides.

    Returns:
        Image of mode RGB.

    Raises:
        PhotoError: the file is missing, empty, not an image, too large, of too many scans, or too little of it decodes.
        ConfigError: `size` or `max_pixels` is not positive.
    """
    check_positive("size", size)
    check_positive("max_pixels", max_pixels)
    with _readable(path) as stream, _turn(header := _identify(stream, path, max_pixels)):
        image, truncated = _decode(header, stream, path, None if size is None else (None, size * 3 // 2))
        try:
            photo = _rgb(_upright(image))
        except Exception as error:
            raise _undecodable(path, error) from error
        if size is not None:
            photo = _resized(photo, size, max_pixels, path)
    photo.info = {"truncated": True} if truncated else {}  # a kept orientation would turn it a second time
    if truncated:
        _log.warning("%s", truncation(path))
    return photo


def perceptual_hash(image: Image.Image) -> int:
    """Hash an image so that photos that look alike differ in few bits.

    Equal to `imagehash.phash(image)` bit for bit: grey, 32 x 32 (Lanczos), DCT-II both ways, the 8 x 8 lowest
    frequencies, one bit for each above their median. EXIF orientation and transparency are ignored: so were
    the `image_phash` of the Shopee posts made. Images of 16 or 32 bits are hashed as they look: imagehash clips them,
    and all get one hash.

    Args:
        image: image of any mode that Pillow can turn grey.

    Returns:
        64 bit hash; the most significant bit is the lowest frequency, so its 16 hex digits are imagehash's.
    """
    if isinstance(image.info.get("transparency"), bytes):
        image = image.copy()  # without the transparency, over which Pillow would warn and then drop it
        del image.info["transparency"]
    if image.mode[0] in "IF":
        image = _eight_bits(image)
    grey = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.LANCZOS))
    import scipy.fft  # half a second that a run without photos need not wait

    low = scipy.fft.dct(scipy.fft.dct(grey, axis=0), axis=1)[:8, :8]
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")


def draft_hash(path: Path) -> int:
    """Hash a photo from a decoding at reduced scale: 2 to 10 times faster, and not quite the same hash.

    It serves as candidate blocking only. On real photos 9 of 10 equal `perceptual_hash`, the others differ in
    2 to 6 bits: never compare the two kinds for equality. Formats other than JPEG are hashed exactly.

    Args:
        path: image file.

    Returns:
        64 bit hash.

    Raises:
        PhotoError: the photo cannot be used.
    """
    return hash_file(path, draft=True)[0]


def hash_file(path: Path, *, draft: bool) -> tuple[int, bool]:
    """Hash a photo in a file, and report whether only a part of it decodes.

    A JPEG of 1,024 pixels or more on both sides is decoded at reduced scale, never below 512: two to four times faster,
    and of one in twenty such photos 2 bits of the hash differ from `perceptual_hash` of the whole.

    Args:
        path: image file.
        draft: take `draft_hash` instead.

    Returns:
        64 bit hash, and true where the photo is truncated (see `truncation`).

    Raises:
        PhotoError: the photo cannot be used.
    """
    with _readable(path) as stream, _turn(header := _identify(stream, path, MAX_PIXELS)):
        image, truncated = _decode(header, stream, path, ("L", _DRAFT_SIDE) if draft else (None, _HASH_SIDE))
        try:
            return perceptual_hash(image), truncated
        except Exception as error:
            raise _undecodable(path, error) from error


def truncation(path: Path) -> str:
    """Describe a photo that is used although its file ends early; the text starts with "truncated"."""
    return f"truncated: photo {quoted(path)} is used, but only a part of it decodes"


def hamming(left: Hashes, right: Hashes) -> npt.NDArray[np.uint8]:
    """Count the differing bits of two hashes, element by element.

    Args:
        left: (m,) uint64 hashes.
        right: (m,) uint64 hashes.

    Returns:
        (m,) uint8, each in [0, 64].

    Raises:
        EvidenceError: the two have different shapes, or are not uint64.
    """
    check_hashes(left, np.uint64, left.shape[:1])
    check_hashes(right, np.uint64, left.shape)
    bits: npt.NDArray[np.uint8] = np.bitwise_count(left ^ right)
    return bits


def check_positive(name: str, value: int | None) -> None:
    """Refuse an option below 1; None, for an option left out, passes.

    Raises:
        ConfigError: the value is less than 1.
    """
    if value is not None and value < 1:
        raise ConfigError(f"{name}={value!r}", "at least 1", f"Give a positive {name}, or leave it out.")


def check_hashes(array: npt.NDArray[np.generic], dtype: type[np.generic], shape: tuple[int, ...]) -> None:
    """Refuse an array that is not one-dimensional, of the dtype and as long as its counterpart.

    Raises:
        EvidenceError: the dtype or the shape is another.
    """
    if array.dtype != dtype or array.shape != shape or len(shape) != 1:
        expected = f"a one-dimensional {np.dtype(dtype)} array as long as its counterpart"
        raise EvidenceError(f"an array {array.dtype}{array.shape}", expected, "Give one entry per post or pair.")


def _decode(
    image: ImageFile.ImageFile, stream: IO[bytes], path: Path, draft: _Draft | None
) -> tuple[Image.Image, bool]:
    """Decode the first frame of a file; the flag says whether only a part of it decodes."""
    pixels = image.width * image.height
    _reduce(image, draft)
    try:
        image.load()
    except Exception:  # a damaged file can make a decoder raise anything
        stream.seek(0)
        return _salvage(stream.read(), path, pixels, draft), True
    return image, False


def _turn(image: Image.Image) -> AbstractContextManager[object]:
    """Wait, before a large photo is decoded, until no other one is."""
    return _large_lock if image.width * image.height > LARGE else nullcontext()


def _readable(path: Path) -> IO[bytes]:
    try:
        if is_remote(path):
            return read_photo(path)
        mode, size = path.stat().st_mode, path.stat().st_size
        if stat.S_ISREG(mode) and size > 0:  # opening a named pipe would wait forever
            return path.open("rb")
        reason = "is empty (0 bytes)" if stat.S_ISREG(mode) else "is a folder or device, not a file"
    except FileNotFoundError:
        reason = "does not exist"
    except (OSError, ValueError) as error:
        reason = f"cannot be read ({getattr(error, 'strerror', None) or error})"
    raise _refused(path, reason, "a readable image file", "Check the image column and the folder of the photos.")


def _identify(stream: IO[bytes], path: Path, max_pixels: int) -> ImageFile.ImageFile:
    """Read the header and check the size: how many pixels, and how many passes over them."""
    limit, fix = f"at most {max_pixels:,} pixels", "Scale the photo down, or raise max_pixels."
    try:
        with _warnings_lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(stream, formats=_formats())
    except Image.DecompressionBombError as error:
        raise _refused(path, f"is too large ({error})", limit, fix) from error
    except Exception as error:
        formats = f"an image: {', '.join(_FORMATS)}"
        reason = "is not an image that can be read" + _lacking(stream)
        raise _refused(path, reason, formats, "Fetch or convert the photo again.") from error
    if image.width * image.height > max_pixels:
        raise _refused(path, f"has {image.width} x {image.height} pixels", limit, fix)
    if image.format in ("JPEG", "MPO"):
        _check_scans(stream, path, image.width * image.height)
    return image


def _check_scans(stream: IO[bytes], path: Path, pixels: int) -> None:
    scans = _scans(stream)
    if scans * pixels > MAX_WORK:
        limit = f"at most {MAX_WORK // pixels:,} scans of {pixels:,} pixels"
        raise _refused(path, f"takes {scans:,} scans to decode", limit, "Save the photo again.")


def _scans(stream: IO[bytes]) -> int:
    """Count the scans of a JPEG, those of a thumbnail among them."""
    stream.seek(0)
    found, before = 0, b""
    while piece := stream.read(1 << 20):
        found += (before + piece).count(_SCAN)
        before = piece[-1:]
    return found


def _reduce(image: ImageFile.ImageFile, draft: _Draft | None) -> None:
    """Set the scale of decoding."""
    if draft is not None:
        mode, side = draft
        image.draft(mode, (side, side))


def _lacking(stream: IO[bytes]) -> str:
    """Tell what would read a HEIC or AVIF photo, where it is one and nothing here does."""
    stream.seek(0)
    start = stream.read(12)
    kind = {"hei": "HEIF", "hev": "HEIF", "mif": "HEIF", "msf": "HEIF", "avi": "AVIF"}.get(
        start[8:11].decode("latin-1")
    )
    if start[4:8] != b"ftyp" or kind is None or kind in _formats():
        return ""
    return f': it is {"HEIC" if kind == "HEIF" else kind}, for which pip install "kembar[heif]" is needed'


@functools.cache
def _formats() -> tuple[str, ...]:
    """List the formats of photos that this Pillow reads; some others, such as EPS, would start programs."""
    Image.init()
    with suppress(ImportError):  # the extra heif
        import pi_heif  # of pillow-heif the part that decodes, without the GPL encoder in its wheels

        pi_heif.register_heif_opener(thumbnails=False)
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _salvage(data: bytes, path: Path, max_pixels: int, draft: _Draft | None) -> Image.Image:
    """Decode what is there of a damaged file, without Pillow's global switch for it.

    At an end marker the JPEG decoder returns the rows that it holds back. Other decoders have filled the image from
    the top when they fail; with no tiles left to load, Pillow treats it as loaded.
    """
    try:
        image = _identify(io.BytesIO(data + _END_OF_JPEG), path, max_pixels)
        _reduce(image, draft)
        with suppress(Exception):
            image.load()
        image.tile = []
        image.load()
        below = image.crop((0, image.height // 4, image.width, image.height))
        flat = all(low == high for low, high in (band.getextrema() for band in below.split()))
    except Exception as error:
        raise _undecodable(path, error) from error
    if flat:  # such stubs would all look alike; and JPEG decoders invent a first block from the header alone
        raise _undecodable(path, "it ends in its upper quarter")
    return image


def _refused(path: Path, reason: str, expected: str, fix: str) -> PhotoError:
    return PhotoError(f"photo {quoted(path)} {reason}", expected, fix)


def _undecodable(path: Path, reason: object) -> PhotoError:
    return _refused(path, f"cannot be decoded ({reason})", "an undamaged image", "Fetch the photo again.")


def _upright(image: Image.Image) -> Image.Image:
    with _warnings_lock, warnings.catch_warnings(), suppress(Exception):
        warnings.simplefilter("ignore")  # a damaged EXIF block is no reason to lose the photo
        ImageOps.exif_transpose(image, in_place=True)
    return image


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.mode[0] in "IF":
        return _eight_bits(image).convert("RGB")
    photo = Image.new("RGB", image.size)
    for box in _strips(image):
        photo.paste(_on_white(image.crop(box)), box)
    return photo


def _on_white(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale grey of 16 bits or of floats to 8 bits; Pillow's own conversion clips at 255."""
    brightest = max(_grey(image.crop(box)).max() for box in _strips(image))
    out = Image.new("L", image.size)
    for box in _strips(image):
        grey = _grey(image.crop(box))
        if not image.mode.startswith("I"):
            grey = (grey * (255 if brightest <= 1 else 1)).clip(0, 255).round()
        elif brightest > 255:
            grey = (grey + 128.0) // 257
        out.paste(Image.fromarray(grey.astype(np.uint8)), box)
    return out


def _grey(image: Image.Image) -> npt.NDArray[Any]:
    """Take the numbers of an image of integers, from 0 to 65,535, or of floats."""
    grey = np.asarray(image)
    return grey.clip(0, 65535) if image.mode.startswith("I") else np.nan_to_num(grey)


def _strips(image: Image.Image) -> Iterator[tuple[int, int, int, int]]:
    """Cut an image into boxes that are converted one by one: large ones would be in memory several times."""
    rows = max(1, _STRIP // image.width)
    for top in range(0, image.height, rows):
        yield 0, top, image.width, min(top + rows, image.height)


def _resized(photo: Image.Image, size: int, max_pixels: int, path: Path) -> Image.Image:
    width, height = (max(size, round(side * size / min(photo.size))) for side in photo.size)
    if width * height > max_pixels:
        reason = f"of {photo.width} x {photo.height} pixels would be resized to {width} x {height}"
        raise _refused(path, reason, f"at most {max_pixels:,} pixels", "Crop it, or ask for a smaller size.")
    return photo.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2.0)
