"""Codes in every form that shops write them in, and what is no code."""

import logging

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kembar.errors import CatalogError
from kembar.posts.catalog import Catalog
from kembar.posts.columns import Columns
from kembar.posts.identifiers import gtins, holds_gtins, normalized, read_identifiers
from properties import examples

EAN, PADDED = "8801234567893", "08801234567893"


def with_check_digit(body: str) -> str:
    """The slow twin: GS1 General Specifications, 7.9."""
    total = sum(int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(body)))
    return body + str(-total % 10)


def isbn_10(body: str) -> str:
    check = -sum(int(digit) * weight for digit, weight in zip(body, range(10, 1, -1), strict=True)) % 11
    return body + ("X" if check == 10 else str(check))


def read(values: list[object], name: str = "gtin") -> tuple[list[str], list[str]]:
    ids = pl.Series([f"p{row}" for row in range(len(values))], dtype=pl.String)
    codes, found = normalized(pl.Series(name, values, strict=False), ids)
    return codes.to_list(), found["problem"].to_list()


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (EAN, PADDED),
        (PADDED, PADDED),
        ("8801234567893.0", PADDED),
        ("880-1234-567893", PADDED),
        (" 880 1234 567893 ", PADDED),
        ('="8801234567893"', PADDED),
        ("'8801234567893", PADDED),
        ("EAN: 8801234567893", PADDED),
        ("８８０１２３４５６７８９３", PADDED),
        ("012345678905", "00012345678905"),
        ("12345678905", "00012345678905"),  # the zero was lost
        ("96385074", "00000096385074"),
        ("0-306-40615-2", "09780306406157"),
        ("ISBN 080442957x", "09780804429573"),
        ("978-0-306-40615-7", "09780306406157"),
        ("18801234567890", "18801234567890"),  # a case of them: another product
    ],
)
def test_one_code_in_many_forms(given: str, found: str) -> None:
    assert read([given, EAN])[0][0] == found


@pytest.mark.parametrize(
    "given", ["N/A", "n/a", "does not apply", "Does Not Apply.", "0000", "0000000000000", "-", "", None, "TBD", "9999"]
)
def test_what_says_that_there_is_no_code(given: str | None) -> None:
    assert read([given, EAN]) == (["", PADDED], [])
    assert read([given, "AB-1"], "mpn") == (["", "AB1"], [])


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("8.80123E+12", "is in scientific notation: digits were lost"),
        ("8,80123E+12", "is in scientific notation: digits were lost"),
        ("9E+12", "is in scientific notation: digits were lost"),
        ("8801234567894", "is no GTIN: its length or check digit is wrong"),
        ("880123456", "is no GTIN: its length or check digit is wrong"),
        ("8801234567893, 8801234567894", "is no GTIN: its length or check digit is wrong"),
        (with_check_digit("021234567890"), "is a number that shops give out themselves"),
        (with_check_digit("041234567890"), "is a number that shops give out themselves"),
        (with_check_digit("291234567890"), "is a number that shops give out themselves"),
        (with_check_digit("2123456"), "is a number that shops give out themselves"),
    ],
)
def test_a_code_that_cannot_be_used_is_a_problem(given: str, problem: str) -> None:
    assert read([given, EAN]) == (["", PADDED], [f"'{given}' {problem}"])


def test_numbers_as_pandas_reads_them() -> None:
    assert read([8801234567893.0, float("nan"), None]) == ([PADDED, "", ""], [])
    assert read([8801234567893, 12345678905, None]) == ([PADDED, "00012345678905", ""], [])


def test_other_codes_keep_letters_and_digits() -> None:
    given = ["AVR-4308CI", "avr 4308 ci", "AVR4308CI", "12E5", "8E+12", "AB", "ＥＬＰ１２"]
    codes, found = read(given, "mpn")
    assert codes == ["AVR4308CI"] * 3 + ["12E5", "", "", "ELP12"]
    assert found == ["'8E+12' is in scientific notation: digits were lost"]


def test_a_column_holds_gtins_by_its_name_or_its_values() -> None:
    valid = [with_check_digit(f"88012345{row:04}") for row in range(12)]
    assert holds_gtins(pl.Series("code", valid))
    assert holds_gtins(pl.Series("code", [*valid, *(f"AB-{row:08}" for row in range(11))]))
    assert not holds_gtins(pl.Series("code", [*valid, *(f"AB-{row:08}" for row in range(12))]))
    assert not holds_gtins(pl.Series("code", valid[:9]))
    for name in ("gtin", "EAN", "upc_code", "isbn13", "Barcode", "gtin14", "variant barcode"):
        assert holds_gtins(pl.Series(name, valid[:1])), name
    for name in ("ocean", "group", "beans", "upcycled"):
        assert not holds_gtins(pl.Series(name, valid[:1])), name


@examples(200)
@given(st.text("0123456789", min_size=7, max_size=13), st.data())
def test_check_digits(body: str, data: st.DataObject) -> None:
    whole = with_check_digit(body)
    ten = len(whole) == 10 and isbn_10(whole[:9]) == whole
    found = with_check_digit("978" + whole[:9]) if ten else whole
    assert gtins(pl.Series([whole])).item() == ("" if set(whole) == {"0"} else found.zfill(14))
    place = data.draw(st.integers(0, len(whole) - 1))
    wrong = whole[:place] + str((int(whole[place]) + data.draw(st.integers(1, 9))) % 10) + whole[place + 1 :]
    if len(wrong) != 10:  # ten digits may be an ISBN, whose check digit is another
        assert gtins(pl.Series([wrong])).item() == ""


@examples(100)
@given(st.text("0123456789", min_size=9, max_size=9))
def test_an_isbn_of_10_is_that_of_13(body: str) -> None:
    if set(isbn_10(body)) == {"0"}:
        return
    ten, thirteen = isbn_10(body), with_check_digit("978" + body)
    assert gtins(pl.Series([ten, thirteen])).to_list() == [thirteen.zfill(14)] * 2


@examples(100)
@example(["0O¯"])
@given(st.lists(st.text(max_size=16) | st.text("0123456789-. ", max_size=16), max_size=8))
def test_the_normal_form_is_its_own(values: list[str]) -> None:
    for name in ("gtin", "mpn"):
        codes, _ = read(values, name)
        again, problems = read(codes, name)
        assert (again, problems) == (codes, [])


def test_columns_that_tell_nothing_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    frame = pl.DataFrame({"equal": ["AB-1", "ab1", ""], "empty": ["", "N/A", None], "good": ["AB-1", "AB-2", ""]})
    with caplog.at_level(logging.WARNING):
        found, _ = read_identifiers(frame, ["equal", "empty", "good"], pl.Series(["a", "b", "c"]))
    assert found is not None
    assert found.to_dict(as_series=False) == {"good": ["AB1", "AB2", ""]}
    assert [record.getMessage() for record in caplog.records] == [
        "identifier 'equal' is 'AB1' in all 2 posts that have one; left out",
        "identifier 'empty': no post has a usable one; left out",
    ]
    assert read_identifiers(frame, ["equal", "empty"], pl.Series(["a", "b", "c"]))[0] is None


def test_a_catalogue_tells_of_its_bad_codes() -> None:
    posts = pl.DataFrame({"posting_id": ["a", "b", "c"], "title": "t", "gtin": [EAN, "8.8E+12", "96385074"]})
    catalog = Catalog.read(posts, columns=Columns(identifiers=("gtin",)))
    assert catalog.identifiers is not None
    assert catalog.identifiers["gtin"].to_list() == [PADDED, "", "00000096385074"]
    assert catalog.problems.rows() == [("b", "identifier", "'8.8E+12' is in scientific notation: digits were lost")]


def test_an_identifier_can_be_the_label() -> None:
    posts = pl.DataFrame(
        {"posting_id": list("abcde"), "title": "t", "gtin": [EAN, "880-1234567893", "N/A", "8801234567894", "96385074"]}
    )
    for identifiers in ((), ("gtin",)):
        catalog = Catalog.read(posts, columns=Columns(label="gtin", identifiers=identifiers))
        assert catalog.labels is not None
        assert catalog.labels.tolist() == [1, 1, -1, -1, 0]
        assert catalog.identifiers is None  # what is to be found is not looked at
        assert catalog.problems["part"].to_list() == ["label"]
    models = posts.with_columns(model=pl.Series(["AB-1", "ab 1", "N/A", "", "AB-2"]))
    catalog = Catalog.read(models, columns=Columns(label="model", identifiers=("model",)))
    assert catalog.labels is not None
    assert catalog.labels.tolist() == [0, 0, -1, -1, 1]


@pytest.mark.parametrize("field", ["identifiers", "further", "brand"])
def test_the_label_is_no_evidence(field: str, caplog: pytest.LogCaptureFixture) -> None:
    posts = pl.DataFrame({"posting_id": ["a", "b"], "title": "t", "maker": ["Acme", "Umbra"]})
    named = Columns(label="maker", **{field: "maker" if field == "brand" else ("maker",)})
    with caplog.at_level(logging.WARNING):
        catalog = Catalog.read(posts, columns=named)
    assert catalog.further is None
    assert catalog.identifiers is None
    assert "'maker' holds the known groups, so posts are not compared by it" in caplog.text


def test_a_column_of_lists_is_refused() -> None:
    posts = pl.DataFrame({"posting_id": ["a"], "title": "t", "gtin": [[1]]})
    with pytest.raises(CatalogError, match="'gtin' of type List"):
        Catalog.read(posts, columns=Columns(identifiers=("gtin",)))
