"""Views in which a post may have several rows, one per photo: the best pair of photos decides.

The similarity of two posts is the greatest among the pairs of their photos, and a search finds a post by any of its
photos. Where no post has more than one row, nothing here is done.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, Self, TypeAlias

import numpy as np

from kembar.arrays import Bools, Floats, Rows, Sparse, members, offsets_of, ragged
from kembar.evidence.distinct import Distinct
from kembar.evidence.neighbors import CELLS, Neighbors, arranged

Search: TypeAlias = Callable[[Any, Rows | None], Neighbors]
"""Finds the neighbours of the posts of a view in an index, given their own rows there (-1: not there)."""
SearchRows: TypeAlias = Callable[[Any, Rows | None, int], Neighbors]
"""Finds the k neighbours of the rows of a view."""

_TIED: Final = np.float32(1e-4)  # pairs of photos this near to the best one count as the best: rounding is smaller


class SeveralRows(ABC):
    """What the views of photos share: rows, and where those of each post begin and end.

    A view says what it does with single rows; what becomes of posts is the same for all.
    """

    __slots__ = ()
    offsets: Rows | None  # (posts + 1,) bounds of each post's rows; None where every post has one
    k: int

    @abstractmethod
    def rows(self) -> int:
        """Count the rows."""

    @abstractmethod
    def take_rows(self, rows: Rows) -> Self:
        """Keep some rows, each as a post of its own."""

    @abstractmethod
    def index_rows(self) -> SearchRows:
        """Make the rows the base of a search."""

    @abstractmethod
    def score_rows(self, left: Rows, right: Rows, base: Self) -> Floats:
        """Compare pairs of rows."""

    @abstractmethod
    def hidden_rows(self, rows: Bools) -> Self:
        """Take the evidence from some rows."""

    @abstractmethod
    def joined_rows(self, parts: Sequence[Self], order: Rows) -> Self:
        """Put rows one behind the other and take them in an order."""

    @abstractmethod
    def bounded(self, offsets: Rows) -> Self:
        """Say where the rows of each post begin and end."""

    def __len__(self) -> int:
        return self.rows() if self.offsets is None else len(self.offsets) - 1

    def places(self) -> Rows:
        """Give each post as many."""
        return np.full(len(self), self.k)

    def take(self, rows: Rows) -> Self:
        """Keep some posts."""
        if self.offsets is None:
            return self.take_rows(rows)
        own, offsets = members(self.offsets, rows)
        return self.take_rows(own).bounded(offsets)

    def index(self) -> Search:
        """Make these posts the base of a search."""
        search = self.index_rows()

        def find(queries: Self, own: Rows | None) -> Neighbors:
            if self.offsets is None and queries.offsets is None:
                return search(queries, own, self.k)
            return _posts_found(search, queries, self, own)

        return find

    def score(self, left: Rows, right: Rows, base: Self | None = None) -> Floats:
        """Compare pairs by their best pair of rows."""
        other = self if base is None else base
        if self.offsets is None and other.offsets is None:
            return self.score_rows(left, right, other)
        found = [np.zeros(0, dtype=np.float32)]
        for part in _parts(_counts(self)[left] * _counts(other)[right]):
            score, begin, _, _ = _row_pairs(self, left[part], right[part], other)
            found.append(np.fmax.reduceat(score, begin[:-1]))
        return np.concatenate(found)

    def hidden(self, posts: Bools) -> Self:
        """Take this evidence from some posts."""
        return self.hidden_rows(posts if self.offsets is None else np.repeat(posts, np.diff(self.offsets)))

    def joined(self, parts: Sequence[Self], order: Rows) -> Self:
        """Stack the rows."""
        if all(part.offsets is None for part in parts):
            return self.joined_rows(parts, order)
        rows, offsets = members(offsets_of(np.concatenate([_counts(part) for part in parts])), order)
        return self.joined_rows(parts, rows).bounded(offsets)


def row_weights(view: SeveralRows, weights: Sparse, base: SeveralRows) -> Sparse:
    """Turn the weights of a blending step between posts into weights between rows.

    A row learns from those rows of a neighbour that make the two posts alike: the best pair of rows has the weight of
    the posts, and so do pairs as good as it, such as a row's with itself. Where a post has no evidence, all its rows
    learn.

    Args:
        view: n posts.
        weights: (n, b) CSR, rows for these posts over the posts of `base`.
        base: b posts.

    Returns:
        (rows, rows of the base) CSR float32.
    """
    if view.offsets is None and base.offsets is None:
        return weights
    import scipy.sparse as sp

    left, right = np.repeat(np.arange(len(view)), np.diff(weights.indptr)), weights.indices.astype(np.int64)
    found = [(np.zeros(0, np.float32), np.zeros(0, np.int64), np.zeros(0, np.int64))]
    for part in _parts(_counts(view)[left] * _counts(base)[right]):
        score, begin, one, other = _row_pairs(view, left[part], right[part], base)
        score, sizes = np.nan_to_num(score, nan=-2), np.diff(begin)
        kept = score >= np.repeat(np.maximum.reduceat(score, begin[:-1]), sizes) - _TIED
        found.append((np.repeat(weights.data[part], sizes)[kept], one[kept], other[kept]))
    values, rows, columns = (np.concatenate(each) for each in zip(*found, strict=True))
    return sp.csr_matrix((values, (rows, columns)), shape=(view.rows(), base.rows()))


def _bounds(view: SeveralRows) -> Rows:
    return np.arange(len(view) + 1) if view.offsets is None else view.offsets


def _counts(view: SeveralRows) -> Rows:
    return np.diff(_bounds(view))


def _parts(sizes: Rows) -> Iterator[slice]:
    """Cut work into parts that fit the memory set aside for them."""
    begin, ends = 0, np.cumsum(sizes)
    while begin < len(sizes):
        done = int(ends[begin - 1]) if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, done + CELLS, side="right")))
        yield slice(begin, end)
        begin = end


def _posts_found(search: SearchRows, queries: Any, base: SeveralRows, own: Rows | None) -> Neighbors:
    """Find the nearest posts by the nearest rows of each row.

    Of the k * m rows nearest to a row, where a post has m at most, at least k are of different posts: so no post that
    is among the k best by its best row is missed. The first place is for the query itself, which is not told.
    """
    n, q = len(base), len(queries)
    mine = np.full(q, -1, dtype=np.int64) if own is None else own.astype(np.int64)
    k = max(1, min(base.k, n + int((mine < 0).any())))
    depth = base.k * int(_counts(base).max(initial=1)) + 1
    found = []
    for part in _parts(_counts(queries) * depth):
        posts = np.arange(q)[part]
        some = queries if len(posts) == q else queries.take(posts)
        near = search(some, None, depth)
        source, target, score = near.edges()
        source, target = _owners(some)[source], _owners(base)[target]
        order = np.lexsort((target, -score, source))
        edges = source[order], target[order], score[order]
        first = _firsts(edges[0] * n + edges[1])
        nearest = edges[0][first], edges[1][first], edges[2][first]
        found.append(replace(arranged(nearest, _all(len(posts)), _all(n), mine[part], k), recall=near.recall))
    return Neighbors.concatenated(found)


def _owners(view: SeveralRows) -> Rows:
    return ragged(_counts(view))[0]


def _firsts(keys: Rows) -> Rows:
    """Find where each key stands first, in the order of the keys' places."""
    return np.sort(np.unique(keys, return_index=True)[1])


def _all(n: int) -> Distinct:
    return Distinct(np.arange(n), np.arange(n))


def _row_pairs(view: SeveralRows, left: Rows, right: Rows, base: SeveralRows) -> tuple[Floats, Rows, Rows, Rows]:
    """Compare all pairs of rows of pairs of posts: their scores, the bounds of each pair's, and their two rows."""
    wide = _counts(base)[right]
    which, place = ragged(_counts(view)[left] * wide)
    one = _bounds(view)[left][which] + place // wide[which]
    other = _bounds(base)[right][which] + place % wide[which]
    return view.score_rows(one, other, base), offsets_of(_counts(view)[left] * wide), one, other
