"""What equal and unequal identifiers add to the log-odds of a pair, estimated from the pairs themselves.

A GTIN that two posts share speaks for one product and two different ones against it, but neither decides: sellers copy
wrong codes, and one product can have two. How much they say differs from catalogue to catalogue. The match weights of
Fellegi and Sunter (1969),

    ln P(equal | one product) / P(equal | two products)    and    ln P(unequal | one) / P(unequal | two),

come from all pairs of which both posts have a code, each counting for one product by its probability; then by its
probability with these weights, and so on (expectation and maximisation, as in kembar.classifier.match_weights). Before
there are many pairs, a guess stands in.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from kembar.arrays import Doubles, Floats
from kembar.classifier.match_weights import log_odds, odds_to_probability, updated
from kembar.evidence.gathering import SIMILARITY
from kembar.evidence.identifier_view import WEIGHT, identifier_columns
from kembar.evidence.pairs import Pairs

_GUESSED: Final = 20.0  # pairs of each kind that the guess counts for
_ROUNDS: Final = 3
_MOST: Final = 7.0  # what all identifiers together can add: a pair that is sure without them stays as it is


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


def weighed_by_identifiers(pairs: Pairs, gtins: Collection[str], *, learned: bool = True) -> Pairs:
    """Add to probabilities what identifiers say.

    Args:
        pairs: with `similarity`, a probability, and the columns of identifier views. A probability of 0 stays: such a
            pair is forbidden, or was not looked at.
        gtins: names of those views that hold GTINs.
        learned: estimate the weights; else, where a similarity is no probability, take the guesses for true.

    Returns:
        The pairs with their `similarity` changed and a column `<view>_weight` for each view: what it added to the
        log-odds. The same pairs where there are no identifiers.
    """
    columns = identifier_columns(pairs)
    if not columns or not len(pairs):
        return pairs
    probability = pairs.evidence[SIMILARITY]
    guesses = {name: GTIN if name in gtins else OTHER for name in columns}
    weights = _estimated(probability, columns, guesses, _ROUNDS if learned else 0)
    told = {name + WEIGHT: weight.astype(np.float32) for name, weight in weights.items()}
    total = np.where(probability > 0, _sum(weights), 0.0).astype(np.float32)
    return pairs.with_evidence(**told, **{SIMILARITY: updated(probability, total)})


def _estimated(
    probability: Floats, columns: Mapping[str, Floats], guesses: Mapping[str, Guess], rounds: int
) -> dict[str, Doubles]:
    """Estimate what each pair gets from each column: (m,) log-odds."""
    prior, possible = log_odds(probability), probability > 0
    weights = {name: _applied(columns[name], agreement_weights(None, columns[name], guesses[name])) for name in columns}
    for _ in range(rounds):
        belief = possible * odds_to_probability(prior + _sum(weights))
        weights = {
            name: _applied(columns[name], agreement_weights(belief, columns[name], guesses[name])) for name in columns
        }
    return weights


def agreement_weights(belief: Doubles | None, column: Floats, guess: Guess) -> tuple[float, float]:
    """Estimate two match weights.

    Args:
        belief: (m,) probabilities that a pair is one product, or 0 and 1 where the truth is known; None: no pairs.
        column: (m,) 1 for equal codes, 0 for unequal ones, NaN where a post has none.
        guess: counts for 20 pairs of each kind.

    Returns:
        What equal codes add to the log-odds, at least 0, and what unequal ones do, at most 0.
    """
    one, two = guess.one, guess.two
    if belief is not None:
        known, equal = ~np.isnan(column), column == 1
        one = _share(belief[equal].sum(), belief[known].sum(), guess.one)
        two = _share((1 - belief[equal]).sum(), (1 - belief[known]).sum(), guess.two)
    equal_weight, unequal_weight = np.log(one / two), np.log((1 - one) / (1 - two))
    return float(np.clip(equal_weight, 0, _MOST)), float(np.clip(unequal_weight, -guess.against, 0))


def _share(part: float, whole: float, guess: float) -> float:
    return float((part + _GUESSED * guess) / (whole + _GUESSED))


def _applied(column: Floats, weights: tuple[float, float]) -> Doubles:
    """Give each pair its weight: 0 where a post has no code."""
    return np.where(np.isnan(column), 0.0, np.where(column == 1, *weights))


def _sum(weights: Mapping[str, Doubles]) -> Doubles:
    """Add up the weights of all columns, which say much the same: no further than one alone could go."""
    return np.clip(np.sum(list(weights.values()), axis=0), -_MOST, _MOST)
