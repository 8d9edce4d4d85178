import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kembar.evidence.tokens import KINDS, codes, runs, special, tokens
from kembar.posts.titles import normalize
from properties import examples

NONE = pl.Series([], dtype=pl.String)


def read(*titles: str) -> list[set[tuple[str, str]]]:
    """The tokens of raw titles, each with its kind."""
    found = tokens(normalize(pl.Series(titles, dtype=pl.String)), NONE)
    sets: list[set[tuple[str, str]]] = [set() for _ in titles]
    for row, kind, token in found.iter_rows():
        sets[row].add((KINDS[kind], token))
    return sets


def names(titles: list[str], kind: str) -> list[set[str]]:
    return [{token for of, token in found if of == kind} for found in read(*titles)]


@pytest.mark.parametrize(
    "spelling", ["Denon AVR-4308CI", "denon avr 4308 ci", "AVR4308CI Denon", "avr.4308.ci denon", "Denon AVR_4308CI"]
)
def test_a_code_is_the_same_however_it_is_spelled(spelling: str) -> None:
    found = names([spelling, "Denon AVR4308CI receiver"], "code")
    assert found[0] & found[1] == {"avr4308ci"}


def test_codes_are_not_quantities() -> None:
    titles = ["kabel 100cm 2x250ml", "ssd 128gb", "lampu 12watt", "isi 12pcs", "PSLX350H 1234567", "wh-1000xm4", "a5"]
    assert names(titles, "code") == [set(), set(), set(), set(), {"pslx350h", "1234567"}, {"wh1000xm4"}, set()]


@pytest.mark.parametrize(
    ("title", "numbers"),
    [
        ("1.000 ml", {"1000"}),
        ("1,000 ml", {"1000"}),
        ("0,50 l", {"0.5"}),
        ("0.5l", {"0.5"}),
        ("2.0 x 3", {"2", "3"}),
        ("128GB", {"128"}),
        ("tanpa angka", set()),
    ],
)
def test_numbers_are_written_in_one_way(title: str, numbers: set[str]) -> None:
    assert names([title], "number") == [numbers]


def test_a_plus_behind_a_word_is_a_variant() -> None:
    plain, plus, pro = read("Galaxy S10", "Galaxy S10+", "Galaxy S10 Pro")
    assert plus - plain == {("variant", "plus")}
    assert pro - plain == {("variant", "pro")}


def test_colors_have_one_name_in_all_languages() -> None:
    found = names(["kaos hitam", "schwarzes shirt schwarz", "чёрный", "黑色帽子", "black tee", "negro"], "color")
    assert all("black" in colors for colors in found[:1] + found[2:])
    assert found[1] == {"black"}


def test_no_word_is_of_two_kinds() -> None:
    variants, colors = special()
    assert not variants & colors.keys()
    assert all(word == word.lower() for word in (*variants, *colors))


def test_scripts_without_spaces_are_split_into_signs() -> None:
    assert names(["帽子女"], "word") == [{"帽", "子", "女"}]


def test_empty_titles_have_no_tokens() -> None:
    assert read("", "!!!", "x") == [set(), set(), {("word", "x")}]
    assert runs(pl.Series(["", ""])).is_empty()
    assert codes(pl.Series([""])).is_empty()


@examples(60)
@given(st.lists(st.text(alphabet="ab1 2-.+黑x", max_size=12), min_size=1, max_size=6))
def test_a_title_is_read_alike_alone_and_among_others_but_for_codes(titles: list[str]) -> None:
    plain = normalize(pl.Series(titles, dtype=pl.String))
    among = [{pair for pair in found if pair[0] != "code"} for found in read(*titles)]
    alone = [{pair for pair in read(title)[0] if pair[0] != "code"} for title in plain]
    assert among == alone
