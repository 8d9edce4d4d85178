"""The quantities in a title, and when two titles contradict each other.

"250 ml" and "100 ml" of the same soap are two products whose photos and titles look alike. Titles are read into
quantities (see :mod:`kembar.posts.units`). Two titles conflict when they share a category and no shared category has a
common value (Kaggle "Shopee - Price Match Guarantee", 18th place).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from kembar.arrays import Bools, Doubles, Rows, offsets_of, ragged, slices
from kembar.errors import CatalogError, EvidenceError
from kembar.posts.mentions import read, read_one
from kembar.posts.patterns import one_by_one
from kembar.posts.units import CATEGORIES, LARGEST, VETO
from kembar.threads import unforked

_DISPLAY: Final = {
    "weight": ((10**9, "kg"), (10**6, "g"), (10**3, "mg")),
    "volume": ((10**6, "l"), (10**3, "ml")),
    "length": ((10**6, "m"), (10**4, "cm"), (10**3, "mm")),
    "memory": ((10**6, "tb"), (10**3, "gb"), (1, "mb")),
    "power": ((10**3, "w"),),
    "charge": ((1, "mah"),),
    "voltage": ((10**3, "v"),),
    "age": ((1, "months"),),
}

_SHIFT: Final = LARGEST.bit_length()


@dataclass(frozen=True, slots=True)
class Quantities:
    """The quantities of n titles, sorted by title, category and value, each once.

    Attributes:
        offsets: (n + 1,) int64; the quantities of title i are [offsets[i], offsets[i + 1]).
        categories: (q,) int8, places in CATEGORIES.
        values: (q,) int64, base units (microgram, microlitre, micrometre, piece, megabyte, layer, milliwatt, SPF,
            milliampere hour, millivolt, month), each in [1, LARGEST).

    Raises:
        EvidenceError: the arrays do not fit each other.
    """

    offsets: Rows
    categories: npt.NDArray[np.int8]
    values: Rows

    def __post_init__(self) -> None:
        offsets, count = self.offsets, len(self.values)
        fits = len(offsets) > 0 and offsets[0] == 0 and offsets[-1] == count and bool(np.all(np.diff(offsets) >= 0))
        if not fits or len(self.categories) != count:
            raise EvidenceError(
                f"offsets of shape {offsets.shape}, {len(self.categories)} categories and {count} values",
                "offsets that rise from 0 to the number of values, and one category for each value",
                "Build quantities with Quantities.parse(titles).",
            )

    @classmethod
    @unforked
    def parse(cls, titles: pl.Series | Sequence[str]) -> Quantities:
        """Read the quantities in titles.

        Args:
            titles: n titles, best in normal form; case does not matter and a null title has no quantity.

        Returns:
            The quantities of the n titles, in their order.

        Raises:
            CatalogError: the titles are not strings.
        """
        series = _series(titles)
        few = one_by_one(series)
        if few is not None:
            return cls._of([read_one(title) for title in few])
        return cls.joined([cls._read(series[part]) for part in slices(len(series))])

    @classmethod
    def _read(cls, titles: pl.Series) -> Quantities:
        """Read many titles at once."""
        frame = read(titles)
        offsets = offsets_of(np.bincount(frame["row"].to_numpy(), minlength=len(titles)))
        return cls(offsets, frame["category"].to_numpy().astype(np.int8), frame["value"].to_numpy())

    @classmethod
    def _of(cls, each: Sequence[list[tuple[int, int]]]) -> Quantities:
        """Put what was read of titles one by one below one another."""
        pairs = np.array([pair for own in each for pair in own], dtype=np.int64).reshape(-1, 2)
        counts = np.array([len(own) for own in each], dtype=np.int64)
        return cls(offsets_of(counts), pairs[:, 0].astype(np.int8), pairs[:, 1].copy())

    def __len__(self) -> int:
        """The number of titles."""
        return len(self.offsets) - 1

    def __getitem__(self, rows: npt.ArrayLike) -> Quantities:
        """Take titles by number, in the order asked for and as often as asked for.

        Args:
            rows: (m,) integers in [0, n).

        Returns:
            The quantities of those m titles.

        Raises:
            EvidenceError: the rows are not whole numbers in range.
        """
        given = np.asarray(rows)
        whole = given.ndim == 1 and (given.dtype.kind in "iu" or not given.size)
        if not whole or (given.size and not 0 <= int(given.min()) <= int(given.max()) < len(self)):
            raise EvidenceError(
                f"rows {str(rows)[:80]!r} of {len(self)} titles",
                f"one row of whole numbers in [0, {len(self)})",
                "Take row numbers of the titles these quantities were read from.",
            )
        taken = given.astype(np.int64)
        starts = self.offsets[taken]
        counts = self.offsets[taken + 1] - starts
        offsets = offsets_of(counts)
        which, place = ragged(counts)
        source = starts[which] + place
        return Quantities(offsets, self.categories[source], self.values[source])

    @classmethod
    def joined(cls, parts: Sequence[Quantities]) -> Quantities:
        """Put the quantities of titles below one another."""
        counts = np.concatenate([np.diff(part.offsets) for part in parts])
        categories = np.concatenate([part.categories for part in parts])
        return cls(offsets_of(counts), categories, np.concatenate([part.values for part in parts]))

    def conflicts(self, other: Quantities, categories: Collection[str] = VETO) -> Bools:
        """Find the titles that contradict their partner, row by row.

        A pair conflicts when it shares at least one category and no shared category has a common value.

        Args:
            other: quantities of as many titles.
            categories: the categories to look at.

        Returns:
            (n,) bool, symmetric in the two sides.

        Raises:
            EvidenceError: the lengths differ, or a category is unknown.
        """
        shared, common = self._compare(other, categories)
        veto: Bools = (shared != 0) & (common == 0)
        return veto

    def shared(self, other: Quantities, categories: Collection[str] = VETO) -> npt.NDArray[np.int8]:
        """Compare the quantities of two titles, row by row.

        Args:
            other: quantities of as many titles.
            categories: the categories to look at.

        Returns:
            (n,) int8: +1 every shared category has a common value, -1 a conflict, 0 nothing to compare or some
            categories agree and others do not.

        Raises:
            EvidenceError: the lengths differ, or a category is unknown.
        """
        shared, common = self._compare(other, categories)
        signs: npt.NDArray[np.int8] = np.where(common == 0, -1, common == shared).astype(np.int8)
        signs[shared == 0] = 0
        return signs

    def agreement(self, other: Quantities) -> npt.NDArray[np.int8]:
        """Compare two titles category by category, row by row.

        Args:
            other: quantities of as many titles.

        Returns:
            (n, len(CATEGORIES)) int8: +1 a common value, -1 both have the category but no common value, else 0.

        Raises:
            EvidenceError: the lengths differ.
        """
        shared, common = self._compare(other, CATEGORIES)
        bits = np.int64(1) << np.arange(len(CATEGORIES))
        signs: npt.NDArray[np.int8] = np.where((shared[:, None] & bits) != 0, np.int8(-1), np.int8(0))
        signs[(common[:, None] & bits) != 0] = 1
        return signs

    def pieces(self) -> Doubles:
        """Count the pieces that each title names: (n,) float64, the largest such number, NaN where there is none."""
        count = np.full(len(self), np.nan)
        own = self.categories == CATEGORIES.index("pieces")
        rows = np.repeat(np.arange(len(self)), np.diff(self.offsets))[own]
        np.fmax.at(count, rows, self.values[own].astype(np.float64))
        return count

    def describe(self, row: int) -> str:
        """Name the quantities of one title, for people: "250 ml, 12 pieces"; empty where there are none.

        Raises:
            EvidenceError: there is no such row.
        """
        one = self[[row]]
        pairs = zip(one.categories.tolist(), one.values.tolist(), strict=True)
        return ", ".join(_named(CATEGORIES[category], value) for category, value in pairs)

    def _present(self, wanted: int) -> Rows:
        """(n,) int64, the bits of the wanted categories each title has."""
        rows = np.repeat(np.arange(len(self)), np.diff(self.offsets))
        bits = np.zeros(len(self), np.int64)
        np.bitwise_or.at(bits, rows, np.int64(1) << self.categories.astype(np.int64))
        return bits & wanted

    def _compare(self, other: Quantities, categories: Collection[str]) -> tuple[Rows, Rows]:
        """Bits of the categories both titles have, and of those with a common value."""
        wanted = _bits(categories)
        if len(self) != len(other):
            raise EvidenceError(
                f"quantities of {len(self)} and of {len(other)} titles",
                "two of the same length, to compare row by row",
                "Take the two ends of each pair first: q[left].conflicts(q[right]).",
            )
        shared = self._present(wanted) & other._present(wanted)
        common = np.zeros(len(self), np.int64)
        mine, theirs = ((q.categories.astype(np.int64) << _SHIFT) | q.values for q in (self, other))
        # both sides are sorted: walk them together, one step of every pair at a time
        live = np.flatnonzero(shared)
        i, j = self.offsets[live], other.offsets[live]
        while live.size:
            a, b = mine[i], theirs[j]
            equal = a == b
            common[live[equal]] |= np.int64(1) << (a[equal] >> _SHIFT)
            i, j = i + (a <= b), j + (b <= a)
            on = (i < self.offsets[live + 1]) & (j < other.offsets[live + 1])
            live, i, j = live[on], i[on], j[on]
        return shared, common & wanted


def _series(titles: pl.Series | Sequence[str]) -> pl.Series:
    """The titles as a polars series of strings."""
    try:
        series = titles if isinstance(titles, pl.Series) else pl.Series(titles, dtype=pl.String, strict=True)
    except (TypeError, pl.exceptions.PolarsError):
        series = pl.Series([0])
    if isinstance(titles, str) or series.dtype not in (pl.String, pl.Null):
        raise CatalogError(
            f"titles {str(titles)[:80]!r}",
            "a polars Series or a sequence of strings",
            "Give one string for each post; an empty string where a post has no title.",
        )
    return series.cast(pl.String)


def _bits(categories: Collection[str]) -> int:
    """One bit for each named category."""
    unknown = [name for name in categories if name not in CATEGORIES]
    if unknown or isinstance(categories, str):
        raise EvidenceError(
            f"categories {str(categories)[:80]!r}",
            f"names out of {', '.join(CATEGORIES)}",
            'Give a tuple of these names, for example ("weight", "volume").',
        )
    return sum(1 << CATEGORIES.index(name) for name in set(categories))


def _named(category: str, value: int) -> str:
    """One quantity for people, in the largest unit that it fills."""
    steps = _DISPLAY.get(category, ((1, category),))
    scale, unit = next((step for step in steps if value >= step[0]), steps[-1])
    return f"{value / scale:.12g} {unit}"
