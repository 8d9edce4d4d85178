"""Evidence that a classifier has not learned from, weighed by the pairs that the classifier is sure of.

The labels that a classifier learned from may have had no photos; the posts it scores may have them. What a cosine of s
adds to the log-odds of a pair is then its match weight (Fellegi and Sunter 1969, "A theory for record linkage"),

    w(s) = ln P(s | one product) - ln P(s | two products),

provided that the two kinds of evidence are independent once it is known whether the pair is one product. Both
distributions come from these very pairs: at first each counts for one product by its probability, then by its
probability with the weight, and so on (expectation and maximisation; Winkler 1988, and Splink).
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from kembar.arrays import Bools, Doubles, Floats, Rows

STEPS: Final = 101
"""A weight is kept for each hundredth of a cosine from 0 to 1."""

_GUESSED: Final = 50.0  # pairs that the first guess counts for, in each hundredth
_UNHEARD: Final = 1e-6  # a hundredth without pairs says nothing, but isotonic regression wants a weight
_SURE: Final = 1e-4  # no probability is nearer to 0 or 1: other evidence may still speak


def weigh(
    probability: Floats, cosine: Floats, alike: Bools, *, guess: Doubles | None = None, rounds: int = 3
) -> Floats:
    """Estimate what the cosines of an encoder add to the log-odds of pairs.

    Args:
        probability: (m,) in [0, 1], by a classifier that has not seen the cosines.
        cosine: (m,) float32, NaN where missing; those below 0 count as 0.
        alike: (m,) bool, pairs whose photos that classifier knows to be the same, by their hashes: for them the cosine
            says little new, and weights are estimated apart.
        guess: (101,) log-odds by hundredths, taken for true where there are few pairs, of photos that are not alike;
            0 where None.
        rounds: estimates, one after the other.

    Returns:
        (m,) float32 log-odds to add, not falling with the cosine; 0 where it is missing.
    """
    prior = log_odds(probability)
    weight = np.zeros(len(probability))
    step = hundredths(cosine)
    known = ~np.isnan(cosine)
    for _ in range(rounds):
        belief = odds_to_probability(prior + weight)
        for part, first in ((known & alike, None), (known & ~alike, guess)):
            weight[part] = weights(belief[part], step[part], first)[step[part]]
    return weight.astype(np.float32)


def updated(probability: Floats, weight: Floats) -> Floats:
    """Add log-odds to probabilities: (m,) float32; a probability to which 0 is added stays as it is."""
    changed = odds_to_probability(log_odds(probability) + weight).astype(np.float32)
    return np.where(weight == 0, probability, changed)


def log_odds(probability: npt.NDArray[np.floating]) -> Doubles:
    """Turn probabilities into log-odds, no further than 9.2 from 0."""
    p = np.clip(probability.astype(np.float64), _SURE, 1 - _SURE)
    return np.log(p / (1 - p))


def odds_to_probability(log_odds: Doubles) -> Doubles:
    """Turn log-odds into probabilities."""
    return 1 / (1 + np.exp(-log_odds))


def hundredths(cosine: Floats) -> Rows:
    """Count the whole hundredths of cosines: (m,) int64 from 0 to 100; 0 where missing."""
    found: Rows = np.nan_to_num(np.clip(cosine, 0, 1) * np.float32(STEPS - 1)).astype(np.int64)
    return found


def weights(belief: Doubles, step: Rows, guess: Doubles | None = None) -> Doubles:
    """Take for each hundredth the log-odds of a pair there against those of all pairs.

    Args:
        belief: (m,) probabilities; or 0 and 1, where the truth is known.
        step: (m,) the hundredths of the cosines.
        guess: (101,) log-odds, which count as 50 pairs in each hundredth; where None, 0 where there are pairs.

    Returns:
        (101,) log-odds, not falling.
    """
    from scipy.optimize import isotonic_regression  # takes a while to import

    base = float(log_odds((belief.sum(keepdims=True) + 0.5) / (len(belief) + 1))[0])
    pairs = np.bincount(step, minlength=STEPS)
    expected = odds_to_probability(base + (np.zeros(STEPS) if guess is None else guess))
    share = (np.bincount(step, belief, STEPS) + _GUESSED * expected) / (pairs + _GUESSED)
    heard = pairs + (_UNHEARD if guess is None else _GUESSED)
    found: Doubles = log_odds(np.asarray(isotonic_regression(share, weights=heard).x)) - base
    return found
