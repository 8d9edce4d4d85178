"""Nearest neighbours of every post, one view at a time: exact, but for dense rows in large numbers.

Three kinds of vectors, one answer: sparse rows (TF-IDF), dense rows (any encoder) and 64-bit hashes.
Equal rows are searched once and expanded again, so that ten thousand copies of a post cost as much as one,
and ties are broken by row, so that the answer depends neither on threads nor on how the work was cut.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import faiss
import numpy as np
import numpy.typing as npt
from sparse_dot_topn import sp_matmul_topn

from kembar.arrays import Bools, Floats, Hashes, Rows, Sparse, falling, offsets_of, ragged, run_starts, unfalling
from kembar.errors import ConfigError, EvidenceError

Edges = tuple[Rows, Rows, Floats]  # source, target, score

_CELLS = 1 << 22  # similarities sorted at once, or recomputed where scores straddle the k-th place: bounds the memory
_BLOCK = 4096  # dense rows searched at once
_CHUNK = 1 << 14  # pairs whose dense rows are gathered at once
_PROBES, _SAMPLE = 48, 40  # clusters searched for a dense row, and rows for each from which they are made
_SPARE = 8  # dense neighbours sought beyond k
_SLACK = 1e-5  # more than twice what the order of summation changes in a product of float32 unit rows
_NOTHING = np.uint64(0xFFFFFFFFFFFFFFFF)
_MULTI_HASH_ROWS = 20_000  # below this a plain scan of all hashes is faster
_MULTI_HASH_RADIUS = 11  # four 16-bit words, two flips each: exact up to 4 * (2 + 1) - 1 differing bits


@dataclass(frozen=True, slots=True)
class Neighbors:
    """The nearest posts of every post, best first, the post itself at the front.

    Attributes:
        index: (n, k) int32 rows; -1 where a post has fewer than k neighbours.
        score: (n, k) float32 similarities in [-1, 1], not rising along a row; 0 where index is -1.
    """

    index: npt.NDArray[np.int32]
    score: Floats

    def __post_init__(self) -> None:
        if self.index.ndim != 2 or self.index.shape != self.score.shape:
            raise EvidenceError(
                f"neighbours of shapes {self.index.shape} and {self.score.shape}",
                "an index and a score array of one (n, k) shape",
                "Build them with one of the functions of kembar.evidence.neighbors.",
            )

    def __len__(self) -> int:
        return len(self.index)

    def edges(self) -> tuple[Rows, Rows, Floats]:
        """List the neighbours as directed edges, without the posts themselves.

        Returns:
            source (e,) int64, target (e,) int64, score (e,) float32, ordered by source, best first.
        """
        source, place = np.nonzero(self.index[:, 1:] >= 0)
        return source, self.index[source, place + 1].astype(np.int64), self.score[source, place + 1]


def sparse_neighbors(vectors: Sparse, k: int, *, floor: float = 0.0, threads: int = 2) -> Neighbors:
    """Find the k most similar rows of a sparse matrix by inner product.

    Args:
        vectors: (n, d) CSR of unit rows, float32; an empty row has no evidence and no neighbours.
        k: neighbours per row, the row itself counted; more than n is cut to n.
        floor: similarities at or below it are left out; rows without a common column are never neighbours.
        threads: threads of the join; they do not change the result.

    Returns:
        Neighbors of shape (n, min(k, n)).

    Raises:
        ConfigError: k < 1.
    """
    k = _checked(k, vectors.shape[0])
    vectors = vectors.tocsr().astype(np.float32)
    vectors.sort_indices()
    first, inverse = _distinct(_sparse_keys(vectors))
    rows = vectors[first]
    columns = rows.T.tocsr()
    # One more than asked for tells whether equal scores straddle the k-th place.
    joined = sp_matmul_topn(rows, columns, top_n=k + 1, threshold=floor, sort=True, n_threads=threads)
    edges = _edges(joined)
    straddling = _straddling(joined, k)
    again = [_full_rows(rows, columns, block, floor, k) for block in _blocks(straddling, rows.shape[0])]
    return _gather(*_replaced(edges, straddling, again), first, inverse, k, ordered=True)


def dense_neighbors(vectors: Floats, k: int, *, floor: float = 0.0, exact: int = 1 << 16) -> Neighbors:
    """Find the k most similar rows of a dense matrix by inner product.

    Of more than `exact` distinct rows nearly all are found: those in the clusters whose centres are nearest, so that
    the time grows with the rows to the power 1.5, not 2. Floats are exact in any case.

    Args:
        vectors: (n, d) float32 unit rows; an all-zero row has no evidence and no neighbours.
        k: neighbours per row, the row itself counted; more than n is cut to n.
        floor: similarities at or below it are left out.
        exact: distinct rows up to which all are compared with all.

    Returns:
        Neighbors of shape (n, min(k, n)).

    Raises:
        ConfigError: k < 1.
    """
    k = _checked(k, len(vectors))
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    first, inverse = _distinct(_dense_keys(vectors))
    rows = vectors[first]
    index = _dense_index(rows, exact)
    blocks = np.split(np.arange(len(rows)), range(_BLOCK, len(rows), _BLOCK)) if len(rows) else []
    source, target, score = _joined([_dense_block(index, rows, block, k) for block in blocks])
    known = np.any(rows != 0, axis=1)
    keep = (score > floor) & known[source] & known[target]
    return _gather(source[keep], target[keep], score[keep], first, inverse, k)


def hash_neighbors(hashes: Hashes, hashed: Bools, k: int, *, radius: int = 7) -> Neighbors:
    """Find the k nearest 64-bit hashes within a Hamming radius.

    Args:
        hashes: (n,) uint64.
        hashed: (n,) bool, False where a post has no hash and so no neighbours.
        k: neighbours per row, the row itself counted; more than n is cut to n.
        radius: the most bits that may differ, in [0, 64].

    Returns:
        Neighbors of shape (n, min(k, n)), score = 1 - differing bits / 64.

    Raises:
        ConfigError: k < 1, or a radius outside [0, 64].
    """
    if not 0 <= radius <= 64:
        raise ConfigError(f"radius {radius}", "a number of bits from 0 to 64", "Choose a radius in that range.")
    k = _checked(k, len(hashes))
    values, codes = np.unique(hashes[hashed], return_inverse=True)
    source, target, distance = _hash_range(values, radius)
    score = (1 - distance / 64).astype(np.float32)
    present = np.flatnonzero(hashed)
    inverse = np.full(len(hashes), -1, dtype=np.int64)
    inverse[present] = codes
    first = np.full(len(values), len(hashes), dtype=np.int64)
    np.minimum.at(first, codes, present)
    # Distinct hashes must stand in the order of their first row, which breaks ties.
    order = np.argsort(first, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    inverse[present] = rank[codes]
    source, target = rank[source], rank[target]
    by_source = np.argsort(source, kind="stable")
    return _gather(source[by_source], target[by_source], score[by_source], first[order], inverse, k)


def _checked(k: int, n: int) -> int:
    if k < 1:
        raise ConfigError(f"k = {k}", "at least 1 neighbour", "Ask for k >= 1; the post itself counts as one.")
    return max(1, min(k, n))


def _mix(values: Hashes) -> Hashes:
    """Scramble 64-bit values (the finaliser of splitmix64, Steele et al. 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _sparse_keys(vectors: Sparse) -> Hashes:
    """Give equal rows equal 64-bit keys; two of ten million different rows share one with odds of 3e-6."""
    bits = vectors.data.astype(np.float32).view(np.uint32).astype(np.uint64)
    mixed = _mix((vectors.indices.astype(np.uint64) << np.uint64(32)) | bits)
    total = np.concatenate([np.zeros(1, np.uint64), np.cumsum(mixed, dtype=np.uint64)])
    keys: Hashes = total[vectors.indptr[1:]] - total[vectors.indptr[:-1]]
    return keys


def _dense_keys(vectors: Floats) -> Hashes:
    keys = np.zeros(len(vectors), dtype=np.uint64)
    for column in range(vectors.shape[1]):
        bits = (vectors[:, column] + np.float32(0)).view(np.uint32).astype(np.uint64)
        keys = _mix(keys + bits + np.uint64(0x9E3779B97F4A7C15))
    return keys


def _distinct(keys: Hashes) -> tuple[Rows, Rows]:
    """Number the distinct rows by first appearance: their first rows (u,), and each row's number (n,)."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[inverse]


def _edges(matrix: Sparse) -> Edges:
    source = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    # Rounding lifts the products of near copies a little above 1, where equal ones would differ.
    return source, matrix.indices.astype(np.int64), np.minimum(matrix.data, 1).astype(np.float32)


def _straddling(joined: Sparse, k: int) -> Rows:
    """Find the rows whose (k+1)-th score equals the k-th: which of the equals was kept is chance."""
    full = np.flatnonzero(np.diff(joined.indptr) == k + 1)
    last = joined.indptr[full + 1] - 1
    score = np.minimum(joined.data, 1)
    tied: Rows = full[score[last] == score[last - 1]]
    return tied


def _blocks(wanted: Rows, columns: int) -> list[Rows]:
    """Cut rows into blocks whose similarities to all columns fit the memory set aside for them."""
    step = max(1, _CELLS // max(1, columns))
    return [wanted[begin : begin + step] for begin in range(0, len(wanted), step)]


def _joined(parts: Sequence[Edges]) -> Edges:
    nothing = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
    source, target, score = (np.concatenate(part) for part in zip(nothing, *parts, strict=True))
    return source, target, score


def _replaced(edges: Edges, sources: Rows, again: Sequence[Edges]) -> Edges:
    """Replace all edges of some sources, keeping the order by source."""
    if not again:
        return edges
    kept = ~np.isin(edges[0], sources)
    source, target, score = _joined([(edges[0][kept], edges[1][kept], edges[2][kept]), *again])
    order = np.argsort(source, kind="stable")
    return source[order], target[order], score[order]


def _full_rows(rows: Sparse, columns: Sparse, wanted: Rows, floor: float, k: int) -> Edges:
    """Compare some rows with all and keep the k best of each, equal scores by row."""
    source, target, score = _edges((rows[wanted] @ columns).tocsr())
    keep = score > floor
    source, target, score = _best(source[keep], target[keep], score[keep], len(wanted), k)
    return wanted[source], target, score


def _dense_index(rows: Floats, exact: int) -> faiss.Index:
    """Index rows: all in one place, or, if they are many, by clusters."""
    flat = faiss.IndexFlatIP(rows.shape[1])
    index: faiss.Index = flat
    if len(rows) > exact:
        clusters = round(4 * len(rows) ** 0.5)
        index = faiss.IndexIVFFlat(flat, rows.shape[1], clusters, faiss.METRIC_INNER_PRODUCT)
        index.cp.spherical, index.cp.niter, index.nprobe = True, 6, _PROBES
        index.train(rows[:: max(1, len(rows) // (clusters * _SAMPLE))])
    index.add(rows)
    return index


def _dense_block(index: faiss.Index, rows: Floats, wanted: Rows, k: int) -> Edges:
    """Find candidates for the k best of some rows; where more than a few come close to the k-th, all that do."""
    rough, found = index.search(rows[wanted], min(k + _SPARE, len(rows)))
    there = found.ravel() >= 0  # clusters may hold fewer rows than were asked for
    edges = _rated(rows, np.repeat(wanted, found.shape[1])[there], found.ravel()[there].astype(np.int64))
    if found.shape[1] == len(rows):
        return edges
    least = rough[:, k - 1] - np.float32(_SLACK)
    close = np.flatnonzero(rough[:, -1] >= least)
    again = []
    for block in _blocks(close, len(rows)):
        near, target = np.nonzero(rows[wanted[block]] @ rows.T >= least[block, None])
        near, target, score = _best(near, *_rated(rows, wanted[block][near], target)[1:], len(block), k)
        again.append((wanted[block][near], target, score))
    return _replaced(edges, wanted[close], again)


def _rated(rows: Floats, source: Rows, target: Rows) -> Edges:
    """Add the inner products to pairs: a matrix product's last bits depend on its shape, these do not."""
    score = np.empty(len(source), dtype=np.float32)
    for begin in range(0, len(source), _CHUNK):
        chunk = slice(begin, begin + _CHUNK)
        score[chunk] = np.einsum("ij,ij->i", rows[source[chunk]], rows[target[chunk]])
    return source, target, np.clip(score, -1, 1)


def _hash_range(values: Hashes, radius: int) -> tuple[Rows, Rows, Rows]:
    """List all pairs of distinct hashes within the radius, each hash with itself included."""
    if not len(values):
        empty = np.zeros(0, dtype=np.int64)
        return empty, empty, empty
    codes = values.view(np.uint8).reshape(len(values), 8)
    index: faiss.IndexBinary = faiss.IndexBinaryFlat(64)
    if len(values) >= _MULTI_HASH_ROWS and radius <= _MULTI_HASH_RADIUS:
        index = faiss.IndexBinaryMultiHash(64, 4, 16)
        index.nflip = radius // 4
    index.add(codes)
    limits, distance, found = index.range_search(codes, radius + 1)
    bounds = limits.astype(np.int64)
    source = np.repeat(np.arange(len(values)), bounds[1:] - bounds[:-1])
    return source, found.astype(np.int64), distance.astype(np.int64)


def _gather(
    source: Rows, target: Rows, score: Floats, first: Rows, inverse: Rows, k: int, *, ordered: bool = False
) -> Neighbors:
    """Turn edges between distinct rows into the neighbours of all rows.

    A distinct row stands for all its copies, in row order. Equal scores are ordered by row, and a row's own place is
    at the front even where k copies with smaller numbers would have filled the list. `ordered` edges come best first.
    """
    n, distinct = len(inverse), len(first)
    if distinct == n or not ordered:
        source, target, score = _best(source, target, score, distinct, k)
    if distinct < n:
        source, target, score = _expand(source, target, score, inverse, distinct, k)
    start = np.searchsorted(source, np.arange(distinct))
    place = np.arange(len(source)) - start[source]
    table = np.full((distinct + 1, k), -1, dtype=np.int64)  # the last row serves rows without evidence
    table[source, place] = target if distinct < n else first[target]
    scores = np.zeros((distinct + 1, k), dtype=np.float32)
    scores[source, place] = score
    return _self_first(table[inverse], scores[inverse])


def _best(source: Rows, target: Rows, score: Floats, n: int, k: int) -> Edges:
    """Keep the k best edges of every source, by score, then by target; sources must come in rising order.

    Score and target are packed into one integer, so that each row of a table sorts without looking anything up.
    """
    begin = np.searchsorted(source, np.arange(n + 1))
    step = max(1, _CELLS // max(1, int(np.diff(begin).max(initial=0))))
    found: list[Edges] = []
    for low in range(0, n, step):
        high = min(low + step, n)
        edges = slice(begin[low], begin[high])
        width = int(np.diff(begin[low : high + 1]).max(initial=0))
        if width:
            place = np.arange(begin[low], begin[high]) - begin[source[edges]]
            table = np.full((high - low, width), _NOTHING, dtype=np.uint64)
            table[source[edges] - low, place] = _packed(score[edges], target[edges])
            if width > 2 * k:
                table = np.partition(table, k - 1, axis=1)[:, :k]
            table.sort(axis=1)
            row, column = np.nonzero(table[:, :k] != _NOTHING)
            found.append((row + low, *_unpacked(table[row, column])))
    return _joined(found)


def _packed(score: Floats, target: Rows) -> Hashes:
    """Pack (score, target) into integers that rise as the score falls, then as the target rises."""
    return falling(score).astype(np.uint64) << np.uint64(32) | target.astype(np.uint64)


def _unpacked(packed: Hashes) -> tuple[Rows, Floats]:
    return (packed & np.uint64(0xFFFFFFFF)).astype(np.int64), unfalling((packed >> np.uint64(32)).astype(np.uint32))


def _expand(source: Rows, target: Rows, score: Floats, inverse: Rows, distinct: int, k: int) -> Edges:
    """Replace each distinct target by its copies, of which the first k are enough; edges come best first."""
    present = np.flatnonzero(inverse >= 0)
    members = present[np.argsort(inverse[present], kind="stable")]
    count = np.bincount(inverse[present], minlength=distinct)
    begin = offsets_of(count)[:-1]
    take = np.minimum(count, k)[target]
    # Once better targets have k copies, only one that ties with the last of them can still matter.
    before = offsets_of(take)[:-1]
    start = np.searchsorted(source, np.arange(distinct))
    full = before - before[start[source]] >= k
    keep = ~full | ~run_starts(source, score)
    source, target, score = source[keep], target[keep], score[keep]
    edge, place = ragged(take[keep])
    return _best(source[edge], members[begin[target[edge]] + place], score[edge], distinct, k)


def _self_first(index: Rows, score: Floats) -> Neighbors:
    """Bring every row's own number to the front; it takes the last place if it was not in the list."""
    n, k = index.shape
    own = index == np.arange(n)[:, None]
    place = np.where(own.any(axis=1), own.argmax(axis=1), k - 1)
    before = np.arange(k)[None, :] <= place[:, None]
    shifted_index = np.where(before, np.roll(index, 1, axis=1), index)
    shifted_score = np.where(before, np.roll(score, 1, axis=1), score)
    shifted_index[:, 0] = np.arange(n)
    shifted_score[:, 0] = 1
    return Neighbors(shifted_index.astype(np.int32), shifted_score.astype(np.float32))
