import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kembar.classifier.ranks import CUTS, TOPS, Company, Standing, standings
from kembar.evidence.pairs import Pairs
from properties import examples

RANKS = ("rank low", "rank high", "ratio low", "ratio high")


def drawn(seed: int, n: int = 12, missing: float = 0.2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random pairs with few distinct similarities, so that there are ties, and some of them missing."""
    rng = np.random.default_rng(seed)
    left, right = np.nonzero(np.triu(rng.random((n, n)) < 0.5, 1))
    similarity = rng.choice([-0.1, 0.0, 0.3, 0.5, 0.6, 0.8, 0.97], len(left)).astype(np.float32)
    similarity[rng.random(len(left)) < missing] = np.nan
    return left, right, similarity


def table(standing: Standing, left: np.ndarray, right: np.ndarray) -> dict[str, np.ndarray]:
    columns = standing.columns(left, right, np.arange(len(left)))
    return dict(zip(standing.names, columns, strict=True))


def slow(left: np.ndarray, right: np.ndarray, similarity: np.ndarray) -> list[dict[str, float]]:
    """One pair after the other, every candidate list built anew."""
    known = [(int(a), int(b), float(s)) for a, b, s in zip(left, right, similarity, strict=True) if not math.isnan(s)]

    def near(post: int) -> list[float]:
        return sorted((s for a, b, s in known if post in (a, b)), reverse=True)

    rows = []
    for a, b, s in zip(left, right, similarity, strict=True):
        lists = near(a), near(b)
        row = {"s": float(s)}
        figures = {
            "rank": [math.nan if math.isnan(s) else sum(other > s for other in each) for each in lists],
            "ratio": [s / each[0] if each and each[0] != 0 else math.nan for each in lists],
            "nearest": [each[0] if each else math.nan for each in lists],
            **{f"top {k}": [sum(each[:k]) / k if each else math.nan for each in lists] for k in TOPS},
            **{f"above {c}": [sum(other >= np.float32(c) for other in each) for each in lists] for c in CUTS},
        }
        for name, ends in figures.items():
            unknown = any(math.isnan(end) for end in ends)
            row[f"s {name} low"] = math.nan if unknown else min(ends)
            row[f"s {name} high"] = math.nan if unknown else max(ends)
        rows.append(row)
    return rows


@pytest.mark.parametrize("seed", range(20))
def test_ranks_ratios_counts_and_means_are_those_of_the_slow_twin(seed: int) -> None:
    left, right, similarity = drawn(seed)
    found = table(Standing.of("s", left, right, similarity, 12), left, right)
    expected = slow(left, right, similarity)
    assert set(found) == set(expected[0])
    for name, column in found.items():
        assert column.dtype == np.float32
        np.testing.assert_allclose(column, [row[name] for row in expected], rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("seed", range(20))
def test_shared_candidates_are_those_of_sets(seed: int) -> None:
    left, right, similarity = drawn(seed)
    n, k = 12, 3
    standing = Standing.of("s", left, right, similarity, n)
    found = Company.of(standing, left, right, n, k=k).columns(left, right, np.arange(len(left)))
    near = [{i: 1.0} for i in range(n)]
    for place, (a, b, s) in enumerate(zip(left, right, similarity, strict=True)):
        for own, other, rank in ((a, b, standing.rank[0, place]), (b, a, standing.rank[1, place])):
            if rank < k:
                near[own][int(other)] = max(float(s), 0.0)
    shared, company = [], []
    for a, b in zip(left, right, strict=True):
        both = {j for j in near[a].keys() & near[b].keys() if near[a][j] * near[b][j] > 0}
        lengths = [math.sqrt(sum(w * w for w in near[end].values())) for end in (a, b)]
        shared.append(len(both))
        company.append(sum(near[a][j] * near[b][j] for j in both) / math.prod(lengths))
    np.testing.assert_array_equal(found[0], shared)
    np.testing.assert_allclose(found[1], company, rtol=1e-5)


@examples(50)
@given(seed=st.integers(0, 10**6))
def test_the_order_of_posts_changes_nothing(seed: int) -> None:
    left, right, similarity = drawn(seed)
    rename = np.random.default_rng(seed).permutation(12)
    a, b = rename[left], rename[right]
    low, high = np.minimum(a, b), np.maximum(a, b)
    order = np.lexsort((high, low))
    there = table(Standing.of("s", low[order], high[order], similarity[order], 12), low[order], high[order])
    here = table(Standing.of("s", left, right, similarity, 12), left, right)
    for name, column in here.items():
        np.testing.assert_array_equal(there[name], column[order], err_msg=name)


def test_a_similarity_that_no_pair_has_is_missing_throughout() -> None:
    left, right = np.array([0, 0]), np.array([1, 2])
    found = table(Standing.of("s", left, right, np.full(2, np.nan, np.float32), 4), left, right)
    for name in RANKS:
        assert np.isnan(found[f"s {name}"]).all()
    assert (found["s above 0.4 high"] == 0).all()


def test_no_pairs_no_standing() -> None:
    nothing = np.zeros(0, np.int64)
    (standing,) = standings(Pairs(nothing, nothing, {"s": np.zeros(0, np.float32)}), ["s"], 3)
    assert all(len(column) == 0 for column in standing.columns(nothing, nothing, np.arange(0)))
