"""What a learned judge sees of candidate pairs: a table of evidence, one row a pair, made in chunks.

Each row holds every similarity (before and after blending), where the pair stands by it among the candidates of both
ends (`kembar.classifier.ranks`), the candidates both ends share, and how the two titles agree
(`kembar.evidence.title_pairs`). A pair has no first end and posts have no order: nothing in the table depends on
either.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import polars as pl

from kembar.arrays import Floats, Rows
from kembar.classifier.ranks import Company, standings
from kembar.errors import EvidenceError
from kembar.evidence.pairs import Pairs
from kembar.evidence.title_pairs import Wording
from kembar.posts.quantities import Quantities

_CHUNK: Final = 1 << 17  # pairs described at once: bounds the memory
_FLAGS: Final = ("conflict",)  # evidence columns that are no similarity


class Part(Protocol):
    """Some columns of the table."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""

    def columns(self, left: Rows, right: Rows, rows: Rows) -> list[Floats]:
        """Describe some pairs: one (r,) float32 column for each name."""
        ...


@dataclass(frozen=True, slots=True)
class Features:
    """The evidence columns of m candidate pairs, computed when they are asked for.

    Attributes:
        left: (m,) int64 rows.
        right: (m,) int64 rows.
        parts: what the columns are made of.
    """

    left: Rows
    right: Rows
    parts: tuple[Part, ...]

    @classmethod
    def of(
        cls, pairs: Pairs, titles: pl.Series, *, quantities: Quantities | None = None, company: str = "similarity"
    ) -> "Features":
        """Prepare the evidence of candidate pairs.

        Args:
            pairs: candidates with one column for each similarity; `conflict` is read off the titles anew.
            titles: (n,) String in normal form, "" where missing.
            quantities: of these titles; read from them where None.
            company: the similarity by which shared candidates are found, where the pairs have it.

        Returns:
            The features.

        Raises:
            EvidenceError: a pair of posts that have no title row.
        """
        n = len(titles)
        if len(pairs) and int(pairs.right.max()) >= n:
            raise EvidenceError(f"a pair with row {int(pairs.right.max())}", f"rows below {n}", "Pass all titles.")
        placed = standings(pairs, [name for name in pairs.evidence if name not in _FLAGS], n)
        parts: list[Part] = [*placed]
        parts += [Company.of(each, pairs.left, pairs.right, n) for each in placed if each.name == company]
        parts.append(Wording.of(titles, quantities))
        return cls(pairs.left, pairs.right, tuple(parts))

    def __len__(self) -> int:
        return len(self.left)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns, in the order of the table."""
        return tuple(name for part in self.parts for name in part.names)

    def chunks(self, names: Sequence[str] | None = None, *, size: int = _CHUNK) -> Iterator[tuple[slice, Floats]]:
        """Compute the table piece by piece.

        Args:
            names: the columns wanted, in this order; all by default. One that these pairs lack is NaN throughout.
            size: rows of a piece.

        Yields:
            The rows and their (r, c) float32 values, NaN where missing.
        """
        wanted = self._places(names)
        for begin in range(0, len(self), size):
            rows = slice(begin, min(begin + size, len(self)))
            yield rows, self._table(wanted, np.arange(rows.start, rows.stop))

    def table(self, names: Sequence[str] | None = None, rows: Rows | None = None) -> Floats:
        """Compute the whole table, or some rows of it.

        Args:
            names: as in `chunks`.
            rows: the rows to keep, rising; all by default.

        Returns:
            (m, c) float32.
        """
        places = self._places(names)
        wanted = np.arange(len(self)) if rows is None else rows
        table = np.empty((len(wanted), len(places)), dtype=np.float32)
        for begin in range(0, len(wanted), _CHUNK):  # only what is wanted is computed
            some = slice(begin, begin + _CHUNK)
            table[some] = self._table(places, wanted[some])
        return table

    def _places(self, names: Sequence[str] | None) -> list[int]:
        place = {name: at for at, name in enumerate(self.names)}
        return [place.get(name, -1) for name in (self.names if names is None else names)]

    def _table(self, wanted: list[int], rows: Rows) -> Floats:
        columns = [column for part in self.parts for column in part.columns(self.left, self.right, rows)]
        table = np.full((len(rows), len(wanted)), np.nan, dtype=np.float32)
        for at, place in enumerate(wanted):
            if place >= 0:
                table[:, at] = columns[place]
        return table
