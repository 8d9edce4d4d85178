"""Few titles are read one by one in Python, many at once by polars: both say the same of any text."""

from collections.abc import Iterator

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kembar.posts import patterns
from kembar.posts.mentions import read, read_one
from kembar.posts.patterns import found, matched, one_by_one, replaced
from kembar.posts.titles import normalize
from languages import TITLES
from places import DATA
from properties import examples

WORDS = [
    *("250 ml", "2x250ml", "1.000 gr", "0,25 l", "1 1/2 kg", "½ kg", "isi 12", "12's", "pack of 4", "twin pack", "4/64 gb"),
    *("bb 45-84 kg", "1kg muat 6 pcs", "5.8g wifi router", "fl. oz", "12 fl oz", "10x20cm", "98mb/s", "spf 30/50 pa", "3 stück"),
    *("1٫5 кг", "500毫升", "٢ كجم", "５００ml", "ß", "ΣΑΣ", "İ", "Ǆ", "ﬁ", "e\u0301", "i\u0307\u0307", "&amp;quot;", r"\xe2\x9c\x93"),
    *('b"x"', "b'it\\'s'", "\u200d", "\ufe0f", "\U0001f600", "\U0001f1e9", "\u2028", "\x00", "\ufffd", "12.5.7", "1,2,3", "1/2"),
    *("x", "*", "×", " ", "  ", ".", ",", "-", "+", "/", "s10+", "avr-4308ci", "avr 4308 ci", "t-shirt", "3060", "ti", "merah", "9" * 30),
]
TEXTS = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join), st.lists(st.sampled_from(WORDS), max_size=8).map("".join))


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "FEW", 0)


def at_once(texts: list[str]) -> list[str]:
    return normalize(pl.Series([*texts, *["x"] * patterns.FEW], dtype=pl.String)).to_list()[: len(texts)]


def real() -> Iterator[str]:
    for _, titles in TITLES.values():
        yield from titles


@examples(1000)
@given(TEXTS)
def test_one_title_has_the_normal_form_that_it_has_among_many(title: str) -> None:
    assert normalize(pl.Series([title])).to_list() == at_once([title])


@examples(1000)
@given(TEXTS)
@example("5 g\n")
def test_one_title_has_the_quantities_that_it_has_among_many(title: str) -> None:
    assert [tuple(row[1:]) for row in read(pl.Series([title])).iter_rows()] == read_one(title)
