import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import oracles
from kembar.errors import ConfigError, EvidenceError
from kembar.evidence import dense, hash_ranges, neighbors, probing, search, shortlists
from kembar.evidence.neighbors import Neighbors, best
from kembar.evidence.search import dense_neighbors, hash_neighbors, sparse_neighbors
from oracles import units
from properties import examples

# Quarters up to a half: sums of their products are exact in float32, whatever the order, and at most 1.
QUARTERS = st.sampled_from([0.0, 0.0, 0.25, 0.5])
SIGNED = st.sampled_from([0.0, 0.25, 0.5, -0.25])
FLOORS = st.sampled_from([0.0, 0.125, 0.25])


@st.composite
def tables(draw, numbers, most=30):
    distinct = draw(hnp.arrays(np.float32, (draw(st.integers(1, most)), draw(st.integers(1, 4))), elements=numbers))
    copies = draw(st.lists(st.integers(0, len(distinct) - 1), max_size=10))
    return np.concatenate([distinct, distinct[copies]])


@st.composite
def hash_tables(draw):
    """A few far hashes and some close to them, some given twice, some missing."""
    seeds = draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=4))
    flips = draw(st.lists(st.tuples(st.sampled_from(seeds), st.sets(st.integers(0, 63), max_size=14)), max_size=16))
    hashes = seeds + [seed ^ sum(1 << bit for bit in bits) for seed, bits in flips]
    hashed = draw(st.lists(st.sampled_from([True, True, True, False]), min_size=len(hashes), max_size=len(hashes)))
    return np.array(hashes, dtype=np.uint64), np.array(hashed, dtype=bool)


def same(found: Neighbors, expected: tuple[np.ndarray, np.ndarray]) -> None:
    np.testing.assert_array_equal(found.index, expected[0])
    np.testing.assert_array_equal(found.score, expected[1])
    assert found.index.dtype == np.int32
    assert found.score.dtype == np.float32


# against the slow twin, with many ties


@examples(150)
@given(tables(QUARTERS), st.integers(1, 40), FLOORS)
def test_sparse_neighbors_are_exact(vectors, k, floor):
    same(sparse_neighbors(sp.csr_matrix(vectors), k, floor=floor), oracles.neighbors(vectors @ vectors.T, k, floor))


@examples(150)
@given(tables(SIGNED), st.integers(1, 40), st.sampled_from([0.0, 0.125, -0.125, -1.0]))
def test_dense_neighbors_are_exact(vectors, k, floor):
    table = (vectors @ vectors.T).astype(np.float64)
    table[~vectors.any(axis=1)] = np.nan
    table[:, ~vectors.any(axis=1)] = np.nan
    same(dense_neighbors(vectors, k, floor=floor), oracles.neighbors(table, k, floor))


@examples(60)
@given(hash_tables(), st.integers(1, 25), st.sampled_from([0, 1, 3, 4, 7, 11, 14, 64]))
def test_hash_neighbors_are_exact(given_hashes, k, radius):
    hashes, hashed = given_hashes
    expected = oracles.neighbors(oracles.hash_table(hashes, hashed, radius), k)
    same(hash_neighbors(hashes, hashed, k, radius=radius), expected)


@examples(40)
@given(hash_tables(), st.integers(1, 25), st.integers(0, 12))
def test_tables_of_words_find_what_a_scan_finds(given_hashes, k, radius):
    hashes, hashed = given_hashes
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hash_ranges, "_FEW", 0)
        indexed = hash_neighbors(hashes, hashed, k, radius=radius)
    same(indexed, oracles.neighbors(oracles.hash_table(hashes, hashed, radius), k))


@pytest.mark.parametrize("radius", [0, 3, 8, 11])
def test_tables_of_words_find_what_a_scan_finds_among_thousands(monkeypatch, radius):
    rng = np.random.default_rng(radius)
    seeds = rng.integers(0, 2**64, 300, dtype=np.uint64)
    hashes = np.repeat(seeds, 10)
    for flip in range(9):
        bit = np.uint64(1) << rng.integers(0, 64, len(hashes), dtype=np.uint64)
        hashes ^= np.where(np.arange(len(hashes)) % 10 > flip, bit, np.uint64(0))
    hashes[::50] = hashes[1]
    hashed = rng.random(len(hashes)) < 0.95
    scanned = hash_neighbors(hashes, hashed, 20, radius=radius)
    monkeypatch.setattr(hash_ranges, "_FEW", 0)
    monkeypatch.setattr(hash_ranges, "CELLS", 1000)
    indexed = hash_neighbors(hashes, hashed, 20, radius=radius)
    same(indexed, (scanned.index, scanned.score))
    assert (scanned.index[:, 1] >= 0).any()


# shape and order


@examples(40)
@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(1, 80))
def test_row_order_does_not_matter_without_ties(seed, n, k):
    vectors = units(n, 6, seed)
    hashes = np.random.default_rng(seed).choice(2**10, n, replace=False).astype(np.uint64)
    order = np.random.default_rng(seed + 1).permutation(n)
    for find in (lambda v: sparse_neighbors(sp.csr_matrix(v), k), lambda v: dense_neighbors(v, k)):
        before, after = find(vectors), find(vectors[order])
        assume(all(len(set(row)) == len(row) for row in before.score[:, 1:].tolist() if 0.0 not in row))
        np.testing.assert_array_equal(before.index[order], order[after.index])
        np.testing.assert_array_equal(before.score[order], after.score)
    # Distances between hashes are full of ties: with room for all, only the sets can be compared.
    before = hash_neighbors(hashes, np.ones(n, bool), n, radius=4)
    after = hash_neighbors(hashes[order], np.ones(n, bool), n, radius=4)
    mapped = np.where(after.index >= 0, order[after.index], -1)
    np.testing.assert_array_equal(np.sort(before.index[order], axis=1), np.sort(mapped, axis=1))
    np.testing.assert_array_equal(before.score[order], after.score)


@examples(60)
@given(tables(QUARTERS), st.integers(1, 40))
def test_every_row_is_its_own_first_neighbour_and_appears_once(vectors, k):
    for found in (sparse_neighbors(sp.csr_matrix(vectors), k), dense_neighbors(vectors, k)):
        assert found.index.shape == (len(vectors), min(k, len(vectors)))
        assert (found.index[:, 0] == np.arange(len(vectors))).all()
        assert (found.score[:, 0] == 1).all()
        assert (np.diff(found.score, axis=1) <= 0).all()
        assert (found.score[found.index < 0] == 0).all()
        for row in found.index:
            present = row[row >= 0]
            assert len(np.unique(present)) == len(present)


@pytest.mark.parametrize("find", [dense_neighbors, lambda v, k: sparse_neighbors(sp.csr_matrix(v), k)])
def test_fewer_neighbours_are_a_prefix_of_more(find):
    # Scores closer than the rounding of a matrix product: which rows are the k best must not be left to it.
    rng = np.random.default_rng(3)
    vectors = units(1, 40) + (rng.integers(-3, 4, size=(120, 40)) * 1e-7).astype(np.float32)
    whole = find(vectors, len(vectors))
    for k in (1, 2, 7, 30, 100):
        part = find(vectors, k)
        np.testing.assert_array_equal(part.index, whole.index[:, :k])
        np.testing.assert_array_equal(part.score, whole.score[:, :k])


def test_blocks_and_threads_do_not_change_the_result(monkeypatch):
    vectors = np.round(units(200, 5, density=0.6) * 4) / 8
    sparse = sp.csr_matrix(vectors.astype(np.float32))
    expected = oracles.neighbors((vectors @ vectors.T).astype(np.float32), 12, 0.0)
    for cells, chunk in ((1, 1), (300, 5), (10_000, 100)):
        monkeypatch.setattr(neighbors, "CELLS", cells)
        monkeypatch.setattr(search, "CELLS", cells)
        monkeypatch.setattr(dense, "CELLS", cells)
        monkeypatch.setattr(dense, "CHUNK", chunk)
        monkeypatch.setattr(dense, "TILE", chunk)
        same(dense_neighbors(vectors.astype(np.float32), 12), expected)
        for threads in (1, 2, 3):
            same(sparse_neighbors(sparse, 12, threads=threads), expected)


@examples(60)
@given(st.integers(0, 10_000), st.integers(1, 90), st.integers(1, 30), st.integers(1, 40), st.sampled_from([-1.0, 0.4]))
def test_each_pair_once_finds_what_all_against_all_finds(seed, n, k, tile, floor):
    """Tiles of any size, and near copies of which more come close to the k-th place than a list has room for."""
    rng = np.random.default_rng(seed)
    rows = units(n, 6, seed)[rng.integers(0, 1 + n // 3, n)] + (rng.normal(size=(n, 6)) * 1e-7).astype(np.float32)
    rows = rows[np.sort(np.unique(rows, axis=0, return_index=True)[1])]
    exact = np.array(
        [
            [dense.products(rows, np.array([i]), rows, np.array([j]))[0] for j in range(len(rows))]
            for i in range(len(rows))
        ]
    )
    expected = oracles.neighbors(np.minimum(exact, 1), k, floor)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dense, "TILE", tile)
        both, each = dense.self_join(rows, k, floor), dense.nearest(rows, rows, k, floor)
        for threads in ("1", "3"):
            patch.setenv("OMP_NUM_THREADS", threads)
            same(dense_neighbors(rows, k, floor=floor), expected)
    for edges in (both, each):
        assert (np.diff(edges[0]) >= 0).all()
    for one, other in zip(best(both, len(rows), k), best(each, len(rows), k), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_tile_that_beats_no_bar_changes_nothing_and_few_rows_beat_it(monkeypatch):
    """Of n^2 similarities some n k ln(n / k) are looked at: counted, for rows in the order of what they are like."""
    looked_at = []
    packed = shortlists.packed
    monkeypatch.setattr(
        shortlists, "packed", lambda score, target: looked_at.append(len(score)) or packed(score, target)
    )
    monkeypatch.setattr(dense, "TILE", 128)
    work = []
    for n in (1500, 3000):
        looked_at.clear()
        angle = np.linspace(0, np.pi, n)  # each row is more like the next than like any before it
        dense.self_join(np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32), 10, -1)
        work.append(sum(looked_at))
    assert work[0] < 1500 * 20 * np.log(1500)
    assert work[1] < 2.6 * work[0]


def test_scores_stay_at_most_1_and_do_not_rise():
    # Float32 rows of length 1 whose product with a near copy of themselves rounds to more than 1.
    vectors = units(400, 37, seed=5)
    vectors = np.concatenate([vectors, np.nextafter(vectors, np.float32(1))])
    for found in (sparse_neighbors(sp.csr_matrix(vectors), 10), dense_neighbors(vectors, 10)):
        assert found.score.max() == 1
        assert (np.diff(found.score, axis=1) <= 0).all()


# copies


def searches(n: int):
    row = np.array([0.6, 0.0, 0.8], dtype=np.float32)
    yield lambda k: sparse_neighbors(sp.csr_matrix(np.tile(row, (n, 1))), k)
    yield lambda k: dense_neighbors(np.tile(row, (n, 1)), k)
    yield lambda k: hash_neighbors(np.full(n, 2**63 + 5, dtype=np.uint64), np.ones(n, dtype=bool), k)


def test_ten_thousand_copies():
    n, k = 10_000, 51
    low = np.arange(k)
    expected = np.stack([np.r_[i, low[low != i][: k - 1]] for i in range(n)])
    for find in searches(n):
        found = find(k)
        np.testing.assert_array_equal(found.index, expected)
        assert (found.score == 1).all()


def test_many_distinct_rows_at_one_distance():
    n, k = 300, 20
    rows = np.zeros((n, n + 1), dtype=np.float32)
    rows[:, 0] = 0.5
    rows[np.arange(n), np.arange(n) + 1] = 0.75
    rows = rows[np.random.default_rng(0).permutation(n)]
    low = np.arange(k)
    expected = np.stack([np.r_[i, low[low != i][: k - 1]] for i in range(n)])
    np.testing.assert_array_equal(sparse_neighbors(sp.csr_matrix(rows), k).index, expected)
    np.testing.assert_array_equal(dense_neighbors(rows, k).index, expected)


# empty and small


def test_nothing_to_search():
    none = np.zeros((0, 3), dtype=np.float32)
    for found in (
        sparse_neighbors(sp.csr_matrix(none), 5),
        dense_neighbors(none, 5),
        hash_neighbors(np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=bool), 5),
    ):
        assert len(found) == 0
        assert all(len(part) == 0 for part in found.edges())


@pytest.mark.parametrize("n", [1, 4])
def test_rows_without_evidence_have_only_themselves(n):
    for found in (
        sparse_neighbors(sp.csr_matrix((n, 3), dtype=np.float32), 3),
        sparse_neighbors(sp.csr_matrix((n, 0), dtype=np.float32), 3),
        dense_neighbors(np.zeros((n, 3), dtype=np.float32), 3),
        hash_neighbors(np.zeros(n, dtype=np.uint64), np.zeros(n, dtype=bool), 3),
    ):
        assert (found.index[:, 0] == np.arange(n)).all()
        assert (found.index[:, 1:] == -1).all()


def test_one_post():
    one = np.ones((1, 2), dtype=np.float32)
    for found in (sparse_neighbors(sp.csr_matrix(one), 51), dense_neighbors(one, 51)):
        same(found, (np.zeros((1, 1)), np.ones((1, 1))))


def test_sparse_rows_may_come_unsorted_and_are_left_alone():
    rows = sp.csr_matrix(
        (np.array([0.8, 0.6, 0.6, 0.8], dtype=np.float32), np.array([2, 0, 0, 2]), np.array([0, 2, 4])), shape=(2, 3)
    )
    before = rows.data.copy(), rows.indices.copy()
    found = sparse_neighbors(rows, 2)
    assert found.index.tolist() == [[0, 1], [1, 0]]
    np.testing.assert_array_equal(rows.data, before[0])
    np.testing.assert_array_equal(rows.indices, before[1])


# errors, edges


@pytest.mark.parametrize("k", [0, -3])
def test_k_below_1(k):
    one = np.ones((1, 2), dtype=np.float32)
    for find in (
        lambda: sparse_neighbors(sp.csr_matrix(one), k),
        lambda: dense_neighbors(one, k),
        lambda: hash_neighbors(np.zeros(1, dtype=np.uint64), np.ones(1, dtype=bool), k),
    ):
        with pytest.raises(ConfigError, match=f"k = {k}"):
            find()


@pytest.mark.parametrize("radius", [-1, 65])
def test_radius_out_of_range(radius):
    with pytest.raises(ConfigError, match=f"radius {radius}"):
        hash_neighbors(np.zeros(1, dtype=np.uint64), np.ones(1, dtype=bool), 3, radius=radius)


def test_shapes_that_differ():
    with pytest.raises(EvidenceError, match=r"\(2, 3\).*\(2, 2\)"):
        Neighbors(np.zeros((2, 3), dtype=np.int32), np.zeros((2, 2), dtype=np.float32))


def test_edges_leave_out_the_post_itself_and_empty_places():
    found = Neighbors(
        np.array([[0, 2, 1], [1, -1, -1], [2, 0, -1]], dtype=np.int32),
        np.array([[1, 0.5, 0.25], [1, 0, 0], [1, 0.5, 0]], dtype=np.float32),
    )
    source, target, score = found.edges()
    assert source.tolist() == [0, 0, 2]
    assert target.tolist() == [2, 1, 0]
    assert score.tolist() == [0.5, 0.25, 0.5]
    assert target.dtype == np.int64


# --- many dense rows


def test_many_dense_rows_are_searched_by_clusters_that_find_nearly_all() -> None:
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(400, 24))
    rows = (np.repeat(centers, 10, axis=0) + 0.4 * rng.normal(size=(4000, 24))).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    all_of_them, nearly = dense_neighbors(rows, 10), dense_neighbors(rows, 10, exact=1000)
    exact, found = (set(zip(*n.edges()[:2], strict=True)) for n in (all_of_them, nearly))
    assert 0.95 < len(exact & found) / len(exact) < 1
    source, target, score = nearly.edges()
    np.testing.assert_allclose(score, np.einsum("ij,ij->i", rows[source], rows[target]), rtol=1e-6)
    again = dense_neighbors(rows, 10, exact=1000)
    np.testing.assert_array_equal(nearly.index, again.index)


def test_clusters_with_fewer_rows_than_are_asked_for_leave_places_empty() -> None:
    rows = np.eye(64, dtype=np.float32).repeat(3, axis=0)
    rows[1::3, 0] += 0.1
    rows[2::3, 1] += 0.1
    found = dense_neighbors(rows / np.linalg.norm(rows, axis=1, keepdims=True), 190, floor=0.5, exact=10)
    assert all(abs(int(i) // 3 - int(j) // 3) == 0 for i, j, _ in zip(*found.edges(), strict=True))
    assert len(found.edges()[0]) == 64 * 3 * 2


@pytest.mark.parametrize("floor", [-1.0, 0.5])
def test_cells_keep_the_best_of_what_they_look_at(monkeypatch, floor):
    """With all cells looked into nothing is lost; what the first cells hold never hides something better."""
    rows = units(3000, 12).astype(np.float32)
    monkeypatch.setattr(probing, "_STEPS", (3, 40))
    monkeypatch.setattr(probing.Cells, "probing", lambda cells, *_: probing.Probing(len(cells.centres), 10_000, 1.0, 0))
    monkeypatch.setattr(probing, "_BATCH", 700)
    exact, found = (dense_neighbors(rows, 9, floor=floor, exact=most) for most in (5000, 10))
    np.testing.assert_array_equal(found.index, exact.index)
    np.testing.assert_array_equal(found.score, exact.score)
