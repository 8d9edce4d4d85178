"""Text in any encoding is read as it was written, or kembar says that it is not sure, or refuses."""

import logging
import unicodedata

import pytest

from kembar.errors import CatalogError
from kembar.posts.encodings import as_utf8
from languages import PAIRS, TITLES, encoded


def table(titles: list[str]) -> str:
    return "posting_id,title\n" + "".join(f"A{row},{title}\n" for row, title in enumerate(titles))


def same(data: bytes, text: str) -> bool:
    return unicodedata.normalize("NFC", data.decode()) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize(("language", "encoding"), PAIRS)
def test_a_few_titles_tell_their_encoding(language: str, encoding: str) -> None:
    text = table(TITLES[language][1])
    data, note = as_utf8(encoded(text, encoding), "posts.csv")
    assert same(data, text), note
    assert note.kind == "encoding"
    assert note.detail.endswith("; sure")


@pytest.mark.parametrize(("language", "encoding"), PAIRS)
def test_one_title_is_read_right_or_with_a_warning(
    caplog: pytest.LogCaptureFixture, language: str, encoding: str
) -> None:
    wrong = 0
    for title in TITLES[language][1]:
        caplog.clear()
        data, note = as_utf8(encoded(table([title]), encoding), "posts.csv")
        if not same(data, table([title])):
            wrong += 1
            assert "not sure" in note.detail
            assert "--encoding" in caplog.text
    assert wrong <= len(TITLES[language][1]) // 3


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("language", ["Russian", "simplified Chinese", "Korean", "Thai", "French"])
def test_utf_16_without_a_mark(language: str, encoding: str) -> None:
    text = table(TITLES[language][1])
    data, note = as_utf8(text.encode(encoding), "posts.csv")
    assert data.decode() == text
    assert encoding in note.detail


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "iso2022_jp"])
def test_marks_and_escapes(encoding: str) -> None:
    text = table(TITLES["Japanese"][1])
    assert as_utf8(text.encode(encoding), "posts.csv")[0].decode() == text


def test_a_given_encoding_is_used_or_refused() -> None:
    raw = encoded(table(TITLES["Russian"][1]), "koi8-r")
    data, note = as_utf8(raw, "posts.csv", "cp1251")
    assert data == raw.decode("cp1251").encode()
    assert note.detail == "cp1251, as given"
    with pytest.raises(CatalogError, match="line 2, whose bytes"):
        as_utf8(raw, "posts.csv", "utf-8")
    for unknown in ("klingon", "base64", "rot13"):
        with pytest.raises(CatalogError, match=f"'{unknown}' as the encoding"):
            as_utf8(raw, "posts.csv", unknown)


def test_bytes_that_no_language_explains() -> None:
    noise = bytes(128 + (at * 89 + at * at * 7) % 128 for at in range(3000))
    with pytest.raises(CatalogError, match="no text in any encoding"):
        as_utf8(b"posting_id,title\na," + noise.replace(b"\n", b"") + b"\n", "posts.csv")


def test_a_damaged_byte_does_not_change_the_encoding(caplog: pytest.LogCaptureFixture) -> None:
    text = table(TITLES["simplified Chinese"][1])
    raw = text.encode("gb18030") + b"B1,\xff\n"
    with caplog.at_level(logging.WARNING):
        data, note = as_utf8(raw, "posts.csv")
    assert data.decode() == text + "B1,\ufffd\n"
    assert note.count == 1
    assert "became U+FFFD" in caplog.text


def test_letters_that_are_far_into_a_large_file_are_found() -> None:
    plain = "".join(f"P{row},plain title number {row}\n" for row in range(40_000))
    text = "posting_id,title\n" + plain + "".join(f"A{i},{t}\n" for i, t in enumerate(TITLES["Russian"][1])) + plain
    data, note = as_utf8(text.encode("cp1251"), "posts.csv")
    assert data.decode() == text
    assert "Russian" in note.detail
