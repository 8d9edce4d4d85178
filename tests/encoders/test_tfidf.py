import math
import re

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from kembar.encoders.tfidf import Terms, Tfidf, prune
from kembar.errors import ConfigError
from oracles import units
from properties import examples

TITLES = st.lists(
    st.lists(st.sampled_from(["baju", "anak", "12", "500ml", "a", "é"]), max_size=5).map(" ".join), max_size=8
)


def words(title: str, low: int, high: int) -> set[str]:
    each = re.findall(r"\w+", title)
    return {" ".join(each[i : i + n]) for n in range(low, high + 1) for i in range(len(each) - n + 1)}


def characters(title: str, low: int, high: int) -> set[str]:
    found = set()
    for word in title.split():
        padded = f" {word} "
        for n in range(low, high + 1):
            found |= {padded[i : i + n] for i in range(max(1, len(padded) - n + 1))}
    return found


def cosines(titles: list[str], terms, max_df: float) -> np.ndarray:
    """Straight from the definition: binary counts, ln((1 + n) / (1 + df)) + 1, unit rows."""
    n = len(titles)
    sets = [terms(title) for title in titles]
    df = {term: sum(term in other for other in sets) for each in sets for term in each}
    kept = {term for term, count in df.items() if count <= max(max_df * n, 2)}
    idf = {term: math.log((1 + n) / (1 + df[term])) + 1 for term in kept}
    length = [math.sqrt(sum(idf[term] ** 2 for term in each & kept)) for each in sets]
    table = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            shared = sum(idf[term] ** 2 for term in sets[i] & sets[j] & kept)
            table[i, j] = shared / (length[i] * length[j]) if shared else 0
    return table


@examples(60)
@given(TITLES, st.sampled_from([(1, 1), (1, 2), (2, 3)]), st.sampled_from([0.3, 0.5, 1.0]))
def test_words(titles, n_gram, max_df):
    vectors = Tfidf("word", n_gram, max_df).encode(pl.Series(titles, dtype=pl.String))
    expected = cosines(titles, lambda title: words(title, *n_gram), max_df)
    assert vectors.dtype == np.float32
    assert vectors.shape[0] == len(titles)
    np.testing.assert_allclose((vectors @ vectors.T).toarray(), expected, atol=1e-5)


@examples(60)
@given(TITLES, st.sampled_from([(2, 2), (2, 4), (3, 5)]), st.sampled_from([0.3, 1.0]))
def test_characters(titles, n_gram, max_df):
    vectors = Tfidf("char", n_gram, max_df).encode(pl.Series(titles, dtype=pl.String))
    expected = cosines(titles, lambda title: characters(title, *n_gram), max_df)
    np.testing.assert_allclose((vectors @ vectors.T).toarray(), expected, atol=1e-5)


@examples(30)
@given(TITLES, st.integers(0, 100))
def test_order_of_titles_does_not_matter(titles, seed):
    order = np.random.default_rng(seed).permutation(len(titles))
    series = pl.Series(titles, dtype=pl.String)
    before, after = Tfidf().encode(series), Tfidf().encode(series.gather(order))
    np.testing.assert_array_equal(before.toarray()[order], after.toarray())


@pytest.mark.parametrize("unit", ["word", "char"])
@pytest.mark.parametrize("titles", [[], [""], ["", "", ""]])
def test_nothing_to_read(unit, titles):
    vectors = Tfidf(unit).encode(pl.Series(titles, dtype=pl.String))
    assert vectors.shape == (len(titles), 0)


def test_titles_of_signs_alone_have_no_words():
    vectors = Tfidf().encode(pl.Series(["!!!", "baju"]))
    assert np.diff(vectors.indptr).tolist() == [0, 1]


def test_a_term_in_every_title_is_left_out_unless_titles_are_few():
    many = Tfidf(max_df=0.5).encode(pl.Series(["baju a", "baju b", "baju c", "baju d", "baju e"]))
    assert many.shape[1] == 5
    few = Tfidf(max_df=0.1).encode(pl.Series(["baju a", "baju b"]))
    assert few.shape[1] == 3
    nothing_left = Tfidf(max_df=0.1).encode(pl.Series(["baju", "baju", "baju"]))
    assert nothing_left.shape == (3, 0)


def test_a_share_of_1_may_be_written_as_an_integer():
    titles = pl.Series(["a b", "a c", "a d"])
    assert Tfidf(max_df=1).encode(titles).shape == Tfidf(max_df=1.0).encode(titles).shape == (3, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unit": "byte"}, "unit 'byte'"),
        ({"n_gram": (0, 2)}, r"n_gram \(0, 2\)"),
        ({"n_gram": (3, 2)}, r"n_gram \(3, 2\)"),
        ({"max_df": 0}, "max_df 0"),
        ({"max_df": 1.5}, r"max_df 1\.5"),
        ({"max_df": float("nan")}, "max_df nan"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ConfigError, match=message):
        Tfidf(**options)


# scripts without spaces

SHOPEE = [
    "paper bag victoria secret",
    "double tape 3m vhb 12 mm x 4,5 m original / double foam tape",
    "maling tts canned pork luncheon meat 397 gr",
    "daster batik lengan pendek - motif acak / campur - leher kancing (dpt001-00)",
    "nescafé éclair latte 220ml",
    "celana wanita (bb 45-84 kg) harem wanita (bisa cod)",
    "корейский крем 50 мл",
    "무료배송 마스크 50매",
]


@pytest.mark.parametrize(
    ("unit", "n_gram", "max_df"), [("word", (1, 1), 1.0), ("char", (4, 4), 0.5), ("char", (2, 4), 1.0)]
)
def test_titles_with_spaces_are_read_as_ever(unit, n_gram, max_df):
    how = {"analyzer": "word", "token_pattern": r"\w+"} if unit == "word" else {"analyzer": "char_wb"}
    counter = CountVectorizer(**how, ngram_range=n_gram, lowercase=False, binary=True, dtype=np.float32)
    plain = counter.fit_transform(SHOPEE)
    counted = Tfidf(unit, n_gram, max_df).count(pl.Series(SHOPEE))
    assert counted.terms == tuple(counter.get_feature_names_out())
    np.testing.assert_array_equal(counted.matrix.toarray(), plain.toarray())
    # Titles of other scripts in the same catalogue change none of these terms.
    mixed = Tfidf(unit, n_gram, max_df).count(pl.Series([*SHOPEE, "纯棉t恤 男士短袖", "เสื้อยืด"]))
    rows = mixed.matrix[: len(SHOPEE)]
    assert [[mixed.terms[at] for at in sorted(row.indices)] for row in rows] == [
        [counted.terms[at] for at in sorted(row.indices)] for row in counted.matrix
    ]


def terms_of(unit: str, title: str, n_gram: tuple[int, int]) -> set[str]:
    return set(Tfidf(unit, n_gram).count(pl.Series([title])).terms)


def test_runs_without_spaces_give_pairs_of_signs_and_signs():
    title = "nike 运动鞋 40 码 ノート・ペン"
    assert terms_of("word", title, (1, 1)) == {"nike", "运动", "动鞋", "40", "码", "ノー", "ート", "ペン"}
    assert terms_of("char", title, (4, 4)) == {" nik", "nike", "ike ", " 40 ", " ・ "} | set("运动鞋码ノートペン")


def test_signs_of_thai_stay_together():
    assert terms_of("word", "เสื้อ 100฿", (1, 1)) == {"เส", "สื", "ื้", "้อ", "100"}


def test_terms_of_signs_may_be_in_half_of_the_titles():
    titles = pl.Series(["纯 abcd", "纯 abce", "纯 abcf", "白 abcg", "白 abch", "白 abci", "黑 abcj"])
    assert {"纯", "白", "黑"} <= set(Tfidf("char", (4, 4), 0.05).fit([Tfidf("char", (4, 4)).count(titles)]).terms)


def test_how_titles_were_counted_in_slices_changes_nothing():
    titles = pl.Series([*SHOPEE, "纯棉t恤 男士短袖", "棉t恤 a・b", "a・b nike"])
    tfidf = Tfidf("char", (4, 4), 0.5)
    whole, parts = tfidf.count(titles), [tfidf.count(titles[at : at + 1]) for at in range(len(titles))]
    assert tfidf.fit([whole]).terms == tfidf.fit(parts).terms


def test_terms_of_signs_are_saved_and_loaded(tmp_path):
    titles = pl.Series(["纯棉t恤 男士短袖", "棉t恤 男", "เสื้อยืด", "baju anak"])
    for unit in ("word", "char"):
        terms = Tfidf(unit, (1, 1) if unit == "word" else (4, 4), 0.5).fit([Tfidf(unit).count(titles)])
        terms.save(tmp_path / "terms.parquet")
        assert (Terms.load(tmp_path / "terms.parquet").encode(titles) != terms.encode(titles)).nnz == 0


# pruning


def pruned(table: np.ndarray, most: int, mass: float) -> np.ndarray:
    frequency = (table > 0).sum(axis=0)
    kept = table.copy()
    for row in kept if len(table) > most else []:
        dropped = 0.0
        for term in sorted(np.flatnonzero(row), key=lambda t: (-frequency[t], t)):
            dropped += float(row[term]) ** 2
            if dropped > mass or frequency[term] <= most:
                break
            row[term] = 0
    return kept


@examples(100)
@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(0, 6), st.sampled_from([0.0, 0.3, 0.5, 0.9]))
def test_pruning_drops_the_most_frequent_terms(seed, n, most, mass):
    table = units(n, 6, seed, density=0.6)
    vectors = sp.csr_matrix(table)
    found = prune(vectors, most=most, mass=mass)
    np.testing.assert_array_equal(found.toarray(), pruned(table, most, mass))
    np.testing.assert_array_equal(vectors.toarray(), table)
    assert found.dtype == np.float32
    assert ((found @ found.T).toarray() <= (table @ table.T) + 1e-6).all()
    own = np.asarray(found.multiply(found).sum(axis=1)).ravel()
    assert (own[table.any(axis=1)] >= 1 - mass - 1e-6).all()


@pytest.mark.parametrize("shape", [(0, 0), (3, 0), (0, 3), (3, 2)])
def test_pruning_of_nothing(shape):
    assert prune(sp.csr_matrix(shape, dtype=np.float32), most=0).shape == shape
