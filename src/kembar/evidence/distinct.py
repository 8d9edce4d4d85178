"""The different rows among many: equal ones are searched once, so that ten thousand copies cost as much as one."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeAlias

import numpy as np

from kembar.arrays import Bools, Floats, Hashes, Rows, Sparse, mixed, offsets_of

_NUMBERS: Final = 1 << 16  # numbers of rows looked at at once: they stay in the cache


@dataclass(frozen=True, slots=True)
class Picked:
    """Some rows of a table, taken when they are asked for: those of a large one would fill the memory again.

    Attributes:
        table: (n, d) float32.
        picked: (u,) which rows.
    """

    table: Floats
    picked: Rows

    @property
    def shape(self) -> tuple[int, int]:
        """Give (u, d)."""
        return len(self.picked), self.table.shape[1]

    def __len__(self) -> int:
        return len(self.picked)

    def __getitem__(self, at: slice | Rows) -> Floats:
        return self.table[self.picked[at]]


Table: TypeAlias = Floats | Picked


@dataclass(frozen=True)
class Distinct:
    """The different rows among n.

    Attributes:
        first: (u,) where each stands first, rising.
        number: (n,) the place in `first` of each row's like; -1 where a row has no evidence.
    """

    first: Rows
    number: Rows

    @classmethod
    def of(cls, keys: Hashes) -> "Distinct":
        """Tell rows apart by their keys: (n,) uint64, equal for equal rows."""
        _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
        order = np.argsort(first, kind="stable")
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        return cls(first[order], rank[inverse])

    @property
    def copies(self) -> bool:
        """Whether some rows are equal, or without evidence."""
        return len(self.first) < len(self.number)

    @cached_property
    def members(self) -> Rows:
        """List the rows that have evidence, those of one kind together, in their order."""
        present = np.flatnonzero(self.number >= 0)
        return present[np.argsort(self.number[present], kind="stable")]

    @cached_property
    def counts(self) -> Rows:
        """Count the rows of each kind: (u,) int64."""
        return np.bincount(self.number[self.number >= 0], minlength=len(self.first))

    @cached_property
    def begins(self) -> Rows:
        """Tell where each kind begins among the `members`: (u,) int64."""
        return offsets_of(self.counts)[:-1]


def sorted_rows(vectors: Sparse) -> Sparse:
    """Give CSR rows as float32 with rising columns; the same object where they are."""
    if vectors.format == "csr" and vectors.dtype == np.float32 and vectors.has_sorted_indices:
        return vectors
    vectors = vectors.tocsr().astype(np.float32)
    vectors.sort_indices()
    return vectors


def distinct_rows(queries: Sparse) -> tuple[Distinct, Sparse]:
    """Tell CSR rows apart, and give the different ones."""
    queries = sorted_rows(queries)
    distinct = Distinct.of(sparse_keys(queries))
    return distinct, queries[distinct.first]


def distinct_hashes(hashes: Hashes, hashed: Bools) -> Distinct:
    """Tell hashes apart: (n,) uint64, and (n,) bool telling which are known."""
    present = np.flatnonzero(hashed)
    among = Distinct.of(hashes[present])
    number = np.full(len(hashes), -1, dtype=np.int64)
    number[present] = among.number
    return Distinct(present[among.first], number)


def sparse_keys(vectors: Sparse) -> Hashes:
    """Give equal rows equal 64-bit keys; two of ten million different rows share one with odds of 3e-6."""
    bits = vectors.data.astype(np.float32).view(np.uint32).astype(np.uint64)
    hashed = mixed((vectors.indices.astype(np.uint64) << np.uint64(32)) | bits)
    total = np.concatenate([np.zeros(1, np.uint64), np.cumsum(hashed, dtype=np.uint64)])
    keys: Hashes = total[vectors.indptr[1:]] - total[vectors.indptr[:-1]]
    return keys


def row_keys(vectors: Floats) -> Hashes:
    """Give equal rows equal 64-bit keys, the same in any process and catalogue: (n, d) float32 to (n,) uint64."""
    keys = np.empty(len(vectors), dtype=np.uint64)
    columns = mixed(np.arange(1, vectors.shape[1] + 1, dtype=np.uint64))
    step = max(1, _NUMBERS // max(1, vectors.shape[1]))
    for begin in range(0, len(vectors), step):
        # 0 and -0 are equal, and so are their rows
        rows = vectors[begin : begin + step].astype(np.float32) + np.float32(0)
        bits = rows.view(np.uint32).astype(np.uint64)
        keys[begin : begin + step] = mixed(bits ^ columns).sum(axis=1, dtype=np.uint64)
    return keys
