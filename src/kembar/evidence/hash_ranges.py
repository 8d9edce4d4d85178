"""64-bit hashes within a Hamming radius: by comparing all, or by tables of their words where they are many.

Of two hashes that differ in r bits, some 16-bit word differs in at most r / 4 of them (Norouzi et al. 2012, multi-index
hashing). So a table per word, asked for the word of a query and for all that differ from it in so few bits, holds
whatever is within the radius.
"""

from collections.abc import Iterator
from functools import cache, cached_property
from itertools import combinations
from typing import Final, TypeAlias

import numpy as np

from kembar.arrays import Hashes, Rows, offsets_of, ragged
from kembar.evidence.neighbors import CELLS

Found: TypeAlias = tuple[Rows, Rows, Rows]  # query, hash, differing bits

_FEW: Final = 1 << 24  # comparisons up to which a table is not worth making
_FARTHEST: Final = 11  # bits; beyond, the tables are asked for more than there is
_WORDS, _BITS = 4, 16


class HashRanges:
    """Different hashes, ready to tell which are near; what that takes is made when it is first asked for.

    Args:
        values: (u,) uint64.
    """

    def __init__(self, values: Hashes) -> None:
        self._values = values

    def within(self, queries: Hashes, radius: int) -> Found:
        """List all pairs of a query and a hash within a radius.

        Args:
            queries: (q,) uint64.
            radius: the most bits that may differ, in [0, 64].

        Returns:
            The query, the hash and the number of differing bits of each pair, (m,) int64 each, by query, then hash.
        """
        tabled = radius <= _FARTHEST and len(queries) * len(self._values) > _FEW
        found = self._tabled(queries, radius) if tabled else self._compared(queries, radius)
        nothing = (np.zeros(0, dtype=np.int64),) * 3
        source, target, distance = (np.concatenate(part) for part in zip(nothing, *found, strict=True))
        order = np.lexsort((target, source))
        return source[order], target[order], distance[order]

    @cached_property
    def _tables(self) -> list[tuple[Rows, Rows]]:
        """List the hashes by the value of each word, and the bounds of each value."""
        words = [_word(self._values, at) for at in range(_WORDS)]
        return [
            (np.argsort(word, kind="stable"), offsets_of(np.bincount(word, minlength=1 << _BITS))) for word in words
        ]

    def _compared(self, queries: Hashes, radius: int) -> Iterator[Found]:
        """Compare queries with all hashes."""
        step = max(1, CELLS // max(1, len(self._values)))
        for begin in range(0, len(queries), step):
            bits = np.bitwise_count(queries[begin : begin + step, None] ^ self._values)
            source, target = np.nonzero(bits <= radius)
            yield source + begin, target, bits[source, target].astype(np.int64)

    def _tabled(self, queries: Hashes, radius: int) -> Iterator[Found]:
        """Compare queries with the hashes that have nearly the same word, word by word."""
        flips = radius // _WORDS
        for at in range(_WORDS):
            for source, target in self._candidates(queries, at, _masks(flips)):
                differ = queries[source] ^ self._values[target]
                near = np.bitwise_count(differ) <= radius
                for before in range(at):  # found by that word
                    near &= np.bitwise_count(_word(differ, before)) > flips
                yield source[near], target[near], np.bitwise_count(differ[near]).astype(np.int64)

    def _candidates(self, queries: Hashes, at: int, masks: Rows) -> Iterator[tuple[Rows, Rows]]:
        """List the hashes whose word differs from that of a query by one of the masks, some millions at a time."""
        members, bounds = self._tables[at]
        step = max(1, CELLS // len(masks))
        for first in range(0, len(queries), step):
            wanted = _word(queries[first : first + step], at)[:, None] ^ masks
            begins, counts = bounds[wanted], bounds[wanted + 1] - bounds[wanted]
            for some in _batches(counts.sum(axis=1)):
                edge, place = ragged(counts[some].ravel())
                yield first + some.start + edge // len(masks), members[begins[some].ravel()[edge] + place]


def _word(hashes: Hashes, at: int) -> Rows:
    """Take one of the words of hashes: (n,) int64."""
    return ((hashes >> np.uint64(_BITS * at)) & np.uint64((1 << _BITS) - 1)).astype(np.int64)


@cache
def _masks(flips: int) -> Rows:
    """List all words with at most so many bits."""
    bits = [1 << bit for bit in range(_BITS)]
    return np.array([sum(some) for number in range(flips + 1) for some in combinations(bits, number)], dtype=np.int64)


def _batches(counts: Rows) -> Iterator[slice]:
    """Cut queries into batches with some millions of comparisons each, one query at least."""
    done, begin = np.cumsum(counts), 0
    while begin < len(counts):
        before = done[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(done, before + CELLS, side="right")))
        yield slice(begin, end)
        begin = end
