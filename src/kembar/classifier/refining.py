"""A classifier that goes on learning: trees that are there, corrected by some hundred answers.

Some hundred answers are too few to learn two hundred columns from, but enough to tell a classifier that knows what a
product is where this catalogue differs from all that it has seen: in what its columns are worth, which a few small
trees correct, and in how many of the pairs are true, which moves its probabilities.
"""

from dataclasses import replace
from typing import Final

from kembar.arrays import Progress
from kembar.classifier.calibration import calibration_error
from kembar.classifier.pair_classifier import PairClassifier
from kembar.classifier.training_pairs import TrainingPairs, held_out_margins
from kembar.classifier.trees import Growth, grow
from kembar.errors import TrainingError

FEWEST_ANSWERS: Final = 5
"""True pairs, and others, that a correction needs."""

SURE_CUT: Final = 0.35
"""Where groups are best joined if probabilities are right; a classifier's own cut allows for their being too high."""

_STEADY: Final = 50  # answers after which half of the way to it is gone


def small(answers: int) -> Growth:
    """Choose trees that some hundred pairs can carry: the fewer pairs, the fewer trees."""
    return Growth(trees=min(100, max(10, answers // 4)), leaves=4, rate=0.1, least=8, columns=0.3, others=1.0)


def refined(
    start: PairClassifier, pairs: TrainingPairs, *, growth: Growth | None = None, progress: Progress | None = None
) -> PairClassifier:
    """Let a classifier learn from more pairs.

    New trees grow upon its own: once without each fold, to correct the calibration (Platt 1999, "Probabilistic outputs
    for support vector machines", held near what it was), and once from all. Pairs may be chosen by the probability that
    it gives them, as `kembar label-queue` does: nothing here takes their share of true pairs for that of the catalogue.

    Args:
        start: what is there, of LightGBM.
        pairs: what is known, by the start's columns.
        growth: how the new trees grow; see `small`.
        progress: called with (stage, done, total).

    Returns:
        The classifier, with its held-out probabilities. Its cut goes lower, the more answers there are; it looks at all
        pairs, since the start's gate was measured without these; its options and what else it owns stay the start's.

    Raises:
        TrainingError: fewer than five true pairs, or others.
    """
    right = int(pairs.truth.sum())
    if min(right, len(pairs.truth) - right) < FEWEST_ANSWERS:
        raise TrainingError(
            f"{right} true pairs and {len(pairs.truth) - right} others",
            f"at least {FEWEST_ANSWERS} true pairs, and as many others",
            "Label more pairs, or use the classifier as it is.",
        )
    growth = growth or small(len(pairs.truth))
    score = held_out_margins(pairs, growth, start.trees, progress)
    calibration = start.calibration.corrected(score, pairs.truth)
    held_out = calibration(score)
    error = round(calibration_error(held_out, pairs.truth), 5)
    lower = max(0.0, start.cut - SURE_CUT) * len(pairs.truth) / (len(pairs.truth) + _STEADY)
    return replace(
        start,
        cut=round(start.cut - lower, 3),
        trees=grow(pairs.table, pairs.truth, None, growth, start.trees),
        calibration=calibration,
        gate=0.0,
        card={**start.card, "answers": len(pairs.truth), "true_answers": right, "calibration_error": error},
        held_out=held_out,
    )
