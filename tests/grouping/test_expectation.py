import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles
from kembar.errors import ConfigError, EvidenceError
from kembar.evidence.edges import select
from kembar.grouping.matches import expected_f1
from properties import examples

ALONE = (0.0, 0.3, 1.0)


def star(probabilities: list[float]) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Post 0 with all its candidates; the candidates have only post 0."""
    m = len(probabilities)
    return np.zeros(m, np.int64), np.arange(1, m + 1), np.array(probabilities, np.float32), m + 1


def chosen(probabilities: list[float], alone: float) -> int:
    source, _, _ = expected_f1(*star(probabilities), alone=alone)
    return int((source == 0).sum())


@examples(200)
@given(st.lists(st.floats(2**-6, 1, width=32), max_size=8), st.sampled_from(ALONE))
def test_the_chosen_list_is_the_best_of_all_lists(probabilities: list[float], alone: float) -> None:
    ordered = sorted(probabilities, reverse=True)
    worth = [oracles.expected_f1(ordered, k, alone) for k in range(len(ordered) + 1)]
    assert worth[chosen(probabilities, alone)] == pytest.approx(max(worth), abs=1e-9)


def test_every_post_is_decided_by_its_own_list_alone() -> None:
    rng = np.random.default_rng(0)
    left, right = np.nonzero(np.triu(rng.random((40, 40)) < 0.2, 1))
    p = (rng.random(len(left)) ** 2).astype(np.float32)
    p[p < 0.005] = 0
    source, target, score = expected_f1(left, right, p, 40, alone=0.3)
    for i, near in enumerate(oracles.sorted_lists(left, right, p, 40)):
        near = [pair for pair in near if pair[0] > 0][:14]
        worth = [oracles.expected_f1([s for s, _ in near], k, 0.3) for k in range(len(near) + 1)]
        k = int(np.argmax(np.array(worth) > max(worth) - 1e-12))
        assert target[source == i].tolist() == [j for _, j in near[:k]]
        assert score[source == i].tolist() == [s for s, _ in near[:k]]


def test_sure_pairs_are_matched_and_hopeless_ones_are_not() -> None:
    assert chosen([1.0, 1.0, 0.0, 0.004], 1.0) == 2
    assert chosen([0.01], 1.0) == 0


def test_where_nobody_is_alone_an_unlikely_best_is_taken() -> None:
    assert chosen([0.15, 0.02], 1.0) == 0
    assert chosen([0.15, 0.02], 0.0) == 1
    assert chosen([], 0.0) == 0


def test_a_threshold_cannot_do_as_well() -> None:
    """Of many candidates at .4 all are taken, of one none: no single cut gives both."""
    assert chosen([0.4] * 12, 1.0) > 0
    assert chosen([0.4], 1.0) == 0
    assert len(select(*star([0.4] * 12), threshold=0.5)[0]) == 0


def test_lists_are_no_longer_than_asked_for() -> None:
    source, _, _ = expected_f1(*star([1.0] * 60), longest=51)
    assert (source == 0).sum() == 50


def test_many_posts_with_long_lists_fit_into_little_memory_and_time() -> None:
    rng = np.random.default_rng(1)
    n, k = 5000, 40
    left, right = np.repeat(np.arange(n), k), rng.integers(0, n, n * k)
    keep = left < right
    key = np.unique(left[keep] * n + right[keep])
    p = rng.random(len(key)).astype(np.float32)
    source, _, score = expected_f1(*np.divmod(key, n), p, n)
    assert (np.diff(score)[np.diff(source) == 0] <= 0).all()


@pytest.mark.parametrize("wrong", [np.nan, -0.1, 1.1])
def test_probabilities_that_are_none_are_refused(wrong: float) -> None:
    with pytest.raises(EvidenceError, match="1 probabilities"):
        expected_f1(*star([0.5, wrong]))


def test_a_share_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigError, match="alone"):
        expected_f1(*star([0.5]), alone=1.5)
