import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles
from kembar.errors import EvidenceError
from kembar.grouping.average_link import average_link
from kembar.grouping.groups import Groups, components, fill_singles, number_by_first

NONE = np.zeros(0, dtype=np.int64)


# numbers and names


@given(st.lists(st.integers(-3, 5)))
def test_number_by_first(labels):
    found = number_by_first(np.array(labels, dtype=np.int64)).tolist()
    first = list(dict.fromkeys(labels))
    assert found == [first.index(label) for label in labels]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.integers(0, 100))
def test_groups_are_a_partition_named_alike_in_any_order(labels, seed):
    labels = np.array(labels)
    rng = np.random.default_rng(seed)
    ids = pl.Series([f"p{i:02}" for i in rng.permutation(len(labels))])
    groups = Groups.of(labels, ids)
    assert oracles.parts(groups.labels.tolist()) == oracles.parts(labels.tolist())
    assert groups.sizes().sum() == len(labels)
    assert len(groups) == len(groups.ids) == len(groups.sizes()) == len(set(labels.tolist()))
    for number, name in enumerate(groups.ids):
        assert name == ids.filter(groups.labels == number).min()
    order = rng.permutation(len(labels))
    moved = Groups.of(labels[order], ids.gather(order))
    assert moved.ids.gather(moved.labels).to_list() == groups.ids.gather(groups.labels).gather(order).to_list()


def test_groups_of_nobody():
    groups = Groups.of(NONE, pl.Series([], dtype=pl.String))
    assert len(groups) == 0
    assert groups.sizes().shape == (0,)


def test_labels_of_another_length():
    with pytest.raises(EvidenceError, match="2 labels for 1 posts"):
        Groups.of(np.array([0, 0]), pl.Series(["a"]))


@pytest.mark.parametrize(("labels", "ids"), [([0, 2], ["a", "b"]), ([-1, 0], ["a"]), ([], ["a"]), ([0], [])])
def test_malformed_groups(labels, ids):
    with pytest.raises(EvidenceError, match=f"{len(ids)} group ids"):
        Groups(np.array(labels, dtype=np.int64), pl.Series(ids, dtype=pl.String))


# components


@given(st.integers(0, 1000), st.integers(1, 12), st.sampled_from([0.0, 0.1, 0.2, 0.5]))
def test_components(seed, n, density):
    left, right, _, _ = oracles.scored_pairs(seed, n, density)
    labels = components(left, right, n)
    assert oracles.parts(labels.tolist()) == oracles.components(left, right, n)
    np.testing.assert_array_equal(labels, number_by_first(labels))
    assert labels.dtype == np.int64


def test_components_of_nobody():
    assert components(NONE, NONE, 0).tolist() == []
    assert components(NONE, NONE, 3).tolist() == [0, 1, 2]


# posts left alone


@given(st.integers(0, 100_000), st.integers(1, 14), st.sampled_from([0.1, 0.4, 1.0]), st.floats(0.05, 0.9))
def test_lone_posts_join_their_nearest_group(seed, n, density, cut):
    left, right, similarity, n = oracles.scored_pairs(seed, n, density)
    labels = average_link(left, right, similarity, n, cut=0.7)
    found = fill_singles(labels, left, right, similarity, cut=cut)
    assert oracles.parts(found.tolist()) == oracles.fill_singles(
        oracles.dense(left, right, similarity, n), labels.tolist(), min(cut, float(np.float32(cut)))
    )


@pytest.mark.parametrize("cut", [0.7, 0.1, 0.3])
def test_a_lone_post_joins_a_group_that_is_just_near_enough(cut):
    labels, ends = np.array([0, 0, 1]), (np.array([0, 0, 1]), np.array([1, 2, 2]))
    at = np.array([0.9, cut, cut], dtype=np.float32)
    below = np.where([True, False, False], at, np.nextafter(at, np.float32(0)))
    assert fill_singles(labels, *ends, at, cut=cut).tolist() == [0, 0, 0]
    assert fill_singles(labels, *ends, below, cut=cut).tolist() == [0, 0, 1]


def test_a_lone_post_between_two_groups_as_near_joins_the_first():
    labels, ends = np.array([0, 0, 1, 1, 2]), (np.array([0, 1, 2, 3]), np.array([4, 4, 4, 4]))
    assert fill_singles(labels, *ends, np.full(4, 0.5), cut=0.5).tolist() == [0, 0, 1, 1, 0]


def test_nobody_to_fill():
    assert len(fill_singles(NONE, NONE, NONE, np.zeros(0), cut=0.5)) == 0


# names


def test_groups_may_have_any_names():
    groups = Groups.named(pl.Series(["8f1c", "2b", "8f1c", "zz"]))
    assert groups.labels.tolist() == [0, 1, 0, 2]
    assert groups.ids.to_list() == ["8f1c", "2b", "zz"]
    assert len(Groups.named(pl.Series([], dtype=pl.String))) == 0


def test_a_post_without_a_group_name_is_refused():
    with pytest.raises(EvidenceError, match="1 posts without a group id"):
        Groups.named(pl.Series(["a", None]))


@given(st.lists(st.integers(0, 4), max_size=12))
def test_names_give_the_partition_back(labels):
    ids = pl.Series([f"post_{row:03}" for row in range(len(labels))], dtype=pl.String)
    groups = Groups.of(np.array(labels, dtype=np.int64), ids)
    again = Groups.named(groups.ids.gather(groups.labels))
    assert (again.labels == groups.labels).all()
    assert again.ids.to_list() == groups.ids.to_list()
