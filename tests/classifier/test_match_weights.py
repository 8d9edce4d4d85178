from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kembar.classifier.match_weights import (
    STEPS,
    cosine_weights,
    hundredths,
    log_odds,
    looked_up,
    odds_to_probability,
    updated,
    weights,
)


def judged(n: int = 40_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs with a calibrated probability and, independent of it, a cosine that tells one product from two."""
    rng = np.random.default_rng(seed)
    probability = rng.beta(0.15, 1.2, n).astype(np.float32)
    truth = rng.random(n) < probability
    cosine = np.clip(rng.normal(np.where(truth, 0.8, 0.45), 0.12), -1, 1).astype(np.float32)
    return probability, cosine, truth


def weigh(
    probability: np.ndarray, cosine: np.ndarray, alike: np.ndarray, guess: np.ndarray | None = None
) -> np.ndarray:
    """The weight of each pair, all read at once."""
    return looked_up(cosine_weights(lambda: [(probability, cosine, alike)], guess=guess), cosine, alike)


def by_hundredths(truth: np.ndarray, step: np.ndarray) -> np.ndarray:
    """The weights where the truth is known."""
    return weights(np.bincount(step, truth, STEPS), np.bincount(step, minlength=STEPS))


def logloss(probability: np.ndarray, truth: np.ndarray) -> float:
    p = np.clip(probability.astype(float), 1e-6, 1 - 1e-6)
    return float(-np.mean(np.log(np.where(truth, p, 1 - p))))


def test_weights_without_labels_come_near_those_of_the_truth() -> None:
    probability, cosine, truth = judged()
    apart = np.zeros(len(truth), dtype=bool)
    found = weigh(probability, cosine, apart)
    best = by_hundredths(truth.astype(float), hundredths(cosine))[hundredths(cosine)]
    plain, weighed, ideal = (
        logloss(p, truth) for p in (probability, updated(probability, found), updated(probability, best))
    )
    assert ideal < weighed < plain
    assert weighed - ideal < 0.25 * (plain - ideal)


def test_weights_are_the_log_ratio_of_what_is_seen() -> None:
    truth = np.array([1.0] * 300 + [0.0] * 600 + [1.0] * 200 + [0.0] * 6000)
    step = np.array([90] * 900 + [10] * 6200)
    base = np.log(500.5 / (7101 - 500.5))
    found = by_hundredths(truth, step)
    expected = [(n_true + 50 * odds_to_probability(base)) / (n + 50) for n_true, n in ((300, 900), (200, 6200))]
    assert found[90] == pytest.approx(np.log(expected[0] / (1 - expected[0])) - base)
    assert found[10] == pytest.approx(np.log(expected[1] / (1 - expected[1])) - base)


def test_weights_do_not_fall_with_the_cosine() -> None:
    probability, cosine, _ = judged(3000)
    found = weigh(probability, cosine, np.zeros(3000, dtype=bool))
    assert (np.diff(found[np.argsort(cosine)]) >= -1e-5).all()


def test_what_is_missing_weighs_nothing() -> None:
    probability, cosine, _ = judged(2000)
    cosine[::3] = np.nan
    found = weigh(probability, cosine, np.zeros(2000, dtype=bool))
    assert (found[::3] == 0).all()
    assert np.array_equal(updated(probability, found)[::3], probability[::3])


def test_few_pairs_are_weighed_by_the_first_guess() -> None:
    guess = np.linspace(-2, 5, STEPS)
    probability, cosine = np.full(4, 0.3, np.float32), np.array([0.1, 0.5, 0.9, 0.97], np.float32)
    found = weigh(probability, cosine, np.zeros(4, dtype=bool), guess=guess)
    assert found == pytest.approx(guess[hundredths(cosine)], abs=0.4)
    assert weigh(probability, cosine, np.zeros(4, dtype=bool)) == pytest.approx(0, abs=0.1)


def test_the_same_photo_by_its_hash_is_not_counted_twice() -> None:
    probability, cosine, _ = judged(20_000)
    alike = np.zeros(20_000, dtype=bool)
    alike[:400] = True
    probability[:400], cosine[:400] = 0.5, 0.99
    found = weigh(probability, cosine, alike)
    assert np.abs(found[:400]).max() < 0.2
    assert found[400:][cosine[400:] > 0.9].min() > 1


@given(
    st.lists(st.tuples(st.floats(0, 1, width=32), st.floats(-1, 1, width=32), st.booleans()), min_size=1, max_size=60),
    st.randoms(),
    st.integers(1, 5),
)
def test_the_order_of_pairs_and_their_parts_change_no_bit(
    pairs: list[tuple[float, float, bool]], random: Random, parts: int
) -> None:
    probability, cosine = np.array([pair[:2] for pair in pairs], dtype=np.float32).T
    alike = np.array([pair[2] for pair in pairs])
    order = np.array(random.sample(range(len(pairs)), len(pairs)))
    split = [(probability[rows], cosine[rows], alike[rows]) for rows in np.array_split(order, parts)]
    whole = cosine_weights(lambda: [(probability, cosine, alike)])
    np.testing.assert_array_equal(cosine_weights(lambda: split), whole)
    here = looked_up(whole, cosine, alike)
    assert np.isfinite(here).all()
    assert ((updated(probability, here) >= 0) & (updated(probability, here) <= 1)).all()


@given(st.lists(st.tuples(st.floats(0, 1, width=32), st.floats(-1, 1, width=32)), min_size=1, max_size=60))
def test_weights_are_those_of_the_slow_twin(pairs: list[tuple[float, float]]) -> None:
    """Of single pairs, each with its own weight, as expectation and maximisation are written."""
    probability, cosine = np.array(pairs, dtype=np.float32).T
    step, weight = hundredths(cosine), np.zeros(len(pairs))
    for _ in range(3):
        belief = odds_to_probability(log_odds(probability) + weight)
        weight = by_hundredths(belief, step)[step]
    found = weigh(probability, cosine, np.zeros(len(pairs), dtype=bool))
    assert found == pytest.approx(weight, abs=1e-5)


@given(st.floats(0.001, 0.999))
def test_log_odds_and_back(p: float) -> None:
    assert odds_to_probability(log_odds(np.array([p]))) == pytest.approx([p])
