"""Array types by name, and the few operations on arrays that many rooms need."""

import os
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

Rows: TypeAlias = npt.NDArray[np.int64]
"""Row numbers, group numbers, counts."""
Floats: TypeAlias = npt.NDArray[np.float32]
"""Similarities, probabilities, vectors."""
Doubles: TypeAlias = npt.NDArray[np.float64]
"""Sums and figures that need all digits."""
Bools: TypeAlias = npt.NDArray[np.bool_]
Hashes: TypeAlias = npt.NDArray[np.uint64]
"""64-bit perceptual hashes, or keys of rows."""
Sparse: TypeAlias = Any
"""A scipy.sparse.csr_matrix; scipy ships no types."""
Vectors: TypeAlias = Any
"""(n, d) unit rows: a Sparse, or Floats."""
Progress: TypeAlias = Callable[[str, int, int], None]
"""Told (stage, done, total) now and then; total is 0 where it is not known."""
TEXTS: Final = 1 << 16
"""Texts that are read at once: bounds the memory."""
FEW: Final = 512
"""Rows below which one thread is quicker than several: waking the others takes longer than the work."""


def slices(rows: int, size: int | None = None) -> list[slice]:
    """Cut rows into slices of a size, by default `TEXTS`, which are worked on one by one; at least one."""
    step = size or TEXTS
    return [slice(begin, min(begin + step, rows)) for begin in range(0, max(1, rows), step)]


def places_where(rows: int, test: Callable[[slice], Bools], size: int = 1 << 20) -> Rows:
    """Find the places, of this many rows, where a test holds that is asked about some of them at a time: (k,) int64."""
    return np.concatenate([part.start + np.flatnonzero(test(part)) for part in slices(rows, size)])


def offsets_of(counts: npt.NDArray[np.integer]) -> Rows:
    """Turn the lengths of n lists into their bounds in one array: (n + 1,) int64 from 0."""
    offsets = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=offsets[1:])
    return offsets


def ragged(counts: npt.NDArray[np.integer]) -> tuple[Rows, Rows]:
    """Walk through n lists of given lengths.

    Args:
        counts: (n,) lengths.

    Returns:
        For each member of each list in turn: the number of its list, and its place there, from 0; (sum,) int64 each.
    """
    which = np.repeat(np.arange(len(counts)), counts)
    return which, np.arange(len(which)) - offsets_of(counts)[:-1][which]


def members(offsets: Rows, lists: Rows) -> tuple[Rows, Rows]:
    """Take some of n lists that lie one behind the other.

    Args:
        offsets: (n + 1,) their bounds.
        lists: (m,) the numbers of those wanted, in any order.

    Returns:
        The rows of their members, list by list, and (m + 1,) the bounds of these; int64.
    """
    counts = (offsets[1:] - offsets[:-1])[lists]
    which, place = ragged(counts)
    return offsets[lists][which] + place, offsets_of(counts)


def places_in(rising: Rows, rows: Rows) -> Rows:
    """Find rows among distinct, rising ones: int64 places of the shape of `rows`, -1 where they are not there."""
    if not len(rising):
        return np.full(rows.shape, -1, dtype=np.int64)
    at = np.minimum(np.searchsorted(rising, rows), len(rising) - 1)
    return np.where(rising[at] == rows, at, -1).astype(np.int64)


def run_starts(*keys: npt.NDArray[Any]) -> Bools:
    """Mark where a run of equal values begins: (n,) bool; with several keys, of equal rows."""
    starts = np.ones(len(keys[0]), dtype=bool)
    if len(starts):
        starts[1:] = keys[0][1:] != keys[0][:-1]
        for key in keys[1:]:
            starts[1:] |= key[1:] != key[:-1]
    return starts


def run_ends(*keys: npt.NDArray[Any]) -> Bools:
    """Mark where a run of equal values ends: (n,) bool."""
    starts = run_starts(*keys)
    return np.append(starts[1:], True)[: len(starts)]


def connected(left: Rows, right: Rows, n: int) -> Rows:
    """Number the connected components of a graph: (n,) int64, equal where a path joins two of the n nodes.

    Args:
        left: (m,) nodes.
        right: (m,) nodes.
        n: number of nodes.
    """
    import scipy.sparse as sp
    from scipy.sparse.csgraph import connected_components

    graph = sp.coo_matrix((np.ones(len(left), dtype=bool), (left, right)), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def unit_rows(vectors: Vectors) -> Vectors:
    """Scale every row to length 1; empty rows and rows of zeros stay as they are.

    Args:
        vectors: (n, d), sparse or dense.

    Returns:
        (n, d) float32 of the same kind.
    """
    if isinstance(vectors, np.ndarray):
        # The squares of float32 numbers may leave the range of float32.
        length = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))[:, None]
        out = np.empty(vectors.shape, dtype=np.float32)
        return np.divide(vectors, np.where(length > 0, length, 1), out=out, casting="same_kind")
    import scipy.sparse as sp

    scaled = sp.csr_matrix(vectors, dtype=np.float32, copy=True)
    scaled.sort_indices()
    source = np.repeat(np.arange(scaled.shape[0]), np.diff(scaled.indptr))
    squares = np.bincount(source, scaled.data.astype(np.float64) ** 2, minlength=scaled.shape[0])
    scaled.data = (scaled.data / np.sqrt(np.where(squares > 0, squares, 1))[source]).astype(np.float32)
    return scaled


def falling(scores: Floats) -> npt.NDArray[np.uint32]:
    """Turn scores into integers that rise as the score falls (IEEE 754), to be packed with a row and sorted as one."""
    bits = (scores + np.float32(0)).view(np.uint32)  # the sum turns -0 into 0
    rising = np.where(bits >> np.uint32(31), ~bits, bits | np.uint32(1 << 31))
    return ~rising


def unfalling(integers: npt.NDArray[np.uint32]) -> Floats:
    """Turn the integers of `falling` into scores again."""
    rising = ~integers
    bits = np.where(rising >> np.uint32(31), rising & np.uint32((1 << 31) - 1), ~rising)
    return bits.view(np.float32)


def mixed(values: Hashes) -> Hashes:
    """Scramble 64-bit values (the finaliser of splitmix64, Steele et al. 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def default_threads(items: int = FEW) -> int:
    """Count the threads to work with: OMP_NUM_THREADS where it is set, as the field's libraries do, or all cores.

    Args:
        items: rows to work on; fewer than `FEW` take one thread.
    """
    if items < FEW:
        return 1
    given = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return int(given) if given.isdigit() and int(given) > 0 else cores
