"""The photos of all posts in one row: of a post with several each counts, and the first stands before the others."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from kembar.arrays import Bools, Hashes, Rows, offsets_of, ragged
from kembar.posts.hashes import format_hashes, parse_hashes


@dataclass(frozen=True, slots=True)
class Photos:
    """Photos, those of a post one behind the other; each post has one at least, which may be unknown.

    Attributes:
        images: (p,) String, file names, "" where there is none.
        hashes: (p,) uint64, perceptual hashes, 0 where unknown.
        hashed: (p,) bool, True where the hash is known.
        offsets: (n + 1,) int64, the bounds of each post's photos; None where every post has one.
    """

    images: pl.Series
    hashes: Hashes
    hashed: Bools
    offsets: Rows | None = None

    def posts(self) -> Rows:
        """Tell which post shows each photo: (p,) int64."""
        return np.arange(len(self.images)) if self.offsets is None else ragged(np.diff(self.offsets))[0]

    def known(self) -> Bools:
        """Tell which posts have a photo whose hash is known: (n,) bool."""
        return self.hashed if self.offsets is None else np.logical_or.reduceat(self.hashed, self.offsets[:-1])


@dataclass(frozen=True, slots=True)
class Cells:
    """Where the photos of posts stand in the columns of a catalogue.

    Attributes:
        columns: the photos' names, the first column first; each (n,) String.
        hashes: of further photos, 16 hex digits each; None where none is known.
        at: (p,) places in the columns one behind the other, post by post.
        offsets: (n + 1,) bounds of each post's photos.
    """

    columns: list[pl.Series]
    hashes: list[pl.Series] | None
    at: Rows
    offsets: Rows

    @classmethod
    def of(cls, images: pl.Series, further: pl.DataFrame, hashes: pl.DataFrame | None) -> "Cells":
        """Find the photos: the first column of every post, and further ones that are named."""
        n = len(images)
        named = np.ones((n, 1 + further.width), dtype=bool)
        for column, names in enumerate(further, 1):
            named[:, column] = (names != "").to_numpy()
        post, place = np.nonzero(named)
        given = None if hashes is None else hashes.get_columns()
        return cls([images, *further], given, place * n + post, offsets_of(named.sum(axis=1)))

    def photos(self, hashes: Hashes, hashed: Bools) -> Photos:
        """Put the photos of a post beside one another: (n,) hashes of the first ones, and which are known."""
        further = len(hashes) * (len(self.columns) - 1)
        texts = pl.repeat("", further, dtype=pl.String, eager=True) if self.hashes is None else _stacked(self.hashes)
        values, known = parse_hashes(texts)
        names = _stacked(self.columns).gather(self.at)
        return Photos(names, np.append(hashes, values)[self.at], np.append(hashed, known)[self.at], self.offsets)

    def filled(self, photos: Photos) -> dict[str, Any]:
        """Bring photos back into columns: the fields of a catalogue that hold them."""
        n, size = len(self.columns[0]), sum(map(len, self.columns))
        hashes, hashed = np.zeros(size, np.uint64), np.zeros(size, bool)
        hashes[self.at], hashed[self.at] = photos.hashes, photos.hashed
        names = pl.repeat("", size, dtype=pl.String, eager=True).scatter(self.at, photos.images)
        digits = format_hashes(hashes[n:]).set(pl.Series(~hashed[n:]), "")
        return {
            "images": names.head(n),
            "hashes": hashes[:n],
            "hashed": hashed[:n],
            "further_images": numbered(names.slice(n), n),
            "further_hashes": numbered(digits, n),
        }


def numbered(cells: pl.Series, n: int) -> pl.DataFrame:
    """Cut a column into columns of n, named by the place of the photo: the second one first."""
    return pl.DataFrame({str(2 + at): cells.slice(at * n, n) for at in range(len(cells) // max(n, 1))})


def _stacked(columns: list[pl.Series]) -> pl.Series:
    return pl.concat([column.rename("") for column in columns])
