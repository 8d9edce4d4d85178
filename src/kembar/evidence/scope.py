"""Scope: which posts may be the same product at all, by who lists them and by what category they are in.

Two posts of one source are two products, since a source lists a product at most once; so are two posts of different
categories. Where a post's source or category is unknown, nothing is ruled out.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from kembar.arrays import Bools, Rows, places_in
from kembar.evidence.neighbors import Neighbors
from kembar.posts.catalog import Catalog

if TYPE_CHECKING:  # grouping asks what is in scope, and finds nothing: it need not wait for libraries of search
    from kembar.evidence.several import Search
    from kembar.evidence.views import View

_FEW: Final = 8
"""Up to so many sources are each searched against all others; of more, each is a small part of what a search finds."""
_CHUNK: Final = 1 << 16  # queries at once: bounds the memory
_KEPT: Final = 3
"""Up to so many searches, as of two catalogues, keep their indices: each holds a part of all posts, or all of them."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What is known of n posts that rules pairs out.

    Attributes:
        sources: (n,) int64 codes of who lists each post, -1 where unknown.
        within: (n,) int64 codes of categories, likewise.
    """

    sources: Rows
    within: Rows

    @classmethod
    def of(cls, catalog: Catalog) -> "Scope | None":
        """Read it off a catalogue; None where it rules nothing out."""
        if catalog.sources is None and catalog.within is None:
            return None
        return cls(_codes(catalog.sources, len(catalog)), _codes(catalog.within, len(catalog)))

    def __len__(self) -> int:
        return len(self.sources)

    def allows(self, left: Rows, right: Rows) -> Bools:
        """Tell which pairs may be one product: (m,) and (m,) rows to (m,) bool."""
        return _distinct(self.sources, left, right) & ~_distinct_known(self.within, left, right)

    def searches(self) -> Iterator[tuple[Rows, Rows]]:
        """Cut the search for neighbours into parts.

        Yields:
            Rows that ask and the rows that they ask for, both rising; every row asks once. Where there are many
            sources, those of one source are found too, and are to be left out afterwards.
        """
        sources = self.sources if len(np.unique(self.sources)) <= _FEW + 1 else np.full_like(self.sources, -1)
        asking = np.unique(np.stack([sources, self.within]), axis=1)
        for source, category in asking.T:
            wanted = np.ones(len(self), dtype=bool)
            if source >= 0:
                wanted &= sources != source
            if category >= 0:
                wanted &= (self.within == category) | (self.within < 0)
            yield np.flatnonzero((sources == source) & (self.within == category)), np.flatnonzero(wanted)

    def index(self, view: "View") -> "ScopedSearch":
        """Make the n posts of a view the base of a search that finds those which a post may be one product with."""
        return ScopedSearch(self, view)


@dataclass(frozen=True, slots=True)
class ScopedSearch:
    """Finds the neighbours of posts among those that they may be one product with, as `View.index` does among all.

    Of two sources of very different size, the larger asks for fewer neighbours, so that both bring as many pairs: ten
    thousand posts against a million cost what ten thousand do.

    Attributes:
        scope: of n posts.
        view: of the same posts.
    """

    scope: Scope
    view: "View"
    _indices: "dict[int, Search]" = field(default_factory=dict)

    def __call__(self, own: "View", rows: Rows | None) -> Neighbors:
        """Find the neighbours of q of the posts, given as they are in the view and by their rows: shape (q, k)."""
        rows = np.arange(len(self.view)) if rows is None else rows
        longest = int(self.view.places().max(initial=1))
        index = np.full((len(rows), longest), -1, dtype=np.int32)
        score, recall = np.zeros((len(rows), longest), dtype=np.float32), 1.0
        for at, (queries, base) in enumerate(self.scope.searches()):  # one at a time: of many, all are too large
            asking = np.flatnonzero(np.isin(rows, queries, assume_unique=True)) if len(base) else queries[:0]
            most = 1 + max(1, round((longest - 1) * min(1.0, len(base) / max(1, len(queries)))))
            for begin in range(0, len(asking), _CHUNK):
                some = asking[begin : begin + _CHUNK]
                found = self._index(at, base)(own.take(some), places_in(base, rows[some]))
                recall = min(recall, found.recall)
                width = min(most, found.index.shape[1])
                table = found.index[:, :width]
                index[some, :width] = np.where(table >= 0, base[table], -1)
                score[some, :width] = found.score[:, :width]
        index[:, 0], score[:, 0] = rows, 1
        return self._kept(rows, Neighbors(index, score, recall))

    def _index(self, at: int, base: Rows) -> "Search":
        """Index the base of a search; where there are few, parts of the posts that ask later find it made."""
        if at not in self._indices:
            if at >= _KEPT:  # then there are more: one at a time is kept, and let go of before the next is made
                self._indices.clear()
            every = len(base) == len(self.view)  # a copy of all would fill the memory twice
            self._indices[at] = (self.view if every else self.view.take(base)).index()
        return self._indices[at]

    def _kept(self, rows: Rows, found: Neighbors) -> Neighbors:
        """Leave out neighbours that are ruled out; the others move up."""
        n, k = found.index.shape
        gone = found.index < 0
        ends = np.repeat(rows, k - 1), found.index[:, 1:].ravel().astype(np.int64)
        gone[:, 1:] |= ~self.scope.allows(*ends).reshape(n, k - 1)
        order = np.argsort(gone, axis=1, kind="stable")
        index, score = (np.take_along_axis(table, order, axis=1) for table in (found.index, found.score))
        gone = np.take_along_axis(gone, order, axis=1)
        return Neighbors(np.where(gone, np.int32(-1), index), np.where(gone, np.float32(0), score), found.recall)


def _codes(texts: pl.Series | None, n: int) -> Rows:
    """Number texts; -1 where they are "" or there are none."""
    if texts is None:
        return np.full(n, -1, dtype=np.int64)
    return (texts.set(texts == "", None).rank("dense").cast(pl.Int64) - 1).fill_null(-1).to_numpy()


def _distinct(codes: Rows, left: Rows, right: Rows) -> Bools:
    """Tell where codes differ or one of them is unknown."""
    differ: Bools = (codes[left] != codes[right]) | (codes[left] < 0)
    return differ


def _distinct_known(codes: Rows, left: Rows, right: Rows) -> Bools:
    """Tell where two known codes differ."""
    differ: Bools = (codes[left] != codes[right]) & (codes[left] >= 0) & (codes[right] >= 0)
    return differ
