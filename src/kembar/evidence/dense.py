"""Dense rows against dense rows: matrix products find who is near, and the scores do not depend on their shape.

The last bits of a matrix product depend on its shape and on threads. So a product only says which pairs may be among
the best; these are computed again, each by itself. What is found is the same for any slice and any number of threads.
Then a product may as well be rough, and much sooner done: see `kembar.evidence.rounding`.
"""

from collections.abc import Callable, Iterator, Sequence
from threading import Lock
from typing import Final, TypeVar

import numpy as np

from kembar.arrays import Floats, Rows, default_threads
from kembar.evidence.distinct import Table
from kembar.evidence.neighbors import CELLS, Edges, best, joined, replaced
from kembar.evidence.rounding import MOST, Rounded, Tiles
from kembar.evidence.shortlists import SLACK, Shortlist
from kembar.threads import in_order

Task = TypeVar("Task")
Outcome = TypeVar("Outcome")

CHUNK: Final = 1 << 16
"""Numbers of dense rows that are gathered at once: as many as stay in the processor's nearest cache."""

TILE: Final = 1 << 10
"""Rows and columns of a tile: its similarities stay in the cache."""

_threads = Lock()  # held by whoever told the matrix product how many threads to take


def products(rows: Table, source: Rows, base: Table, target: Rows) -> Floats:
    """Compute inner products of pairs, each by itself: (m,) float32."""
    found = np.empty(len(source), dtype=np.float32)
    step = max(1, CHUNK // max(1, rows.shape[1]))
    for begin in range(0, len(source), step):
        chunk = slice(begin, begin + step)
        found[chunk] = np.einsum("ij,ij->i", rows[source[chunk]], base[target[chunk]])
    return found


def nearest(queries: Table, base: Table, k: int, floor: float, rounded: Rounded | None = None) -> Edges:
    """Find the k best rows of a base for each query, and what comes close to the last of them.

    Args:
        queries: (q, d) float32 unit rows.
        base: (n, d) float32 unit rows, at most one of them zero.
        k: rows sought.
        floor: rows below it need not be found.
        rounded: the base, to be multiplied roughly.

    Returns:
        Edges by rising source; at least k of each source, if there are as many at or above the floor.
    """
    blocks, others = _dealt(len(queries), TILE), _dealt(len(base), TILE * TILE // max(1, min(len(queries), TILE)))
    product, slack = _product(queries, blocks, base, others, rounded)
    lists = [Shortlist(len(_numbers(block, len(queries))), k + 1, floor, slack) for block in blocks]

    def compare(at: int) -> None:
        """Compare a block of queries with the base, tile by tile."""
        for other, tile in enumerate(others):
            found = product(at, other)
            if not other:
                lists[at].start(found)
            lists[at].offer(found, _numbers(tile, len(base)))

    in_threads(compare, range(len(blocks)))
    return _edges(queries, base, k, blocks, lists, rounded)


def self_join(rows: Table, k: int, floor: float, rounded: Rounded | None = None) -> Edges:
    """Find for each row what `nearest` finds for it among all; each pair is compared once, for both of its rows.

    Args:
        rows: (n, d) float32 unit rows, at most one of them zero.
        k: rows sought.
        floor: rows below it need not be found.
        rounded: the rows, to be multiplied roughly.

    Returns:
        Edges as `nearest` does.
    """
    blocks = _dealt(len(rows), TILE)
    numbers = [_numbers(block, len(rows)) for block in blocks]
    product, slack = _product(rows, blocks, rows, blocks, rounded)
    lists = [Shortlist(len(number), k + 1, floor, slack) for number in numbers]

    def compare(pair: tuple[int, int]) -> None:
        """Compare two blocks, or one with itself."""
        one, other = pair
        found = product(one, other)
        if one == other:
            lists[one].start(found)
        else:
            lists[other].offer(found, numbers[one], columns=True)
        lists[one].offer(found, numbers[other])

    # By diagonals: what runs at the same time rarely waits for the same list.
    in_threads(compare, [(at, at + gap) for gap in range(len(blocks)) for at in range(len(blocks) - gap)])
    return _edges(rows, rows, k, blocks, lists, rounded)


def _product(
    queries: Table, blocks: list[slice], base: Table, others: list[slice], rounded: Rounded | None
) -> tuple[Callable[[int, int], Floats], float]:
    """Choose how blocks are multiplied, and tell twice the most by which a product is wrong."""
    if rounded is None:
        return lambda one, other: queries[blocks[one]] @ base[others[other]].T, SLACK
    same = queries is base and rounded.steps == MOST
    tiles = Tiles.of(rounded if same else Rounded.of(queries), blocks, rounded, others)
    return tiles.product, tiles.slack


def _dealt(n: int, most: int) -> list[slice]:
    """Deal n rows to blocks of at most so many, in turn: what lies side by side in a file does not meet in one tile."""
    number = -(-n // max(1, most))
    return [slice(at, None, number) for at in range(number)]


def _numbers(block: slice, n: int) -> Rows:
    """List the rows of a block of n."""
    return np.arange(block.start, n, block.step)


def _edges(
    queries: Table, base: Table, k: int, blocks: list[slice], lists: list[Shortlist], rounded: Rounded | None
) -> Edges:
    """Compute the scores of what is listed, and compare those queries again of which the lists hold too little."""
    found, crowded, bars = [], [], []
    for block, shortlist in zip(blocks, lists, strict=True):
        number = _numbers(block, len(queries))
        source, target, more = shortlist.close()
        found.append((number[source], target, np.zeros(len(source), np.float32)))
        crowded.append(number[more])
        bars.append(shortlist.bar[more])
    source, target, _ = joined(found)
    order = np.argsort(source, kind="stable")
    source, target = source[order], target[order]
    edges = source, target, scores(queries, source, base, target)
    if not any(map(len, crowded)):
        return edges
    rows = np.concatenate(crowded)
    again = _again(queries[rows], base, k + 1, np.concatenate(bars), rounded)
    return replaced(edges, rows, [(rows[source], target, score) for source, target, score in again])


def _again(queries: Floats, base: Table, k: int, bars: Floats, rounded: Rounded | None) -> Iterator[Edges]:
    """Find the k best of queries among all that reach their bars, be they ever so many."""
    step, whole = max(1, CELLS // max(1, len(base))), [slice(None)]
    for begin in range(0, len(queries), step):
        some = queries[begin : begin + step]
        product, _ = _product(some, whole, base, whole, rounded)
        source, target = np.nonzero(product(0, 0) >= bars[begin : begin + step, None])
        near = source, target, scores(some, source, base, target)
        source, target, score = best(near, len(some), k)
        yield begin + source, target, score


def scores(queries: Table, source: Rows, base: Table, target: Rows) -> Floats:
    """Compute inner products, each by itself; what rounding lifts above 1 is 1."""
    return np.clip(products(queries, source, base, target), -1, 1)


def in_threads(work: Callable[[Task], Outcome], tasks: Sequence[Task]) -> list[Outcome]:
    """Do all tasks: in threads, each with a matrix product of its own, where there are several of both.

    One after the other within a task that is itself done in threads, and while others of this process use them.
    """
    threads = min(default_threads(), len(tasks))
    if threads < 2 or not _threads.acquire(blocking=False):
        return [work(task) for task in tasks]
    try:
        from threadpoolctl import ThreadpoolController

        single = ThreadpoolController().limit(limits=1, user_api="blas")
        with single, in_order(work, tasks, threads=threads, ahead=2 * threads) as done:
            return list(done)
    finally:
        _threads.release()
