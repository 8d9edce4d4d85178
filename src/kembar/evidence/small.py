"""Searches among few rows: all similarities at once, as one table.

To tell equal rows apart, look for the best and bring copies back takes a dozen steps, each a call of numpy; with a
hundred rows the calls cost more than the sums. A table of all similarities needs none of them. The sums are made by the
same kernels, so that what is found is the same to the bit.
"""

from typing import Final

import numpy as np
from sparse_dot_topn import sp_matmul_topn

from kembar.arrays import Bools, Floats, Hashes, Rows, Sparse
from kembar.evidence.dense import products
from kembar.evidence.neighbors import NOTHING, Neighbors, packed, unpacked
from kembar.evidence.shortlists import SLACK

MOST: Final = 512
"""Queries, and rows of a base, up to which a table is made."""
NONE: Final = np.float32(-np.inf)
"""In a table: no neighbour."""


def of_table(table: Floats, own: Rows, k: int) -> Neighbors:
    """Take the nearest rows from a table of similarities, equal ones by row.

    Args:
        table: (q, n) float32, `NONE` where a row is no neighbour.
        own: (q,) the row of each query in the base, -1 where it is not there.
        k: columns of the result, the query itself counted.

    Returns:
        Neighbors of shape (q, k).
    """
    q, n = table.shape
    keys = packed(table, np.arange(n))
    keys[(table == NONE) | (own[:, None] == np.arange(n))] = NOTHING
    keys = np.sort(keys, axis=1)[:, : k - 1]
    near, score = unpacked(keys)
    index, scores = np.full((q, k), -1, dtype=np.int32), np.zeros((q, k), dtype=np.float32)
    index[:, 0], scores[:, 0] = own, 1
    there = keys != NOTHING
    width = 1 + keys.shape[1]
    index[:, 1:width], scores[:, 1:width] = np.where(there, near, -1), np.where(there, score, 0)
    return Neighbors(index, scores)


def sparse_table(queries: Sparse, columns: Sparse, floor: float) -> Floats:
    """Compare sparse rows, (q, d) CSR, with those of a base, (d, n) CSR: (q, n) float32."""
    q, n = queries.shape[0], columns.shape[1]
    table = np.full((q, n), NONE, dtype=np.float32)
    if q and n:
        found = sp_matmul_topn(queries, columns, top_n=n, threshold=floor, sort=False, n_threads=1)
        source = np.repeat(np.arange(q), found.indptr[1:] - found.indptr[:-1])
        table[source, found.indices] = np.minimum(found.data, 1)
    return table


def dense_table(queries: Floats, base: Floats, floor: float) -> Floats:
    """Compare dense rows, (q, d) float32, with those of a base, (n, d): (q, n) float32."""
    likely = queries @ base.T >= np.float32(floor - SLACK)
    likely &= np.any(queries, axis=1)[:, None] & np.any(base, axis=1)
    same = queries is base
    source, target = np.nonzero(np.triu(likely | likely.T) if same else likely)
    score = np.clip(products(queries, source, base, target), -1, 1)
    table = np.full(likely.shape, NONE, dtype=np.float32)
    near = score > floor
    source, target, score = source[near], target[near], score[near]
    table[source, target] = score
    if same:  # each pair was compared once
        table[target, source] = score
    return table


def hash_table(queries: tuple[Hashes, Bools], base: tuple[Hashes, Bools], radius: int) -> Floats:
    """Compare hashes, and whether each is known, with those of a base: (q, n) float32."""
    distance = np.bitwise_count(queries[0][:, None] ^ base[0])
    near = (distance <= radius) & queries[1][:, None] & base[1]
    return np.where(near, (1 - distance / 64).astype(np.float32), NONE)
