"""Posts with an equal identifier are candidates, whatever else they say."""

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from kembar.evidence.copies import Copies, content_keys
from kembar.evidence.identifier_view import identifier_columns, identifier_views, with_an_equal_one
from kembar.evidence.pairs import Pairs
from kembar.evidence.placeholders import set_aside
from kembar.evidence.views import search
from kembar.posts.catalog import Catalog
from kembar.posts.columns import Columns
from kembar.posts.titles import normalize
from properties import examples

CODES = st.lists(st.sampled_from(["", "AB1", "AB2", "CD3"]), min_size=2, max_size=12)


def catalog(codes: list[str], titles: list[str] | None = None) -> Catalog:
    frame = pl.DataFrame({"posting_id": [f"p{row:03}" for row in range(len(codes))], "mpn": codes})
    return Catalog.read(frame.with_columns(title=pl.Series(titles or ["t"] * len(codes))), columns=NAMED)


NAMED = Columns(identifiers=("mpn",))


@examples(60)
@given(CODES)
def test_neighbours_are_the_posts_with_an_equal_code(codes: list[str]) -> None:
    for view in identifier_views(catalog(codes)):
        near = search(view, view, np.arange(len(codes)))
        found = {frozenset(pair) for pair in zip(*(ends.tolist() for ends in near.edges()[:2]), strict=True)}
        pairs = [(i, j) for i in range(len(codes)) for j in range(i)]
        assert found == {frozenset((i, j)) for i, j in pairs if codes[i] == codes[j] != ""}
        left, right = (np.array(end, dtype=np.int64) for end in zip(*pairs, strict=True))
        expected = [np.nan if not (codes[i] and codes[j]) else codes[i] == codes[j] for i, j in pairs]
        np.testing.assert_array_equal(view.score(left, right), np.array(expected, dtype=np.float32))


@examples(40)
@given(CODES, st.integers(0, 99))
def test_slices_are_the_whole(codes: list[str], seed: int) -> None:
    for view in identifier_views(catalog(codes)):
        order = np.random.default_rng(seed).permutation(len(codes))
        some = np.array_split(order, 3)
        again = view.joined([view.take(rows) for rows in some], np.argsort(order))
        np.testing.assert_array_equal(again.codes, view.codes)
        np.testing.assert_array_equal(again.known, view.known)
        hidden = view.hidden(np.ones(len(codes), dtype=bool))
        assert np.isnan(hidden.score(order, order)).all()
        base = view.take(some[0])
        np.testing.assert_array_equal(view.score(order[:1], np.array([0]), base), view.score(order[:1], some[0][:1]))


def test_no_identifiers_no_views() -> None:
    frame = pl.DataFrame({"posting_id": ["a", "b"], "title": "t"})
    assert identifier_views(Catalog.read(frame)) == ()


def test_columns_of_pairs() -> None:
    ends = np.array([0, 0]), np.array([1, 2])
    evidence = {"equal a": [1, np.nan], "equal a_weight": [2, 0], "equal b_weight": [0, np.nan], "word": [1, 1]}
    pairs = Pairs(*ends, {name: np.array(column, dtype=np.float32) for name, column in evidence.items()})
    assert list(identifier_columns(pairs)) == ["equal a", "equal b_weight"]
    assert with_an_equal_one(pairs).tolist() == [True, False]


def test_a_code_that_posts_of_unlike_titles_share_is_set_aside() -> None:
    unlike = [f"{letter * 5} {letter * 7}" for letter in "abcdefgh"]
    given = catalog(["TEMPLATE1"] * 8 + ["REAL1"] * 6, [*unlike, *["acme lamp lumen 300"] * 6])
    found = set_aside(given)
    assert found.identifiers is not None
    assert found.identifiers["mpn"].to_list() == [""] * 8 + ["REAL1"] * 6
    assert set(found.problems.drop("posting_id").rows()) == {
        ("identifier", "the mpn 'TEMPLATE1', which 8 posts of unlike titles share, set aside")
    }
    assert found.problems["posting_id"].to_list() == given.ids.to_list()[:8]


def test_posts_with_other_codes_are_no_copies() -> None:
    codes = ["AB1"] * 30 + ["CD2"] * 30
    posts = catalog(codes)
    titles = normalize(posts.titles)
    assert len(Copies.find(posts, titles, []).kept) == 2
    assert len(set(content_keys(posts, titles, []).tolist())) == 2
