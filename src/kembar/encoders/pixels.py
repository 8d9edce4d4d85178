"""Photo files as arrays of pixels, decoded in threads, ahead of the model."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image

from kembar.arrays import Rows, default_threads
from kembar.encoders.protocol import Problem
from kembar.errors import ConfigError, PhotoError, nearest
from kembar.posts.photos import open_photo
from kembar.threads import in_order

Bytes: TypeAlias = npt.NDArray[np.uint8]
Resize: TypeAlias = Literal["squash", "crop", "pad"]
Interpolation: TypeAlias = Literal["bicubic", "bilinear", "lanczos"]
_FILTERS = {name: Image.Resampling[name.upper()] for name in get_args(Interpolation)}


@dataclass(frozen=True, slots=True)
class Frame:
    """How a photo of any shape becomes a square of pixels.

    Attributes:
        size: side of the square, in pixels.
        resize: "squash" changes the proportions, "crop" takes the centre, "pad" puts the whole photo on white.
        interpolation: "bicubic", "bilinear" or "lanczos".
        crop: for "crop": the share of the scaled photo's shorter side that is kept, in (0, 1]; timm's `crop_pct`.

    Raises:
        ConfigError: an option out of range.
    """

    size: int = 224
    resize: Resize = "squash"
    interpolation: Interpolation = "bicubic"
    crop: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.size, int) or not 1 <= self.size <= 4096:
            raise ConfigError(f"input size {self.size!r}", "1 to 4096 pixels", "Correct the size.")
        _one_of("resize", self.resize, get_args(Resize))
        _one_of("interpolation", self.interpolation, get_args(Interpolation))
        if not 0 < self.crop <= 1:
            raise ConfigError(f"crop {self.crop!r}", "a share above 0, at most 1", "Correct the crop.")

    def read(self, path: Path) -> Bytes:
        """Decode a photo.

        Args:
            path: image file.

        Returns:
            (size, size, 3) uint8, RGB.

        Raises:
            PhotoError: the photo cannot be used.
        """
        # A JPEG is decoded at reduced scale. For bicubic the photo comes at the side asked for; other filters start
        # from twice of it.
        side = self._short() if self.resize == "crop" else self.size
        return np.asarray(self.fit(open_photo(path, size=side if self.interpolation == "bicubic" else 2 * side)))

    def fit(self, photo: Image.Image) -> Image.Image:
        """Scale a decoded photo into the square.

        Args:
            photo: image of mode RGB.

        Returns:
            Image of size x size.
        """
        side = (self.size, self.size)
        resample = _FILTERS[self.interpolation]
        if self.resize == "squash":
            return photo.resize(side, resample, reducing_gap=2.0)
        if self.resize == "pad":
            longest = max(photo.size)
            scaled = tuple(max(1, round(edge * self.size / longest)) for edge in photo.size)
            square = Image.new("RGB", side, "white")
            corner = ((self.size - scaled[0]) // 2, (self.size - scaled[1]) // 2)
            square.paste(photo.resize((scaled[0], scaled[1]), resample, reducing_gap=2.0), corner)
            return square
        return self._cropped(photo)

    def _cropped(self, photo: Image.Image) -> Image.Image:
        """Scale the shorter side to size / crop and cut out the centre, as timm and torchvision do."""
        short = self._short()
        width, height = (short * edge // min(photo.size) for edge in photo.size)
        if photo.size != (width, height):
            photo = photo.resize((width, height), _FILTERS[self.interpolation], reducing_gap=2.0)
        left, top = round((width - self.size) / 2), round((height - self.size) / 2)
        return photo.crop((left, top, left + self.size, top + self.size))

    def _short(self) -> int:
        return math.floor(self.size / self.crop + 1e-6)  # 518 / (518 / 592) is a little less than 592

    def settings(self) -> dict[str, Any]:
        """Give what `encoder.json` says under "input"."""
        return {"size": self.size, "resize": self.resize, "interpolation": self.interpolation, "crop": self.crop}


def pixel_batches(
    paths: Sequence[Path], frame: Frame, batch_size: int, *, problem: Problem | None = None, threads: int | None = None
) -> Iterator[tuple[Rows, Bytes]]:
    """Decode photos in threads, at most two batches ahead of what is asked for.

    Args:
        paths: n image files.
        frame: how they become squares.
        batch_size: photos in a batch; the last may be smaller.
        problem: called in this thread with (index, what is wrong) for a photo that cannot be used; it is in no batch.
        threads: decoding at once; None: one per core.

    Yields:
        Rows in `paths`, ascending, and (b, size, size, 3) uint8 pixels.
    """
    workers = threads or default_threads()
    rows: list[int] = []
    photos: list[Bytes] = []
    with in_order(partial(_outcome, frame), paths, threads=workers, ahead=2 * batch_size + workers) as outcomes:
        for row, outcome in enumerate(outcomes):
            if isinstance(outcome, PhotoError):
                if problem is not None:
                    problem(row, str(outcome))
                continue
            rows.append(row)
            photos.append(outcome)
            if len(rows) == batch_size:
                yield np.array(rows, dtype=np.int64), np.stack(photos)
                rows, photos = [], []
    if rows:
        yield np.array(rows, dtype=np.int64), np.stack(photos)


def _outcome(frame: Frame, path: Path) -> Bytes | PhotoError:
    try:
        return frame.read(path)
    except PhotoError as error:
        return error


def _one_of(option: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        fix = nearest(str(value), known).strip() or "Choose one of these."
        raise ConfigError(f"{option} {value!r}", f"one of {', '.join(known)}", fix)
