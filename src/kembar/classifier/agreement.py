"""What equal and unequal identifiers add to the log-odds of a pair, estimated from the pairs themselves.

A GTIN that two posts share speaks for one product and two different ones against it, but neither decides: sellers copy
wrong codes, and one product can have two. How much they say differs from catalogue to catalogue. The match weights of
Fellegi and Sunter (1969),

    ln P(equal | one product) / P(equal | two products)    and    ln P(unequal | one) / P(unequal | two),

come from the pairs that the classifier, which knows nothing of identifiers, is sure of. It is wrong about some of them,
and those have unequal codes: so a guess, which holds for such codes elsewhere, counts as much as 200 pairs.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from kembar.arrays import Bools, Floats, Rows
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


def identifier_weights(
    parts: Iterable[Pairs], gtins: Collection[str], *, learned: bool = True
) -> dict[str, tuple[float, float]]:
    """Estimate what identifiers say.

    Args:
        parts: all pairs, in parts of any size, with `similarity`, a probability, and the columns of identifier views.
        gtins: names of those views that hold GTINs.
        learned: estimate the weights; else, where a similarity is no probability, take the guesses for true.

    Returns:
        The weights of each view, see `agreement_weights`; none where there are no identifiers.
    """
    counted: dict[str, Rows] = {}
    for pairs in parts:
        probability = pairs.evidence[SIMILARITY]
        for name, column in identifier_columns(pairs).items():
            sure = (probability >= _SURE, probability <= 1 - _SURE) if learned else ()
            seen = [[np.count_nonzero(column[kind] == 1), np.count_nonzero(column[kind] >= 0)] for kind in sure]
            counted[name] = counted.get(name, np.zeros((2, 2), dtype=np.int64)) + np.array(seen or 0)
    return {name: agreement_weights(seen, GTIN if name in gtins else OTHER) for name, seen in counted.items()}


def weighed_by_identifiers(
    pairs: Pairs, weights: Mapping[str, tuple[float, float]], packs: Bools | None = None
) -> Pairs:
    """Add to probabilities what identifiers say.

    Args:
        pairs: some of those that the weights were estimated from. A probability of 0 stays: such a pair is forbidden,
            or was not looked at.
        weights: of `identifier_weights`.
        packs: (m,) bool, pairs whose titles name unlike numbers of pieces: sellers give a pack the code of what is in
            it, so an equal code does not speak for them. None: no pair.

    Returns:
        The pairs with their `similarity` changed and a column `<view>_weight` for each view: what it added to the
        log-odds. The same pairs where there are no identifiers.
    """
    columns = identifier_columns(pairs)
    if not columns:
        return pairs
    probability = pairs.evidence[SIMILARITY]
    packs = np.zeros(len(pairs), dtype=bool) if packs is None else packs
    told: dict[str, Floats] = {}
    for name, column in columns.items():
        equal, unequal = weights[name]
        silent = np.isnan(column) | (probability == 0) | (packs & (column == 1))
        weight = np.where(silent, 0.0, np.where(column == 1, equal, unequal))
        told[name + WEIGHT] = weight.astype(np.float32)
    total = np.clip(np.sum(list(told.values()), axis=0), -_MOST, _MOST)  # two codes of one product say much the same
    return pairs.with_evidence(**told, **{SIMILARITY: updated(probability, total)})


def agreement_weights(seen: Rows, guess: Guess) -> tuple[float, float]:
    """Take two match weights from counts.

    Args:
        seen: (2, 2) of the pairs that are surely one product, and of those that are surely two: how many have equal
            codes, and how many have a code on both sides.
        guess: counts for 200 pairs of each kind.

    Returns:
        What equal codes add to the log-odds, in [0, 7], and what unequal ones do, in [-guess.against, 0].
    """
    m, u = (seen[:, 0] + _GUESSED * np.array([guess.one, guess.two])) / (seen[:, 1] + _GUESSED)
    equal, unequal = np.log(m / u), np.log((1 - m) / (1 - u))
    return float(np.clip(equal, 0, _MOST)), float(np.clip(unequal, -guess.against, 0))
