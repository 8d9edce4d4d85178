"""Photos: decoding, resizing and the perceptual hash.

A photo that cannot be used raises `PhotoError` when it is asked for alone, and is a row of
`PhotoHashes.problems` when a whole catalogue is hashed. No global setting of Pillow is changed.
"""

import ctypes
import functools
import io
import logging
import math
import os
import signal
import stat
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection, current_process, get_context, parent_process
from pathlib import Path
from typing import IO, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy.fft
from PIL import Image, ImageFile, ImageOps

from kembar.errors import ConfigError, EvidenceError, PhotoError

Hashes: TypeAlias = npt.NDArray[np.uint64]
Progress: TypeAlias = Callable[[str, int, int], None]
_Draft: TypeAlias = tuple[str | None, int]  # mode, and the side both edges must keep when decoded at reduced scale
_Chunk: TypeAlias = Sequence[tuple[int, Path]]  # row and path
_Outcome: TypeAlias = tuple[int, int | None, str | None]  # row, hash if there is one, problem if there is one
_Take: TypeAlias = Callable[[Iterable[_Outcome]], None]

MAX_PIXELS = 80_000_000
"""Largest photo decoded by default: passes the 64 megapixel phone, and costs 240 MB as RGB at most."""

_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP", "TIFF", "JPEG2000", "PPM")
_END_OF_JPEG = b"\xff\xd9"
_DRAFT_SIDE = 96  # measured on real photos: 64 is no faster and differs twice as often, 128 is up to 1.5x slower
_CHUNK = 64  # photos handed to a worker at once: about a second of work
_PULSE = 0.2  # seconds; polars restarts interrupted waits, so Ctrl-C is only seen between short ones
_FEW = 64  # below this, starting processes takes longer than hashing
_log = logging.getLogger(__name__)
_warnings_lock = threading.Lock()
_halt: ctypes.c_bool | None = None  # in a worker process: set by the parent to end the run


@dataclass(frozen=True, slots=True)
class PhotoHashes:
    """The perceptual hashes of a catalogue's photos, in catalogue order.

    Attributes:
        hashes: (n,) uint64; 0 where `hashed` is false.
        hashed: (n,) bool, whether the post has a photo that could be hashed.
        problems: frame of `row` (UInt32, ascending) and `problem` (String), one row per photo that could not
            be used, or that was used although truncated (the text then starts with "truncated").

    Raises:
        EvidenceError: the shapes, dtypes or columns are others.
    """

    hashes: Hashes
    hashed: npt.NDArray[np.bool_]
    problems: pl.DataFrame

    def __post_init__(self) -> None:
        """Check that the three parts speak of the same posts."""
        _check_hashes(self.hashes, np.uint64, self.hashes.shape[:1])
        _check_hashes(self.hashed, np.bool_, self.hashes.shape)
        schema = {"row": pl.UInt32(), "problem": pl.String()}
        if dict(self.problems.schema) != schema:
            given = f"problems with the columns {dict(self.problems.schema)!r}"
            raise EvidenceError(given, repr(schema), "Rename or cast the columns of the frame.")


def open_photo(path: Path, *, size: int | None = None, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode a photo to upright RGB.

    The EXIF orientation is applied, transparency laid on white, 16 bit scaled to 8 bit, and of an animation
    the first frame taken. Colour profiles are not applied. A file that ends early, though not in its upper
    quarter, is decoded as far as it goes: a warning is logged, and `info["truncated"]` of the image is true.

    Args:
        path: JPEG, PNG, GIF, WebP, AVIF, BMP, TIFF, JPEG 2000 or PPM file; its name's ending does not matter.
        size: shorter side of the returned image, in pixels; larger photos are scaled down and smaller ones
            up, the proportions kept, which suits encoders that resize and then crop. A JPEG is decoded at
            reduced scale, never below twice this size. None keeps the photo's own size.
        max_pixels: width times height a photo may have; checked in the header, before anything is decoded.
            Pillow's own limit, twice `PIL.Image.MAX_IMAGE_PIXELS`, holds besides.

    Returns:
        Image of mode RGB.

    Raises:
        PhotoError: the file is missing, empty, no image, too large, or too little of it decodes.
        ConfigError: `size` or `max_pixels` is not positive.
    """
    _check_positive("size", size)
    _check_positive("max_pixels", max_pixels)
    image, truncated = _decode(path, max_pixels, None if size is None else (None, 2 * size))
    try:
        photo = _rgb(_upright(image))
    except Exception as error:
        raise _undecodable(path, error) from error
    if size is not None:
        photo = _resized(photo, size, max_pixels, path)
    photo.info = {"truncated": True} if truncated else {}  # a kept orientation would turn it a second time
    if truncated:
        _log.warning("%s", _truncated(path))
    return photo


def perceptual_hash(image: Image.Image) -> int:
    """Hash an image so that photos that look alike differ in few bits.

    Equal to `imagehash.phash(image)` bit for bit: grey, 32 x 32 (Lanczos), DCT-II both ways, the 8 x 8 lowest
    frequencies, one bit for each above their median. EXIF orientation and transparency are ignored: so were
    the `image_phash` of the Shopee posts made.

    Args:
        image: image of any mode that Pillow can turn grey.

    Returns:
        64 bit hash; the most significant bit is the lowest frequency, so its 16 hex digits are imagehash's.
    """
    if isinstance(image.info.get("transparency"), bytes):
        image = image.copy()  # without the transparency, over which Pillow would warn and then drop it
        del image.info["transparency"]
    grey = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.LANCZOS))
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
    return _hash_file(path, draft=True)[0]


def hash_photos(
    paths: Sequence[Path | None],
    *,
    workers: int | None = None,
    draft: bool = False,
    progress: Progress | None = None,
) -> PhotoHashes:
    """Hash the photos of a catalogue in parallel processes.

    The result does not depend on the number of workers. A photo that kills the process decoding it is a
    problem like any other (but one worker, or fewer than 64 photos, means the calling process). Workers are
    spawned: a script needs the guard `if __name__ == "__main__":`; without it all is done in the calling
    process, and a warning logged.

    Args:
        paths: (n,) image files; None for a post without a photo, which is no problem.
        workers: number of processes, one per processor by default.
        draft: take `draft_hash` instead of the exact hash.
        progress: called with ("hash photos", photos done, photos in all).

    Returns:
        The hashes, in the order of `paths`.

    Raises:
        ConfigError: `workers` is less than 1.
    """
    jobs: _Chunk = [(row, path) for row, path in enumerate(paths) if path is not None]
    hashes = np.zeros(len(paths), np.uint64)
    hashed = np.zeros(len(paths), np.bool_)
    problems: dict[int, str] = {}
    done = 0

    def take(outcomes: Iterable[_Outcome]) -> None:
        nonlocal done
        for row, value, problem in outcomes:
            done += 1
            hashes[row], hashed[row] = value or 0, value is not None
            if problem is not None:
                problems[row] = problem
        if progress is not None:
            progress("hash photos", done, len(jobs))

    count = _worker_count(workers, len(jobs))
    step = max(1, min(_CHUNK, math.ceil(len(jobs) / (4 * count))))
    chunks = deque(jobs[start : start + step] for start in range(0, len(jobs), step))
    if count > 1:
        _hash_in_processes(chunks, count, draft, take)
    for chunk in chunks:
        take(_hash_chunk(chunk, draft))
    columns = {"row": sorted(problems), "problem": [problems[row] for row in sorted(problems)]}
    return PhotoHashes(hashes, hashed, pl.DataFrame(columns, schema={"row": pl.UInt32, "problem": pl.String}))


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
    _check_hashes(left, np.uint64, left.shape[:1])
    _check_hashes(right, np.uint64, left.shape)
    bits: npt.NDArray[np.uint8] = np.bitwise_count(left ^ right)
    return bits


def _check_positive(name: str, value: int | None) -> None:
    if value is not None and value < 1:
        raise ConfigError(f"{name}={value!r}", "at least 1", f"Give a positive {name}, or leave it out.")


def _check_hashes(array: npt.NDArray[np.generic], dtype: type[np.generic], shape: tuple[int, ...]) -> None:
    if array.dtype != dtype or array.shape != shape or len(shape) != 1:
        expected = f"a one-dimensional {np.dtype(dtype)} array as long as its counterpart"
        raise EvidenceError(f"an array {array.dtype}{array.shape}", expected, "Give one entry per post or pair.")


def _decode(path: Path, max_pixels: int, draft: _Draft | None) -> tuple[Image.Image, bool]:
    """Decode the first frame of a file; the flag says whether only a part of it decodes."""
    with _readable(path) as stream:
        image = _identify(stream, path, max_pixels, draft)
        try:
            image.load()
        except Exception:  # a damaged file can make a decoder raise anything
            stream.seek(0)
            return _salvage(stream.read(), path, max_pixels, draft), True
        return image, False


def _readable(path: Path) -> IO[bytes]:
    try:
        mode, size = path.stat().st_mode, path.stat().st_size
        if stat.S_ISREG(mode) and size > 0:  # opening a named pipe would wait for ever
            return path.open("rb")
        reason = "is empty (0 bytes)" if stat.S_ISREG(mode) else "is a folder or device, no file"
    except FileNotFoundError:
        reason = "does not exist"
    except (OSError, ValueError) as error:
        reason = f"cannot be read ({getattr(error, 'strerror', None) or error})"
    raise _refused(path, reason, "a readable image file", "Check the image column and the folder of the photos.")


def _identify(stream: IO[bytes], path: Path, max_pixels: int, draft: _Draft | None) -> ImageFile.ImageFile:
    """Read the header, check the number of pixels and set the scale of decoding."""
    limit, fix = f"at most {max_pixels:,} pixels", "Scale the photo down, or raise max_pixels."
    try:
        with _warnings_lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(stream, formats=_formats())
    except Image.DecompressionBombError as error:
        raise _refused(path, f"is too large ({error})", limit, fix) from error
    except Exception as error:
        formats = f"an image: {', '.join(_FORMATS)}"
        raise _refused(path, "is no image that can be read", formats, "Fetch or convert the photo again.") from error
    if image.width * image.height > max_pixels:
        raise _refused(path, f"has {image.width} x {image.height} pixels", limit, fix)
    if draft is not None:
        mode, side = draft
        image.draft(mode, (side, side))
    return image


@functools.cache
def _formats() -> tuple[str, ...]:
    """List the formats of photos that this Pillow reads; some others, such as EPS, would start programs."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _salvage(data: bytes, path: Path, max_pixels: int, draft: _Draft | None) -> Image.Image:
    """Decode what is there of a damaged file, without Pillow's global switch for it.

    At an end marker the JPEG decoder hands over what it holds back. Other decoders have filled the image from
    the top when they fail; with no tiles left to load, Pillow takes it as loaded.
    """
    try:
        image = _identify(io.BytesIO(data + _END_OF_JPEG), path, max_pixels, draft)
        with suppress(Exception):
            image.load()
        image.tile = []
        image.load()
        below = image.crop((0, image.height // 4, image.width, image.height))
        flat = all(low == high for low, high in (band.getextrema() for band in below.split()))
    except Exception as error:
        raise _undecodable(path, error) from error
    if flat:  # stubs would all look alike; and from the header alone JPEG decoders make up a first block
        raise _undecodable(path, "it ends in its upper quarter")
    return image


def _refused(path: Path, reason: str, expected: str, fix: str) -> PhotoError:
    return PhotoError(f"photo {_quoted(path)} {reason}", expected, fix)


def _undecodable(path: Path, reason: object) -> PhotoError:
    return _refused(path, f"cannot be decoded ({reason})", "an undamaged image", "Fetch the photo again.")


def _truncated(path: Path) -> str:
    return f"truncated: photo {_quoted(path)} is used, but only a part of it decodes"


def _quoted(path: Path) -> str:
    text = str(path)
    return repr(text if len(text) <= 80 else "…" + text[-79:])


def _upright(image: Image.Image) -> Image.Image:
    with _warnings_lock, warnings.catch_warnings(), suppress(Exception):
        warnings.simplefilter("ignore")  # a garbled EXIF block is no reason to lose the photo
        ImageOps.exif_transpose(image, in_place=True)
    return image


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # Pillow's own conversion clips at 255
        image = Image.fromarray(((np.asarray(image).clip(0, 65535) + 128.0) // 257).astype(np.uint8))
    elif image.mode == "F":
        values = np.nan_to_num(np.asarray(image))
        scale = 255 if values.max() <= 1 else 1
        image = Image.fromarray((values * scale).clip(0, 255).round().astype(np.uint8))
    elif image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")


def _resized(photo: Image.Image, size: int, max_pixels: int, path: Path) -> Image.Image:
    width, height = (max(size, round(side * size / min(photo.size))) for side in photo.size)
    if width * height > max_pixels:
        reason = f"of {photo.width} x {photo.height} pixels would be resized to {width} x {height}"
        raise _refused(path, reason, f"at most {max_pixels:,} pixels", "Crop it, or ask for a smaller size.")
    return photo.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2.0)


def _hash_file(path: Path, draft: bool) -> tuple[int, bool]:
    image, truncated = _decode(path, MAX_PIXELS, ("L", _DRAFT_SIDE) if draft else None)
    try:
        return perceptual_hash(image), truncated
    except Exception as error:
        raise _undecodable(path, error) from error


def _hash_chunk(chunk: _Chunk, draft: bool) -> list[_Outcome]:
    outcomes: list[_Outcome] = []
    for row, path in chunk:
        if _halt is not None and _halt.value:
            break
        try:
            value, truncated = _hash_file(path, draft)
            outcomes.append((row, value, _truncated(path) if truncated else None))
        except PhotoError as error:
            outcomes.append((row, None, error.given))
    return outcomes


def _worker_count(workers: int | None, photos: int) -> int:
    _check_positive("workers", workers)
    if photos < _FEW or current_process().daemon:  # a daemonic process may not start others
        return 1
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return workers


def _hash_in_processes(chunks: deque[_Chunk], workers: int, draft: bool, take: _Take) -> None:
    """Take the outcomes of all chunks; leave in `chunks` those to be done here if no process can start."""
    while chunks:
        suspects = _run_pool(chunks, workers, 2 * workers, draft, take)
        # In a fresh process photo by photo; if the empty chunk breaks it, no photo is to blame.
        singles: deque[_Chunk] = deque([[], *([job] for chunk in suspects for job in chunk)] if suspects else [])
        while singles:
            for culprit in _run_pool(singles, 1, 1, draft, take):
                if not culprit:
                    _log.warning(
                        "worker processes do not start, photos are hashed in this one; "
                        "does the calling script lack the guard `if __name__ == '__main__':`?"
                    )
                    chunks.extendleft(suspects)
                    return
                [(row, path)] = culprit
                take([(row, None, f"photo {_quoted(path)} stopped the process that decoded it")])


def _run_pool(chunks: deque[_Chunk], workers: int, window: int, draft: bool, take: _Take) -> list[_Chunk]:
    """Work through `chunks`; when a process dies, stop and return those it may have died of."""
    context = get_context("spawn")  # a fork would copy the locks of OpenMP and polars threads, held or not
    halt = context.RawValue(ctypes.c_bool, False)  # a Value's lock could be held by a worker that dies
    flying: dict[Future[list[_Outcome]], _Chunk] = {}
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(halt,)) as pool:
        try:
            while chunks or flying:
                while chunks and len(flying) < window:
                    flying[_submit(pool, chunks[0], draft)] = chunks[0]
                    chunks.popleft()
                for future in wait(flying, _PULSE, FIRST_COMPLETED).done:
                    outcomes = future.result()
                    del flying[future]
                    take(outcomes)
        except BrokenProcessPool:
            return [chunk for future, chunk in flying.items() if not _taken(future, take)]
        except BaseException:
            halt.value = True  # workers stop after the photo in hand
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return []


def _submit(pool: ProcessPoolExecutor, chunk: _Chunk, draft: bool) -> Future[list[_Outcome]]:
    # A worker started here inherits the mask: Ctrl-C reaches the parent alone, which then stops the workers.
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(_hash_chunk, chunk, draft)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


def _taken(future: Future[list[_Outcome]], take: _Take) -> bool:
    if isinstance(future.exception(), BrokenProcessPool):
        return False
    take(future.result())
    return True


def _begin(halt: ctypes.c_bool) -> None:
    global _halt
    _halt = halt
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    """End this process when its parent was killed; it would wait for work for ever."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
