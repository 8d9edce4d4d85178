"""What equal and unequal identifiers add to the log-odds of a pair, estimated from the pairs themselves.

A GTIN that two posts share speaks for one product and two different ones against it, but neither decides: sellers copy
wrong codes, and one product can have two. How much they say differs from catalogue to catalogue. The match weights of
Fellegi and Sunter (1969),

    ln P(equal | one product) / P(equal | two products)    and    ln P(unequal | one) / P(unequal | two),

come from the pairs that the classifier, which knows nothing of identifiers, is sure of. It is wrong about some of them,
and those have unequal codes: so a guess, which holds for such codes elsewhere, counts as much as 200 pairs.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import numpy as np

from kembar.arrays import Bools, Floats
from kembar.classifier.match_weights import updated
from kembar.evidence.identifier_view import WEIGHT, identifier_columns
from kembar.evidence.pairs import SIMILARITY, Pairs

_SURE: Final = 0.95  # a probability from which on a pair is one product; below the rest of it, two
_GUESSED: Final = 200.0  # pairs of each kind that the guess counts for
_MOST: Final = 7.0  # what all identifiers together can add: the classifier can still be surer than that


@dataclass(frozen=True, slots=True)
class Guess:
    """What is thought of a kind of code before any pair is seen.

    Attributes:
        one: how often two posts of one product have the same code, in (0, 1).
        two: how often two candidates that are two products do, in (0, 1).
        against: the most that unequal codes can take from the log-odds.
    """

    one: float
    two: float
    against: float


GTIN: Final = Guess(0.95, 1e-4, _MOST)
OTHER: Final = Guess(0.8, 1e-3, 3.0)
"""Sellers write a part number with and without colour, or their own instead: unequal ones say less."""


def weighed_by_identifiers(
    pairs: Pairs, gtins: Collection[str], packs: Bools | None = None, *, learned: bool = True
) -> Pairs:
    """Add to probabilities what identifiers say.

    Args:
        pairs: with `similarity`, a probability, and the columns of identifier views. A probability of 0 stays: such a
            pair is forbidden, or was not looked at.
        gtins: names of those views that hold GTINs.
        packs: (m,) bool, pairs whose titles name unlike numbers of pieces: sellers give a pack the code of what is in
            it, so an equal code does not speak for them. None: no pair.
        learned: estimate the weights; else, where a similarity is no probability, take the guesses for true.

    Returns:
        The pairs with their `similarity` changed and a column `<view>_weight` for each view: what it added to the
        log-odds. The same pairs where there are no identifiers.
    """
    columns = identifier_columns(pairs)
    if not columns:
        return pairs
    probability = pairs.evidence[SIMILARITY]
    packs = np.zeros(len(pairs), dtype=bool) if packs is None else packs
    one, two = (probability >= _SURE, probability <= 1 - _SURE) if learned else (np.zeros(len(pairs), bool),) * 2
    told: dict[str, Floats] = {}
    for name, column in columns.items():
        equal, unequal = agreement_weights(column, one, two, GTIN if name in gtins else OTHER)
        silent = np.isnan(column) | (probability == 0) | (packs & (column == 1))
        weight = np.where(silent, 0.0, np.where(column == 1, equal, unequal))
        told[name + WEIGHT] = weight.astype(np.float32)
    total = np.clip(np.sum(list(told.values()), axis=0), -_MOST, _MOST)  # two codes of one product say much the same
    return pairs.with_evidence(**told, **{SIMILARITY: updated(probability, total)})


def agreement_weights(column: Floats, one: Bools, two: Bools, guess: Guess) -> tuple[float, float]:
    """Estimate two match weights.

    Args:
        column: (m,) 1 for equal codes, 0 for unequal ones, NaN where a post has none.
        one: (m,) bool, pairs that are one product.
        two: (m,) bool, pairs that are two.
        guess: counts for 200 pairs of each kind.

    Returns:
        What equal codes add to the log-odds, in [0, 7], and what unequal ones do, in [-guess.against, 0].
    """
    m, u = _share_equal(column[one], guess.one), _share_equal(column[two], guess.two)
    equal, unequal = np.log(m / u), np.log((1 - m) / (1 - u))
    return float(np.clip(equal, 0, _MOST)), float(np.clip(unequal, -guess.against, 0))


def _share_equal(column: Floats, guess: float) -> float:
    """Tell how many of the pairs with two codes have equal ones, the guess counted among them."""
    equal, known = np.count_nonzero(column == 1), np.count_nonzero(~np.isnan(column))
    return (equal + _GUESSED * guess) / (known + _GUESSED)
