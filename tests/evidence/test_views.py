from dataclasses import replace

import numpy as np
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from kembar.evidence.views import SparseView
from oracles import units
from properties import examples

# titles without spaces between words


@examples(60)
@given(st.integers(0, 10_000), st.integers(2, 20), st.integers(2, 4), st.sampled_from([0.05, 0.2, 0.4]))
def test_posts_read_by_signs_have_longer_lists(seed, n, k, least):
    rng = np.random.default_rng(seed)
    vectors, signs = sp.csr_matrix(units(n, 5, seed, density=0.6)), rng.random(n) < 0.5
    view = SparseView("word", vectors, k, least=least, signs=signs)
    near = view.index()(view, np.arange(n))
    short = replace(view, signs=None).index()(view, np.arange(n))
    long = replace(view, k=3 * k, least=least / 4, signs=None).index()(view, np.arange(n))
    for row in range(n):
        expected = (long if signs[row] else short).index[row]
        assert near.index[row][near.index[row] >= 0].tolist() == expected[expected >= 0].tolist()
    assert view.places().tolist() == [3 * k if each else k for each in signs]
    rows = rng.permutation(n)
    parts = [view.take(rows[: n // 2]), view.take(rows[n // 2 :])]
    np.testing.assert_array_equal(view.joined(parts, np.argsort(rows)).signs, signs)
