import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles
from kembar.config import Config
from kembar.errors import ConfigError
from kembar.evidence.pairs import Pairs
from kembar.evidence.scope import Scope
from kembar.grouping.average_link import average_link
from kembar.grouping.decision import decide, partition
from kembar.grouping.limits import Limits
from kembar.grouping.links import best_links
from properties import examples

SHARES = np.zeros(3)


def ruled(*changes: str) -> Config:
    return Config.read(None, ["model=rules", "cut=0.5", *changes])


def scored(triples: list[tuple[int, int, float]]) -> Pairs:
    left, right, score = zip(*sorted(triples), strict=True)
    return Pairs(np.array(left), np.array(right), {"similarity": np.array(score, dtype=np.float32)})


def sides(*codes: int) -> Scope:
    return Scope(np.array(codes), np.full(len(codes), -1))


def greedy(left, right, probability, limited) -> list[int]:
    """One pair after the other, the most probable first."""
    taken: set[int] = set()
    chosen = []
    for at in sorted(range(len(left)), key=lambda at: (-probability[at], at)):
        ends = {int(left[at]), int(right[at])} & set(np.flatnonzero(limited).tolist())
        if not ends & taken:
            chosen.append(at)
            taken |= ends
    return sorted(chosen)


@given(st.integers(0, 10_000), st.integers(2, 12), st.floats(0.1, 1), st.integers(1, 3))
def test_links_are_chosen_one_after_the_other(seed, n, density, digits):
    rng = np.random.default_rng(seed)
    left, right = np.triu_indices(n, 1)
    kept = rng.random(len(left)) < density
    left, right = left[kept], right[kept]
    probability = np.round(rng.random(len(left)), digits).astype(np.float32)
    limited = rng.random(n) < 0.7
    assert np.flatnonzero(best_links(left, right, probability, limited)).tolist() == greedy(
        left, right, probability, limited
    )


# posts 0 and 1 on the left, 2 and 3 on the right
PAIRS = [(0, 2, 0.9), (0, 3, 0.8), (1, 2, 0.7), (1, 3, 0.4)]


@pytest.mark.parametrize(
    ("kind", "links"),
    [
        ("one-to-one", {(0, 2)}),
        ("one-to-many", {(0, 2), (0, 3)}),
        ("many-to-many", {(0, 2), (0, 3), (1, 2)}),
    ],
)
def test_kinds_of_links(kind, links):
    (source, target, _), labels = decide(
        scored(PAIRS), 4, ruled(f"rule={kind}"), SHARES, Limits(scope=sides(0, 0, 1, 1))
    )
    found = set(zip(source.tolist(), target.tolist(), strict=True))
    assert found == links | {(b, a) for a, b in links}
    assert oracles.parts(labels.tolist()) == oracles.parts(
        {"one-to-one": [0, 1, 0, 2], "one-to-many": [0, 1, 0, 0], "many-to-many": [0, 0, 0, 0]}[kind]
    )


@pytest.mark.parametrize("scope", [None, sides(0, 0, 0, 0), sides(0, 1, 2, 2)])
def test_links_are_between_two_sources(scope):
    with pytest.raises(ConfigError, match=r"rule 'one-to-one' with posts of . sources"):
        decide(scored(PAIRS), 4, ruled("rule=one-to-one"), SHARES, Limits(scope=scope))


# groups


def slow_average_link(pairs: Pairs, n: int, scope: Scope, cut: float) -> list[list[int]]:
    """Merge the two groups with the highest mean, one after the other, but never two with a pair out of scope."""
    table = oracles.dense(pairs.left, pairs.right, pairs.evidence["similarity"], n)
    groups = [[post] for post in range(n)]
    while True:
        best = max(
            (
                (table[np.ix_(a, b)].mean(), -min(a), -min(b), i, j)
                for i, a in enumerate(groups)
                for j, b in enumerate(groups)
                if min(a) < min(b) and scope.allows(np.repeat(a, len(b)), np.tile(b, len(a))).all()
            ),
            default=(0, 0, 0, 0, 0),
        )
        if best[0] < cut:
            return sorted(sorted(group) for group in groups)
        i, j = best[3:]
        groups[i] = groups[i] + groups[j]
        del groups[j]


@given(st.integers(0, 10_000), st.integers(2, 10))
@examples(60)
def test_groups_never_hold_two_posts_that_are_ruled_out(seed, n):
    rng = np.random.default_rng(seed)
    scope = Scope(rng.integers(-1, 3, n), rng.integers(-1, 2, n))
    left, right = np.triu_indices(n, 1)
    kept = scope.allows(left, right) & (rng.random(len(left)) < 0.8)
    score = rng.permutation(np.linspace(0.05, 1, max(1, int(kept.sum()))))[: int(kept.sum())].astype(np.float32)
    pairs = Pairs(left[kept], right[kept], {"similarity": score})
    labels = average_link(left[kept], right[kept], score, n, cut=0.3, limits=Limits(scope=scope))
    assert scope.allows(left, right)[labels[left] == labels[right]].all()
    assert oracles.parts(labels.tolist()) == slow_average_link(pairs, n, scope, 0.3)


@given(st.integers(0, 10_000), st.integers(2, 10))
@examples(60)
def test_groups_that_are_there_stay_whole_and_apart(seed, n):
    rng = np.random.default_rng(seed)
    old = int(rng.integers(1, n + 1))  # so many posts are grouped already, and are not compared again
    start = np.r_[rng.integers(0, 3, old), np.arange(3, 3 + n - old)]
    scope = Scope(np.r_[np.zeros(old, dtype=np.int64), np.full(n - old, -1)], np.full(n, -1))
    left, right = np.triu_indices(n, 1)
    kept = scope.allows(left, right)
    score = rng.permutation(np.linspace(0.05, 1, max(1, int(kept.sum()))))[: int(kept.sum())].astype(np.float32)
    labels = average_link(left[kept], right[kept], score, n, cut=0.3, limits=Limits(scope=scope, start=start))
    assert oracles.parts(labels[:old].tolist()) == oracles.parts(start[:old].tolist())
    table, groups = oracles.dense(left[kept], right[kept], score, n), oracles.parts(labels.tolist())
    for i, a in enumerate(groups):  # no two groups are left that could be joined
        for b in groups[:i]:
            assert table[np.ix_(a, b)].mean() < 0.3 or min(a) < old > min(b)


def test_a_post_is_not_filled_into_a_group_of_its_own_source():
    pairs = scored([(0, 2, 0.9), (1, 2, 0.9)])
    config = ruled("single=0.1")
    assert partition(pairs, 3, config, Limits(scope=sides(0, 0, 1))).tolist() == [0, 1, 0]
    assert partition(pairs, 3, config).tolist() == [0, 0, 0]
