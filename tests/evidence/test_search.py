"""Queries against a base: a slice of a base finds what the base as a whole finds, and others what a slow twin finds."""

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from sparse_dot_topn import sp_matmul_topn

import oracles
from kembar.arrays import unit_rows
from kembar.encoders.tfidf import Tfidf
from kembar.errors import EvidenceError
from kembar.evidence import dense, search
from kembar.evidence.distinct import Picked, row_keys
from kembar.evidence.neighbors import Neighbors
from kembar.evidence.search import DenseIndex, HashIndex, SparseIndex
from kembar.evidence.views import SparseView
from properties import examples


@pytest.fixture(autouse=True, params=[search.MOST, 0], ids=["as one table", "step by step"])
def _both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows are searched in their own way: it finds the same."""
    monkeypatch.setattr(search, "MOST", request.param)


K = st.integers(1, 12)
SEEDS = st.integers(0, 10_000)


def table_of(seed: int, n: int) -> np.ndarray:
    """Rows with many ties, copies and some without evidence: (n, 4) float32."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 3, size=(n, 4)).astype(np.float32) / 4
    rows[rng.random(n) < 0.2] = 0
    return rows


def hashes_of(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 16, n, dtype=np.uint64), rng.random(n) < 0.8


def finders(seed: int, n: int, k: int):
    """For each kind of vectors: a function of row numbers, that searches these rows of a base of n as queries."""
    rows, (hashes, hashed) = table_of(seed, n), hashes_of(seed, n)
    sparse, dense, bits = SparseIndex.of(sp.csr_matrix(rows)), DenseIndex.of(rows), HashIndex.of(hashes, hashed)
    yield lambda at: sparse.search(sp.csr_matrix(rows[at]), k, own=at)
    yield lambda at: dense.search(rows[at], k, own=at)
    yield lambda at: bits.search(hashes[at], hashed[at], k, own=at, radius=2)


def same(found: Neighbors, expected: Neighbors) -> None:
    np.testing.assert_array_equal(found.index, expected.index)
    np.testing.assert_array_equal(found.score, expected.score)


@examples(40)
@given(SEEDS, st.integers(1, 30), K)
def test_a_slice_of_the_base_finds_what_the_whole_finds(seed, n, k):
    rng = np.random.default_rng(seed)
    for find in finders(seed, n, k):
        whole = find(np.arange(n))
        parts = np.array_split(rng.permutation(n), min(n, 3))
        same(Neighbors.concatenated([find(part) for part in parts]), whole.take(np.concatenate(parts)))


@examples(40)
@given(SEEDS, st.integers(1, 20), st.integers(1, 8), K)
def test_other_queries_find_the_best_of_the_base(seed, n, q, k):
    base, queries = table_of(seed, n), table_of(seed + 1, q)
    expected = (queries @ base.T).astype(np.float32)
    for found in (
        SparseIndex.of(sp.csr_matrix(base)).search(sp.csr_matrix(queries), k),
        DenseIndex.of(base).search(queries, k),
    ):
        assert found.index.shape == (q, min(k, n + 1))
        assert (found.index[:, 0] == -1).all()
        for row, scores in enumerate(expected):
            order = [at for at in np.argsort(-scores, kind="stable").tolist() if scores[at] > 0][: k - 1]
            assert found.index[row, 1 : 1 + len(order)].tolist() == order
            assert (found.index[row, 1 + len(order) :] == -1).all()
            assert found.score[row, 1 : 1 + len(order)].tolist() == scores[order].tolist()


@examples(60)
@given(SEEDS, st.integers(1, 20), st.integers(1, 8), K)
def test_other_hashes_find_the_nearest_of_the_base(seed, n, q, k):
    (base, known), (queries, asked) = hashes_of(seed, n), hashes_of(seed + 1, q)
    found = HashIndex.of(base, known).search(queries, asked, k, radius=2)
    for row in range(q):
        bits = np.bitwise_count(base ^ queries[row])
        near = [at for at in np.argsort(bits, kind="stable").tolist() if known[at] and asked[row] and bits[at] <= 2]
        assert [at for at in found.index[row, 1:].tolist() if at >= 0] == near[: k - 1]


def test_queries_of_which_some_are_in_the_base():
    base = np.eye(4, dtype=np.float32)[[0, 0, 1, 2]]
    found = DenseIndex.of(base).search(base[[1, 0]], 3, own=np.array([1, -1]))
    assert found.index.tolist() == [[1, 0, -1], [-1, 0, 1]]
    assert found.edges()[0].tolist() == [0, 1, 1]


def test_many_dense_rows_find_the_same_slice_by_slice():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3000, 8)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    index = DenseIndex.of(rows, exact=1000)
    whole = index.search(rows, 10, own=np.arange(3000))
    for part in (np.arange(30), np.arange(300), np.arange(7, 3000, 11)):
        same(index.search(rows[part], 10, own=part), whole.take(part))


@examples(60)
@given(SEEDS, st.integers(1, 90), st.integers(1, 40), st.integers(1, 60), st.sampled_from([-0.5, 0.0, 0.25, 0.5]))
def test_one_table_gives_what_all_steps_give_to_the_bit(seed, n, q, k, floor):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n + q, 24)).astype(np.float32) * (rng.random((n + q, 24)) < 0.3)
    rows[rng.integers(0, n + q, (n + q) // 3)] = rows[0]
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.float32(1e-9))
    hashes, hashed = hashes_of(seed, n + q)
    base, queries, own = sp.csr_matrix(rows[:n]), sp.csr_matrix(rows[n:]), np.arange(n)
    within = rows[:n]

    def found() -> list[Neighbors]:
        """Search in all indexes, within a base and from outside."""
        sparse, dense, bits = SparseIndex.of(base), DenseIndex.of(within), HashIndex.of(hashes[:n], hashed[:n])
        return [
            sparse.search(base, k, own=own, floor=max(0.0, floor)),
            sparse.search(queries, k, floor=max(0.0, floor)),
            dense.search(within, k, own=own, floor=floor),
            dense.search(rows[n:], k, floor=floor),
            bits.search(hashes[:n], hashed[:n], k, own=own, radius=3),
            bits.search(hashes[n:], hashed[n:], k, radius=3),
        ]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "MOST", 512)
        table = found()
        patch.setattr(search, "MOST", 0)
        for one, other in zip(table, found(), strict=True):
            same(one, other)


def test_an_empty_base_and_no_queries():
    rows = np.eye(3, dtype=np.float32)
    assert DenseIndex.of(rows[:0]).search(rows, 5).index.tolist() == [[-1]] * 3
    assert SparseIndex.of(sp.csr_matrix(rows[:0])).search(sp.csr_matrix(rows), 5).index.tolist() == [[-1]] * 3
    assert len(DenseIndex.of(rows).search(rows[:0], 5)) == 0
    assert len(SparseIndex.of(sp.csr_matrix(rows)).search(sp.csr_matrix(rows[:0]), 5)) == 0


def test_queries_over_other_columns_are_refused():
    rows = np.eye(3, dtype=np.float32)
    for find in (
        lambda: DenseIndex.of(rows).search(rows[:, :2], 5),
        lambda: SparseIndex.of(sp.csr_matrix(rows)).search(sp.csr_matrix(rows[:, :2]), 5),
    ):
        with pytest.raises(EvidenceError, match="queries of 2 columns; expected the 3 of the base"):
            find()


@examples(40)
@given(SEEDS, st.integers(1, 60), st.integers(1, 80))
def test_keys_of_rows_depend_on_the_row_alone(seed, n, d):
    rng = np.random.default_rng(seed)
    rows = rng.integers(-1, 2, size=(n, d)).astype(np.float32)
    keys = row_keys(rows)
    for at in range(n):
        assert row_keys(-0.0 + rows[at : at + 1])[0] == keys[at]
    assert len(np.unique(keys)) == len(np.unique(rows, axis=0))


# What a crowd costs, counted.


def test_posts_that_share_one_vector_are_compared_once(monkeypatch):
    rng = np.random.default_rng(0)
    others = unit_rows(rng.normal(size=(300, 8)).astype(np.float32))
    counted = []
    compute = dense.products
    monkeypatch.setattr(dense, "products", lambda *pairs: counted.append(len(pairs[1])) or compute(*pairs))
    for copies in (1_000, 50_000):
        rows = np.concatenate([others, np.repeat(others[:1], copies, axis=0)])
        found = DenseIndex.of(rows).search(rows, 20, own=np.arange(len(rows)))
        assert (found.score[-copies:] == 1).all()
    assert counted[0] == counted[1] < 300 * 40


def test_rows_of_a_mapped_file_stay_there_and_find_the_same(tmp_path):
    rows = oracles.units(3000, 300, 5)[np.random.default_rng(5).integers(0, 2500, 3000)]
    np.save(tmp_path / "rows.npy", rows)
    mapped, whole = DenseIndex.of(np.load(tmp_path / "rows.npy", mmap_mode="r")), DenseIndex.of(rows)
    assert isinstance(mapped.rows, Picked)
    assert isinstance(whole.rows, np.ndarray)
    for queries in (np.arange(3000), np.arange(600), np.arange(3)):
        here, there = (index.search(rows[queries], 6, own=queries) for index in (mapped, whole))
        np.testing.assert_array_equal(here.index, there.index)
        np.testing.assert_array_equal(here.score, there.score)


def test_titles_that_share_one_word_cost_in_proportion_to_their_number(monkeypatch):
    """The multiplications of the join: for each word the titles asked times the titles indexed."""
    counted = []

    def multiplied(rows, columns, **given):
        held = np.bincount(rows.indices, minlength=rows.shape[1]) * np.diff(columns.indptr)
        counted.append(int(held.sum()))
        return sp_matmul_topn(rows, columns, **given)

    monkeypatch.setattr(search, "sp_matmul_topn", multiplied)
    for n in (4_000, 8_000):
        view = SparseView("word", Tfidf().encode(pl.Series([f"case {i // 4} {i % 4} z{i}" for i in range(n)])))
        found = view.index()(view, np.arange(n))
        assert (found.index[:, 1] >= 0).mean() > 0.9
    assert counted[1] < 2.5 * counted[0]
