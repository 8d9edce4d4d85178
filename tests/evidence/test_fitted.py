"""What is fitted on a catalogue applies to any posts: a slice of it looks the same as within the whole."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from kembar import Catalog, Config, Embeddings
from kembar.encoders.tfidf import Terms, Tfidf
from kembar.errors import FolderError
from kembar.evidence.copies import Copies, content_keys
from kembar.evidence.fitted import Fitted, count_terms
from kembar.evidence.title_pairs import TitlePairs, TitleTerms
from kembar.evidence.views import build_views, search
from kembar.posts.buckets import Buckets
from kembar.posts.titles import normalize


@pytest.fixture(scope="module")
def brought(oracle_vectors: np.ndarray) -> dict[str, Embeddings]:
    return {"clip": Embeddings.of(oracle_vectors)}


def fitted_on(catalog: Catalog, brought: dict[str, Embeddings], buckets: int = 1) -> Fitted:
    titles = normalize(catalog.titles)
    copies = Copies.find(catalog, titles, brought.values())
    parts = [count_terms(titles.gather(rows), Config()) for rows in Buckets.of(catalog.ids, buckets)]
    return Fitted.fit(titles, copies, parts, Config())


def taken(brought: dict[str, Embeddings], rows: np.ndarray) -> dict[str, Embeddings]:
    return {name: Embeddings(given.vectors[rows]) for name, given in brought.items()}


@pytest.mark.parametrize("share", [0.01, 0.1, 1.0])
def test_a_slice_finds_and_scores_what_the_whole_catalogue_does(catalog, brought, share):
    titles = normalize(catalog.titles)
    whole = build_views(catalog, titles, Config(), brought)
    rows = np.sort(np.random.default_rng(1).permutation(len(catalog))[: max(1, round(share * len(catalog)))])
    part = catalog.take(rows)
    fitted = fitted_on(catalog, brought)
    views = fitted.views(part, normalize(part.titles), Config(), taken(brought, rows))
    assert [view.name for view in views] == [view.name for view in whole]
    for view, base in zip(views, whole, strict=True):
        found, expected = search(view, base, rows), search(base, base, np.arange(len(catalog))).take(rows)
        np.testing.assert_array_equal(found.index, expected.index)
        np.testing.assert_array_equal(found.score, expected.score)
        at, right = np.arange(len(rows)), np.roll(rows, 1)
        np.testing.assert_array_equal(view.score(at, right, base), base.score(rows, right))


@pytest.mark.parametrize("buckets", [2, 5])
def test_slices_fit_the_same_as_the_whole(catalog, brought, buckets):
    one, many = fitted_on(catalog, brought), fitted_on(catalog, brought, buckets)
    for name, terms in one.terms.items():
        assert many.terms[name].terms == terms.terms
        assert (many.terms[name].frequency == terms.frequency).all()


def test_it_saves_and_loads(catalog, brought, tmp_path: Path):
    fitted = fitted_on(catalog, brought)
    fitted.save(tmp_path / "fitted")
    loaded = Fitted.load(tmp_path / "fitted")
    titles = normalize(catalog.titles)
    for name, terms in fitted.terms.items():
        assert (loaded.terms[name].encode(titles) != terms.encode(titles)).nnz == 0
    assert loaded.titles.words.equals(fitted.titles.words)
    assert loaded.titles.posts == fitted.titles.posts
    assert (loaded.copies.kept == fitted.copies.kept).all()
    with pytest.raises(FolderError, match="overwrite=True"):
        fitted.save(tmp_path / "fitted")


@pytest.mark.parametrize("damage", ["terms-word.parquet", "copies.npz", "title-words.parquet", "fitted.json"])
def test_what_is_not_whole_is_refused(catalog, brought, tmp_path: Path, damage: str):
    fitted_on(catalog, brought).save(tmp_path / "fitted")
    (tmp_path / "fitted" / damage).write_bytes(b"no")
    with pytest.raises(FolderError, match="Match the catalogue again"):
        Fitted.load(tmp_path / "fitted")
    (tmp_path / "fitted" / damage).unlink()
    with pytest.raises(FolderError, match="Match the catalogue again"):
        Fitted.load(tmp_path / "fitted")


def test_terms_weigh_posts_that_came_later_by_the_catalogue():
    terms = Tfidf().fit([Tfidf().count(pl.Series(["baju merah", "baju biru", "topi merah"]))])
    later = terms.encode(pl.Series(["baju hijau", "sepatu", ""]))
    assert later.shape == (3, len(terms.terms))
    assert np.diff(later.indptr).tolist() == [1, 0, 0]


def test_terms_of_nothing_save_too(tmp_path: Path):
    terms = Tfidf().fit([Tfidf().count(pl.Series([""]))])
    terms.save(tmp_path / "terms.parquet")
    assert Terms.load(tmp_path / "terms.parquet").encode(pl.Series(["baju"])).shape == (1, 0)


def test_titles_that_came_later_are_compared_by_the_words_of_the_catalogue():
    catalog = pl.Series(["kopi susu", "kopi hitam", "teh susu", "kopi susu"])
    terms = TitleTerms.fit(catalog)
    whole, again = TitlePairs.of(catalog), terms.apply(catalog)
    for one, other in zip(
        whole.score(np.array([0]), np.array([1])), again.score(np.array([0]), np.array([1])), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    later = terms.apply(pl.Series(["kopi susu", "jahe", "jahe susu"]))
    assert later.copies.tolist() == [2, 1, 1]
    columns = dict(zip(later.names, later.score(np.array([1]), np.array([2])), strict=True))
    assert columns["words shared"][0] == pytest.approx(np.log(5) + 1)  # as rare as can be


def test_copies_of_a_catalogue_are_known_again(catalog):
    many = Catalog.read(
        pl.concat([catalog.frame().head(1).with_columns(posting_id=pl.lit(f"c{row}")) for row in range(30)])
    )
    titles = normalize(many.titles)
    copies = Copies.find(many, titles, [])
    assert copies.kept.tolist() == [0]
    other = Catalog.read(catalog.frame().head(2))
    assert copies.known(content_keys(other, normalize(other.titles), [])).tolist() == [0, -1]
