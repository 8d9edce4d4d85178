import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kembar.evidence.pairs import SIMILARITY, Pairs
from kembar.results.estimates import doubtful, estimated
from properties import examples


def pairs_of(n: int, p: list[float]) -> Pairs:
    left, right = np.triu_indices(n, 1)
    return Pairs(left, right, {SIMILARITY: np.array(p, dtype=np.float32)})


def slow(pairs: Pairs, groups: list[int]) -> tuple[float, float]:
    n = len(groups)
    p = np.eye(n)
    for a, b, value in zip(pairs.left, pairs.right, pairs.evidence[SIMILARITY], strict=True):
        p[a, b] = p[b, a] = value
    precision = [np.mean([p[i, j] for j in range(n) if groups[j] == groups[i]]) for i in range(n)]
    inside = [[groups[j] == groups[i] for j in range(n)] for i in range(n)]
    counted = np.where(np.array(inside) | (p >= np.float32(0.2)), p, 0)
    recall = [sum(p[i, j] for j in range(n) if groups[j] == groups[i]) / counted[i].sum() for i in range(n)]
    return float(np.mean(precision)), float(np.mean(recall))


@examples(50)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.data())
def test_the_estimate_is_that_of_the_slow_twin(groups: list[int], data: st.DataObject) -> None:
    n = len(groups)
    p = data.draw(st.lists(st.floats(0, 1, width=32), min_size=n * (n - 1) // 2, max_size=n * (n - 1) // 2))
    pairs = pairs_of(n, p)
    found = estimated(pairs, np.array(groups))
    assert (found.precision, found.recall) == pytest.approx(slow(pairs, groups), abs=1e-6)


def test_certain_pairs_give_certain_estimates() -> None:
    pairs = pairs_of(3, [1.0, 0.0, 0.0])
    assert estimated(pairs, np.array([0, 0, 1])) == estimated(pairs, np.array([0, 0, 1]), np.array([1.0, 0.0, 0.0]))
    found = estimated(pairs, np.array([0, 0, 1]))
    assert (found.precision, found.recall) == (1.0, 1.0)
    assert estimated(pairs, np.array([0, 1, 2])).recall == pytest.approx(2 / 3)
    assert estimated(pairs, np.array([0, 0, 0])).precision == pytest.approx(5 / 9)


def test_the_most_doubtful_groups_come_first() -> None:
    pairs = Pairs(np.array([0, 2, 4]), np.array([1, 3, 5]), {SIMILARITY: np.array([0.9, 0.5, 0.7], dtype=np.float32)})
    found = doubtful(pairs, np.array([0, 0, 1, 1, 2, 2, 3]), pl.Series(["a", "b", "c", "d"]), most=2)
    assert found["group"].to_list() == ["b", "c"]
    assert found["posts"].to_list() == [2, 2]
