"""Fusion: one similarity from many. Hand-set rules over the views of a pair.

Missing evidence is not a zero: a view that a pair lacks (no photo, no title) is left out of the rule, which keeps its
scale by being a mean of some kind, a maximum, or a soft or.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from kembar.arrays import Floats
from kembar.errors import ConfigError, EvidenceError

_Rule = Callable[[Floats, Floats], Floats]


def rescale(similarity: Floats, floor: float, ceiling: float = 1.0) -> Floats:
    """Bring a view's similarity to [0, 1]: 0 at or below the floor, 1 at or above the ceiling, linear between.

    For a 64-bit hash, floor 1 - 20/64 gives the 1 - differing bits / 20 of the published solutions.

    Args:
        similarity: any shape, NaN where missing.
        floor: the similarity that means nothing in common.
        ceiling: the similarity that means the same, above the floor.

    Returns:
        float32 in [0, 1] of the same shape, NaN where missing.

    Raises:
        ConfigError: floor >= ceiling.
    """
    if not floor < ceiling:
        raise ConfigError(f"floor {floor} and ceiling {ceiling}", "floor < ceiling", "Lower the floor.")
    scaled = (similarity - np.float32(floor)) / np.float32(ceiling - floor)
    clipped: Floats = np.clip(scaled, 0, 1).astype(np.float32, copy=False)
    return clipped


def fuse(
    similarities: Sequence[Floats],
    rule: str = "soft_or",
    *,
    weights: Sequence[float] | None = None,
    thresholds: Sequence[float] | None = None,
) -> Floats:
    """Fuse the similarities of pairs by a rule.

    With a and b in [0, 1], for two views:

    ========  ===========================  ==============================================
    rule      formula                      source (Kaggle Shopee)
    ========  ===========================  ==============================================
    mean      (a + b) / 2                  1st place: concatenation of normalised vectors
    max       max(a, b)                    union of matches at one threshold
    product   sqrt(a b)                    orders pairs as a b does, on the scale of one view
    soft_or   a + b - ab = 1 - (1-a)(1-b)  18th place
    squares   sqrt((a² + b²) / 2)          4th place: mean of squared cosines, as a root
    convex    (a⁶ + b⁶)^(1/6), at most 1   11th place: accept above .84
    union     max(a / s, b / t) / 2        a match of any view at its own threshold s or t; .5 is the cut
    ========  ===========================  ==============================================

    Args:
        similarities: one (m,) float32 column in [0, 1] per view, NaN where a pair lacks it; below 0 counts as 0.
        rule: one of `kembar.config.FUSION_RULES`.
        weights: one positive weight a view; the mean of mean and squares and the powers of product and soft_or take
            them, max, convex and union do not. All 1 by default.
        thresholds: one per view in (0, 1], for union alone; all .5 by default.

    Returns:
        (m,) float32 in [0, 1]; 0 where a pair has no evidence at all.

    Raises:
        ConfigError: an unknown rule, or weights or thresholds that do not fit.
        EvidenceError: no similarities, or columns of different lengths.
    """
    if rule not in _RULES:
        raise ConfigError(f"fusion rule {rule!r}", f"one of {', '.join(_RULES)}", "Choose one of these rules.")
    if not len(similarities):
        raise EvidenceError("no similarities", "at least one view", "Give titles, photos, hashes or vectors.")
    if len({len(s) for s in similarities}) > 1:
        raise EvidenceError(
            f"columns of {[len(s) for s in similarities]} pairs", "one length for all", "Compare the same pairs."
        )
    columns = np.stack([np.asarray(s, dtype=np.float32) for s in similarities])
    if thresholds is not None and not all(0 < t <= 1 for t in thresholds):
        raise ConfigError(f"thresholds {thresholds!r}", "numbers above 0, at most 1", "Correct the thresholds.")
    if rule == "union":
        columns = columns / (2 * _fitting(thresholds, len(columns), 0.5, "thresholds"))[:, None]
    weight = _fitting(weights, len(columns), 1.0, "weights")[:, None]
    present = ~np.isnan(columns)
    values = np.where(present, np.maximum(columns, 0), np.float32(0))
    fused = _RULES[rule](values, np.where(present, weight, np.float32(0)))
    return np.clip(fused, 0, 1).astype(np.float32)


def _fitting(given: Sequence[float] | None, views: int, default: float, what: str) -> Floats:
    values = np.full(views, default) if given is None else np.asarray(given, dtype=np.float64)
    if len(values) != views or not ((values > 0) & (values < np.inf)).all():
        raise ConfigError(f"{what} {given!r}", f"{views} numbers above 0, one per view", f"Correct the {what}.")
    return values.astype(np.float32)


def _share(weights: Floats) -> Floats:
    """Normalise the weights of the views that are present to a sum of 1."""
    total = weights.sum(axis=0)
    return np.divide(weights, np.where(total > 0, total, 1)).astype(np.float32)


def _mean(values: Floats, weights: Floats) -> Floats:
    mean: Floats = np.sum(values * _share(weights), axis=0, dtype=np.float32)
    return mean


def _maximum(values: Floats, weights: Floats) -> Floats:
    largest: Floats = values.max(axis=0)
    return largest


def _product(values: Floats, weights: Floats) -> Floats:
    powers = np.power(values, _share(weights), where=weights > 0, out=np.ones_like(values))
    return np.where(weights.any(axis=0), np.prod(powers, axis=0), np.float32(0))


def _soft_or(values: Floats, weights: Floats) -> Floats:
    none: Floats = np.prod(np.power(1 - np.minimum(values, 1), weights), axis=0, dtype=np.float32)
    return 1 - none


def _squares(values: Floats, weights: Floats) -> Floats:
    return np.sqrt(np.sum(values**2 * _share(weights), axis=0, dtype=np.float32))


def _convex(values: Floats, weights: Floats) -> Floats:
    return np.power(np.sum(values**6, axis=0, dtype=np.float32), np.float32(1 / 6))


_RULES: Final[dict[str, _Rule]] = {
    "mean": _mean,
    "max": _maximum,
    "product": _product,
    "soft_or": _soft_or,
    "squares": _squares,
    "convex": _convex,
    "union": _maximum,
}
