"""Nearest neighbours: for each query, the rows of a base that are most similar to it.

Equal rows are searched once and expanded again, so that ten thousand copies of a post cost as much as one, and ties are
broken by row, so that the answer depends neither on threads nor on how the work was cut. What finds the neighbours of
each kind of vectors is in `kembar.evidence.search`; here their edges become one table.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kembar.arrays import Bools, Floats, Hashes, Rows, falling, offsets_of, ragged, run_starts, unfalling
from kembar.errors import ConfigError, EvidenceError
from kembar.evidence.distinct import Distinct

Edges = tuple[Rows, Rows, Floats]  # source, target, score

CELLS = 1 << 22
"""Similarities sorted at once, or computed again where scores straddle the k-th place: bounds the memory."""

NOTHING = np.uint64(0xFFFFFFFFFFFFFFFF)
"""A packed pair behind all others: an empty place."""


@dataclass(frozen=True, slots=True)
class Neighbors:
    """The nearest rows of a base for each of q queries, best first, the query itself at the front.

    Attributes:
        index: (q, k) int32 rows of the base; in the first column the query itself, -1 where it is not in the base; in
            the others -1 where a query has fewer neighbours.
        score: (q, k) float32 similarities in [-1, 1], not rising along a row; 0 where index is -1, but 1 for the query
            itself.
        recall: which share of those that matter (see `kembar.evidence.probing`) was found of a sample of the base; 1
            where all rows were compared.
    """

    index: npt.NDArray[np.int32]
    score: Floats
    recall: float = 1.0

    def __post_init__(self) -> None:
        if self.index.ndim != 2 or self.index.shape != self.score.shape:
            raise EvidenceError(
                f"neighbours of shapes {self.index.shape} and {self.score.shape}",
                "an index and a score array of one (n, k) shape",
                "Build them with one of the functions of kembar.evidence.search.",
            )

    def __len__(self) -> int:
        return len(self.index)

    def edges(self) -> tuple[Rows, Rows, Floats]:
        """List the neighbours as directed edges, without the queries themselves.

        Returns:
            source (e,) int64 queries, target (e,) int64 rows of the base, score (e,) float32, ordered by source, best
            first.
        """
        source, place = np.nonzero(self.index[:, 1:] >= 0)
        return source, self.index[source, place + 1].astype(np.int64), self.score[source, place + 1]

    @classmethod
    def concatenated(cls, parts: "Sequence[Neighbors]") -> "Neighbors":
        """Put the neighbours of slices of the queries below one another; all are of one base and one k."""
        index, score = (np.concatenate([getattr(part, name) for part in parts]) for name in ("index", "score"))
        return cls(index, score, min(part.recall for part in parts))

    def take(self, rows: Rows) -> "Neighbors":
        """Keep the neighbours of some queries."""
        return Neighbors(self.index[rows], self.score[rows], self.recall)

    def shortened(self, queries: Bools, k: int, floor: float) -> "Neighbors":
        """Cut the lists of some queries, as if fewer neighbours had been asked for.

        Args:
            queries: (q,) bool, whose lists.
            k: places left, the query itself counted; the table keeps its shape.
            floor: similarities at or below it are left out.

        Returns:
            Neighbors of the same shape.
        """
        gone = queries[:, None] & ((np.arange(self.index.shape[1]) >= k) | (self.score <= np.float32(floor)))
        gone[:, 0] = False
        index, score = np.where(gone, np.int32(-1), self.index), np.where(gone, np.float32(0), self.score)
        return Neighbors(index, score, self.recall)


def arranged(edges: Edges, queries: Distinct, base: Distinct, own: Rows, k: int, *, ordered: bool = False) -> Neighbors:
    """Turn edges between distinct rows into the neighbours of all queries.

    A distinct row of the base stands for all its copies, in row order. Equal scores are ordered by row, and a query's
    own row is at the front even where k copies with smaller numbers would have filled the list.

    Args:
        edges: from distinct queries to distinct rows of the base, by rising source.
        queries: the queries.
        base: the rows that were searched.
        own: (q,) the row of each query in the base, -1 where it is not there.
        k: columns of the table.
        ordered: whether the edges of a source come best first.

    Returns:
        Neighbors of shape (q, k).
    """
    distinct = len(queries.first)
    if not base.copies or not ordered:
        edges = best(edges, distinct, k)
    if base.copies:
        edges = _expand(edges, base, distinct, k)
    source, target, score = edges
    start = np.searchsorted(source, np.arange(distinct))
    place = np.arange(len(source)) - start[source]
    table = np.full((distinct + 1, k), -1, dtype=np.int64)  # the last row serves queries without evidence
    table[source, place] = target if base.copies else base.first[target]
    scores = np.zeros((distinct + 1, k), dtype=np.float32)
    scores[source, place] = score
    return _own_first(table[queries.number], scores[queries.number], own)


def joined(parts: Sequence[Edges]) -> Edges:
    """Put lists of edges one behind the other."""
    nothing = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
    source, target, score = (np.concatenate(part) for part in zip(nothing, *parts, strict=True))
    return source, target, score


def replaced(edges: Edges, sources: Rows, again: Sequence[Edges]) -> Edges:
    """Replace all edges of some sources, keeping the order by source."""
    if not again:
        return edges
    kept = ~np.isin(edges[0], sources)
    source, target, score = joined([(edges[0][kept], edges[1][kept], edges[2][kept]), *again])
    order = np.argsort(source, kind="stable")
    return source[order], target[order], score[order]


def best(edges: Edges, n: int, k: int) -> Edges:
    """Keep the k best edges of each of n sources, by score, then by target; sources must come in rising order.

    Score and target are packed into one integer, so that each row of a table sorts without looking anything up.
    """
    source, target, score = edges
    begin = np.searchsorted(source, np.arange(n + 1))
    step = max(1, CELLS // max(1, int(np.diff(begin).max(initial=0))))
    found: list[Edges] = []
    for low in range(0, n, step):
        high = min(low + step, n)
        here = slice(begin[low], begin[high])
        width = int(np.diff(begin[low : high + 1]).max(initial=0))
        if width:
            place = np.arange(begin[low], begin[high]) - begin[source[here]]
            table = np.full((high - low, width), NOTHING, dtype=np.uint64)
            table[source[here] - low, place] = packed(score[here], target[here])
            if width > 2 * k:
                table = np.partition(table, k - 1, axis=1)[:, :k]
            table.sort(axis=1)
            row, column = np.nonzero(table[:, :k] != NOTHING)
            found.append((row + low, *unpacked(table[row, column])))
    return joined(found)


def packed(score: Floats, target: Rows) -> Hashes:
    """Pack (score, target) into integers that rise as the score falls, then as the target rises."""
    return falling(score).astype(np.uint64) << np.uint64(32) | target.astype(np.uint64)


def unpacked(keys: Hashes) -> tuple[Rows, Floats]:
    """Turn the integers of `packed` into (target, score) again."""
    return (keys & np.uint64(0xFFFFFFFF)).astype(np.int64), unfalling((keys >> np.uint64(32)).astype(np.uint32))


def _expand(edges: Edges, base: Distinct, sources: int, k: int) -> Edges:
    """Replace each distinct target by its copies, of which the first k are enough; edges come best first."""
    source, target, score = edges
    take = np.minimum(base.counts[target], k)
    # Once better targets have k copies, only one that ties with the last of them can still matter.
    before = offsets_of(take)[:-1]
    start = np.searchsorted(source, np.arange(sources))
    full = before - before[start[source]] >= k
    keep = ~full | ~run_starts(source, score)
    source, target, score = source[keep], target[keep], score[keep]
    edge, place = ragged(take[keep])
    return best((source[edge], base.members[base.begins[target[edge]] + place], score[edge]), sources, k)


def _own_first(index: Rows, score: Floats, own: Rows) -> Neighbors:
    """Bring every query's own row to the front; it takes the last place if it was not in the list."""
    k = index.shape[1]
    mine = (index == own[:, None]) & (own >= 0)[:, None]
    place = np.where(mine.any(axis=1), mine.argmax(axis=1), k - 1)
    before = np.arange(k)[None, :] <= place[:, None]
    shifted_index = np.where(before, np.roll(index, 1, axis=1), index)
    shifted_score = np.where(before, np.roll(score, 1, axis=1), score)
    shifted_index[:, 0] = own
    shifted_score[:, 0] = 1
    return Neighbors(shifted_index.astype(np.int32), shifted_score.astype(np.float32))


def checked(own: Rows | None, queries: int, k: int, n: int) -> tuple[Rows, int]:
    """Check k, and cut it to the rows there are; a query that is not one of them counts too."""
    if k < 1:
        raise ConfigError(f"k = {k}", "at least 1 neighbour", "Ask for k >= 1; the post itself counts as one.")
    rows = np.full(queries, -1, dtype=np.int64) if own is None else own.astype(np.int64)
    return rows, max(1, min(k, n + int((rows < 0).any())))


def check_columns(given: int, expected: int) -> None:
    """Refuse queries over other columns than those of the base; raises EvidenceError."""
    if given != expected:
        raise EvidenceError(
            f"queries of {given} columns",
            f"the {expected} of the base",
            "Make both by the same encoder or fitted terms.",
        )
