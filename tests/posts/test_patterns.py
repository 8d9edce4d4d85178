"""Few titles are read one by one in Python, many at once by polars: both say the same of any text."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
from hypothesis import example, given
from hypothesis import strategies as st

from kembar.encoders.tfidf import Tfidf
from kembar.evidence.identity import TokenCounts
from kembar.evidence.title_pairs import TitleTerms
from kembar.posts import patterns
from kembar.posts.mentions import read, read_one
from kembar.posts.patterns import FEW, LONG, contains, extracted, one_by_one, replaced
from kembar.posts.quantities import Quantities
from kembar.posts.titles import normalize
from languages import TITLES
from properties import examples

WORDS = [
    *("250 ml", "2x250ml", "1.000 gr", "0,25 l", "1 1/2 kg", "½ kg", "isi 12", "12's", "pack of 4", "twin pack"),
    *("4/64 gb", "bb 45-84 kg", "1kg muat 6 pcs", "5.8g wifi router", "fl. oz", "12 fl oz", "10x20cm", "98mb/s"),
    *(
        "spf 30/50 pa",
        "3 stück",
        "3 stuk",
        "1٫5 кг",
        "500毫升",
        "٢ كجم",
        "５００ml",
        "ß",
        "ΣΑΣ",
        "İ",
        "Ǆ",
        "ﬁ",
        "e\u0301",
    ),
    *("i\u0307\u0307", "&amp;quot;", r"\xe2\x9c\x93", 'b"x"', "b'it\\'s'", "\u200d", "\ufe0f", "\U0001f600", "\u2028"),
    *("\U0001f1e9", "\x00", "\ufffd", "12.5.7", "1,2,3", "1/2", "x", "*", "×", " ", "  ", ".", ",", "-", "+", "/"),
    *("s10+", "avr-4308ci", "avr 4308 ci", "t-shirt", "3060", "ti", "merah", "ungu", "9" * 30, "128gb", "xl", "0.50"),
]
TEXTS = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join),
    st.lists(st.sampled_from(WORDS), max_size=8).map("".join),
)
SEVERAL = st.lists(TEXTS, min_size=1, max_size=4)


@contextmanager
def at_once() -> Iterator[None]:
    """Read even a few titles by polars."""
    patterns.FEW = 0
    try:
        yield
    finally:
        patterns.FEW = FEW


def series(titles: list[str]) -> pl.Series:
    return pl.Series(titles, dtype=pl.String)


@examples(200)
@given(SEVERAL)
@example(["1٫5"])
def test_the_normal_form_of_few_titles_is_that_of_many(titles: list[str]) -> None:
    few = normalize(series(titles)).to_list()
    with at_once():
        assert few == normalize(series(titles)).to_list()
        assert few == normalize(series([*titles, "٢"])).to_list()[:-1]


@examples(200)
@given(TEXTS)
@example("5 g\n")
def test_the_quantities_of_one_title_are_those_it_has_among_many(title: str) -> None:
    assert [row[1:] for row in read(series([title])).iter_rows()] == read_one(title)


@examples(100)
@given(SEVERAL, SEVERAL)
def test_few_titles_say_what_they_say_among_many(known: list[str], asked: list[str]) -> None:
    """Words, tokens, quantities and terms, by those that other titles know."""
    before, titles = normalize(series(known)), normalize(series(asked))
    long = titles + " " * 9 + titles.reverse() + " x" * 20
    further = pl.DataFrame({"brand": titles.reverse(), "told": long})
    few = said(before, titles, further)
    with at_once():
        many = said(before, titles, further)
    for one, other in zip(few, many, strict=True):
        equal(one, other)


def said(before: pl.Series, titles: pl.Series, further: pl.DataFrame) -> list[Any]:
    """Read titles in every way."""
    read: list[Any] = [Quantities.parse(titles), TitleTerms.fit(before).apply(titles)]
    read += [TokenCounts.fit(before).apply(titles, more) for more in (None, further)]
    for tfidf in (Tfidf("word"), Tfidf("word", (1, 2)), Tfidf("char", (2, 4))):
        read += [tfidf.fit([tfidf.count(before)]).encode(titles), tfidf.count(titles)]
    return read


def equal(one: Any, other: Any) -> None:
    """Compare to the bit."""
    if is_dataclass(one):
        for field in fields(one):
            equal(getattr(one, field.name), getattr(other, field.name))
    elif isinstance(one, pl.Series):
        assert one.to_list() == other.to_list()
    elif sp.issparse(one):
        for part in ("data", "indices", "indptr"):
            np.testing.assert_array_equal(getattr(one, part), getattr(other, part))
    else:
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("titles", [own for _, own in TITLES.values()], ids=list(TITLES))
def test_titles_of_all_languages_are_read_the_same_in_both_ways(titles: list[str]) -> None:
    few = normalize(series(titles[:FEW]))
    assert one_by_one(few) is not None
    one = said(few, few, pl.DataFrame({"brand": few}))
    with at_once():
        assert normalize(series(titles[:FEW])).to_list() == few.to_list()
        for a, b in zip(one, said(few, few, pl.DataFrame({"brand": few})), strict=True):
            equal(a, b)


def test_a_class_of_signs_is_what_polars_takes_it_for() -> None:
    """Code points one by one: all of the alphabets, some of the rest."""
    codes = [*range(0x3100), *range(0x3100, 0xD800, 31), *range(0xE000, 0x110000, 61)]
    signs = pl.Series([chr(code) for code in codes])
    for pattern in (r"\w", r"[\p{L}\p{M}--[\p{Thai}]]", r"[^\p{L}\p{M}]", r"[\p{Cc}\s\\\x{FFFD}]", r"[\p{Nd}--0-9]"):
        assert [contains(pattern, sign) for sign in signs] == signs.str.contains(pattern).to_list()


def test_a_pattern_ends_where_polars_ends_it() -> None:
    for text in ("5 g\n", "5 g", "5 gé", "5 g中"):
        for pattern in ("g$", r"g(?-u:\b)"):
            assert contains(pattern, text) == pl.Series([text]).str.contains(pattern)[0]
            assert [m[0] for m in extracted(pattern, text)] == pl.Series([text]).str.extract_all(pattern)[0].to_list()
        assert replaced("( )g", "${1}kg", text) == pl.Series([text]).str.replace_all("( )g", "${1}kg")[0]


def test_many_long_and_very_new_titles_are_left_to_polars() -> None:
    assert one_by_one(series(["a"] * FEW)) == ["a"] * FEW
    assert one_by_one(series(["a"] * (FEW + 1))) is None
    assert one_by_one(series(["a" * (LONG + 1)])) is None
    assert one_by_one(series(["\U0001fffe"])) is None
