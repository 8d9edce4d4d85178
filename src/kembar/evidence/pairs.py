"""Candidate pairs: who is worth comparing, and the evidence for each pair as one column per view."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import polars as pl

from kembar.arrays import Bools, Floats, Hashes, Rows, Sparse, default_threads, run_starts, slices
from kembar.errors import EvidenceError
from kembar.evidence.dense import products
from kembar.evidence.neighbors import Neighbors

SIMILARITY: Final = "similarity"
"""The evidence column that decisions read."""
OF_RULES: Final = "rules"
"""The evidence column that keeps what the hand-set rules made of a pair about which a classifier decides."""
BLENDED: Final = "_blended"
"""Added to the name of a view: its column after blending."""
_CHUNK = 1 << 16  # pairs whose vectors are gathered at once: bounds the memory


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of posts and what speaks for and against each.

    Attributes:
        left: (m,) int64 rows.
        right: (m,) int64 rows, left < right, each pair once, ordered by left, then right.
        evidence: one (m,) float32 column per kind of evidence, NaN where a post lacks it.
    """

    left: Rows
    right: Rows
    evidence: Mapping[str, Floats]

    def __post_init__(self) -> None:
        wrong = [name for name, column in self.evidence.items() if len(column) != len(self.left)]
        if len(self.left) != len(self.right) or wrong:
            raise EvidenceError(
                f"{len(self.left)} left rows, {len(self.right)} right rows and columns of other lengths: {wrong}",
                "arrays of one length",
                "Give each evidence column one value per pair.",
            )
        if not (self.left < self.right).all():
            raise EvidenceError(
                "a pair whose left row is not below its right row", "left < right", "Swap the two ends of such pairs."
            )
        same, higher = self.left[1:] == self.left[:-1], self.right[1:] > self.right[:-1]
        risen = (self.left[1:] > self.left[:-1]) | (same & higher)
        if not risen.all():
            raise EvidenceError(
                f"pairs out of order or given twice, the first at {int(risen.argmin()) + 1}",
                "each pair once, ordered by left, then right",
                "Sort the pairs and remove the doubles.",
            )

    def __len__(self) -> int:
        return len(self.left)

    def with_evidence(self, **columns: Floats) -> "Pairs":
        """Add or replace evidence columns."""
        return replace(self, evidence={**self.evidence, **columns})

    def within(self, labels: Rows) -> Bools:
        """Mark the pairs of posts with one label, some at a time: (n,) int64 labels to (m,) bool."""
        parts = slices(len(self), _CHUNK)
        return np.concatenate([labels[self.left[part]] == labels[self.right[part]] for part in parts])

    def take(self, keep: Bools | Rows | slice) -> "Pairs":
        """Keep some of the pairs: a mask, row numbers in rising order, or a range, of which nothing is copied."""
        return Pairs(self.left[keep], self.right[keep], {name: c[keep] for name, c in self.evidence.items()})

    def frame(self, ids: pl.Series) -> pl.DataFrame:
        """Show the pairs as a table: columns left, right (posting ids) and every evidence column.

        Args:
            ids: (n,) String posting ids.
        """
        ends = {"left": ids.gather(self.left), "right": ids.gather(self.right)}
        return pl.DataFrame({**ends, **dict(self.evidence)})


def candidates(neighbors: Iterable[Neighbors], n: int) -> tuple[Rows, Rows]:
    """Unite the neighbours of several views into unordered pairs.

    Args:
        neighbors: one Neighbors per view, all over the same n posts.
        n: number of posts.

    Returns:
        left (m,), right (m,), left < right, each pair once, ordered by left, then right.
    """
    keys = [np.zeros(0, dtype=np.int64)]
    for view in neighbors:
        source, target, _ = view.edges()
        keys.append(np.minimum(source, target) * n + np.maximum(source, target))
    return united(keys, n)


def united(keys: Sequence[Rows], n: int) -> tuple[Rows, Rows]:
    """Unite pairs of n posts that are given as left * n + right: left and right, each pair once, in order."""
    key = np.sort(np.concatenate(keys))  # numpy's hashing np.unique is 20 times slower
    left, right = np.divmod(key[run_starts(key)], max(n, 1))
    return left, right


def posts_of(left: Rows, right: Rows, n: int) -> tuple[Rows, Rows, Rows] | None:
    """Tell of which posts pairs are: what is compared by a pass over all posts is then done for these alone.

    Args:
        left: (m,) rows.
        right: (m,) rows.
        n: number of all posts.

    Returns:
        (p,) int64, these posts, rising, and the place of each left and each right row among them, (m,) int64 each; None
        where they may well be most of all posts, or there are no pairs.
    """
    if not len(left) or 2 * len(left) >= n:
        return None
    posts, place = np.unique(np.concatenate([left, right]), return_inverse=True)
    return posts, place[: len(left)], place[len(left) :]


def sparse_similarity(
    vectors: Sparse, left: Rows, right: Rows, *, base: Sparse = None, threads: int | None = None
) -> Floats:
    """Inner products of given pairs of sparse rows.

    Args:
        vectors: (n, d) CSR of unit rows; an empty row means that there is no evidence.
        left: (m,) rows.
        right: (m,) rows, of `base` where there is one.
        base: other rows over the same columns; None: the rows are compared among themselves.
        threads: chunks computed side by side; None: OMP_NUM_THREADS, or one per core. They do not change the result.

    Returns:
        (m,) float32, at most 1, not below 0 where no vector has negative numbers; NaN where either row is empty.
    """
    other = vectors if base is None else base

    def product(begin: int) -> Floats:
        a, b = vectors[left[begin : begin + _CHUNK]], other[right[begin : begin + _CHUNK]]
        return np.asarray(a.multiply(b).sum(axis=1), dtype=np.float32).ravel()

    similarity = _in_chunks(product, len(left), threads)
    similarity[(np.diff(vectors.indptr) == 0)[left] | (np.diff(other.indptr) == 0)[right]] = np.nan
    return np.clip(similarity, None, 1, out=similarity)


def dense_similarity(
    vectors: Floats, left: Rows, right: Rows, *, base: Floats | None = None, threads: int | None = None
) -> Floats:
    """Inner products of given pairs of dense rows.

    Args:
        vectors: (n, d) float32 unit rows; an all-zero row means that there is no evidence.
        left: (m,) rows.
        right: (m,) rows, of `base` where there is one.
        base: other rows over the same columns; None: the rows are compared among themselves.
        threads: chunks computed side by side; None: OMP_NUM_THREADS, or one per core. They do not change the result.

    Returns:
        (m,) float32 in [-1, 1], NaN where either row is zero.
    """
    other = vectors if base is None else base

    def product(begin: int) -> Floats:
        """Compare a chunk of the pairs."""
        a, b = left[begin : begin + _CHUNK], right[begin : begin + _CHUNK]
        found = products(vectors, a, other, b)
        none = np.flatnonzero(found == 0)  # of all-zero rows, and hardly any others: there is no need to read all rows
        known = np.any(vectors[a[none]], axis=1) & np.any(other[b[none]], axis=1)
        found[none[~known]] = np.nan
        return found

    similarity = _in_chunks(product, len(left), threads)
    return np.clip(similarity, -1, 1, out=similarity)


def hash_similarity(hashes: tuple[Hashes, Bools], base: tuple[Hashes, Bools], left: Rows, right: Rows) -> Floats:
    """Share of equal bits of given pairs of 64-bit hashes.

    Args:
        hashes: (n,) uint64, and (n,) bool, False where there is no hash.
        base: the same for the right ends of the pairs.
        left: (m,) rows of `hashes`.
        right: (m,) rows of `base`.

    Returns:
        (m,) float32 in [0, 1], 1 - differing bits / 64; NaN where either hash is missing.
    """
    differing: Floats = np.bitwise_count(hashes[0][left] ^ base[0][right]).astype(np.float32)
    similarity = 1 - differing / np.float32(64)
    similarity[~(hashes[1][left] & base[1][right])] = np.nan
    return similarity


def _in_chunks(product: Any, pairs: int, threads: int | None) -> Floats:
    if not pairs:
        return np.zeros(0, dtype=np.float32)
    if pairs <= _CHUNK:  # starting threads would take longer
        return np.asarray(product(0))
    with ThreadPoolExecutor(threads or default_threads()) as pool:
        return np.concatenate(list(pool.map(product, range(0, pairs, _CHUNK))))
