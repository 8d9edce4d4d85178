"""Search: for queries against a base, and for a base against itself as the special case.

Three kinds of vectors, one answer: sparse rows (TF-IDF), dense rows (any encoder) and 64-bit hashes. An index is made
once of a base and answers any queries; a slice of the base's own rows as queries finds what all of them would. Exact,
but for dense rows in large numbers.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from sparse_dot_topn import sp_matmul_topn

from kembar.arrays import Bools, Floats, Hashes, Rows, Sparse, default_threads, slices
from kembar.errors import ConfigError
from kembar.evidence.dense import nearest, self_join
from kembar.evidence.distinct import (
    Distinct,
    Picked,
    Table,
    distinct_hashes,
    distinct_rows,
    row_keys,
    sorted_rows,
    sparse_keys,
)
from kembar.evidence.hash_ranges import HashRanges
from kembar.evidence.neighbors import CELLS, Edges, Neighbors, arranged, best, check_columns, checked, replaced
from kembar.evidence.probing import RECALL, Cells, Probing
from kembar.evidence.rounding import COLUMNS, Rounded, right_steps
from kembar.evidence.small import MOST, dense_table, hash_table, of_table, sparse_table
from kembar.threads import unforked

_ROUNDED_ROWS, _ROUNDED_QUERIES = 4096, 1024  # with fewer, rounding takes longer than it saves
_AT_ONCE = 1 << 13  # rows that are looked at at once: bounds the memory


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


@dataclass(frozen=True)
class SparseIndex:
    """Sparse rows, ready to be searched.

    Attributes:
        base: (n, d) CSR float32.
    """

    base: Sparse

    @classmethod
    @unforked
    def of(cls, vectors: Sparse) -> "SparseIndex":
        """Index (n, d) CSR unit rows, float32; an empty row has no evidence and is never found."""
        index = cls(vectors)
        if len(index) > MOST:
            _ = index.columns
        return index

    @cached_property
    def _sorted(self) -> Sparse:
        return sorted_rows(self.base)

    @cached_property
    def distinct(self) -> Distinct:
        """Tell the different rows."""
        return Distinct.of(sparse_keys(self._sorted))

    @cached_property
    def rows(self) -> Sparse:
        """Give the different rows: (u, d) CSR."""
        return self._sorted[self.distinct.first]

    @cached_property
    def columns(self) -> Sparse:
        """Give the different rows transposed: (d, u) CSR."""
        return self.rows.T.tocsr()

    @cached_property
    def _all_columns(self) -> Sparse:
        return self._sorted.T.tocsr()

    def __len__(self) -> int:
        return int(self.base.shape[0])

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
        check_columns(queries.shape[1], self.base.shape[1])
        own, k = checked(own, queries.shape[0], k, len(self))
        if max(len(own), len(self)) <= MOST:
            rows = self._sorted if queries is self.base else sorted_rows(queries)
            return of_table(sparse_table(rows, self._all_columns, floor), own, k)
        distinct, rows = (self.distinct, self.rows) if queries is self.base else distinct_rows(queries)
        threads = threads or default_threads(rows.shape[0])
        # One more than asked for tells whether equal scores straddle the k-th place.
        found = sp_matmul_topn(rows, self.columns, top_n=k + 1, threshold=floor, sort=True, n_threads=threads)
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


@dataclass(frozen=True)
class DenseIndex:
    """Dense rows, ready to be searched.

    Attributes:
        base: (n, d) float32.
        exact: see `of`.
        recall: the share of the neighbours to be found where they are many, in (0, 1].
    """

    base: Floats
    exact: int
    recall: float = RECALL

    @classmethod
    @unforked
    def of(cls, vectors: Floats, *, exact: int = 1 << 16, recall: float = RECALL) -> "DenseIndex":
        """Index dense rows.

        Of more than `exact` distinct rows nearly all neighbours are found: those in the cells whose centres are
        nearest, of which a query looks into so many that the time grows with the rows, not with their square. Scores
        are exact in any case.

        Args:
            vectors: (n, d) float32 unit rows; an all-zero row has no evidence and is never found.
            exact: distinct rows up to which every query is compared with all.
            recall: the share of the neighbours to be found beyond, in (0, 1]; see `probing` for what is reached.

        Returns:
            The index.
        """
        index = cls(vectors, exact, recall)
        if len(index) > MOST:
            _ = index.cells, index.known
        return index

    @cached_property
    def _plain(self) -> Floats:
        return np.ascontiguousarray(self.base, dtype=np.float32)

    @cached_property
    def distinct(self) -> Distinct:
        """Tell the different rows."""
        return Distinct.of(row_keys(self._plain))

    @cached_property
    def rows(self) -> Table:
        """Give the different rows: (u, d) float32; those of many, or of a mapped file, stay where they are."""
        if not self.distinct.copies:
            return self._plain
        picked = Picked(self._plain, self.distinct.first)
        return picked if len(picked) > self.exact or isinstance(self.base, np.memmap) else picked[:]

    @cached_property
    def known(self) -> Bools:
        """Tell which of them are not all zero: (u,) bool."""
        return _known(self.rows)

    @cached_property
    def cells(self) -> Cells | None:
        """Give them in cells, where they are many."""
        return Cells.of(self.rows) if len(self.rows) > self.exact else None

    @cached_property
    def rounded(self) -> Rounded | None:
        """Give them rounded, where that makes a search quicker."""
        pays = len(self.rows) >= _ROUNDED_ROWS and self.rows.shape[1] in COLUMNS
        return Rounded.of(self.rows, right_steps()) if pays else None

    def __len__(self) -> int:
        return len(self.base)

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
        check_columns(queries.shape[1], self.base.shape[1])
        own, k = checked(own, len(queries), k, len(self))
        if max(len(own), len(self)) <= min(MOST, self.exact):
            plain = self._plain if queries is self.base else np.ascontiguousarray(queries, dtype=np.float32)
            return of_table(dense_table(plain, self._plain, floor), own, k)
        distinct, rows = self.distinct, self.rows
        if queries is not self.base:
            queries = np.ascontiguousarray(queries, dtype=np.float32)
            distinct = Distinct.of(row_keys(queries))
            rows = queries[distinct.first]
        source, target, score = self._found(rows, k, floor)
        here = self.known if rows is self.rows else _known(rows)
        keep = (score > floor) & here[source] & self.known[target]
        found = arranged((source[keep], target[keep], score[keep]), distinct, self.distinct, own, k)
        probing = self.probing(k, floor)
        return found if probing is None else replace(found, recall=probing.recall)

    def probing(self, k: int, floor: float) -> Probing | None:
        """Tell how many cells a search looks into and which share it finds of the neighbours; None: it compares all.

        Args:
            k: neighbours per query, the query itself counted.
            floor: similarities at or below it are left out.
        """
        probing = None if self.cells is None else self.cells.probing(k, floor, self.recall)
        return probing if probing is not None and probing.pays else None

    def _found(self, rows: Table, k: int, floor: float) -> Edges:
        probing = self.probing(k, floor)
        if self.cells is not None and probing is not None:
            return self.cells.nearest(rows, k, floor, probing.cells)
        rounded = self.rounded if len(rows) >= _ROUNDED_QUERIES else None
        if rows is self.rows:
            return self_join(rows, k, floor, rounded)
        return nearest(rows, self.rows, k, floor, rounded)


def _known(rows: Table) -> Bools:
    """Tell which rows are not all zero, some at a time: (n,) bool."""
    return np.concatenate([np.any(rows[part] != 0, axis=1) for part in slices(len(rows), _AT_ONCE)])


@dataclass(frozen=True)
class HashIndex:
    """64-bit hashes, ready to be searched.

    Attributes:
        hashes: (n,) uint64.
        hashed: (n,) bool, which are known.
    """

    hashes: Hashes
    hashed: Bools

    @classmethod
    @unforked
    def of(cls, hashes: Hashes, hashed: Bools) -> "HashIndex":
        """Index (n,) uint64 hashes; those that are not `hashed`, (n,) bool, are never found."""
        index = cls(hashes, hashed)
        if len(index) > MOST:
            _ = index.ranges
        return index

    @cached_property
    def distinct(self) -> Distinct:
        """Tell the different hashes; posts without a hash have none."""
        return distinct_hashes(self.hashes, self.hashed)

    @cached_property
    def ranges(self) -> HashRanges:
        """Give the different hashes, ready to tell which are near."""
        return HashRanges(self.hashes[self.distinct.first])

    def __len__(self) -> int:
        return len(self.hashes)

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
        own, k = checked(own, len(hashes), k, len(self))
        if max(len(own), len(self)) <= MOST:
            return of_table(hash_table((hashes, hashed), (self.hashes, self.hashed), radius), own, k)
        distinct = distinct_hashes(hashes, hashed)
        source, target, distance = self.ranges.within(hashes[distinct.first], radius)
        score = (1 - distance / 64).astype(np.float32)
        return arranged((source, target, score), distinct, self.distinct, own, k)


def _edges(matrix: Sparse) -> Edges:
    source = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    # Rounding lifts the products of near copies a little above 1, where equal ones would differ.
    return source, matrix.indices.astype(np.int64), np.minimum(matrix.data, 1).astype(np.float32)


def _straddling(found: Sparse, k: int) -> Rows:
    """Find the rows whose (k+1)-th score equals the k-th: which of the equals was kept is chance."""
    full = np.flatnonzero(np.diff(found.indptr) == k + 1)
    last, score = found.indptr[full + 1] - 1, np.minimum(found.data, 1)
    tied: Rows = full[score[last] == score[last - 1]]
    return tied


def _blocks(wanted: Rows, columns: int) -> list[Rows]:
    """Cut rows into blocks whose similarities to all columns fit the memory set aside for them."""
    step = max(1, CELLS // max(1, columns))
    return [wanted[begin : begin + step] for begin in range(0, len(wanted), step)]
