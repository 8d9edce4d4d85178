"""Directed edges: pairs seen from both ends, ordered by source, best first; a cut on them, and a cap."""

import numpy as np

from kembar.arrays import Floats, Rows, run_starts
from kembar.errors import ConfigError

Edges = tuple[Rows, Rows, Floats]


def directed(left: Rows, right: Rows, similarity: Floats) -> Edges:
    """See every pair from both ends, ordered by source, best first, equal ones by target.

    Args:
        left: (m,) rows.
        right: (m,) rows, each unordered pair once.
        similarity: (m,) scores.

    Returns:
        source (2m,), target (2m,), score (2m,).
    """
    source, target = np.concatenate([left, right]), np.concatenate([right, left])
    score = np.concatenate([similarity, similarity])
    order = np.lexsort((target, -score, source))
    return source[order], target[order], score[order]


def select(
    left: Rows, right: Rows, similarity: Floats, n: int, *, threshold: float, min2: float | None = None
) -> Edges:
    """Keep the pairs at or above a threshold; a post left alone takes its nearest above min2.

    Kaggle Shopee, 1st place ("min2"): M(i) = {j : s(i, j) >= threshold}; where that is empty and the best similarity
    is at least min2, M(i) is the best neighbour alone.

    Args:
        left: (m,) rows.
        right: (m,) rows, each unordered pair once.
        similarity: (m,) scores in [0, 1].
        n: number of posts.
        threshold: in [0, 1].
        min2: in [0, threshold]; no such step where None.

    Returns:
        source, target, score of the kept directed edges, ordered by source, best first.

    Raises:
        ConfigError: a threshold outside [0, 1], or min2 above the threshold.
    """
    if not 0 <= threshold <= 1:
        raise ConfigError(f"threshold {threshold}", "a similarity from 0 to 1", "Choose a threshold in that range.")
    if min2 is not None and not 0 <= min2 <= threshold:
        raise ConfigError(f"min2 {min2} with threshold {threshold}", "0 <= min2 <= threshold", "Lower min2.")
    # Below both cuts nothing is kept: leaving it out first spares the sort.
    near = similarity >= (threshold if min2 is None else min2)
    source, target, score = directed(left[near], right[near], similarity[near])
    keep = score >= threshold
    if min2 is not None:
        keep |= run_starts(source)
    return source[keep], target[keep], score[keep]


def capped(edges: Edges, cap: int) -> Edges:
    """Keep the best of long lists.

    Args:
        edges: source, target, score, ordered by source, best first.
        cap: most members of a list, the post itself counted.

    Returns:
        The kept edges.

    Raises:
        ConfigError: cap < 1.
    """
    if cap < 1:
        raise ConfigError(f"cap {cap}", "at least 1, the post itself", "Raise the cap; Kaggle allows 51.")
    source, target, score = edges
    begin = np.flatnonzero(run_starts(source))
    place = np.arange(len(source)) - np.repeat(begin, np.diff(np.r_[begin, len(source)]))
    keep = place < cap - 1
    return source[keep], target[keep], score[keep]
