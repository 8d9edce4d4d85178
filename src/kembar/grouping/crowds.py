"""Crowds: posts of a product with more offers than a list of neighbours has places.

Where a list was cut among a post's own kind, most of its true matches were never compared with it, and that no view
brought a pair says nothing. Where a list goes on into other products, it has seen all there is.
"""

import numpy as np
import numpy.typing as npt

from kembar.arrays import Bools, Rows


def crowded_posts(
    left: Rows,
    right: Rows,
    similarity: npt.NDArray[np.floating],
    cut_off: Bools,
    *,
    cut: float,
    compared: Rows | None = None,
) -> Bools:
    """Find the posts whose lists were cut among their own kind: at least half of their candidates reach the cut.

    Args:
        left: (m,) rows.
        right: (m,) rows, each unordered pair once.
        similarity: (m,) scores.
        cut_off: (n,) bool, posts whose list was full in some view.
        cut: the similarity that joins groups.
        compared: (n,) candidates of each post, where only some of the pairs are given; None: all are.

    Returns:
        (n,) bool.
    """
    n = len(cut_off)
    near = similarity >= np.float32(cut)
    degree = np.bincount(left, minlength=n) + np.bincount(right, minlength=n) if compared is None else compared
    reached = np.bincount(left[near], minlength=n) + np.bincount(right[near], minlength=n)
    crowded: Bools = cut_off & (degree > 0) & (2 * reached >= degree)
    return crowded
