"""Shortlists: the best rows seen so far of many queries, while a join goes through its tiles.

A tile touches a shortlist only where it beats what the k-th best has reached, its bar. With tiles in no special order a
row beats it some k ln(n / k) times, so nearly all of a tile is told off by one comparison.
"""

from threading import Lock
from typing import Final

import numpy as np

from kembar.arrays import Floats, Hashes, Rows, offsets_of
from kembar.evidence.neighbors import NOTHING, packed, unpacked

SLACK: Final = 1e-5
"""More than twice what the order of summation changes in a product of float32 unit rows."""

_SPARE: Final = 8  # places beyond the k-th, for what comes so close to it that rounding may have put it behind
_COLUMNS: Final = 1 << 13  # columns after which what was taken is merged, be it ever so little: bounds the memory
_GROUPS: Final = 4  # groups of columns for each neighbour that is sought


class Shortlist:
    """The k best of each of n queries so far, by products that are a little wrong.

    Args:
        n: queries.
        k: rows sought for each.
        floor: rows below it need not be found.
        slack: twice the most by which a product is wrong.

    Attributes:
        bar: (n,) float32, what a product must reach to be looked at.
    """

    def __init__(self, n: int, k: int, floor: float, slack: float = SLACK) -> None:
        self._k, self._floor, self._slack = k, np.float32(floor), np.float32(slack)
        self.bar: Floats = np.full(n, floor, dtype=np.float32) - self._slack
        spare = _SPARE if slack <= SLACK else _SPARE + 2 * k  # the rougher, the more come close
        self._best = np.full((n, k + spare), NOTHING, dtype=np.uint64)
        self._sources: list[Rows] = []
        self._keys: list[Hashes] = []
        self._waiting, self._columns, self._lock = 0, 0, Lock()

    def start(self, product: Floats) -> None:
        """Raise the bars by the first tile, (n, w), whose k-th best is estimated from below."""
        bound = _bound(product, self._k) - self._slack
        with self._lock:
            self.bar = np.maximum(self.bar, bound)

    def offer(
        self, product: Floats, targets: Rows, *, columns: bool = False, queries: Rows | slice = slice(None)
    ) -> None:
        """Take what beats the bar from a tile.

        Args:
            product: (q, w) float32; with `columns` (w, q).
            targets: (w,) the rows that were compared.
            columns: whether the queries are the columns of the tile.
            queries: (q,) which queries were compared; all by default.
        """
        with self._lock:
            bar = self.bar[queries]
            place = np.flatnonzero(product >= (bar if columns else bar[:, None]))
            if not len(place):
                return
            row, column = np.divmod(place, product.shape[1])
            source, target = (column, row) if columns else (row, column)
            source = source if isinstance(queries, slice) else queries[source]
            self._sources.append(source.astype(np.uint16 if len(self.bar) <= 1 << 16 else np.int64))  # sorts sooner
            self._keys.append(packed(product.ravel()[place], targets[target]))
            self._waiting, self._columns = self._waiting + len(place), self._columns + len(targets)
            if self._waiting >= self._k * len(self.bar) or self._columns >= _COLUMNS:
                self.settle()

    def close(self) -> tuple[Rows, Rows, Rows]:
        """Finish.

        Returns:
            source and target of what may be among the k best, (m,) int64 each, by rising source; and the queries of
            which there may be more than are listed: so much comes close to their k-th best.
        """
        self.settle()
        target, score = unpacked(self._best)
        near = (self._best != NOTHING) & (score >= self.bar[:, None])
        source, place = np.nonzero(near)
        return source, target[source, place], np.flatnonzero(near[:, self._k :].all(axis=1))

    def settle(self) -> None:
        """Merge what was taken into the lists, and raise the bars; done now and then without being asked for."""
        if not self._waiting:
            return
        source, key = np.concatenate(self._sources), np.concatenate(self._keys)
        self._sources, self._keys, self._waiting, self._columns = [], [], 0, 0
        order = np.argsort(source, kind="stable")
        source, key = source[order].astype(np.int64), key[order]
        count = np.bincount(source, minlength=len(self.bar))
        rows, width = np.flatnonzero(count), self._best.shape[1]
        table = np.full((len(rows), width + int(count.max())), NOTHING, dtype=np.uint64)
        table[:, :width] = self._best[rows]
        table[(np.cumsum(count > 0) - 1)[source], width + np.arange(len(source)) - offsets_of(count)[source]] = key
        table.partition((self._k - 1, width - 1), axis=1)
        self._best[rows] = table[:, :width]
        last = table[:, self._k - 1]
        reached = np.where(last == NOTHING, self._floor, unpacked(last)[1])
        self.bar[rows] = np.maximum(self.bar[rows], reached - self._slack)


def _bound(product: Floats, k: int) -> Floats:
    """Give each row a number that its k-th best reaches: the k-th best of the maxima of groups of columns."""
    wide = product.shape[1] // (_GROUPS * k)
    if not wide:
        return np.full(len(product), -np.inf, dtype=np.float32)
    groups = product.shape[1] // wide
    top = product[:, : groups * wide].reshape(len(product), wide, groups).max(axis=1)
    bound: Floats = np.partition(top, groups - k, axis=1)[:, groups - k]
    return bound
