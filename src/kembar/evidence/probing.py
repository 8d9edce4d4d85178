"""Dense rows in large numbers: cells of what is alike, of which a query looks into the nearest."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from kembar.arrays import Floats, Rows, Sparse, offsets_of, unit_rows
from kembar.evidence.dense import nearest, scores
from kembar.evidence.neighbors import Edges, best, joined
from kembar.evidence.shortlists import SLACK

_PER_CELL, _SAMPLE, _ROUNDS = 4.0, 40, 4  # cells for each root of the rows, rows for each to find them by, rounds
_PROBES, _FIRST = 96, 8  # cells searched for a row, and those of them that are searched first
_BATCH: Final = 1 << 13  # queries that look into cells at once: bounds the memory


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
            found.append((source + begin, target, scores(batch, source, self.rows, target)))
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
            least[full] = np.maximum(least[full], top[2][last] - SLACK)
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
