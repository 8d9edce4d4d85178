"""Search: for queries against a base, and for a base against itself as the special case.

Three kinds of vectors, one answer: sparse rows (TF-IDF), dense rows (any encoder) and 64-bit hashes. An index is made
once of a base and answers any queries; a slice of the base's own rows as queries finds what all of them would. Exact,
but for dense rows in large numbers.
"""

from dataclasses import dataclass, field
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
from sparse_dot_topn import sp_matmul_topn

from kembar.arrays import Bools, Floats, Hashes, Rows, Sparse, default_threads, mixed
from kembar.errors import ConfigError, EvidenceError
from kembar.evidence.dense import nearest, self_join
from kembar.evidence.neighbors import CELLS, Distinct, Edges, Neighbors, arranged, best, replaced
from kembar.evidence.probing import RECALL, Cells, Probing
from kembar.threads import unforked

_MULTI_HASH_ROWS = 20_000  # below this a plain scan of all hashes is faster
_MULTI_HASH_RADIUS = 11  # four 16-bit words, two flips each: exact up to 4 * (2 + 1) - 1 differing bits


@unforked
def sparse_neighbors(vectors: Sparse, k: int, *, floor: float = 0.0, threads: int | None = None) -> Neighbors:
    """Find the k most similar rows of each row of a sparse matrix by inner product.

    Args:
        vectors: (n, d) CSR of unit rows, float32; an empty row has no evidence and no neighbours.
        k: neighbours per row, the row itself counted; more than n is cut to n.
        floor: similarities at or below it are left out; rows without a common column are never neighbours.
        threads: threads of the join; None: OMP_NUM_THREADS, or one per core. They do not change the result.

    Returns:
        Neighbors of shape (n, min(k, n)).

    Raises:
        ConfigError: k < 1.
    """
    index = SparseIndex.of(vectors)
    return index.search(vectors, k, own=np.arange(len(index)), floor=floor, threads=threads)


@unforked
def dense_neighbors(vectors: Floats, k: int, *, floor: float = 0.0, exact: int = 1 << 16) -> Neighbors:
    """Find the k most similar rows of each row of a dense matrix by inner product.

    Args:
        vectors: (n, d) float32 unit rows; an all-zero row has no evidence and no neighbours.
        k: neighbours per row, the row itself counted; more than n is cut to n.
        floor: similarities at or below it are left out.
        exact: see `DenseIndex.of`.

    Returns:
        Neighbors of shape (n, min(k, n)).

    Raises:
        ConfigError: k < 1.
    """
    index = DenseIndex.of(vectors, exact=exact)
    return index.search(vectors, k, own=np.arange(len(index)), floor=floor)


@unforked
def hash_neighbors(hashes: Hashes, hashed: Bools, k: int, *, radius: int = 7) -> Neighbors:
    """Find the k nearest of each of n 64-bit hashes within a Hamming radius.

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
    index = HashIndex.of(hashes, hashed)
    return index.search(hashes, hashed, k, own=np.arange(len(index)), radius=radius)


@dataclass(frozen=True, slots=True)
class SparseIndex:
    """Sparse rows, ready to be searched.

    Attributes:
        base: (n, d) CSR float32, sorted.
        distinct: its different rows.
        rows: (u, d) CSR, these rows.
        columns: (d, u) CSR, these rows transposed.
    """

    base: Sparse
    distinct: Distinct
    rows: Sparse
    columns: Sparse

    @classmethod
    @unforked
    def of(cls, vectors: Sparse) -> "SparseIndex":
        """Index (n, d) CSR unit rows, float32; an empty row has no evidence and is never found."""
        base = _sorted(vectors)
        distinct = Distinct.of(_sparse_keys(base))
        rows = base[distinct.first]
        return cls(vectors, distinct, rows, rows.T.tocsr())

    def __len__(self) -> int:
        return len(self.distinct.number)

    @unforked
    def search(
        self, queries: Sparse, k: int, *, own: Rows | None = None, floor: float = 0.0, threads: int | None = None
    ) -> Neighbors:
        """Find the k most similar rows of the base for each query, by inner product.

        Args:
            queries: (q, d) CSR of unit rows, float32, over the columns of the base.
            k: neighbours per query, the query itself counted.
            own: (q,) the row of each query in the base, -1 where it is not there; None where none is.
            floor: similarities at or below it are left out; rows without a common column are never neighbours.
            threads: threads of the join; None: OMP_NUM_THREADS, or one per core. They do not change the result.

        Returns:
            Neighbors of shape (q, k), k cut to what there can be.

        Raises:
            ConfigError: k < 1.
            EvidenceError: queries over other columns.
        """
        _check_columns(queries.shape[1], self.columns.shape[0])
        own, k = _checked(own, queries.shape[0], k, len(self))
        distinct, rows = (self.distinct, self.rows) if queries is self.base else _distinct_rows(queries)
        # One more than asked for tells whether equal scores straddle the k-th place.
        found = sp_matmul_topn(
            rows, self.columns, top_n=k + 1, threshold=floor, sort=True, n_threads=threads or default_threads()
        )
        straddling = _straddling(found, k)
        again = [self._whole(rows, block, floor, k) for block in _blocks(straddling, self.columns.shape[1])]
        edges = replaced(_edges(found), straddling, again)
        return arranged(edges, distinct, self.distinct, own, k, ordered=True)

    def _whole(self, rows: Sparse, wanted: Rows, floor: float, k: int) -> Edges:
        """Compare some rows with the whole base and keep the k best of each, equal scores by row."""
        source, target, score = _edges((rows[wanted] @ self.columns).tocsr())
        keep = score > floor
        source, target, score = best((source[keep], target[keep], score[keep]), len(wanted), k)
        return wanted[source], target, score


@dataclass(frozen=True, slots=True)
class DenseIndex:
    """Dense rows, ready to be searched.

    Attributes:
        base: (n, d) float32.
        distinct: its different rows.
        rows: (u, d) float32, these rows.
        known: (u,) bool, those that are not all zero.
        cells: where they are many, the same in cells.
        recall: the share of the neighbours to be found where they are many, in (0, 1].
    """

    base: Floats
    distinct: Distinct
    rows: Floats
    known: Bools
    cells: Cells | None
    recall: float = RECALL

    @classmethod
    @unforked
    def of(cls, vectors: Floats, *, exact: int = 1 << 16, recall: float = RECALL) -> "DenseIndex":
        """Index dense rows.

        Of more than `exact` distinct rows nearly all neighbours are found: those in the cells whose centres are
        nearest, so that the time grows with the rows to the power 1.5, not 2. Scores are exact in any case.

        Args:
            vectors: (n, d) float32 unit rows; an all-zero row has no evidence and is never found.
            exact: distinct rows up to which every query is compared with all.
            recall: the share of the neighbours to be found beyond, in (0, 1]; see `probing` for what is reached.

        Returns:
            The index.
        """
        rows = np.ascontiguousarray(vectors, dtype=np.float32)
        distinct = Distinct.of(row_keys(rows))
        rows = rows[distinct.first]
        cells = Cells.of(rows) if len(rows) > exact else None
        return cls(vectors, distinct, rows, np.any(rows != 0, axis=1), cells, recall)

    def __len__(self) -> int:
        return len(self.distinct.number)

    @unforked
    def search(self, queries: Floats, k: int, *, own: Rows | None = None, floor: float = 0.0) -> Neighbors:
        """Find the k most similar rows of the base for each query, by inner product.

        Args:
            queries: (q, d) float32 unit rows; an all-zero row has no neighbours.
            k: neighbours per query, the query itself counted.
            own: (q,) the row of each query in the base, -1 where it is not there; None where none is.
            floor: similarities at or below it are left out.

        Returns:
            Neighbors of shape (q, k), k cut to what there can be.

        Raises:
            ConfigError: k < 1.
            EvidenceError: queries of another length.
        """
        _check_columns(queries.shape[1], self.rows.shape[1])
        own, k = _checked(own, len(queries), k, len(self))
        distinct, rows = self.distinct, self.rows
        if queries is not self.base:
            queries = np.ascontiguousarray(queries, dtype=np.float32)
            distinct = Distinct.of(row_keys(queries))
            rows = queries[distinct.first]
        source, target, score = self._found(rows, k, floor)
        here = self.known if rows is self.rows else np.any(rows != 0, axis=1)
        keep = (score > floor) & here[source] & self.known[target]
        return arranged((source[keep], target[keep], score[keep]), distinct, self.distinct, own, k)

    def probing(self, k: int, floor: float) -> Probing | None:
        """Tell how many cells a search looks into and which share it finds of the neighbours; None: it compares all.

        Args:
            k: neighbours per query, the query itself counted.
            floor: similarities at or below it are left out.
        """
        probing = None if self.cells is None else self.cells.probing(k, floor, self.recall)
        return probing if probing is not None and probing.pays else None

    def _found(self, rows: Floats, k: int, floor: float) -> Edges:
        probing = self.probing(k, floor)
        if self.cells is not None and probing is not None:
            return self.cells.nearest(rows, k, floor, probing.cells)
        return self_join(rows, k, floor) if rows is self.rows else nearest(rows, self.rows, k, floor)


@dataclass(frozen=True, slots=True)
class HashIndex:
    """64-bit hashes, ready to be searched.

    Attributes:
        distinct: the different hashes among n posts; those without a hash have none.
        values: (u,) uint64, these hashes.
    """

    distinct: Distinct
    values: Hashes
    _indexes: dict[bool, Any] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    @unforked
    def of(cls, hashes: Hashes, hashed: Bools) -> "HashIndex":
        """Index (n,) uint64 hashes; those that are not `hashed`, (n,) bool, are never found."""
        distinct = _distinct_hashes(hashes, hashed)
        return cls(distinct, hashes[distinct.first])

    def __len__(self) -> int:
        return len(self.distinct.number)

    @unforked
    def search(self, hashes: Hashes, hashed: Bools, k: int, *, own: Rows | None = None, radius: int = 7) -> Neighbors:
        """Find the k nearest hashes of the base for each query within a Hamming radius.

        Args:
            hashes: (q,) uint64.
            hashed: (q,) bool, False where a query has no hash and so no neighbours.
            k: neighbours per query, the query itself counted.
            own: (q,) the row of each query in the base, -1 where it is not there; None where none is.
            radius: the most bits that may differ, in [0, 64].

        Returns:
            Neighbors of shape (q, k), k cut to what there can be; score = 1 - differing bits / 64.

        Raises:
            ConfigError: k < 1, or a radius outside [0, 64].
        """
        if not 0 <= radius <= 64:
            raise ConfigError(f"radius {radius}", "a number of bits from 0 to 64", "Choose a radius in that range.")
        own, k = _checked(own, len(hashes), k, len(self))
        distinct = _distinct_hashes(hashes, hashed)
        source, target, distance = self._within(hashes[distinct.first], radius)
        score = (1 - distance / 64).astype(np.float32)
        return arranged((source, target, score), distinct, self.distinct, own, k)

    def _within(self, queries: Hashes, radius: int) -> tuple[Rows, Rows, Rows]:
        """List all pairs of a query and a hash within the radius, by query, and their distances."""
        if not len(queries) or not len(self.values):
            empty = np.zeros(0, dtype=np.int64)
            return empty, empty, empty
        # Few queries are sooner compared with all hashes than these are put into a table.
        large = len(self.values) >= _MULTI_HASH_ROWS and len(queries) * len(self.values) >= _MULTI_HASH_ROWS**2
        many = large and radius <= _MULTI_HASH_RADIUS
        index = self._indexes.get(many) or self._indexes.setdefault(many, _indexed(self.values, tabled=many))
        if many:
            index.nflip = radius // 4
        limits, distance, found = index.range_search(_codes(queries), radius + 1)
        bounds = limits.astype(np.int64)
        return (
            np.repeat(np.arange(len(queries)), bounds[1:] - bounds[:-1]),
            found.astype(np.int64),
            distance.astype(np.int64),
        )


def _checked(own: Rows | None, queries: int, k: int, n: int) -> tuple[Rows, int]:
    """Check k, and cut it to the rows there are; a query that is not one of them counts too."""
    if k < 1:
        raise ConfigError(f"k = {k}", "at least 1 neighbour", "Ask for k >= 1; the post itself counts as one.")
    rows = np.full(queries, -1, dtype=np.int64) if own is None else own.astype(np.int64)
    return rows, max(1, min(k, n + int((rows < 0).any())))


def _check_columns(given: int, expected: int) -> None:
    if given != expected:
        raise EvidenceError(
            f"queries of {given} columns",
            f"the {expected} of the base",
            "Make both by the same encoder or fitted terms.",
        )


def _sorted(vectors: Sparse) -> Sparse:
    vectors = vectors.tocsr().astype(np.float32)
    vectors.sort_indices()
    return vectors


def _distinct_rows(queries: Sparse) -> tuple[Distinct, Sparse]:
    queries = _sorted(queries)
    distinct = Distinct.of(_sparse_keys(queries))
    return distinct, queries[distinct.first]


def _distinct_hashes(hashes: Hashes, hashed: Bools) -> Distinct:
    present = np.flatnonzero(hashed)
    among = Distinct.of(hashes[present])
    number = np.full(len(hashes), -1, dtype=np.int64)
    number[present] = among.number
    return Distinct(present[among.first], number)


def _sparse_keys(vectors: Sparse) -> Hashes:
    """Give equal rows equal 64-bit keys; two of ten million different rows share one with odds of 3e-6."""
    bits = vectors.data.astype(np.float32).view(np.uint32).astype(np.uint64)
    hashed = mixed((vectors.indices.astype(np.uint64) << np.uint64(32)) | bits)
    total = np.concatenate([np.zeros(1, np.uint64), np.cumsum(hashed, dtype=np.uint64)])
    keys: Hashes = total[vectors.indptr[1:]] - total[vectors.indptr[:-1]]
    return keys


def row_keys(vectors: Floats) -> Hashes:
    """Give equal rows equal 64-bit keys: (n, d) float32 to (n,) uint64."""
    if len(vectors) < vectors.shape[1]:  # one row at a time is quicker than one column at a time
        whole = vectors.astype(np.float32) + np.float32(0)  # 0 and -0 are equal, and so are their rows
        return np.array([hash(row.tobytes()) for row in whole], dtype=np.int64).view(np.uint64)
    keys = np.zeros(len(vectors), dtype=np.uint64)
    for column in range(vectors.shape[1]):
        bits = (vectors[:, column] + np.float32(0)).view(np.uint32).astype(np.uint64)
        keys = mixed(keys + bits + np.uint64(0x9E3779B97F4A7C15))
    return keys


def _edges(matrix: Sparse) -> Edges:
    source = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    # Rounding lifts the products of near copies a little above 1, where equal ones would differ.
    return source, matrix.indices.astype(np.int64), np.minimum(matrix.data, 1).astype(np.float32)


def _straddling(found: Sparse, k: int) -> Rows:
    """Find the rows whose (k+1)-th score equals the k-th: which of the equals was kept is chance."""
    full = np.flatnonzero(np.diff(found.indptr) == k + 1)
    last = found.indptr[full + 1] - 1
    score = np.minimum(found.data, 1)
    tied: Rows = full[score[last] == score[last - 1]]
    return tied


def _blocks(wanted: Rows, columns: int) -> list[Rows]:
    """Cut rows into blocks whose similarities to all columns fit the memory set aside for them."""
    step = max(1, CELLS // max(1, columns))
    return [wanted[begin : begin + step] for begin in range(0, len(wanted), step)]


def _codes(hashes: Hashes) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(hashes).view(np.uint8).reshape(len(hashes), 8)


def _indexed(values: Hashes, *, tabled: bool) -> faiss.IndexBinary:
    """Index hashes: by four words of 16 bits each, or one by one."""
    index: faiss.IndexBinary = faiss.IndexBinaryMultiHash(64, 4, 16) if tabled else faiss.IndexBinaryFlat(64)
    index.add(_codes(values))
    return index
