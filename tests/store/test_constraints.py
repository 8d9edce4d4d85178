import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kembar.arrays import connected
from kembar.evidence.scope import Scope
from kembar.grouping.average_link import average_link
from kembar.grouping.limits import Limits
from kembar.store.decisions import Constraints
from properties import examples

said = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 9), st.booleans()).filter(lambda p: p[0] < p[1]), max_size=12
)


def constraints(decisions) -> Constraints:
    latest = {(a, b): same for a, b, same in decisions}
    pairs = np.array(list(latest), dtype=np.int64).reshape(-1, 2)
    return Constraints.of(pairs, np.array(list(latest.values()), dtype=bool))


@examples(300)
@given(said)
def test_what_is_held_apart_is_what_no_chain_of_same_joins(decisions):
    found = constraints(decisions)
    chain = connected(found.same[:, 0], found.same[:, 1], 10)
    assert (chain[found.apart[:, 0]] != chain[found.apart[:, 1]]).all()
    assert (chain[found.against[:, 0]] == chain[found.against[:, 1]]).all()
    latest = {(a, b): same for a, b, same in decisions}
    assert len(found.same) + len(found.apart) + len(found.against) == len(latest)


@examples(300)
@given(said, st.lists(st.floats(0.0625, 1, width=32), min_size=45, max_size=45))
def test_average_link_holds_to_decisions_whatever_the_pairs_say(decisions, probability):
    found = constraints(decisions)
    left, right = np.triu_indices(10, 1)
    start = connected(found.same[:, 0], found.same[:, 1], 10)
    limits = Limits(start=start, apart=(found.apart[:, 0], found.apart[:, 1]))
    labels = average_link(left, right, np.array(probability, dtype=np.float32), 10, cut=0.3, limits=limits)
    assert (labels[found.same[:, 0]] == labels[found.same[:, 1]]).all()
    assert (labels[found.apart[:, 0]] != labels[found.apart[:, 1]]).all()


@examples(100)
@given(said, st.permutations(range(10)))
def test_decisions_are_found_again_among_some_posts(decisions, order):
    rows = np.sort(np.array(order[:6], dtype=np.int64))
    whole, some = constraints(decisions), constraints(decisions).among(rows)
    kept = [pair for pair in whole.same.tolist() if set(pair) <= set(rows.tolist())]
    assert rows[some.same].tolist() == kept


@examples(200)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.integers(0, 12), st.integers(0, 2**32 - 1))
def test_settled_groups_never_join_each_other_and_stay_whole(groups, known, seed):
    n, rng = len(groups), np.random.default_rng(seed)
    known = min(known, n)
    start = np.array(groups[:known] + [100 + at for at in range(n - known)], dtype=np.int64)
    left, right = np.triu_indices(n, 1)
    limits = Limits(start=start, settled=np.arange(n) < known)
    similarity = rng.random(len(left)).astype(np.float32)
    labels = average_link(left, right, similarity, n, cut=0.3, limits=limits)
    for a, b in zip(left, right, strict=True):
        if max(a, b) < known:
            assert (labels[a] == labels[b]) == (start[a] == start[b])
    others = (right < known) & (start[left] != start[right])
    pair_by_pair = Limits(start=start, apart=(left[others], right[others]))
    assert (labels == average_link(left, right, similarity, n, cut=0.3, limits=pair_by_pair)).all()


SEEN = st.lists(st.tuples(st.integers(-1, 3), st.integers(-1, 2), st.integers(0, 4)), min_size=1, max_size=12)


@examples(300)
@given(SEEN, st.booleans(), st.integers(0, 2**32 - 1))
def test_posts_of_one_source_or_other_categories_stay_apart_as_if_all_such_pairs_were_named(seen, begun, seed):
    sources, within, start = np.array(seen, dtype=np.int64).T
    n, rng = len(seen), np.random.default_rng(seed)
    scope, start = Scope(sources, within), start if begun else np.arange(n)
    left, right = np.triu_indices(n, 1)
    similarity = rng.random(len(left)).astype(np.float32)
    labels = average_link(left, right, similarity, n, cut=0.3, limits=Limits(scope=scope, start=start))
    out = ~scope.allows(left, right) & (start[left] != start[right])
    pair_by_pair = Limits(start=start, apart=(left[out], right[out]))
    assert (labels == average_link(left, right, similarity, n, cut=0.3, limits=pair_by_pair)).all()
    assert (labels[left[out]] != labels[right[out]]).all()
