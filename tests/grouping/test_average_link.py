import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles
from kembar.errors import ConfigError
from kembar.grouping import average_link as linking
from kembar.grouping.average_link import average_link, average_link_tree
from kembar.grouping.groups import components, number_by_first
from properties import examples

NONE = np.zeros(0, dtype=np.int64)


def linked(left, right, similarity, n, labels) -> np.ndarray:
    """Mean similarities between the groups of a partition."""
    member = np.eye(labels.max() + 1)[labels]
    size = member.sum(axis=0)
    means = member.T @ oracles.dense(left, right, similarity, n) @ member / np.outer(size, size)
    np.fill_diagonal(means, 0)
    return means


@examples(150)
@given(
    st.integers(0, 100_000),
    st.integers(2, 14),
    st.sampled_from([0.2, 0.5, 0.9, 1.0]),
    st.floats(0.05, 0.9),
    st.sampled_from([1, 3, 1 << 20]),
)
def test_average_link_is_scipys(seed, n, density, cut, links_at_once):
    scored = oracles.scored_pairs(seed, n, density)
    heights = oracles.average_link_heights(*scored)
    if np.abs(heights - cut).min() < 1e-6:
        cut += 2e-6
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linking, "_LINKS", links_at_once)
        labels = average_link(*scored, cut=cut)
    assert oracles.parts(labels.tolist()) == oracles.average_link(*scored, cut)
    np.testing.assert_array_equal(labels, number_by_first(labels))


@examples(80)
@given(st.integers(0, 100_000), st.integers(2, 14), st.sampled_from([0.2, 0.5, 1.0]))
def test_the_tree_has_scipys_heights(seed, n, density):
    scored = oracles.scored_pairs(seed, n, density)
    tree = average_link_tree(*scored)
    expected = oracles.average_link_heights(*scored)
    np.testing.assert_allclose(tree.height, expected[expected > 1e-9], atol=1e-9)


@examples(100)
@given(st.integers(0, 100_000), st.integers(2, 14), st.sampled_from([0.3, 1.0]), st.sampled_from([0.1, 0.3, 0.5, 0.8]))
def test_no_link_above_the_cut_is_left_even_among_ties(seed, n, density, cut):
    scored = oracles.scored_pairs(seed, n, density, digits=1)
    labels = average_link(*scored, cut=cut)
    assert linked(*scored, labels).max(initial=0) < cut + 1e-9
    tree = average_link_tree(*scored, cut=0.05)
    assert (np.diff(tree.height) <= 0).all()
    np.testing.assert_array_equal(tree.labels(cut=cut), labels)


@examples(60)
@given(st.integers(0, 100_000), st.integers(2, 14), st.floats(0.05, 0.9))
def test_order_of_posts_does_not_matter_without_ties(seed, n, cut):
    left, right, similarity, _ = oracles.scored_pairs(seed, n, 0.6)
    place = np.random.default_rng(seed).permutation(n)
    before = average_link(left, right, similarity, n, cut=cut)
    after = average_link(place[left], place[right], similarity, n, cut=cut)
    np.testing.assert_array_equal(number_by_first(after[place]), before)


@examples(100)
@given(st.integers(0, 100_000), st.integers(1, 20), st.floats(1, 8))
def test_the_target_size_is_met_and_not_passed(seed, n, target):
    scored = oracles.scored_pairs(seed, n, 1.0)
    found = average_link(*scored, target_size=target)
    groups = found.max() + 1
    if n >= target:  # all pairs are known: any number of groups can be had
        assert n / groups >= target - 1e-9
        assert n / (groups + 1) < target
    heights = average_link_tree(*scored).height
    if n - groups > 0:
        cut = heights[n - groups - 1]
        np.testing.assert_array_equal(found, average_link(*scored, cut=float(cut)))


def test_a_target_that_is_met_but_for_rounding_is_not_passed():
    left, right = np.triu_indices(9, 1)
    similarity = np.random.default_rng(0).random(len(left))
    assert 9 / (9 / 7) < 7
    assert len(np.unique(average_link(left, right, similarity, 9, target_size=9 / 7))) == 7


def test_a_target_out_of_reach_and_a_cut_that_comes_first():
    scored = np.array([0, 1, 2]), np.array([1, 2, 3]), np.array([0.9, 0.5, 0.8]), 5
    assert average_link(*scored, target_size=5).tolist() == [0, 0, 0, 0, 1]
    assert average_link(*scored, cut=0.85, target_size=5).tolist() == [0, 0, 1, 2, 3]
    assert average_link(*scored, cut=0.7, target_size=1.25).tolist() == [0, 0, 1, 2, 3]
    assert average_link(*scored, target_size=1).tolist() == [0, 1, 2, 3, 4]


def test_one_wrong_pair_does_not_chain_two_groups():
    trio = [(0, 1), (0, 2), (1, 2)]
    ends = np.array([*trio, *((a + 3, b + 3) for a, b in trio), (2, 3)])
    similarity = np.array([0.8] * 6 + [0.99], dtype=np.float32)
    labels = average_link(ends[:, 0], ends[:, 1], similarity, 6, cut=0.5)
    # 2 and 3 merge first; then their means to the others are halves of .8.
    assert oracles.parts(labels.tolist()) == oracles.average_link(*ends.T, similarity, 6, 0.5)
    assert components(ends[:, 0], ends[:, 1], 6).max() == 0
    assert labels.max() > 0


def test_a_float32_similarity_reaches_the_cut_it_was_rounded_from():
    ends = np.array([0, 0, 1]), np.array([1, 2, 2])
    for cut in (0.7, 0.1, 0.3):
        similarity = np.full(3, cut, dtype=np.float32)
        assert average_link(*ends, similarity, 3, cut=cut).tolist() == [0, 0, 0]
        assert average_link_tree(*ends, similarity, 3).labels(cut=cut).tolist() == [0, 0, 0]
        below = np.nextafter(similarity, np.float32(0))
        assert average_link(*ends, below, 3, cut=cut).tolist() == [0, 1, 2]


@pytest.mark.parametrize("score", [0.1, 0.2, 0.4, 0.8])
def test_rounding_lifts_no_merge_above_the_merges_it_rests_on(score):
    """The mean of four times .1 is above .1 in its last bit."""
    left, right = np.triu_indices(4, 1)
    tree = average_link_tree(left, right, np.full(6, score), 4)
    assert tree.height.tolist() == [score] * 3
    assert tree.labels(target_size=2).tolist() == [0, 0, 0, 1]


def test_nothing_to_link():
    for n in (0, 1, 3):
        assert average_link(NONE, NONE, np.zeros(0, dtype=np.float32), n, cut=0.5).tolist() == list(range(n))
    scores = np.array([0.0, -0.5, np.nan], dtype=np.float32)
    ends = np.array([0, 0, 1]), np.array([1, 2, 2])
    assert average_link(*ends, scores, 3, target_size=3).tolist() == [0, 1, 2]


@pytest.mark.parametrize("target", [0, 0.99, -3, float("nan")])
def test_target_out_of_range(target):
    with pytest.raises(ConfigError, match=f"target_size {target}"):
        average_link(NONE, NONE, np.zeros(0), 2, target_size=target)


@pytest.mark.parametrize("cut", [0, 0.0, -0.2, float("nan")])
def test_cut_out_of_range(cut):
    with pytest.raises(ConfigError, match=f"cut {cut}"):
        average_link(NONE, NONE, np.zeros(0), 2, cut=cut)
