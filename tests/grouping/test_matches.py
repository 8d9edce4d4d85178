import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import oracles
from kembar.errors import ConfigError, EvidenceError
from kembar.evidence.edges import capped, directed, select
from kembar.grouping import matches as grouping
from kembar.grouping.matches import Matches, chisel, mutual, row_shares, shopee_shares, within_groups
from properties import examples

EIGHTHS = st.integers(0, 8).map(lambda x: x / 8)
NONE = np.zeros(0, dtype=np.int64)
NO_SCORES = np.zeros(0, dtype=np.float32)


@st.composite
def pairs(draw, scores=EIGHTHS):
    """Scored pairs with many ties, in any order of pairs and of ends."""
    n = draw(st.integers(1, 9))
    left, right = np.triu_indices(n, 1)
    chosen = np.array(draw(st.permutations(range(len(left)))), dtype=np.int64)[: draw(st.integers(0, len(left)))]
    flip = draw(hnp.arrays(bool, len(chosen)))
    low, high = np.where(flip, right[chosen], left[chosen]), np.where(flip, left[chosen], right[chosen])
    return low, high, draw(hnp.arrays(np.float32, len(chosen), elements=scores)), n


def listed(edges, n: int) -> list[list[tuple[float, int]]]:
    """Edges as every post's list, in their order; checks that they are ordered by source."""
    source, target, score = edges
    assert (np.diff(source) >= 0).all()
    lists: list[list[tuple[float, int]]] = [[] for _ in range(n)]
    for i, j, s in zip(source.tolist(), target.tolist(), score.tolist(), strict=True):
        lists[i].append((s, j))
    return lists


# select


@given(pairs())
def test_directed(given_pairs):
    *scored, n = given_pairs
    assert listed(directed(*scored), n) == oracles.sorted_lists(*scored, n)


@examples(200)
@given(pairs(), EIGHTHS, st.none() | EIGHTHS)
def test_select(given_pairs, threshold, min2):
    *scored, n = given_pairs
    min2 = None if min2 is None else min(min2, threshold)
    found = select(*scored, n, threshold=threshold, min2=min2)
    assert listed(found, n) == oracles.select(*scored, n, threshold, min2)


def test_a_float32_similarity_reaches_the_threshold_it_was_rounded_from():
    scored = np.array([0]), np.array([1]), np.array([0.7], dtype=np.float32)
    assert len(select(*scored, 2, threshold=0.7)[0]) == 2
    assert len(select(*scored, 2, threshold=0.9, min2=0.7)[0]) == 2


@pytest.mark.parametrize("threshold", [-0.01, 1.01, float("nan"), float("inf")])
def test_threshold_out_of_range(threshold):
    with pytest.raises(ConfigError, match=f"threshold {threshold}"):
        select(NONE, NONE, NO_SCORES, 2, threshold=threshold)


@pytest.mark.parametrize("min2", [-0.01, 0.51, float("nan")])
def test_min2_out_of_range(min2):
    with pytest.raises(ConfigError, match=f"min2 {min2} with threshold 0.5"):
        select(NONE, NONE, NO_SCORES, 2, threshold=0.5, min2=min2)


# chisel


@examples(200)
@given(pairs(), st.lists(st.integers(0, 6), min_size=1, max_size=6))
def test_chisel_follows_the_published_steps(given_pairs, weights):
    *scored, n = given_pairs
    shares = np.array([0, *weights], dtype=float) / max(1, sum(weights))
    targets = [0, *(weight * n // max(1, sum(weights)) for weight in weights)]
    found = Matches.of(*chisel(*scored, n, shares=shares)[:2], n)
    assert [found[i].tolist() for i in range(n)] == oracles.chisel(*scored, n, targets)


def test_chisel_meets_its_targets_where_the_lists_are_long_enough():
    n = 100
    left, right = np.triu_indices(n, 1)
    similarity = np.random.default_rng(0).random(len(left)).astype(np.float32)
    shares = np.array([0, 0, 0.29, 0.57, 0.14])
    matches = Matches.of(*chisel(left, right, similarity, n, shares=shares)[:2], n)
    assert np.bincount(np.diff(matches.offsets)).tolist() == [0, 0, 29, 57, 14]


def test_chisel_without_pairs():
    for n in (0, 3):
        assert listed(chisel(NONE, NONE, NO_SCORES, n, shares=shopee_shares()), n) == [[]] * n


@given(st.lists(st.integers(-1, 4), max_size=20))
def test_row_shares(labels):
    shares = row_shares(np.array(labels, dtype=np.int64))
    sizes = [labels.count(label) for label in labels if label >= 0]
    expected = [sizes.count(size) / max(1, len(sizes)) for size in range(max(sizes, default=1) + 1)]
    np.testing.assert_allclose(shares, expected)


def test_shares_of_shopee():
    shares = shopee_shares()
    assert shares.shape == (52,)
    assert shares.sum() == pytest.approx(1)
    assert shares[:2].tolist() == [0, 0]
    assert shares[2] == 0.4075
    assert (np.diff(shares[2:]) < 0).all()


# mutual, capped, within groups


@given(pairs(), st.integers(1, 5))
def test_capped(given_pairs, cap):
    *scored, n = given_pairs
    found = capped(directed(*scored), cap)
    assert listed(found, n) == [each[: cap - 1] for each in oracles.sorted_lists(*scored, n)]


@pytest.mark.parametrize("cap", [0, -2])
def test_cap_out_of_range(cap):
    with pytest.raises(ConfigError, match=f"cap {cap}"):
        capped((NONE, NONE, NO_SCORES), cap)


@given(pairs(), st.integers(1, 4))
def test_mutual(given_pairs, cap):
    *scored, n = given_pairs
    some = capped(directed(*scored), cap)
    chosen = set(zip(some[0].tolist(), some[1].tolist(), strict=True))
    lists = listed(some, n)
    expected = [[(s, j) for s, j in each if (j, i) in chosen] for i, each in enumerate(lists)]
    assert listed(mutual(some, n), n) == expected


@examples(150)
@given(pairs(), st.data(), st.sampled_from([1, 2, 3, 1000]))
def test_within_groups(given_pairs, data, largest):
    *scored, n = given_pairs
    labels = np.array(data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)))
    known = {(i, j): s for i, each in enumerate(oracles.sorted_lists(*scored, n)) for s, j in each}
    expected = []
    for i in range(n):
        members = [j for j in range(n) if j != i and labels[j] == labels[i]]
        if len(members) + 1 > largest:  # a group too large for all its pairs
            members = [j for j in members if (i, j) in known]
        expected.append(sorted(((known.get((i, j), 0.0), j) for j in members), key=lambda each: (-each[0], each[1])))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grouping, "_ALL_PAIRS", largest)
        assert listed(within_groups(labels, *scored), n) == expected


def test_of_a_group_above_a_thousand_only_compared_pairs_are_listed():
    for size, edges in ((1000, 1000 * 999), (1001, 4)):
        pair = np.array([3, 5]), np.array([500, 999]), np.array([0.5, 0.25], dtype=np.float32)
        assert len(within_groups(np.zeros(size, dtype=np.int64), *pair)[0]) == edges


def test_no_pairs():
    for n in (0, 2):
        for edges in (
            directed(NONE, NONE, NO_SCORES),
            select(NONE, NONE, NO_SCORES, n, threshold=0.5, min2=0.2),
            mutual((NONE, NONE, NO_SCORES), n),
            capped((NONE, NONE, NO_SCORES), 3),
            within_groups(np.arange(n), NONE, NONE, NO_SCORES),
        ):
            assert [len(part) for part in edges] == [0, 0, 0]


# matches


@given(pairs(), EIGHTHS)
def test_matches_keep_self_first(given_pairs, threshold):
    *scored, n = given_pairs
    edges = select(*scored, n, threshold=threshold)
    matches = Matches.of(edges[0], edges[1], n)
    assert len(matches) == n
    for i, near in enumerate(oracles.select(*scored, n, threshold)):
        assert matches[i].tolist() == [i, *(j for _, j in near)]
    source, target = matches.edges()
    np.testing.assert_array_equal(source, edges[0])
    np.testing.assert_array_equal(target, edges[1])


def test_matches_in_kaggles_form():
    matches = Matches.of(np.array([0, 0, 2]), np.array([2, 1, 0]), 3)
    shown = matches.frame(pl.Series(["a", "b", "c"]))
    assert shown.to_dict(as_series=False) == {"posting_id": ["a", "b", "c"], "matches": ["a c b", "b", "c a"]}


def test_matches_of_nobody():
    matches = Matches.of(NONE, NONE, 0)
    assert len(matches) == 0
    assert matches.frame(pl.Series([], dtype=pl.String)).shape == (0, 2)


@pytest.mark.parametrize(
    ("offsets", "rows"),
    [([], []), ([0, 1, 1], [0]), ([0, 1, 3], [0, 1]), ([0, 1, 2], [1, 0]), ([1, 2], [7, 0])],
)
def test_malformed_matches(offsets, rows):
    with pytest.raises(EvidenceError, match=r"Use Matches\.of"):
        Matches(np.array(offsets, dtype=np.int64), np.array(rows, dtype=np.int64))
