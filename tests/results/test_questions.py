import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kembar.evidence.pairs import Pairs
from kembar.results.questions import near, one_each, spread
from properties import examples


def drawn(seed: int, m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities, most of them small as in a catalogue, another opinion, and draws."""
    rng = np.random.default_rng(seed)
    return rng.beta(0.2, 1, m).astype(np.float32), rng.random(m).astype(np.float32), rng.random(m)


def test_questions_are_spread_over_the_range_although_most_pairs_are_unlikely() -> None:
    probability, rules, draws = drawn(0, 20_000)
    asked = probability[spread(probability, rules, draws)[:100]]
    log_odds = np.log(asked / (1 - asked))
    counts = np.histogram(log_odds, bins=10, range=(np.log(0.02 / 0.98), np.log(0.98 / 0.02)))[0]
    assert counts.min() >= 9
    assert (probability < 0.1).mean() > 0.5


def test_every_second_question_is_one_of_disagreement() -> None:
    probability = np.full(1000, 0.5, np.float32) + np.linspace(0, 0.01, 1000, dtype=np.float32)
    rules = probability.copy()
    rules[[10, 990]] = rules[[990, 10]]
    order = spread(probability, rules, np.random.default_rng(1).random(1000)).tolist()
    assert sorted({10, 990} & set(order[:5])) == [10, 990]


def test_certain_pairs_come_last() -> None:
    probability = np.array([0.0, 1.0, 0.5, 0.001, 0.999, 0.9], np.float32)
    order = spread(probability, probability, np.linspace(0, 0.9, 6)).tolist()
    assert set(order[:2]) == {2, 5}


@examples(60)
@given(st.integers(0, 2**32 - 1), st.integers(0, 60))
def test_the_order_of_pairs_changes_nothing(seed: int, m: int) -> None:
    probability, rules, draws = drawn(seed, m)
    shuffled = np.random.default_rng(seed).permutation(m)
    found = spread(probability, rules, draws)
    again = shuffled[spread(probability[shuffled], rules[shuffled], draws[shuffled])]
    assert sorted(found.tolist()) == list(range(m))
    assert np.array_equal(found, again)
    assert np.array_equal(near(rules, 0.5, draws), shuffled[near(rules[shuffled], 0.5, draws[shuffled])])


@examples(60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_a_neighbourhood_is_asked_about_once_before_any_is_twice(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    every = rng.choice(15 * 15, 40, replace=False)
    left, right = np.divmod(np.sort(every), 15)
    right += 15
    groups, order = rng.integers(0, 20, 30), rng.permutation(40)
    found = one_each(Pairs(left, right, {}), order, groups, n).tolist()
    assert len(found) == n
    assert len(set(found)) == n
    seen: set[int] = set()
    slow, later = [], []
    for at in order.tolist():
        both = {int(groups[left[at]]), int(groups[right[at]])}
        (later if seen & both else slow).append(at)
        seen |= both if not seen & both else set()
    assert found == (slow + later)[:n]


@pytest.mark.parametrize("m", [0, 1])
def test_hardly_any_pairs(m: int) -> None:
    probability, rules, draws = drawn(3, m)
    order = spread(probability, rules, draws)
    pairs = Pairs(np.zeros(m, np.int64), np.ones(m, np.int64), {})
    assert one_each(pairs, order, np.arange(2), 5).tolist() == list(range(m))
