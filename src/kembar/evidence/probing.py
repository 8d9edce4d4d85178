"""Dense rows in large numbers: cells of what is alike, of which a query looks into the nearest.

How many cells that takes is measured, not assumed: a sample of the rows is compared with all, and as many cells are
looked into as hold the stated share of the neighbours that matter to it, or as many as there is time for: then the
share that is found is told. Scores are exact in any case.
"""

import itertools
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from kembar.arrays import Floats, Rows, Sparse, offsets_of, unit_rows
from kembar.arrays import members as members_of
from kembar.evidence.dense import in_threads, nearest, scores
from kembar.evidence.distinct import Table
from kembar.evidence.neighbors import Edges, best, joined
from kembar.evidence.rounding import COLUMNS, Codes, Rounded, right_steps, rough_product
from kembar.evidence.shortlists import SLACK, Shortlist

RECALL: Final = 0.995
"""The share of the neighbours that matter to be found."""
MATTERS: Final = 0.5
"""The cosine at which a neighbour matters: one that is further away is hardly ever one product by this alone."""

_PER_CELL, _SAMPLE, _ROUNDS = 4.0, 40, 4  # cells for each root of the rows, rows for each to find them by, rounds
_ASKED: Final = 1024  # rows that are compared with all, half of them to choose by and half to report by
_FEWEST: Final = 100  # neighbours that matter to them; with fewer, all above the floor count
_MOST: Final = 0.25  # with a larger share of the cells to look into, comparing all with all is no slower
_COMPARED: Final = 1 << 13  # rows a query is compared with at most, so that the time grows with the rows, not faster
_STEPS: Final = (1, 8)  # the nearest cells first: what they hold tells most of the others off
_BATCH: Final = 1 << 15  # queries that look into cells at once: bounds the memory

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Probing:
    """How many cells a query looks into, and what it finds there.

    Attributes:
        cells: cells looked into.
        of: cells there are.
        recall: of the neighbours that matter to rows that had no part in choosing, the share that is found, in [0, 1].
        pairs: neighbours it was measured on.
    """

    cells: int
    of: int
    recall: float
    pairs: int

    @property
    def pays(self) -> bool:
        """Whether it is less work than to compare all."""
        return self.cells <= _MOST * self.of


@dataclass(frozen=True, slots=True)
class Cells:
    """Rows in cells of what is alike, so that a query is compared with those of the nearest cells alone.

    Attributes:
        rows: (n, d) float32 unit rows.
        centres: (c, d) float32 unit rows.
        members: (n,) int64, the rows cell by cell.
        offsets: (c + 1,) int64, the bounds of the cells in `members`.
        rounded: the rows of each cell, to be multiplied roughly (`Rounded.standing`), and how rough that is: `Rounded`
            of no rows.
    """

    rows: Table
    centres: Floats
    members: Rows
    offsets: Rows
    rounded: tuple[Rounded, list[tuple[Codes, Floats]]] | None
    _probing: dict[tuple[int, float, float], Probing] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, rows: Table) -> "Cells":
        """Deal (n, d) float32 unit rows to cells by spherical k-means, on a part of the rows."""
        number = round(_PER_CELL * len(rows) ** 0.5)
        sample = rows[:: max(1, len(rows) // (number * _SAMPLE))]
        centres = sample[:: len(sample) // number][:number]
        for _ in range(_ROUNDS):
            centres = _means(sample, _homes(sample, centres), centres)
        home = _homes(rows, centres)
        members = np.argsort(home, kind="stable")
        offsets = offsets_of(np.bincount(home, minlength=number))
        if rows.shape[1] not in COLUMNS:
            return cls(rows, centres, members, offsets, None)
        rounded = Rounded.of(rows, right_steps())
        standing = [rounded.standing(members[a:b]) for a, b in itertools.pairwise(offsets)]
        return cls(rows, centres, members, offsets, (rounded.emptied(), standing))

    def probing(self, k: int, floor: float, recall: float = RECALL) -> Probing:
        """Choose how many cells to look into, by the neighbours of a sample; the same for any queries.

        Args:
            k: rows sought.
            floor: neighbours at or below it are of no use.
            recall: the share of the others, as far as they matter, to be found.
        """
        key = k, floor, recall
        if key not in self._probing:
            found = self._probing[key] = self._measured(*key)
            words = "dense search of %d rows: looks into %d of %d cells, recall %.4f on %d neighbours of a sample"
            log.info(words, len(self.rows), found.cells, found.of, found.recall, found.pairs)
        return self._probing[key]

    def _measured(self, k: int, floor: float, recall: float) -> Probing:
        asked = np.arange(0, len(self.rows), max(1, len(self.rows) // _ASKED))
        queries, number = self.rows[asked], len(self.centres)
        source, target, score = best(nearest(queries, self.rows, k, floor), len(asked), k)
        others = (score > floor) & (asked[source] != target)
        matter = others & (score > MATTERS)
        others = matter if np.count_nonzero(matter) >= _FEWEST else others  # vectors may be of another scale
        home = np.empty(len(self.rows), dtype=np.int64)
        home[self.members] = np.repeat(np.arange(number), np.diff(self.offsets))
        place = np.empty((len(asked), number), dtype=np.int64)
        np.put_along_axis(place, self._order(queries, number), np.arange(number)[None], axis=1)
        needed = 1 + place[source, home[target]]
        choosing, reporting = (np.sort(needed[others & (source % 2 == half)]) for half in (0, 1))
        wanted = int(choosing[int(np.ceil(recall * len(choosing))) - 1]) if len(choosing) else 1
        cells = min(wanted, max(1, number * _COMPARED // len(self.rows)))
        reached = float(np.mean(reporting <= cells)) if len(reporting) else 1.0
        return Probing(cells, number, reached, len(reporting))

    def _order(self, queries: Floats, number: int) -> Rows:
        """List the nearest cells of each query: (q, number)."""
        return best(nearest(queries, self.centres, number, -1), len(queries), number)[1].reshape(-1, number)

    def nearest(self, queries: Table, k: int, floor: float, cells: int) -> Edges:
        """Find rows as the function of this name does, those in cells far away left out.

        Args:
            queries: (q, d) float32 unit rows.
            k: rows sought.
            floor: rows below it need not be found.
            cells: how many cells each query looks into.
        """

        def search(begin: int) -> Edges:
            """Search for a batch of the queries."""
            source, target, score = self._searched(queries[begin : begin + _BATCH], k + 1, floor, cells)
            return source + begin, target, score

        return joined(in_threads(search, range(0, len(queries), _BATCH)))

    def _searched(self, queries: Floats, k: int, floor: float, cells: int) -> Edges:
        order = self._order(queries, min(cells, len(self.centres)))
        product, slack = self._product(queries)
        shortlist = Shortlist(len(queries), k, floor, slack)
        for step in np.split(order, _STEPS, axis=1):
            for source, cell in _meetings(step):
                shortlist.offer(product(source, cell), self._there(cell), queries=source)
            shortlist.settle()
        source, target, crowded = shortlist.close()
        kept = ~np.isin(source, crowded)
        edges = source[kept], target[kept], scores(queries, source[kept], self.rows, target[kept])
        if not len(crowded):
            return edges
        edges = joined([edges, *(self._whole(queries, at, order[at], shortlist.bar[at], k) for at in crowded)])
        rising = np.argsort(edges[0], kind="stable")
        return edges[0][rising], edges[1][rising], edges[2][rising]

    def _product(self, queries: Floats) -> tuple[Callable[[Rows, int], Floats], float]:
        """Choose how some of the queries are multiplied with a cell, and tell twice the most by which that is wrong."""
        if self.rounded is None:
            return lambda some, cell: queries[some] @ self.rows[self._there(cell)].T, SLACK
        left, (how, standing) = Rounded.of(queries), self.rounded
        codes, worth = left.raised(slice(None))

        def product(some: Rows, cell: int) -> Floats:
            """Multiply some of the queries with a cell, roughly."""
            return rough_product(codes.take(some, axis=0), worth.take(some, axis=0), *standing[cell])

        return product, left.slack(how)

    def _there(self, cell: int) -> Rows:
        """List the rows of a cell."""
        return self.members[self.offsets[cell] : self.offsets[cell + 1]]

    def _whole(self, queries: Floats, query: int, cells: Rows, bar: np.float32, k: int) -> Edges:
        """Find the k best of one query among all in its cells that reach its bar, be they ever so many."""
        there = members_of(self.offsets, cells)[0]
        there = self.members[there]
        target = np.sort(there[self.rows[there] @ queries[query] >= bar])
        source = np.full(len(target), query)
        _, target, score = best((np.zeros_like(source), target, scores(queries, source, self.rows, target)), 1, k)
        return source[: len(target)], target, score


def _meetings(cells: Rows) -> Iterator[tuple[Rows, int]]:
    """Go through some cells, (q, p) for q queries: the queries that look into each, and which it is."""
    flat = cells.ravel()
    asked = np.argsort(flat, kind="stable")
    for own in np.split(asked, np.flatnonzero(np.diff(flat[asked])) + 1) if len(asked) else []:
        yield own // cells.shape[1], int(flat[own[0]])


def _homes(rows: Table, centres: Floats) -> Rows:
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
