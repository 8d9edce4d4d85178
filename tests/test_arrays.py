from itertools import groupby

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kembar.arrays import FEW, connected, default_threads, falling, offsets_of, ragged, run_ends, run_starts, unfalling
from properties import examples

counts = st.lists(st.integers(0, 5), max_size=12).map(lambda each: np.array(each, dtype=np.int64))
keys = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1)), max_size=20)
scores = st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=30).map(lambda each: np.array(each, np.float32))


@examples(80)
@given(counts)
def test_lists_of_many_lengths(lengths):
    walk = [(which, place) for which, length in enumerate(lengths.tolist()) for place in range(length)]
    which, place = ragged(lengths)
    assert list(zip(which.tolist(), place.tolist(), strict=True)) == walk
    assert offsets_of(lengths).tolist() == [sum(lengths[:at].tolist()) for at in range(len(lengths) + 1)]


@examples(80)
@given(keys)
def test_runs(rows):
    columns = [np.array([row[side] for row in rows], dtype=np.int64) for side in (0, 1)]
    expected = [place == 0 for _, run in groupby(rows) for place, _ in enumerate(run)]
    assert run_starts(*columns).tolist() == expected
    assert run_ends(*columns).tolist() == [*expected[1:], *([True] if rows else [])]


@examples(60)
@given(st.integers(0, 1000), st.integers(0, 12), st.sampled_from([0.05, 0.2]))
def test_components_are_those_of_networkx(seed, n, density):
    rng = np.random.default_rng(seed)
    left, right = np.nonzero(rng.random((n, n)) < density)
    graph = nx.Graph(list(zip(left.tolist(), right.tolist(), strict=True)))
    graph.add_nodes_from(range(n))
    found = connected(left, right, n)
    parts = {frozenset(np.flatnonzero(found == label).tolist()) for label in np.unique(found)}
    assert parts == {frozenset(members) for members in nx.connected_components(graph)}


@examples(100)
@given(scores)
def test_integers_rise_as_scores_fall(values):
    assert (unfalling(falling(values)) == values).all()
    order = np.argsort(falling(values), kind="stable")
    assert order.tolist() == np.argsort(-values, kind="stable").tolist()


@pytest.mark.parametrize(("given", "threads"), [("3", 3), ("3,2", 3)])
def test_threads_are_those_that_were_asked_for(monkeypatch, given, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert default_threads() == default_threads(FEW) == threads
    assert default_threads(FEW - 1) == 1


@pytest.mark.parametrize("given", ["", "0", "many"])
def test_else_all_cores(monkeypatch, given):
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert default_threads() >= 1
