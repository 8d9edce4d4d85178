"""64-bit hashes within a Hamming radius: by comparing all, or by a table where they are many."""

from typing import Any, Final

import faiss
import numpy as np
import numpy.typing as npt

from kembar.arrays import Hashes, Rows

_MULTI_HASH_ROWS: Final = 20_000  # below this a plain scan of all hashes is faster
_MULTI_HASH_RADIUS: Final = 11  # four 16-bit words, two flips each: exact up to 4 * (2 + 1) - 1 differing bits


class HashRanges:
    """Different hashes, ready to tell which are near; what that takes is made when it is first asked for.

    Args:
        values: (u,) uint64.
    """

    def __init__(self, values: Hashes) -> None:
        self._values = values
        self._indexes: dict[bool, Any] = {}

    def within(self, queries: Hashes, radius: int) -> tuple[Rows, Rows, Rows]:
        """List all pairs of a query and a hash within a radius.

        Args:
            queries: (q,) uint64.
            radius: the most bits that may differ, in [0, 64].

        Returns:
            The query, the hash and the number of differing bits of each pair, (m,) int64 each, by query.
        """
        if not len(queries) or not len(self._values):
            empty = np.zeros(0, dtype=np.int64)
            return empty, empty, empty
        # Few queries are sooner compared with all hashes than these are put into a table.
        large = len(self._values) >= _MULTI_HASH_ROWS and len(queries) * len(self._values) >= _MULTI_HASH_ROWS**2
        many = large and radius <= _MULTI_HASH_RADIUS
        index = self._indexes.get(many) or self._indexes.setdefault(many, _indexed(self._values, tabled=many))
        if many:
            index.nflip = radius // 4
        limits, distance, found = index.range_search(_codes(queries), radius + 1)
        bounds = limits.astype(np.int64)
        source = np.repeat(np.arange(len(queries)), bounds[1:] - bounds[:-1])
        return source, found.astype(np.int64), distance.astype(np.int64)


def _codes(hashes: Hashes) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(hashes).view(np.uint8).reshape(len(hashes), 8)


def _indexed(values: Hashes, *, tabled: bool) -> faiss.IndexBinary:
    """Index hashes: by four words of 16 bits each, or one by one."""
    index = faiss.IndexBinaryMultiHash(64, 4, 16) if tabled else faiss.IndexBinaryFlat(64)
    index.add(_codes(values))
    return index
