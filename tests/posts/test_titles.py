import html
import re
import sys
import unicodedata
from html.entities import html5

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kembar.errors import CatalogError
from kembar.posts.titles import LONGEST, REACH, ROUNDS, normalize, unescape
from places import DATA
from properties import examples

POSTS = DATA / "shopee" / "posts.csv"


def form(title: str) -> str:
    return normalize(pl.Series([title]))[0]


def shown(title: str) -> str:
    return unescape(pl.Series([title]))[0]


# the slow twin: one title at a time, character by character, with Python's own Unicode tables


def twin_escapes(title: str) -> str:
    for quote in "\"'":
        inner = title[2:-1]
        wrapped = len(title) > 2 and title[0] in "bB" and title[1] == quote and title[-1] == quote
        if wrapped and (quote not in inner if quote == '"' else closes(inner)):
            title = inner
            break
    text, octets, at = "", b"", 0
    while at < len(title):
        if re.match(r"\\x[0-9a-fA-F]{2}", title[at : at + 4]):
            octets, at = octets + bytes.fromhex(title[at + 2 : at + 4]), at + 4
            continue
        text, octets = text + octets.decode("utf-8", "replace").replace("\ufffd", " "), b""
        pair, after = title[at : at + 2], title[at + 2 : at + 3]
        if pair in ("\\\\", "\\'", '\\"'):
            text, at = text + pair[1], at + 2
        elif pair in ("\\n", "\\r", "\\t") and not "a" <= after <= "z":
            text, at = text + {"n": "\n", "r": "\r", "t": "\t"}[pair[1]], at + 2
        else:
            text, at = text + title[at], at + 1
    return text + octets.decode("utf-8", "replace").replace("\ufffd", " ")


def closes(inner: str) -> bool:
    """No single quote but behind a backslash, and no backslash left open at the end."""
    rest = re.sub(r"\\.", "", inner, flags=re.DOTALL)
    return "'" not in rest and "\\" not in rest


def twin_entities(title: str) -> str:
    def undo(match: re.Match[str]) -> str:
        return html.unescape(match[0]) if "#" in match[0] else html5.get(match[1], match[0])

    return re.sub(r"&(#[0-9]{1,7};|#[xX][0-9a-fA-F]{1,6};|[A-Za-z][A-Za-z0-9]{1,31};)", undo, title)


FILLERS = {
    *"\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0",
    *map(chr, range(0x180B, 0x1810)),
    *map(chr, range(0xFE00, 0xFE10)),
    *map(chr, range(0xE0100, 0xE01F0)),
}


def twin_step(title: str) -> str:
    def visible(text: str) -> str:
        return "".join(c for c in text if unicodedata.category(c) != "Cf" and c not in FILLERS)

    text = visible(twin_entities(twin_escapes(title)))
    text = visible(unicodedata.normalize("NFKC", text)).lower().replace("ß", "ss").replace("ς", "σ")
    text = unicodedata.normalize("NFKC", re.sub("i\u0307+", "i", text))
    text = "".join(str(unicodedata.digit(c)) if unicodedata.category(c) == "Nd" else c for c in text)
    for mark, written in (("\u066b", "."), ("\u066c", "")):
        text = re.sub(f"([0-9]){mark}([0-9])", rf"\g<1>{written}\g<2>", text)
    blanks = "".join(" " if unicodedata.category(c) == "Cc" or c in "\\\ufffd" else c for c in text)
    text = " ".join(blanks.split())
    if len(text) > LONGEST:
        reach = text[LONGEST - REACH : LONGEST + 1]
        text = text[: LONGEST - REACH + reach.rindex(" ")] if " " in reach else text[:LONGEST]
    return text


def twin(title: str) -> str:
    text = twin_step(title)
    for _ in range(ROUNDS):
        again = twin_step(text)
        if again == text:
            return text
        text = again
    return " ".join(re.sub(r"[&'\"]", " ", text).split())


# titles made of the pieces that interact, between letters of every script Python's tables know
PIECES = [
    *["\\", "x", "\\xe2\\x9c\\x93", "\\xff", "\\xe2", "\\n", "\\t2", "\\rok", "\\\\", "\\'", '\\"', "b'", 'b"'],
    *["'", '"', "&", "amp;", "&amp;", "&AMp;", "&#38;", "&#x26;", "&lt", "&quot;", ";", "&notes;", "&eacute;"],
    *["\x00", "\x85", "\u200b", "\u200d", "\u202e", "\u2028", "\u00a0", "\ufeff", "\ufe0f", "\ufffd", "\uff3c"],
    *["İ", "ß", "ẞ", "ΑΣ", "ς", "ﬁ", "Ⅷ", "ｂ＇", "＆", "\u0307", "\u0301", "ﷺ", "½", "\u3164", " ", "  "],
    *["❤\ufe0f", "👨\u200d👩", "🇮🇩", "שלום", "مرحبا"],
]
LETTERS = st.characters(exclude_categories=["Cs", "Cn", "Co"])
TITLES = st.lists(st.sampled_from(PIECES) | LETTERS, max_size=12).map("".join)


# polars costs the same for one title as for many: few examples of many titles each
@given(st.lists(TITLES, max_size=20))
@example(["\u17e0", "\u0661\u066b\u0665"])
@examples(40)
def test_normalize_agrees_with_its_slow_twin(titles: list[str]) -> None:
    assert normalize(pl.Series(titles, dtype=pl.String)).to_list() == [twin(title) for title in titles]


@given(st.lists(TITLES, max_size=20))
@examples(30)
def test_normalize_is_idempotent(titles: list[str]) -> None:
    once = normalize(pl.Series(titles, dtype=pl.String))
    assert normalize(once).to_list() == once.to_list()


@given(st.lists(TITLES, min_size=2, max_size=5))
@examples(20)
def test_a_title_does_not_depend_on_the_others(titles: list[str]) -> None:
    together = normalize(pl.Series(titles))
    assert together.to_list() == [form(title) for title in titles]
    assert normalize(pl.Series(titles[::-1])).to_list() == together.to_list()[::-1]


@given(st.lists(TITLES, max_size=20))
@examples(40)
def test_unescape_agrees_with_its_slow_twin(titles: list[str]) -> None:
    expected = [twin_entities(twin_escapes(title)) for title in titles]
    assert unescape(pl.Series(titles, dtype=pl.String)).to_list() == expected


def test_every_character_has_a_stable_form() -> None:
    # planes 4 to 13 are unassigned in every version of Unicode, 15 and 16 private: their first characters will do
    codes = [*range(0xD800), *range(0xE000, 0x40100), *range(0xE0000, 0xF0100), sys.maxunicode]
    characters = [chr(code) for code in codes]
    once = normalize(pl.Series([f"i{character}\u0307a" for character in characters]))
    assert once.filter(once != normalize(once)).to_list() == []


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        (r"\xe2\x80\x9cH-108\xe2\x80\x9d  Sepatu", "“h-108” sepatu"),
        (r"""b"L'Oreal \xe2\x9c\x93 30ml\n\nOri" """.strip(), "l'oreal ✓ 30ml ori"),
        (r"b'Mom\'s \"best\"'", 'mom\'s "best"'),
        (r"cut \xe2\x9c here", "cut here"),
        (r"celana\rok wanita", "celana rok wanita"),
        (r"Tas \\ Grosir", "tas grosir"),
        ("Nano 10&amp;quot; Filter", 'nano 10" filter'),
        ("R&D AT&T black&notes", "r&d at&t black&notes"),
        ("&#80;ink &#0; &#x1F600;", "pink 😀"),
        ("null\x00byte\x1f\x7f", "null byte"),
        ("zero\u200bwidth \u202ertl\u202c soft\u00adhyphen", "zerowidth rtl softhyphen"),
        ("Ｆｕｌｌ　Ｗｉｄｔｈ ½ ﬁt", "full width 1⁄2 fit"),
        ("Straße İstanbul ΟΔΟΣ", "strasse istanbul οδοσ"),
        ("❤\ufe0f Hot 🔥 🇮🇩", "❤ hot 🔥 🇮🇩"),
        ("תיק Bag حقيبة", "תיק bag حقيبة"),
        (" \t\r\n ", ""),
        ("", ""),
    ],
)
def test_the_normal_form(title: str, expected: str) -> None:
    assert form(title) == expected


def test_a_missing_title_is_empty_and_the_input_is_left_alone() -> None:
    titles = pl.Series("title", ["A\\n", None, "&amp;amp;amp;", "x" * 2000])
    kept = titles.to_list()
    assert normalize(titles).to_list() == ["a", "", "&", "x" * LONGEST]
    assert unescape(titles).to_list()[:3] == ["A\n", "", "&amp;amp;"]
    assert titles.to_list() == kept
    assert normalize(pl.Series([None, None])).to_list() == ["", ""]
    assert normalize(pl.Series([], dtype=pl.String)).to_list() == []


def test_unescape_keeps_case_and_blanks() -> None:
    assert shown(r"b'BIG  \xe2\x9c\x93 Sale '") == "BIG  ✓ Sale "


def test_a_very_long_title_is_cut_at_a_word() -> None:
    words = form("Word " * 20_000)
    assert len(words) == LONGEST - 1
    assert words.endswith(" word")
    assert form("a " + "x" * 100_000) == "a " + "x" * (LONGEST - 2)
    assert form("x" * LONGEST + " tail") == "x" * LONGEST
    assert len(form("ﷺ" * 100)) <= LONGEST  # 18 letters each


def test_titles_nested_without_end_come_to_rest() -> None:
    deep = "b'" * 40 + "x" + "'" * 40
    entities = "&amp;" + "amp;" * 40 + "lt;"
    for title in (deep, entities):
        assert form(form(title)) == form(title)
    assert form(entities) == "amp;" * (41 - ROUNDS - 1) + "lt;"


def test_titles_must_be_text() -> None:
    with pytest.raises(CatalogError, match="Int64"):
        normalize(pl.Series([1, 2]))
    with pytest.raises(CatalogError, match="List"):
        unescape(pl.Series([["a"]]))


@pytest.mark.skipif(not POSTS.exists(), reason="the Shopee posts are not here; set KEMBAR_DATA")
def test_real_titles() -> None:
    titles = pl.read_csv(POSTS, infer_schema=False)["title"]
    escaped = titles.filter(titles.str.contains(r"\\x[0-9a-f]{2}"))
    assert len(escaped) == 505
    assert not unescape(escaped).str.contains(r"\\x[0-9a-f]{2}").any()
    assert not unescape(titles).str.contains(r"""^b["']""").any()
    some = pl.concat([escaped, titles[:: len(titles) // 2000]])
    assert normalize(some).to_list() == [twin(title) for title in some]
    once = normalize(titles)
    assert normalize(once).equals(once)
    assert once.str.len_chars().max() < LONGEST
