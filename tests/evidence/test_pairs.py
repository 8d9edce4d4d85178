import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import oracles
from kembar.errors import EvidenceError
from kembar.evidence import pairs
from kembar.evidence.neighbors import Neighbors
from kembar.evidence.pairs import Pairs, candidates, dense_similarity, hash_similarity, sparse_similarity
from kembar.evidence.search import dense_neighbors
from properties import examples

TENTHS = st.integers(-5, 5).map(lambda x: x / 10)


def rows(*numbers: int) -> np.ndarray:
    return np.array(numbers, dtype=np.int64)


def column(*numbers: float) -> np.ndarray:
    return np.array(numbers, dtype=np.float32)


def three() -> Pairs:
    return Pairs(rows(0, 0, 1), rows(1, 2, 2), {"word": column(0.5, np.nan, 1)})


@st.composite
def vectors_and_pairs(draw):
    n = draw(st.integers(2, 8))
    vectors = draw(hnp.arrays(np.float32, (n, 3), elements=TENTHS.map(np.float32)))
    vectors[draw(st.lists(st.integers(0, n - 1), max_size=3))] = 0
    ends = draw(st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=12))
    left, right = np.array(ends, dtype=np.int64).reshape(-1, 2).T
    return vectors, left, right


# the table


def test_pairs_are_a_table():
    found = three()
    assert len(found) == 3
    shown = found.frame(pl.Series(["a", "b", "c"]))
    assert shown["left"].to_list() == ["a", "a", "b"]
    assert shown["right"].to_list() == ["b", "c", "c"]
    assert shown.columns == ["left", "right", "word"]


def test_evidence_is_added_and_replaced_without_touching_the_old():
    old = three()
    new = old.with_evidence(char=column(1, 2, 3), word=column(4, 5, 6))
    assert list(new.evidence) == ["word", "char"]
    assert new.evidence["word"].tolist() == [4, 5, 6]
    assert list(old.evidence) == ["word"]
    assert old.evidence["word"][0] == 0.5


def test_take_by_mask_and_by_row():
    found = three()
    for keep in (np.array([True, False, True]), rows(0, 2)):
        some = found.take(keep)
        assert some.left.tolist() == [0, 1]
        assert some.right.tolist() == [1, 2]
        assert some.evidence["word"].tolist() == [0.5, 1]


@pytest.mark.parametrize(
    ("left", "right", "evidence", "message"),
    [
        (rows(0, 1), rows(1), {}, "2 left rows, 1 right rows"),
        (rows(0), rows(1), {"word": column(1, 2), "char": column(1)}, r"\['word'\]"),
        (rows(2), rows(1), {}, "left row is not below"),
        (rows(1), rows(1), {}, "left row is not below"),
        (rows(0, 0), rows(2, 1), {}, "out of order or given twice, the first at 1"),
        (rows(0, 1, 1), rows(1, 2, 2), {}, "out of order or given twice, the first at 2"),
        (rows(1, 0), rows(2, 1), {}, "out of order or given twice, the first at 1"),
    ],
)
def test_malformed_pairs(left, right, evidence, message):
    with pytest.raises(EvidenceError, match=message):
        Pairs(left, right, evidence)


def test_no_pairs():
    none = Pairs(rows(), rows(), {"word": column()})
    assert len(none) == 0
    assert none.frame(pl.Series([], dtype=pl.String)).shape == (0, 3)
    assert len(none.take(np.zeros(0, dtype=bool))) == 0
    assert sparse_similarity(sp.csr_matrix((0, 3), dtype=np.float32), rows(), rows()).shape == (0,)
    assert dense_similarity(np.zeros((0, 3), dtype=np.float32), rows(), rows()).shape == (0,)
    assert hash_similarity(*[(np.zeros(0, np.uint64), np.zeros(0, bool))] * 2, rows(), rows()).shape == (0,)


# candidates


@examples(50)
@given(st.integers(0, 1000), st.integers(1, 12), st.lists(st.integers(1, 6), min_size=1, max_size=3))
def test_candidates_are_the_union_of_all_neighbours(seed, n, ks):
    rng = np.random.default_rng(seed)
    views = [dense_neighbors(rng.random((n, 3)).astype(np.float32), k) for k in ks]
    left, right = candidates(views, n)
    expected = {
        (min(i, int(j)), max(i, int(j))) for view in views for i in range(n) for j in view.index[i, 1:] if j >= 0
    }
    assert list(zip(left.tolist(), right.tolist(), strict=True)) == sorted(expected)
    assert left.dtype == right.dtype == np.int64
    Pairs(left, right, {})


def test_candidates_of_nobody():
    alone = Neighbors(np.array([[0, -1], [1, -1]], dtype=np.int32), np.array([[1, 0], [1, 0]], dtype=np.float32))
    nobody = Neighbors(np.zeros((0, 1), dtype=np.int32), np.zeros((0, 1), dtype=np.float32))
    for views, n in (([], 0), ([], 3), ([alone], 2), ([nobody], 0)):
        left, right = candidates(views, n)
        assert left.tolist() == right.tolist() == []


# some of the pairs


def test_pairs_within_groups_and_a_range_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Pairs(np.array([0, 0, 1, 2]), np.array([1, 2, 3, 3]), {"title": np.arange(4, dtype=np.float32)})
    labels = np.array([0, 0, 1, 1])
    assert found.within(labels).tolist() == [True, False, False, True]
    monkeypatch.setattr(pairs, "_CHUNK", 3)
    assert found.within(labels).tolist() == [True, False, False, True]
    assert found.take(slice(0, 0)).within(labels).tolist() == []
    assert found.take(slice(1, 3)).frame(pl.Series(list("abcd"))).rows() == [("a", "c", 1.0), ("b", "d", 2.0)]


# similarities


@examples(100)
@given(vectors_and_pairs(), st.sampled_from([1, 2, 3, 1 << 16]), st.integers(1, 3))
def test_similarities_of_vectors(given_pairs, chunk, threads):
    vectors, left, right = given_pairs
    expected = np.array([float(vectors[i].astype(float) @ vectors[j]) for i, j in zip(left, right, strict=True)])
    missing = ~vectors.any(axis=1)
    expected[missing[left] | missing[right]] = np.nan
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "_CHUNK", chunk)
        found = dense_similarity(vectors, left, right, threads=threads)
        sparse = sparse_similarity(sp.csr_matrix(vectors), left, right, threads=threads)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(sparse, expected, atol=1e-6)
    assert found.dtype == sparse.dtype == np.float32


def test_similarities_do_not_leave_their_range():
    rng = np.random.default_rng(0)
    vectors = np.abs(rng.normal(size=(500, 33))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    every = np.arange(500)
    assert dense_similarity(vectors, every, every).max() == 1
    assert dense_similarity(np.concatenate([vectors, -vectors]), every, every + 500).min() == -1
    assert sparse_similarity(sp.csr_matrix(vectors), every, every).max() == 1


@examples(50)
@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.booleans()), min_size=2, max_size=8))
def test_similarities_of_hashes(posts):
    hashes = np.array([value for value, _ in posts], dtype=np.uint64)
    hashed = np.array([known for _, known in posts])
    left, right = np.triu_indices(len(posts), 1)
    expected = oracles.hash_table(hashes, hashed, 64)[left, right]
    found = hash_similarity((hashes, hashed), (hashes, hashed), left, right)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.float32
