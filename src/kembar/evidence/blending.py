"""Neighbourhood blending and query expansion: a post's vector learns from the posts it surely matches.

Two posts of one product that share few words often share a third post; after blending each holds that post's words.
"""

import numpy as np
import scipy.sparse as sp

from kembar.arrays import Floats, Rows, Sparse, Vectors, unit_rows
from kembar.errors import ConfigError
from kembar.evidence.edges import select
from kembar.evidence.neighbors import Neighbors


def neighborhood(
    left: Rows, right: Rows, similarity: Floats, n: int, *, threshold: float, min2: float | None = None
) -> Sparse:
    """Build the weights of one blending step.

    Row i holds M(i), the posts at or above the threshold, or the single best one above min2 where there is none,
    weighted by their similarity; and i itself with weight 1 (Kaggle Shopee, 1st place; 18th place for taking one set
    of fused weights for all views).

    Args:
        left: (m,) rows.
        right: (m,) rows, each unordered pair once.
        similarity: (m,) fused similarity in [0, 1].
        n: number of posts.
        threshold: as above; stricter than for the answer works best.
        min2: as above, at most the threshold; no such step where None.

    Returns:
        (n, n) CSR float32.
    """
    source, target, score = select(left, right, similarity, n, threshold=threshold, min2=min2)
    itself = np.arange(n)
    weights = np.concatenate([score, np.ones(n, dtype=np.float32)])
    rows, columns = np.concatenate([source, itself]), np.concatenate([target, itself])
    matrix = sp.csr_matrix((weights, (rows, columns)), shape=(n, n), dtype=np.float32)
    matrix.sort_indices()
    return matrix


def blend(vectors: Vectors, weights: Sparse) -> Vectors:
    """Blend all rows at once: x'_i = unit(sum over j of w_ij x_j) (Kaggle Shopee, 1st place).

    Args:
        vectors: (n, d) unit rows, sparse (blended as sparse) or dense; empty rows are filled by their neighbours.
        weights: (n, n) CSR of `neighborhood`.

    Returns:
        (n, d) float32 unit rows of the same kind; a row stays empty where all its neighbours are.
    """
    return unit_rows(weights @ vectors)


def query_expansion(
    vectors: Vectors, neighbors: Neighbors, *, k: int = 2, alpha: float = 0.5, concatenate: bool = True
) -> Vectors:
    """Expand every row by its k nearest: e_i = unit(sum over the top k of s^alpha x_j).

    Args:
        vectors: (n, d) unit rows, sparse or dense.
        neighbors: the nearest rows, the row itself first; their scores are the s.
        k: neighbours used, the row itself counted, >= 1.
        alpha: 0 weighs all alike, larger trusts the nearer ones (alpha query expansion, Radenovic et al. 2018).
        concatenate: return [x_i ; e_i] / sqrt(2), whose inner product is the mean of the old and the new cosine (2nd
            place), rather than e_i alone (8th and 10th place).

    Returns:
        (n, d) or (n, 2 d) float32 unit rows of the same kind; rows empty before stay empty.

    Raises:
        ConfigError: k < 1 or alpha < 0.
    """
    if k < 1 or not alpha >= 0:
        raise ConfigError(f"k {k} and alpha {alpha}", "k >= 1 and alpha >= 0", "Correct the query expansion.")
    n = len(neighbors)
    index, score = neighbors.index[:, :k], np.clip(neighbors.score[:, :k], 0, None) ** alpha
    source, place = np.nonzero(index >= 0)
    entries = (score[source, place].astype(np.float32), (source, index[source, place]))
    expanded = unit_rows(sp.csr_matrix(entries, shape=(n, n), dtype=np.float32) @ vectors)
    if not concatenate:
        return expanded
    half = np.float32(np.sqrt(0.5))
    if sp.issparse(vectors):
        return sp.csr_matrix(sp.hstack([vectors * half, expanded * half]), dtype=np.float32)
    return np.hstack([vectors * half, expanded * half]).astype(np.float32)
