"""Crowds: posts of a product with more offers than a list of neighbours has places.

Where a list was cut among a post's own kind, most of its true matches were never compared with it, and that no view
brought a pair says nothing. Where a list goes on into other products, it has seen all there is.
"""

import numpy as np
import numpy.typing as npt

from kembar.arrays import Bools, Rows, places_where


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
    near = places_where(len(left), lambda rows: similarity[rows] >= np.float32(cut))
    degree = degrees(left, right, n) if compared is None else compared
    reached = degrees(left[near], right[near], n)
    crowded: Bools = cut_off & (degree > 0) & (2 * reached >= degree)
    return crowded


def degrees(left: Rows, right: Rows, n: int) -> Rows:
    """Count the pairs of each of n posts: (n,) int64."""
    return np.bincount(left, minlength=n) + np.bincount(right, minlength=n)


def may_crowd(cut_off: Bools, compared: Rows, possible: Rows) -> Bools:
    """Find the posts that are crowded at some cut, by their candidates and those among them above 0: (n,) bool."""
    found: Bools = cut_off & (2 * possible >= compared)
    return found


def matter(left: Rows, right: Rows, similarity: npt.NDArray[np.floating], crowds: Bools) -> Bools:
    """Mark the pairs that can change a decision: those above 0, and those by which crowds are known.

    Args:
        left: (m,) rows.
        right: (m,) rows.
        similarity: (m,) scores.
        crowds: (n,) bool, see `may_crowd`.

    Returns:
        (m,) bool.
    """
    found: Bools = (similarity > 0) | (crowds[left] & crowds[right])
    return found
