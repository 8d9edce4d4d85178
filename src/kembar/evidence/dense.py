"""Dense rows against dense rows: matrix products find who is near, and the scores do not depend on their shape.

The last bits of a matrix product depend on its shape and on threads. So a product only says which pairs may be among
the best; these are computed again, each by itself. What is found is the same for any slice and any number of threads.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from kembar.arrays import Floats, Rows, Sparse, offsets_of, unit_rows
from kembar.evidence.neighbors import CELLS, Edges, best, joined

CHUNK: Final = 1 << 10
"""Pairs whose dense rows are gathered at once: as many as stay near the processor."""

SLACK: Final = 1e-5
"""More than twice what the order of summation changes in a product of float32 unit rows."""
_GROUPS: Final = 4  # groups of columns for each neighbour that is sought
_CROWD: Final = 4  # with so many times k rows above the floor, comparing each pair once is no gain
_FEWEST, _LOOKED_AT = 2048, 64  # rows from which on that is asked, and how many are asked
_PER_CELL, _SAMPLE, _ROUNDS = 4.0, 40, 4  # cells for each root of the rows, rows for each to find them by, rounds
_PROBES, _FIRST = 96, 8  # cells searched for a row, and those of them that are searched first
_BATCH: Final = 1 << 13  # queries that look into cells at once: bounds the memory


def products(rows: Floats, source: Rows, base: Floats, target: Rows) -> Floats:
    """Compute inner products of pairs, each by itself: (m,) float32."""
    found = np.empty(len(source), dtype=np.float32)
    for begin in range(0, len(source), CHUNK):
        chunk = slice(begin, begin + CHUNK)
        found[chunk] = np.einsum("ij,ij->i", rows[source[chunk]], base[target[chunk]])
    return found


def nearest(queries: Floats, base: Floats, k: int, floor: float) -> Edges:
    """Find the k best rows of a base for each query, and what comes close to the last of them.

    Args:
        queries: (q, d) float32 unit rows.
        base: (n, d) float32 unit rows, at most one of them zero.
        k: rows sought.
        floor: rows below it need not be found.

    Returns:
        Edges by rising source; at least k of each source, if there are as many at or above the floor.
    """
    step, found = max(1, CELLS // max(1, len(base))), []
    for begin in range(0, len(queries), step):
        product = queries[begin : begin + step] @ base.T
        least = np.maximum(_bound(product, k + 1), np.float32(floor)) - np.float32(SLACK)
        source, target = np.nonzero(product >= least[:, None])
        source += begin
        found.append((source, target, products(queries, source, base, target)))
    return joined(found)


def mutual(rows: Floats, k: int, floor: float) -> Edges | None:
    """Find for each row what `nearest` finds for it among all, each pair compared once.

    Args:
        rows: (n, d) float32 unit rows, at most one of them zero.
        k: rows sought.
        floor: rows below it need not be found.

    Returns:
        Edges in both directions, by rising source; None where rows are few, or so much is above the floor that it is
        no gain.
    """
    few = rows[:: max(1, len(rows) // _LOOKED_AT)]
    if len(rows) < _FEWEST or np.count_nonzero(few @ rows.T > floor) > _CROWD * k * len(few):
        return None
    begin, found = 0, []
    while begin < len(rows):
        step = max(1, CELLS // (len(rows) - begin))
        source, target = np.nonzero(rows[begin : begin + step] @ rows[begin:].T >= np.float32(floor - SLACK))
        after = target >= source
        source, target = source[after] + begin, target[after] + begin
        found.append((source, target, products(rows, source, rows, target)))
        begin += step
    return _both_ways(joined(found))


def _both_ways(edges: Edges) -> Edges:
    source, target, score = edges
    apart = source != target
    order = np.argsort(np.concatenate([source, target[apart]]), kind="stable")
    ends = np.concatenate([source, target[apart]])[order], np.concatenate([target, source[apart]])[order]
    return *ends, np.concatenate([score, score[apart]])[order]


def _bound(product: Floats, k: int) -> Floats:
    """Give each row a number that its k-th best reaches: the k-th best of the maxima of groups of columns."""
    wide = product.shape[1] // (_GROUPS * k)
    if not wide:
        return np.full(len(product), -np.inf, dtype=np.float32)
    groups = product.shape[1] // wide
    top = product[:, : groups * wide].reshape(len(product), groups, wide).max(axis=2)
    bound: Floats = np.partition(top, groups - k, axis=1)[:, groups - k]
    return bound


@dataclass(frozen=True, slots=True)
class Cells:
    """Rows in cells of what is alike, so that a query is compared with those of the nearest cells alone.

    Attributes:
        rows: (n, d) float32 unit rows.
        centres: (c, d) float32 unit rows.
        members: (n,) int64, the rows cell by cell.
        offsets: (c + 1,) int64, the bounds of the cells in `members`.
    """

    rows: Floats
    centres: Floats
    members: Rows
    offsets: Rows

    @classmethod
    def of(cls, rows: Floats) -> "Cells":
        """Deal (n, d) float32 unit rows to cells by spherical k-means, on a part of the rows."""
        number = round(_PER_CELL * len(rows) ** 0.5)
        sample = rows[:: max(1, len(rows) // (number * _SAMPLE))]
        centres = sample[:: len(sample) // number][:number]
        for _ in range(_ROUNDS):
            centres = _means(sample, _homes(sample, centres), centres)
        home = _homes(rows, centres)
        members = np.argsort(home, kind="stable")
        return cls(rows, centres, members, offsets_of(np.bincount(home, minlength=number)))

    def nearest(self, queries: Floats, k: int, floor: float) -> Edges:
        """Find rows as the function of this name does, those in cells far away left out."""
        found = []
        for begin in range(0, len(queries), _BATCH):
            batch = queries[begin : begin + _BATCH]
            source, target = self._likely(batch, k, floor)
            found.append((source + begin, target, products(batch, source, self.rows, target)))
        return joined(found)

    def _likely(self, queries: Floats, k: int, floor: float) -> tuple[Rows, Rows]:
        """Find which rows can be among the k best: the nearest cells tell what the others have to reach."""
        q, probes = len(queries), min(_PROBES, len(self.centres))
        cells = best(nearest(queries, self.centres, probes, -1), q, probes)[1].reshape(q, probes)
        least = np.full(q, floor - SLACK, dtype=np.float32)
        edges = joined([])
        for some in (cells[:, :_FIRST], cells[:, _FIRST:]):
            edges = joined([edges, *self._above(queries, some, least)])
            rising = np.argsort(edges[0], kind="stable")
            edges = edges[0][rising], edges[1][rising], edges[2][rising]
            top = best(edges, q, k)
            full = np.flatnonzero(np.bincount(top[0], minlength=q) == k)
            last = np.searchsorted(top[0], full, side="right") - 1
            least[full] = np.maximum(least[full], top[2][last] - np.float32(SLACK))
        keep = edges[2] >= least[edges[0]]
        return edges[0][keep], edges[1][keep]

    def _above(self, queries: Floats, cells: Rows, least: Floats) -> Iterator[Edges]:
        """Compare queries with the rows of some cells, (q, p), one matrix product per cell."""
        asked = np.argsort(cells, axis=None, kind="stable")
        for own in np.split(asked, np.flatnonzero(np.diff(cells.ravel()[asked])) + 1) if len(asked) else []:
            cell, source = cells.ravel()[own[0]], own // cells.shape[1]
            there = self.members[self.offsets[cell] : self.offsets[cell + 1]]
            product = queries[source] @ self.rows[there].T
            near, target = np.nonzero(product >= least[source, None])
            yield source[near], there[target], product[near, target]


def _homes(rows: Floats, centres: Floats) -> Rows:
    """Find the nearest centre of each row: (n,) int64."""
    return best(nearest(rows, centres, 1, -1), len(rows), 1)[1]


def _means(rows: Floats, home: Rows, centres: Floats) -> Floats:
    """Move each centre to the middle of its rows; one without rows stays."""
    import scipy.sparse as sp

    shape = len(centres), len(rows)
    sums: Sparse = sp.csr_matrix((np.ones(len(rows), np.float32), (home, np.arange(len(rows)))), shape=shape) @ rows
    some = np.bincount(home, minlength=len(centres)) > 0
    means: Floats = np.where(some[:, None], unit_rows(sums), centres)
    return means
