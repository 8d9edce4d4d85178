"""What a pair classifier sees of candidate pairs: a table of evidence, one row per pair, made in chunks.

Each row holds every similarity (before and after blending), where the pair stands by it among the candidates of both
ends (`kembar.classifier.ranks`), the candidates both ends share, and how the two titles agree
(`kembar.evidence.title_pairs`). A pair has no first end and posts have no order: nothing in the table depends on
either.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from kembar.arrays import Floats, Rows
from kembar.classifier.ranks import Company, accompanied, crowded, standings
from kembar.errors import EvidenceError
from kembar.evidence.pairs import Pairs
from kembar.evidence.scorers import CONFLICT, Scorer

_CHUNK: Final = 1 << 17  # pairs described at once: bounds the memory


class Part(Protocol):
    """Some columns of the table that say where pairs stand among all candidates."""

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
        parts: what the first columns are made of.
        scorers: what the others are made of.
    """

    left: Rows
    right: Rows
    parts: tuple[Part, ...]
    scorers: tuple[Scorer, ...]

    @classmethod
    def of(
        cls,
        pairs: Pairs,
        posts: int,
        scorers: Sequence[Scorer],
        *,
        company: str = "similarity",
        wanted: Collection[str] | None = None,
    ) -> "Features":
        """Prepare the evidence of candidate pairs.

        Args:
            pairs: all candidates of all posts, with one column for each similarity.
            posts: number of posts.
            scorers: what else compares them; a column `conflict` of the pairs is no similarity and left to these.
            company: the similarity by which shared candidates are found, where the pairs have it.
            wanted: columns that will be asked for; others need not be there. All where None.

        Returns:
            The features.

        Raises:
            EvidenceError: a pair of posts that are not there.
        """
        if len(pairs) and int(pairs.right.max()) >= posts:
            given = f"a pair with row {int(pairs.right.max())}"
            raise EvidenceError(given, f"rows below {posts}", "Give the number of all posts.")
        crowds = wanted is None or crowded(wanted)
        placed = standings(pairs, [name for name in pairs.evidence if name != CONFLICT], posts, crowds=crowds)
        parts: list[Part] = [*placed]
        if wanted is None or accompanied(wanted, company):
            parts += [Company.of(each, pairs.left, pairs.right, posts) for each in placed if each.name == company]
        return cls(pairs.left, pairs.right, tuple(parts), tuple(scorers))

    def __len__(self) -> int:
        return len(self.left)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns, in the order of the table."""
        return tuple(name for part in self.parts for name in part.names) + tuple(
            name for scorer in self.scorers for name in scorer.names
        )

    def table(self, names: Sequence[str] | None = None, rows: Rows | None = None) -> Floats:
        """Compute the whole table, or some rows of it.

        Args:
            names: the columns wanted, in this order; all by default. One that these pairs lack is NaN throughout.
            rows: the rows to keep, rising; all by default.

        Returns:
            (m, c) float32, NaN where missing.
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
        ends = self.left[rows], self.right[rows]
        columns += [column for scorer in self.scorers for column in scorer.score(*ends)]
        table = np.full((len(rows), len(wanted)), np.nan, dtype=np.float32)
        for at, place in enumerate(wanted):
            if place >= 0:
                table[:, at] = columns[place]
        return table
