"""Cells of dense rows: the recall that is reported is the one that is reached, and nothing depends on who asks."""

import numpy as np
import pytest

from kembar.arrays import unit_rows
from kembar.evidence import dense, probing
from kembar.evidence.distinct import Picked
from kembar.evidence.neighbors import best
from kembar.evidence.probing import MATTERS, Cells
from kembar.evidence.search import DenseIndex, dense_neighbors
from oracles import units


def grouped(n: int, d: int = 24, noise: float = 0.4) -> np.ndarray:
    """Groups of ten rows: (n, d) float32 unit rows."""
    rng = np.random.default_rng(0)
    rows = np.repeat(rng.normal(size=(n // 10, d)), 10, axis=0) + noise * rng.normal(size=(n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def pairs(neighbors) -> set[tuple[int, int]]:
    source, target, _ = neighbors.edges()
    return set(zip(source.tolist(), target.tolist(), strict=True))


@pytest.mark.parametrize(("recall", "floor"), [(0.9, 0.0), (0.99, 0.0), (0.99, 0.6)])
def test_the_recall_that_is_reported_is_reached_by_all_rows(recall, floor):
    rows = grouped(6000)
    index = DenseIndex.of(rows, exact=1000, recall=recall)
    expected = pairs(dense_neighbors(rows, 10, floor=floor))
    neighbors = index.search(rows, 10, own=np.arange(6000), floor=floor)
    found, probed = pairs(neighbors), index.probing(10, floor)
    assert neighbors.recall == probed.recall
    reached = len(found & expected) / len(expected)
    assert abs(probed.recall - reached) < 0.01
    assert reached > recall - 0.01
    assert probed.pairs > 1000
    assert 1 <= probed.cells < probed.of


def test_more_recall_takes_more_cells():
    cells = Cells.of(grouped(6000))
    chosen = [cells.probing(10, 0.0, recall).cells for recall in (0.5, 0.9, 0.99, 1.0)]
    assert chosen == sorted(chosen)
    assert chosen[0] < chosen[-1]


def test_neighbours_that_do_not_matter_take_no_cells():
    cells = Cells.of(grouped(6000))
    assert cells.probing(20, 0.6).cells < cells.probing(20, 0.0).cells
    assert cells.probing(20, MATTERS).cells == cells.probing(20, -1.0).cells


def test_where_hardly_a_neighbour_is_that_near_all_above_the_floor_count():
    """Vectors of another scale: one cell would find nearly nothing, and say that it found all."""
    rows = unit_rows(np.random.default_rng(0).normal(size=(3000, 400)).astype(np.float32))
    assert (dense_neighbors(rows, 3, floor=0.0).score[:, 1:] < MATTERS).all()
    far = Cells.of(rows).probing(3, 0.0, 0.9)
    assert far.pairs > 500
    assert far.cells > 10


def test_a_query_is_compared_with_so_many_rows_and_what_that_finds_is_told(monkeypatch):
    cells = Cells.of(grouped(6000, noise=0.7))
    wanted = cells.probing(10, 0.0)
    assert wanted.cells > 20
    monkeypatch.setattr(probing, "_COMPARED", 300)
    fewer = Cells.of(cells.rows).probing(10, 0.0)
    assert fewer.cells == len(cells.centres) * 300 // 6000
    assert 0.3 < fewer.recall < wanted.recall
    assert fewer.pairs == wanted.pairs


def test_without_neighbours_above_the_floor_one_cell_is_enough():
    probed = Cells.of(np.eye(400, dtype=np.float32)).probing(10, 0.5)
    assert (probed.cells, probed.recall, probed.pairs) == (1, 1.0, 0)


def test_rows_without_cells_are_compared_with_all():
    rows = units(3000, 64).astype(np.float32)
    index = DenseIndex.of(rows, exact=1000)
    assert index.probing(10, -1) is None
    exact, found = (each.search(rows, 10, own=np.arange(3000), floor=-1) for each in (DenseIndex.of(rows), index))
    np.testing.assert_array_equal(found.index, exact.index)
    np.testing.assert_array_equal(found.score, exact.score)


def test_the_choice_and_the_answer_are_the_same_for_any_threads_and_tiles(monkeypatch):
    rows = grouped(3000)
    index = DenseIndex.of(rows, exact=1000)
    expected, probed = index.search(rows, 10, own=np.arange(3000)), index.probing(10, 0.0)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setattr(dense, "TILE", 100)
    monkeypatch.setattr(probing, "_BATCH", 700)
    again = DenseIndex.of(rows, exact=1000)
    found = again.search(rows, 10, own=np.arange(3000))
    assert again.probing(10, 0.0) == probed
    np.testing.assert_array_equal(found.index, expected.index)
    np.testing.assert_array_equal(found.score, expected.score)


def test_near_copies_of_which_a_list_has_no_room_for_all():
    """Of 300 rows closer than rounding the k best by their exact scores, equal ones by row."""
    rng = np.random.default_rng(0)
    near = units(1, 24) + (rng.integers(-3, 4, size=(300, 24)) * 1e-7).astype(np.float32)
    rows = np.unique(np.concatenate([near, grouped(2000)]).astype(np.float32), axis=0)
    cells = Cells.of(rows)
    edges = cells.nearest(rows, 10, 0.8, len(cells.centres)), dense.nearest(rows, rows, 10, 0.8)
    found, exact = (best(each, len(rows), 10) for each in edges)
    assert (np.bincount(found[0]) == 10).sum() >= 300
    for one, other in zip(found, exact, strict=True):
        np.testing.assert_array_equal(one, other)


def test_rows_that_are_picked_from_a_table_are_searched_like_rows_of_their_own():
    table = grouped(4000)
    picked = Picked(table, np.arange(1, 4000, 2))
    own, taken = picked[:], np.arange(0, 2000, 3)
    cells, others = Cells.of(picked), Cells.of(own)
    assert isinstance(cells.rows, Picked)
    assert cells.probing(10, 0.0) == others.probing(10, 0.0)
    queries = own[taken]
    for one, other in zip(cells.nearest(queries, 10, 0.0, 9), others.nearest(queries, 10, 0.0, 9), strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(dense.self_join(picked, 10, 0.0), dense.self_join(own, 10, 0.0), strict=True):
        np.testing.assert_array_equal(one, other)


def test_copies_among_many_rows_are_found_and_take_no_memory_again():
    rows = np.concatenate([grouped(3000), grouped(3000)[:500]])
    index = DenseIndex.of(rows, exact=1000, recall=1.0)
    assert isinstance(index.rows, Picked)
    assert len(index.rows) == 3000
    found = index.search(rows, 12, own=np.arange(3500), floor=MATTERS)
    exact = dense_neighbors(rows, 12, floor=MATTERS)
    assert len(pairs(found) & pairs(exact)) >= 0.99 * len(pairs(exact))
    assert all(3000 + row in found.index[row] for row in range(500))
