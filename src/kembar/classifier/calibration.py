"""Scores into probabilities that mean what they say, and how far they are from it."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from kembar.arrays import Bools, Doubles, Floats, run_ends
from kembar.classifier.match_weights import log_odds, odds_to_probability
from kembar.errors import EvidenceError

_SLOPE = 1e-3  # share of the uncalibrated probability, so that pairs on one step keep their order
_HELD = 5.0  # what it costs a correction to make probabilities steeper or flatter by one
_LOOSE = 0.5  # what it costs to move them by one
_FLATTEST = 0.1  # a correction never turns the order of pairs round


@dataclass(frozen=True, slots=True)
class Calibration:
    """A rising map from log-odds to probabilities (isotonic regression: Zadrozny and Elkan 2002).

    Attributes:
        score: (k,) float64 log-odds, rising.
        probability: (k,) float64 in [0, 1], not falling; linear between the scores, level beyond them.
    """

    score: Doubles
    probability: Doubles

    @classmethod
    def fit(cls, score: Floats, truth: Bools, weight: Doubles | None = None) -> "Calibration":
        """Learn the map from held-out pairs, by isotonic regression.

        Args:
            score: (m,) log-odds, m >= 1.
            truth: (m,) bool.
            weight: (m,) what each pair counts; all alike where None.

        Returns:
            The calibration.
        """
        from scipy.optimize import isotonic_regression  # takes a while to import

        value, place = np.unique(score.astype(np.float64), return_inverse=True)
        total = np.bincount(place, weight, len(value))
        share = np.bincount(place, truth if weight is None else truth * weight, len(value)) / total
        level = np.clip(isotonic_regression(share, weights=total).x, 0, 1)
        bend = np.ones(len(level), dtype=bool)
        bend[1:-1] = (level[1:-1] != level[:-2]) | (level[1:-1] != level[2:])
        return cls(value[bend], level[bend])

    def corrected(self, score: Floats, truth: Bools) -> "Calibration":
        """Move the map by some held-out pairs (Platt 1999, "Probabilistic outputs for support vector machines").

        With l the log-odds that the map gives, the new ones are a + b l: the most likely a and b, where b keeps near 1
        as if some pairs had said so.

        Args:
            score: (m,) log-odds.
            truth: (m,) bool.

        Returns:
            The calibration that was moved.
        """
        from scipy.optimize import minimize  # takes a while to import

        known, sign = log_odds(self(score)), np.where(truth, 1.0, -1.0)

        def unlikely(line: Doubles) -> float:
            wrong = np.logaddexp(0, -sign * (line[0] + line[1] * known)).sum()
            return float(wrong + _HELD * (line[1] - 1) ** 2 + _LOOSE * line[0] ** 2)

        shift, slope = minimize(unlikely, np.array([0.0, 1.0]), method="Nelder-Mead").x
        moved = odds_to_probability(shift + max(slope, _FLATTEST) * log_odds(self.probability))
        return Calibration(self.score, moved)

    def __call__(self, score: Floats) -> Floats:
        """Turn log-odds into probabilities: (m,) float32 in [0, 1], rising with the score."""
        level = np.interp(score, self.score, self.probability)
        plain = 1 / (1 + np.exp(-np.clip(score.astype(np.float64), -60, 60)))
        return np.clip((1 - _SLOPE) * level + _SLOPE * plain, 0, 1).astype(np.float32)


def reliability(probability: Floats, truth: Bools, *, bins: int = 15) -> pl.DataFrame:
    """Compare probabilities with what was true, in bins of equal width.

    Args:
        probability: (m,) in [0, 1].
        truth: (m,) bool.
        bins: how many.

    Returns:
        Columns low, high (bounds), pairs, probability (mean), share (of true pairs); bins without pairs are left out.

    Raises:
        EvidenceError: a probability that is missing or out of range.
    """
    if not ((probability >= 0) & (probability <= 1)).all():
        raise EvidenceError("probabilities that are missing or out of range", "numbers from 0 to 1", "Calibrate them.")
    bin_of = np.minimum((probability.astype(np.float64) * bins).astype(np.int64), bins - 1)
    pairs = np.bincount(bin_of, minlength=bins)
    some = np.flatnonzero(pairs)
    mean = np.bincount(bin_of, probability, bins)[some] / pairs[some]
    share = np.bincount(bin_of, truth, bins)[some] / pairs[some]
    bounds = {"low": some / bins, "high": (some + 1) / bins}
    return pl.DataFrame({**bounds, "pairs": pairs[some], "probability": mean, "share": share})


def calibration_error(probability: Floats, truth: Bools, *, bins: int = 15) -> float:
    """Measure the expected calibration error (Naeini et al. 2015): mean over pairs of |probability - share| by bin.

    Args:
        probability: (m,) in [0, 1], m >= 1.
        truth: (m,) bool.
        bins: of equal width.

    Returns:
        A number in [0, 1].
    """
    table = reliability(probability, truth, bins=bins)
    apart = (table["probability"] - table["share"]).abs() * table["pairs"]
    return float(apart.sum() / max(1, len(probability)))


def sure_cut(probability: Floats, truth: Bools, precision: float = 0.99) -> tuple[float, float]:
    """Find from where on pairs can be accepted unseen.

    Args:
        probability: (m,) in [0, 1].
        truth: (m,) bool.
        precision: share of the accepted pairs that has to be true.

    Returns:
        The lowest cut at or above which so many are true, and the share of all true pairs it accepts; (inf, 0) where
        there is none.
    """
    order = np.argsort(-probability, kind="stable")
    right = np.cumsum(truth[order])
    last = run_ends(probability[order])
    good = np.flatnonzero(last & (right >= precision * np.arange(1, len(order) + 1)))
    if not len(good):
        return float("inf"), 0.0
    return float(probability[order][good[-1]]), float(right[good[-1]] / max(1, right[-1]))
