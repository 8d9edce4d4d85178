import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kembar.errors import ConfigError
from kembar.posts.buckets import Buckets
from properties import examples

ids = st.lists(st.text(max_size=4), unique=True, max_size=30).map(lambda each: pl.Series(each, dtype=pl.String))


@examples(60)
@given(ids, st.integers(1, 7))
def test_every_post_is_in_one_bucket_which_the_others_do_not_change(posts, number):
    buckets = Buckets.of(posts, number)
    assert sorted(np.concatenate(buckets.rows).tolist()) == list(range(len(posts)))
    assert len(buckets) == number
    fewer = Buckets.of(posts.head(len(posts) // 2), number)
    for rows, before in zip(buckets, fewer, strict=True):
        assert before.tolist() == rows[rows < len(posts) // 2].tolist()


@examples(60)
@given(ids, st.integers(1, 7), st.integers(0, 1000))
def test_what_is_made_in_buckets_comes_back_in_the_order_of_the_rows(posts, number, seed):
    buckets, n = Buckets.of(posts, number), len(posts)
    assert buckets.arrays(lambda rows: rows * 2).tolist() == [2 * row for row in range(n)]
    left = np.random.default_rng(seed).integers(0, max(n, 1), 12 if n else 0)
    parts = buckets.by_left(left)
    assert parts.arrays(lambda at: left[at]).tolist() == left.tolist()
    kept = np.flatnonzero(np.random.default_rng(seed).random(n) < 0.5)
    assert buckets.among(kept).arrays(lambda rows: kept[rows]).tolist() == kept.tolist()


def test_no_buckets_at_all_are_refused():
    with pytest.raises(ConfigError, match="0 buckets; expected at least 1"):
        Buckets.of(pl.Series(["a"]), 0)
