"""Which pairs to ask people about: those whose answers teach a classifier most.

Pairs near one half alone would teach little of the others, and nothing of how far the probabilities are off. So the
questions are spread evenly over the range of probabilities (stratified sampling), half of each part where the
classifier and the hand-set rules disagree most (query by committee: Seung et al. 1992), and one per neighbourhood, so
that a large group does not ask about itself again and again.
"""

from typing import Final

import numpy as np

from kembar.arrays import Doubles, Floats, Rows
from kembar.classifier.match_weights import log_odds
from kembar.evidence.pairs import Pairs

STRATA: Final = 10
_ENDS: Final = (0.02, 0.98)  # probabilities beyond are as good as certain; each end is one more stratum
_LOOKED_AT: Final = 50  # candidates for each question: bounds the time


def spread(probability: Floats, rules: Floats, draws: Doubles) -> Rows:
    """Put pairs into the order in which they are asked about: from each part of the range in turn.

    Parts are equally wide in log-odds, between probabilities of .02 and .98; pairs beyond come last.

    Args:
        probability: (m,) in [0, 1].
        rules: (m,) float32, another opinion on the same pairs, in any unit.
        draws: (m,) in [0, 1), the order of pairs that are alike.

    Returns:
        (m,) int64 places.
    """
    low, high = log_odds(np.array(_ENDS))
    stratum = np.floor((log_odds(probability) - low) / (high - low) * STRATA).clip(-1, STRATA).astype(np.int64)
    turn = np.empty(len(probability))
    for each in range(-1, STRATA + 1):
        own = np.flatnonzero(stratum == each)
        draw = draws[own]
        apart = np.abs(_ranks(probability[own], draw) - _ranks(rules[own], draw))
        turn[own] = np.minimum(2 * _ranks(draw, draw), 2 * _ranks(-apart, draw) + 1)
    certain = (stratum < 0) | (stratum == STRATA)
    return np.lexsort((draws, stratum, turn, certain))


def near(similarity: Floats, cut: float, draws: Doubles) -> Rows:
    """Put pairs into the order of their distance from a cut: (m,) int64 places."""
    return np.lexsort((draws, np.abs(similarity - np.float32(cut))))


def one_each(pairs: Pairs, order: Rows, groups: Rows, n: int) -> Rows:
    """Take pairs in an order, but first those that bring two posts of neighbourhoods not asked about.

    Args:
        pairs: all of them.
        order: (m,) places, the best first.
        groups: (posts,) group of each post; a post and its group are one neighbourhood.
        n: pairs wanted.

    Returns:
        Up to n places.
    """
    seen: set[int] = set()
    window = order[: _LOOKED_AT * n]
    fresh = np.array([_new(seen, groups[[pairs.left[at], pairs.right[at]]]) for at in window], dtype=bool)
    return np.concatenate([window[fresh], window[~fresh]])[:n]


def _new(seen: set[int], ends: Rows) -> bool:
    """Tell whether neither neighbourhood was asked about, and note both."""
    both = set(ends.tolist())
    if seen & both:
        return False
    seen |= both
    return True


def _ranks(values: Floats | Doubles | Rows, draws: Doubles) -> Rows:
    rank = np.empty(len(values), dtype=np.int64)
    rank[np.lexsort((draws, values))] = np.arange(len(values))
    return rank
