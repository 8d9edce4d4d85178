import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kembar.arrays import Rows
from kembar.config import Config
from kembar.evidence.scope import Scope
from kembar.store.placing import Surroundings, place
from properties import examples

CONFIG = Config.of({"model": "rules", "cut": 0.5, "single": None})


def around(groups: list[int], new: int, pairs: list[tuple[int, int, float]], **more) -> Surroundings:
    n = len(groups) + new
    none = np.zeros((0, 2), dtype=np.int64)
    return Surroundings(
        known=len(groups),
        groups=np.array(groups, dtype=np.int64),
        left=np.array([pair[0] for pair in pairs], dtype=np.int64),
        right=np.array([pair[1] for pair in pairs], dtype=np.int64),
        probability=np.array([pair[2] for pair in pairs], dtype=np.float32),
        full=np.zeros(n, dtype=bool),
        scope=more.get("scope"),
        same=more.get("same", none),
        apart=more.get("apart", none),
    )


def test_a_post_joins_the_group_that_it_is_like_on_the_whole():
    found = place(around([7, 7, 9], 1, [(0, 3, 0.9), (1, 3, 0.8), (2, 3, 0.95)]), CONFIG)
    assert found.groups.tolist() == [9]  # .95 with one post, against a mean of .85
    assert found.merges == ()  # a mean of .475 between the two


def test_a_post_like_nothing_founds_a_group():
    found = place(around([7, 7], 2, [(0, 2, 0.4), (2, 3, 0.9)]), CONFIG)
    assert found.groups[0] == found.groups[1] < 0


def test_groups_that_a_new_post_would_join_are_proposed_and_stay_apart():
    found = place(around([7, 9], 1, [(0, 2, 0.9), (1, 2, 0.9), (0, 1, 0.4)]), CONFIG)
    assert found.groups.tolist() == [7]
    assert [merge[:2] for merge in found.merges] == [(7, 9)]
    np.testing.assert_allclose(found.merges[0][2], (0.9 + 0.4) / 2, atol=1e-6)


def test_what_people_said_is_apart_is_not_proposed():
    apart = np.array([[0, 1]])
    found = place(around([7, 9], 1, [(0, 2, 0.9), (1, 2, 0.9), (0, 1, 0.9)], apart=apart), CONFIG)
    assert found.merges == ()


def test_a_post_does_not_join_a_group_with_one_of_its_source():
    scope = Scope(np.array([1, 1, 1]), np.full(3, -1))
    assert place(around([7, 9], 1, [(0, 2, 0.9)], scope=scope), CONFIG).groups[0] < 0


@st.composite
def surroundings(draw) -> Surroundings:
    groups = sorted(draw(st.lists(st.integers(3, 6), max_size=8)))
    new = draw(st.integers(1, 3))
    n = len(groups) + new
    pairs = st.tuples(st.integers(0, n - 1), st.integers(len(groups), n - 1)).filter(lambda pair: pair[0] < pair[1])
    chosen = draw(st.lists(pairs, unique=True, max_size=20))
    return around(groups, new, [(a, b, draw(st.integers(1, 100)) / 100) for a, b in chosen])


@examples(200)
@given(surroundings())
def test_a_new_post_is_in_a_group_with_which_its_mean_reaches_the_cut_or_in_a_new_one(found: Surroundings):
    placing = place(found, CONFIG)
    assert len(placing.groups) == len(found) - found.known
    assert set(placing.groups[placing.groups >= 0].tolist()) <= set(found.groups.tolist())
    for group in set(placing.groups[placing.groups >= 0].tolist()):
        assert mean_of_newcomers(found, placing.groups, group) >= 0.5 - 1e-6
    assert all(one != other for one, other, _ in placing.merges)


def mean_of_newcomers(found: Surroundings, groups: Rows, group: int) -> float:
    """The mean over all pairs of the known members with the new ones: each merge of average link kept it at the cut."""
    label = np.append(found.groups, groups)
    new = np.arange(len(found)) >= found.known
    across = (label[found.left] == group) & (label[found.right] == group) & (new[found.left] != new[found.right])
    known, joined = (label[~new] == group).sum(), (label[new] == group).sum()
    inside = (label[found.left] == group) & (label[found.right] == group) & new[found.left] & new[found.right]
    total = found.probability[across].sum() + found.probability[inside].sum()
    return float(total / (known * joined + joined * (joined - 1) / 2))
