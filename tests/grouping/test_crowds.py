import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles
from kembar.grouping import average_link as linking
from kembar.grouping.average_link import average_link, average_link_tree
from kembar.grouping.crowds import crowded_posts
from kembar.grouping.groups import number_by_first
from kembar.grouping.limits import Limits
from properties import examples


def pairs(seed: int, n: int, density: float):
    """Scored pairs in any order, some of them compared and found to be nothing."""
    rng = np.random.default_rng(seed)
    left, right = np.triu_indices(n, 1)
    chosen = rng.permutation(len(left))[: int(density * len(left))]
    similarity = rng.random(len(chosen)) * (rng.random(len(chosen)) < 0.8)
    return left[chosen], right[chosen], similarity, n


def lists(n: int, k: int, seed: int, first: int = 0):
    """Each of n posts of one product is compared with k others, chosen by chance."""
    rng = np.random.default_rng(seed)
    a, b = np.repeat(np.arange(n), k), rng.integers(0, n, n * k)
    key = np.unique(np.minimum(a, b)[a != b] * n + np.maximum(a, b)[a != b])
    return first + key // n, first + key % n


@examples(120)
@given(
    st.integers(0, 100_000),
    st.integers(2, 14),
    st.sampled_from([0.2, 0.5, 0.9]),
    st.floats(0.05, 0.9),
    st.sampled_from([0.005, 0.3]),
    st.sampled_from([1, 3, 1 << 20]),
)
def test_average_link_of_crowded_posts_equals_its_slow_twin(seed, n, density, cut, excused, links_at_once):
    scored = pairs(seed, n, density)
    crowded = np.random.default_rng(seed).random(n) < 0.6
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linking, "EXCUSED", excused)
        patch.setattr(linking, "_LINKS", links_at_once)
        labels = average_link(*scored, cut=cut, limits=Limits(crowded))
        tree = average_link_tree(*scored, limits=Limits(crowded))
    expected, nearest = oracles.average_link_of_crowds(*scored, crowded, excused, cut)
    if abs(nearest - cut) > 1e-6:
        assert oracles.parts(labels.tolist()) == expected
        np.testing.assert_array_equal(tree.labels(cut=cut), labels)
    assert (np.diff(tree.height) <= 0).all()


@examples(60)
@given(st.integers(0, 100_000), st.integers(2, 14), st.floats(0.05, 0.9))
def test_order_of_crowded_posts_does_not_matter(seed, n, cut):
    left, right, similarity, _ = pairs(seed, n, 0.6)
    rng = np.random.default_rng(seed)
    crowded, place = rng.random(n) < 0.6, rng.permutation(n)
    before = average_link(left, right, similarity, n, cut=cut, limits=Limits(crowded))
    moved = np.zeros(n, dtype=bool)
    moved[place] = crowded
    after = average_link(place[left], place[right], similarity, n, cut=cut, limits=Limits(moved))
    np.testing.assert_array_equal(number_by_first(after[place]), before)


@given(st.integers(0, 100_000), st.integers(2, 14), st.floats(0.05, 0.9))
def test_nobody_is_crowded_as_ever(seed, n, cut):
    scored = pairs(seed, n, 0.6)
    before = average_link(*scored, cut=cut)
    np.testing.assert_array_equal(average_link(*scored, cut=cut, limits=Limits(np.zeros(n, dtype=bool))), before)


def test_a_pair_of_crowded_posts_that_was_compared_and_is_nothing_is_not_excused():
    everybody = np.ones(3, dtype=bool)
    ends, similarity = (np.array([0, 0, 1]), np.array([1, 2, 2])), np.array([0.9, 0.6, 0.0])
    assert average_link(*ends, similarity, 3, cut=0.4, limits=Limits(everybody)).tolist() == [0, 0, 1]
    uncompared = (end[:2] for end in ends)
    assert average_link(*uncompared, similarity[:2], 3, cut=0.4, limits=Limits(everybody)).tolist() == [0, 0, 0]


@pytest.mark.parametrize("cut", [0.7, 0.1, 0.3])
def test_a_float32_similarity_reaches_the_cut_it_was_rounded_from(cut):
    pair, everybody = (np.array([0]), np.array([1])), np.ones(2, dtype=bool)
    at = np.array([cut], dtype=np.float32)
    assert crowded_posts(*pair, at, everybody, cut=cut).all()
    assert not crowded_posts(*pair, np.nextafter(at, np.float32(0)), everybody, cut=cut).any()


def test_a_product_with_more_offers_than_places_is_one_group():
    left, right = lists(1500, 25, 1)
    similarity = np.full(len(left), 0.8, dtype=np.float32)
    crowded = crowded_posts(left, right, similarity, np.ones(1500, dtype=bool), cut=0.4)
    assert crowded.all()
    assert average_link(left, right, similarity, 1500, cut=0.4).max() > 20
    assert average_link(left, right, similarity, 1500, cut=0.4, limits=Limits(crowded)).max() == 0


def test_some_strong_pairs_do_not_join_two_products_with_many_offers():
    sides = lists(1000, 25, 1), lists(1000, 25, 2, 1000)
    rng = np.random.default_rng(3)
    bridges = rng.permutation(1000)[:500], 1000 + rng.permutation(1000)[:500]
    left, right = (np.concatenate([*each]) for each in zip(*sides, bridges, strict=True))
    similarity = np.where((left < 1000) == (right < 1000), np.float32(0.8), np.float32(0.7))
    crowded = crowded_posts(left, right, similarity, np.ones(2000, dtype=bool), cut=0.4)
    labels = average_link(left, right, similarity, 2000, cut=0.4, limits=Limits(crowded))
    assert labels.tolist() == [0] * 1000 + [1] * 1000


@given(st.integers(0, 100_000), st.integers(1, 12), st.sampled_from([0.2, 0.7]))
def test_a_post_is_crowded_where_half_of_its_candidates_reach_the_cut(seed, n, cut):
    left, right, similarity, _ = pairs(seed, n, 0.7)
    cut_off = np.random.default_rng(seed).random(n) < 0.7
    found = crowded_posts(left, right, similarity, cut_off, cut=cut)
    each = oracles.sorted_lists(left, right, similarity, n)
    for row in range(n):
        reached = sum(score >= cut for score, _ in each[row])
        assert found[row] == (cut_off[row] and bool(each[row]) and reached >= len(each[row]) / 2)
