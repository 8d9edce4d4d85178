"""Labelled pairs to learn from: what they hold, what they count, and how trees that had not seen them score them."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from kembar.arrays import Bools, Floats, Progress, Rows
from kembar.classifier.trees import Growth, Trees, grow
from kembar.errors import EvidenceError, TrainingError

FEWEST_PAIRS: Final = 50
"""True pairs that training needs."""


@dataclass(frozen=True, slots=True)
class TrainingPairs:
    """Labelled pairs to learn from.

    Attributes:
        table: (m, c) float32, NaN where missing.
        truth: (m,) bool, whether a pair is one product.
        folds: (m, 2) int64, the folds of the two ends. Posts that can tell on each other (equal label, photo or hash)
            belong to one fold; see `kembar.posts.labels.super_components`.
        names: (c,) the columns.
        weight: (m,) float32 above 0, how much a pair counts in training, not in calibration; all alike where None.
        density: (m,) numbers from 0, equal for pairs from pools of one size; one for all where None.

    Raises:
        EvidenceError: arrays that do not fit each other.
    """

    table: Floats
    truth: Bools
    folds: Rows
    names: tuple[str, ...]
    weight: Floats | None = None
    density: Rows | None = None

    def __post_init__(self) -> None:
        m = len(self.truth)
        fits = self.table.shape == (m, len(self.names)) and self.folds.shape == (m, 2)
        if not fits or any(len(each) != m for each in (self.weight, self.density) if each is not None):
            raise EvidenceError(
                f"a table of shape {self.table.shape} for {m} pairs, {len(self.names)} names and folds of shape "
                f"{self.folds.shape}",
                "one row per pair, one column per name, two folds and one weight per pair",
                "Make the table with Features.table.",
            )


def pair_weights(left: Rows, right: Rows, labels: Rows, *, power: float = 0.5) -> Floats:
    """Weigh pairs so that large groups, whose pairs grow with the square of their size, do not drown the others.

    Args:
        left: (m,) rows.
        right: (m,) rows.
        labels: (n,) group codes >= 0, -1 where unknown (a group of one).
        power: the weight is the mean over both ends of 1 / size^power; 2nd place of Kaggle Shopee took .4.

    Returns:
        (m,) float32 in (0, 1].
    """
    sizes = np.bincount(labels[labels >= 0], minlength=1)
    own = np.where(labels >= 0, sizes[labels], 1).astype(np.float64) ** -power
    return ((own[left] + own[right]) / 2).astype(np.float32)


def check_truth(truth: Bools) -> None:
    """Refuse pairs that are too few to learn from: at least 50 true ones and others; raises TrainingError."""
    right = int(truth.sum())
    if right < FEWEST_PAIRS or right == len(truth):
        raise TrainingError(
            f"{right} true pairs and {len(truth) - right} others",
            f"at least {FEWEST_PAIRS} true pairs, and others to tell them from",
            "Label more posts, or use a classifier that has been trained.",
        )


def check_folds(truth: Bools, folds: Rows) -> None:
    """Refuse pairs that leave nothing to learn from without one of their folds; raises TrainingError."""
    check_truth(truth)
    for part in np.unique(folds):
        seen = truth[~(folds == part).any(axis=1)]
        if not seen.any() or seen.all():
            raise TrainingError(
                f"no true pairs, or no others, outside fold {part}", "both in every training", "Use fewer folds."
            )


def held_out_margins(
    pairs: TrainingPairs, growth: Growth, start: Trees | None = None, progress: Progress | None = None
) -> Floats:
    """Score pairs by trees that had not seen their posts: once for each fold, without it.

    Args:
        pairs: what is known.
        growth: how the trees grow.
        start: trees to grow on from.
        progress: called with (stage, done, total); the last of the total is for the trees of all pairs.

    Returns:
        (m,) float32 log-odds; of a pair across two folds their mean.
    """
    parts, weight = np.unique(pairs.folds), pairs.weight
    score, votes = np.zeros(len(pairs.truth)), np.zeros(len(pairs.truth))
    for done, part in enumerate(parts):
        if progress:
            progress("training", done, len(parts) + 1)
        unseen = (pairs.folds == part).any(axis=1)
        seen = ~unseen
        trees = grow(pairs.table[seen], pairs.truth[seen], None if weight is None else weight[seen], growth, start)
        score[unseen] += trees.margin(pairs.table[unseen])
        votes[unseen] += 1
    if progress:
        progress("training", len(parts), len(parts) + 1)
    return (score / votes).astype(np.float32)
