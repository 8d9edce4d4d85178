import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles
from kembar.evidence.scope import Scope
from kembar.evidence.views import DenseView, HashView
from kembar.posts.catalog import Catalog
from kembar.posts.columns import Columns
from properties import examples

CODES = st.lists(st.tuples(st.integers(-1, 2), st.integers(-1, 2)), min_size=2, max_size=30)


def scope_of(codes: list[tuple[int, int]]) -> Scope:
    return Scope(*np.array(codes, dtype=np.int64).T)


def test_it_is_read_off_the_columns_of_a_catalogue():
    posts = {"posting_id": ["a", "b", "c"], "title": ["x", "y", "z"], "shop": ["one", None, "two"], "kind": ["k"] * 3}
    scope = Scope.of(Catalog.read(pl.DataFrame(posts), columns=Columns(source="shop", within="kind")))
    assert scope is not None
    assert (scope.sources.tolist(), scope.within.tolist()) == ([0, -1, 1], [0, 0, 0])
    assert Scope.of(Catalog.read(pl.DataFrame(posts))) is None


@pytest.mark.parametrize(
    ("left", "right", "may"),
    [
        ((0, -1), (0, -1), False),  # one source
        ((0, -1), (1, -1), True),
        ((-1, -1), (-1, -1), True),  # unknown sources
        ((0, 3), (1, 3), True),  # one category
        ((0, 3), (1, 4), False),
        ((0, 3), (1, -1), True),  # unknown category
    ],
)
def test_what_rules_a_pair_out(left, right, may):
    scope = scope_of([left, right])
    assert scope.allows(np.array([0, 1]), np.array([1, 0])).tolist() == [may, may]


@given(CODES)
def test_every_post_asks_once_for_all_that_it_may_match(codes):
    scope = scope_of(codes)
    asked = {}
    for queries, base in scope.searches():
        for row in queries.tolist():
            assert row not in asked
            asked[row] = set(base.tolist())
    for row in range(len(codes)):
        others = np.arange(len(codes))
        may = set(others[scope.allows(np.full(len(codes), row), others)].tolist())
        assert may <= asked[row]


@given(CODES, st.integers(0, 100), st.integers(2, 6))
@examples(50)
def test_neighbours_are_the_best_of_those_in_scope(codes, seed, k):
    scope, vectors = scope_of(codes), oracles.units(len(codes), 4, seed)
    view = DenseView("photo", vectors, k=k, least=-1.0)
    found = scope.index(view)(view, None)
    table = vectors @ vectors.T
    assert found.index[:, 0].tolist() == list(range(len(codes)))
    smallest = {tuple(q): len(b) / len(q) for queries, b in scope.searches() for q in [queries.tolist()]}
    for row, index in enumerate(found.index[:, 1:]):
        listed = index[index >= 0]
        others = np.arange(len(codes))
        may = others[scope.allows(np.full(len(codes), row), others) & (others != row)]
        assert set(listed.tolist()) <= set(may.tolist())
        share = next(ratio for queries, ratio in smallest.items() if row in queries)
        assert len(listed) <= len(may)
        if share >= 1:  # its side asks for whole lists
            best = np.sort(table[row, may])[::-1][: len(listed)]
            np.testing.assert_allclose(table[row, listed], best, atol=1e-6)
            assert len(listed) >= min(len(may), k - 2)


@given(CODES, st.integers(0, 100), st.lists(st.integers(0, 2), min_size=20, max_size=20))
@examples(50)
def test_parts_of_the_posts_find_what_all_at_once_find(codes, seed, part):
    vectors = oracles.units(len(codes), 4, seed)
    view = DenseView("photo", vectors, k=4, least=-1.0)
    find, part = scope_of(codes).index(view), np.resize(part, len(codes))
    whole = find(view, None)
    for number in range(3):
        rows = np.flatnonzero(part == number)
        found = find(view.take(rows), rows)
        np.testing.assert_array_equal(found.index, whole.index[rows])
        np.testing.assert_array_equal(found.score, whole.score[rows])


def test_of_many_sources_those_of_the_same_one_are_left_out():
    codes = [(code, -1) for code in range(12)] + [(0, -1)]
    hashes = np.arange(13, dtype=np.uint64)
    view = HashView("hash", hashes, np.ones(13, dtype=bool), k=20, radius=64)
    found = scope_of(codes).index(view)(view, None)
    assert 12 not in found.index[0].tolist()
    assert set(found.index[0].tolist()) - {-1} == set(range(12))
    assert 0 not in found.index[12].tolist()


def test_the_larger_of_two_sides_asks_for_fewer():
    codes = [(0, -1)] * 4 + [(1, -1)] * 40
    hashes = np.zeros(44, dtype=np.uint64)
    view = HashView("hash", hashes, np.ones(44, dtype=bool), k=21, radius=64)
    found = scope_of(codes).index(view)(view, None)
    lengths = (found.index[:, 1:] >= 0).sum(axis=1)
    assert lengths[:4].tolist() == [20] * 4
    assert lengths[4:].tolist() == [2] * 40
