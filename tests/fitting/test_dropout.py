from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kembar.config import Config
from kembar.encoders.embeddings import Embeddings
from kembar.evidence.views import View, build_views
from kembar.fitting.dropout import thinned
from kembar.posts.buckets import draws_of
from kembar.posts.catalog import Catalog
from kembar.posts.titles import normalize
from kembar.synthesis import synthesize
from properties import examples

N = 120


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.read(synthesize(N, seed=3, hashes=True).posts)


@pytest.fixture(scope="module")
def views(catalog: Catalog) -> tuple[View, ...]:
    rng = np.random.default_rng(0)
    brought = {name: Embeddings.of(rng.normal(size=(N, 8))) for name in ("title", "photo")}
    return build_views(catalog, normalize(catalog.titles), Config(), brought)


def ways(views: tuple[View, ...]) -> list[tuple[str, ...]]:
    titles = pl.Series(["beras"] * N)
    return [pool.without for pool in thinned(views, titles, np.linspace(0, 1, N, endpoint=False))]


def test_evidence_is_hidden_in_every_way_that_leaves_titles(views: tuple[View, ...]) -> None:
    photos, words = ("hash", "photo"), ("char", "word")
    expected = [photos, ("title",), words, (*photos, "title"), tuple(sorted((*photos, *words))), ()]
    assert ways(views) == expected
    by_name = {view.name: view for view in views}
    assert ways((by_name["word"], by_name["hash"])) == [("hash",), ()]
    assert ways((by_name["word"], by_name["title"])) == [("title",), ("word",)]
    assert ways((by_name["hash"], by_name["photo"])) == []
    assert ways((by_name["word"],)) == []


def test_half_of_the_photos_go_and_a_tenth_of_the_titles_never_both(views: tuple[View, ...]) -> None:
    titles = pl.Series([f"beras {at}" for at in range(N)])
    draws = np.random.default_rng(1).permutation(N) / N
    *_, pool = thinned(views, titles, draws)
    bare = (pool.titles == "").to_numpy()
    assert bare.sum() == N // 10
    itself = np.arange(N)
    for whole, view in zip(views, pool.views, strict=True):
        before, lacking = (np.isnan(each.score(itself, itself)) for each in (whole, view))
        if view.modality == "title":
            assert np.array_equal(lacking, bare | before)
        else:
            assert np.array_equal(lacking, (draws >= 0.5) | before)
            assert not ((draws >= 0.5) & bare).any()


@given(st.lists(st.booleans(), min_size=N, max_size=N))
@examples(20)
def test_hiding_takes_pairs_away_and_changes_no_other(views: tuple[View, ...], hidden: list[bool]) -> None:
    posts = np.array(hidden)
    left, right = np.triu_indices(N, 1)
    gone = posts[left] | posts[right]
    for view in views:
        before, after = view.score(left, right), view.hidden(posts).score(left, right)
        assert np.isnan(after[gone]).all()
        assert np.array_equal(after[~gone], before[~gone], equal_nan=True)
        assert np.array_equal(view.score(left, right), before, equal_nan=True), "the view itself stays"


def test_draws_belong_to_ids_and_are_even() -> None:
    ids = pl.Series([f"train_{at}" for at in range(5000)])
    draws = draws_of(ids)
    assert np.array_equal(draws_of(ids.reverse()), draws[::-1])
    assert draws.min() >= 0
    assert draws.max() < 1
    counts = np.histogram(draws, bins=10, range=(0, 1))[0]
    assert (abs(counts - 500) < 100).all()
    assert all(a < b for a, b in pairwise(np.sort(draws)))
