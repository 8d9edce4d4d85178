"""Evidence that a classifier has not learned from, weighed by the pairs that the classifier is sure of.

The labels that a classifier learned from may have had no photos; the posts it scores may have them. What a cosine of s
adds to the log-odds of a pair is then its match weight (Fellegi and Sunter 1969, "A theory for record linkage"),

    w(s) = ln P(s | one product) - ln P(s | two products),

provided that the two kinds of evidence are independent once it is known whether the pair is one product. Both
distributions come from these very pairs: at first each counts for one product by its probability, then by its
probability with the weight, and so on (expectation and maximisation; Winkler 1988, and Splink).
"""

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from kembar.arrays import Bools, Doubles, Floats, Rows, slices

Judged: TypeAlias = tuple[Floats, Floats, Bools]
"""Some pairs: (m,) probabilities in [0, 1], by a classifier that has not seen their cosines; (m,) float32 cosines, NaN
where missing, those below 0 count as 0; and (m,) bool, whether that classifier knows their photos to be the same, by
their hashes: for these the cosine says little new, and weights are estimated apart."""

STEPS: Final = 101
"""A weight is kept for each hundredth of a cosine from 0 to 1."""

_GUESSED: Final = 50.0  # pairs that the first guess counts for, in each hundredth
_UNHEARD: Final = 1e-6  # a hundredth without pairs says nothing, but isotonic regression wants a weight
_UNITS: Final = 1 << 24  # of a pair: sums of whole ones are the same in any order and in any parts
_PAIRS: Final = 1 << 20  # looked at at once: bounds the memory
_SURE: Final = 1e-4  # no probability is nearer to 0 or 1: other evidence may still speak


def cosine_weights(read: Callable[[], Iterable[Judged]], *, guess: Doubles | None = None, rounds: int = 3) -> Doubles:
    """Estimate what the cosines of an encoder add to the log-odds of pairs.

    Args:
        read: reads all pairs, in parts of any size, each time that it is called.
        guess: (101,) log-odds by hundredths, taken for true where there are few pairs, of photos that are not alike;
            0 where None.
        rounds: estimates, one after the other.

    Returns:
        (2, 101) log-odds to add by hundredths, not falling: of photos that are not alike, and of those that are.
    """
    found = np.zeros((2, STEPS))
    for _ in range(rounds):
        pairs, true = np.zeros((2, 2 * STEPS))
        for probability, cosine, alike in read():
            for rows in slices(len(cosine), _PAIRS):
                known = ~np.isnan(cosine[rows])
                place = (alike[rows] * STEPS + hundredths(cosine[rows]))[known]
                belief = odds_to_probability(log_odds(probability[rows][known]) + found.ravel()[place])
                pairs += np.bincount(place, minlength=2 * STEPS)
                true += np.bincount(place, np.rint(belief * _UNITS), 2 * STEPS)
        halves = zip(np.split(true / _UNITS, 2), np.split(pairs, 2), (guess, None), strict=True)
        found = np.stack([weights(*half) for half in halves])
    return found


def looked_up(table: npt.NDArray[np.floating], cosine: Floats, alike: Bools) -> Floats:
    """Give the weights of pairs, of a table by alike and hundredths: (m,) float32; 0 where a cosine is missing."""
    return np.where(np.isnan(cosine), 0, table[alike.astype(np.int64), hundredths(cosine)]).astype(np.float32)


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


def weights(true: Doubles, pairs: Doubles, guess: Doubles | None = None) -> Doubles:
    """Take for each hundredth the log-odds of a pair there against those of all pairs.

    Args:
        true: (101,) how many of the pairs are one product, by hundredths of the cosine.
        pairs: (101,) how many there are.
        guess: (101,) log-odds, which count as 50 pairs in each hundredth; where None, 0 where there are pairs.

    Returns:
        (101,) log-odds, not falling.
    """
    from scipy.optimize import isotonic_regression  # takes a while to import

    base = float(log_odds((true.sum(keepdims=True) + 0.5) / (pairs.sum() + 1))[0])
    expected = odds_to_probability(base + (np.zeros(STEPS) if guess is None else guess))
    share = (true + _GUESSED * expected) / (pairs + _GUESSED)
    heard = pairs + (_UNHEARD if guess is None else _GUESSED)
    found: Doubles = log_odds(np.asarray(isotonic_regression(share, weights=heard).x)) - base
    return found
