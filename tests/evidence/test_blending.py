import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import oracles
from kembar.arrays import unit_rows
from kembar.errors import ConfigError
from kembar.evidence.blending import blend, neighborhood, query_expansion
from kembar.evidence.search import dense_neighbors, sparse_neighbors
from properties import examples

NUMBERS = st.sampled_from([0.0, 0.0, 0.25, 0.5, 1.0])


@st.composite
def scored(draw):
    """Unit rows, some empty, and scored pairs of them."""
    n = draw(st.integers(1, 8))
    vectors = unit_rows(draw(hnp.arrays(np.float32, (n, 4), elements=NUMBERS)))
    left, right = np.triu_indices(n, 1)
    keep = draw(hnp.arrays(bool, len(left)))
    similarity = draw(hnp.arrays(np.float32, len(left), elements=st.sampled_from([0.125, 0.25, 0.5, 0.75, 1.0])))
    return vectors, left[keep], right[keep], similarity[keep]


def lengths(vectors: np.ndarray) -> np.ndarray:
    return np.linalg.norm(vectors.astype(np.float64), axis=1)


@examples(100)
@given(scored(), st.sampled_from([0.25, 0.5, 0.8]), st.sampled_from([None, 0.0, 0.2, 0.25]))
def test_blending_step(posts, threshold, min2):
    vectors, left, right, similarity = posts
    n = len(vectors)
    weights = neighborhood(left, right, similarity, n, threshold=threshold, min2=min2)
    chosen = oracles.select(left, right, similarity, n, threshold, min2)
    for i, near in enumerate(chosen):
        expected = {i: 1.0, **{j: s for s, j in near}}
        row = weights[i]
        assert dict(zip(row.indices.tolist(), row.data.tolist(), strict=True)) == expected
    assert weights.dtype == np.float32
    expected = oracles.blend(vectors.astype(float), chosen)
    np.testing.assert_allclose(blend(vectors, weights), expected, atol=1e-6)
    sparse = blend(sp.csr_matrix(vectors), weights)
    assert sp.issparse(sparse)
    assert sparse.dtype == np.float32
    assert sparse.has_sorted_indices
    np.testing.assert_allclose(sparse.toarray(), expected, atol=1e-6)


@examples(40)
@given(scored(), st.integers(0, 1000))
def test_order_of_posts_does_not_matter_to_blending(posts, seed):
    vectors, left, right, similarity = posts
    n = len(vectors)
    place = np.random.default_rng(seed).permutation(n)
    moved = np.empty_like(vectors)
    moved[place] = vectors
    options = {"threshold": 0.5, "min2": None}
    before = blend(vectors, neighborhood(left, right, similarity, n, **options))
    after = blend(moved, neighborhood(place[left], place[right], similarity, n, **options))
    np.testing.assert_allclose(after[place], before, atol=1e-6)


def test_blending_without_pairs_changes_nothing():
    vectors = unit_rows(np.random.default_rng(0).random((4, 3)))
    none = np.zeros(0, dtype=np.int64)
    weights = neighborhood(none, none, np.zeros(0, dtype=np.float32), 4, threshold=0.5)
    np.testing.assert_allclose(blend(vectors, weights), vectors, atol=1e-7)
    empty = neighborhood(none, none, np.zeros(0, dtype=np.float32), 0, threshold=0.5)
    assert blend(np.zeros((0, 3), dtype=np.float32), empty).shape == (0, 3)


def test_an_empty_row_learns_from_its_neighbours():
    vectors = np.array([[0, 0], [0.6, 0.8]], dtype=np.float32)
    weights = neighborhood(np.array([0]), np.array([1]), np.array([0.9], dtype=np.float32), 2, threshold=0.5)
    np.testing.assert_allclose(blend(vectors, weights)[0], [0.6, 0.8], atol=1e-6)


@pytest.mark.parametrize(("threshold", "min2"), [(1.5, None), (-0.1, None), (0.5, 0.6), (0.5, -0.1)])
def test_thresholds_out_of_range(threshold, min2):
    none = np.zeros(0, dtype=np.int64)
    with pytest.raises(ConfigError, match=f"{threshold if min2 is None else min2}"):
        neighborhood(none, none, np.zeros(0, dtype=np.float32), 2, threshold=threshold, min2=min2)


# query expansion


@examples(50)
@given(scored(), st.integers(1, 6), st.sampled_from([0.0, 0.5, 1.0, 3.0]))
def test_query_expansion(posts, k, alpha):
    vectors = posts[0]
    n = len(vectors)
    for near, given_vectors in (
        (dense_neighbors(vectors, 5), vectors),
        (sparse_neighbors(sp.csr_matrix(vectors), 5), sp.csr_matrix(vectors)),
    ):
        expected = oracles.expand(vectors.astype(float), near.index, near.score, k, alpha)
        alone = query_expansion(given_vectors, near, k=k, alpha=alpha, concatenate=False)
        both = query_expansion(given_vectors, near, k=k, alpha=alpha)
        assert sp.issparse(alone) == sp.issparse(both) == sp.issparse(given_vectors)
        assert alone.dtype == both.dtype == np.float32
        alone, both = (x.toarray() if sp.issparse(x) else x for x in (alone, both))
        np.testing.assert_allclose(alone, expected, atol=1e-6)
        np.testing.assert_allclose(both, np.hstack([vectors, expected]) * np.sqrt(0.5), atol=1e-6)
        known = vectors.any(axis=1)
        np.testing.assert_allclose(lengths(both)[known], 1, atol=1e-6)
        assert not both[~known].any()
        assert both.shape == (n, 8)


def test_query_expansion_of_nothing():
    none = np.zeros((0, 3), dtype=np.float32)
    assert query_expansion(none, dense_neighbors(none, 3)).shape == (0, 6)


@pytest.mark.parametrize(("k", "alpha"), [(0, 0.5), (2, -0.5), (2, float("nan"))])
def test_query_expansion_out_of_range(k, alpha):
    vectors = np.eye(2, dtype=np.float32)
    with pytest.raises(ConfigError, match=f"k {k} and alpha {alpha}"):
        query_expansion(vectors, dense_neighbors(vectors, 2), k=k, alpha=alpha)


# unit rows


@examples(60)
@given(hnp.arrays(np.float32, (4, 3), elements=st.one_of(st.just(0.0), st.floats(-(2.0**100), 2.0**100, width=32))))
def test_unit_rows(vectors):
    before = vectors.copy()
    sparse = sp.csr_matrix(vectors)
    kept = sparse.copy()
    found, as_sparse = unit_rows(vectors), unit_rows(sparse)
    np.testing.assert_array_equal(vectors, before)
    np.testing.assert_array_equal(sparse.data, kept.data)
    for unit in (found, as_sparse.toarray()):
        np.testing.assert_allclose(lengths(unit)[vectors.any(axis=1)], 1, atol=1e-5)
        assert not unit[~vectors.any(axis=1)].any()
        assert unit.dtype == np.float32
