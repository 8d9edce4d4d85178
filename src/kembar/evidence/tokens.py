"""Titles as tokens of five kinds: words, numbers, model codes, variant words and colours.

"Avr-4308ci", "AVR 4308 CI" and "avr4308ci" name one model; "3060" and "3060 ti" name two. A title is split into runs
of letters and runs of digits, so that "128gb" and "128 gb" are the same two tokens. A *code* is an ASCII word of at
least four signs that mixes letters and digits, or has five digits or more, but for a number with its unit; hyphens,
dots and blanks inside do not matter: neighbouring runs of any title that together spell a code of the catalogue hold
this code. Variant words and colours come from a table (token_kinds.toml), colours under one name for all languages.
"""

import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from typing import Final

import polars as pl

from kembar.posts.patterns import contains, extracted, replaced
from kembar.posts.scripts import SCRIPTS_WITHOUT_SPACES

KINDS: Final = ("word", "number", "code", "variant", "color")
"""What a token can be; its number is its place here."""
WORD, NUMBER, CODE, VARIANT, COLOR = range(len(KINDS))

_LONGEST: Final = 4  # runs that can together spell a code
_RUN: Final = rf"[{SCRIPTS_WITHOUT_SPACES}]|[\p{{L}}\p{{M}}--[{SCRIPTS_WITHOUT_SPACES}]]+|[0-9]+(?:[.,][0-9]+)*"
_PLUS: Final = r"([\p{L}0-9])\+(\s|$)"
_SPELLED: Final = r"[a-z0-9]+(?:[-_.][a-z0-9]+)*"
_MEASURE: Final = (
    r"k?gs?|gr|grm|ml|cl|l|lt|ltr|mm|cm|m|inch|in|ft|gb|tb|mb|mah|w|watt|v|volt|hz|mhz|ghz|pcs|pc|pack|pk|ct|oz|lbs?|x|p"
    r"|rd|th|st|nd|yr|thn|bln|mp|fps|rpm|ply|spf|bit|core|in1"
)
_MEASURES: Final = rf"^[0-9]+(?:(?:{_MEASURE})[0-9]+)*(?:{_MEASURE})?$"
_HYPHENS: Final = "[-_.]"
_SPELLS: Final = r"^[a-z0-9.]+$"
_DIGIT: Final = r"^[0-9]"
_THOUSANDS: Final = r"^[1-9][0-9]{0,2}(?:[.,][0-9]{3})+$"
_ZEROS: Final = r"(\.[0-9]*?)0+$"
_SHORTEST, _LONGEST_CODE = 4, 24  # signs of a code


def runs(titles: pl.Series) -> pl.DataFrame:
    """Split titles into runs of letters and of digits; of scripts without spaces, into single signs.

    Args:
        titles: (n,) String in normal form.

    Returns:
        Columns row (Int64), place (Int64, from 0 in each title), token, number (whether of digits): "1.000" and
        "1,000" are 1000, "0,50" is 0.5.
    """
    plain = titles.str.replace_all(_PLUS, "${1} plus${2}")
    frame = pl.DataFrame({"row": pl.int_range(len(titles), eager=True), "token": plain.str.extract_all(_RUN)})
    frame = frame.filter(pl.col("token").list.len() > 0)
    frame = frame.with_columns(place=pl.int_ranges(pl.col("token").list.len())).explode("token", "place")
    token = pl.col("token")
    number = token.str.contains(_DIGIT)
    return frame.with_columns(number=number, token=pl.when(number).then(_decimal(token)).otherwise(token))


def _decimal(token: pl.Expr) -> pl.Expr:
    """Write a number in one way."""
    thousands = token.str.contains(_THOUSANDS)
    point = token.str.replace_all(",", ".", literal=True)
    short = point.str.replace(_ZEROS, "${1}").str.replace(r"\.$", "")
    return pl.when(thousands).then(token.str.replace_all("[.,]", "")).otherwise(short)


def codes(titles: pl.Series) -> pl.DataFrame:
    """Find the codes that titles spell: columns row, token; each once a title."""
    frame = pl.DataFrame({"row": pl.int_range(len(titles), eager=True), "token": titles.str.extract_all(_SPELLED)})
    token = pl.col("token")
    frame = frame.explode("token").drop_nulls().with_columns(token.str.replace_all(_HYPHENS, ""))
    digits = token.str.count_matches("[0-9]")
    letters = token.str.len_bytes() - digits
    mixed = (letters >= 1) & (digits >= 2) | (letters >= 3) & (digits >= 1)
    long = (token.str.len_bytes() >= _SHORTEST) & (token.str.len_bytes() <= _LONGEST_CODE)
    code = long & (mixed | (digits >= 5)) & ~((letters > 0) & token.str.contains(_MEASURES))
    return frame.filter(code).unique(maintain_order=True)


def spelled(run: pl.DataFrame, known: pl.Series) -> pl.DataFrame:
    """Find known codes that neighbouring runs spell.

    Args:
        run: what `runs` returned.
        known: distinct codes.

    Returns:
        Columns row, token; each once a title.
    """
    raw = run.filter(pl.col("token").str.contains(_SPELLS))
    raw = raw.with_columns(pl.col("token").str.replace_all(".", "", literal=True))
    wanted = pl.DataFrame({"token": known})
    found, joined = [], raw.rename({"token": "text"}).select("row", "place", "text")
    step = joined
    for length in range(1, _LONGEST + 1):
        found.append(step.select("row", token=pl.col("text")).join(wanted, on="token", how="semi"))
        if length < _LONGEST:
            following = joined.select("row", place=pl.col("place") - length, more=pl.col("text"))
            step = step.join(following, on=["row", "place"]).select("row", "place", text=pl.concat_str("text", "more"))
            step = step.filter(pl.col("text").str.len_bytes() <= _LONGEST_CODE)
    return pl.concat(found).unique()


def tokens(titles: pl.Series, known: pl.Series, *, each: bool = False) -> pl.DataFrame:
    """List the distinct tokens of titles.

    Args:
        titles: (n,) String in normal form.
        known: distinct codes of the catalogue; those that these titles themselves spell are found in any case.
        each: read each title as if it stood alone: what another one spells as one word is no code in it.

    Returns:
        Columns row, kind (Int8, a place in KINDS), token.
    """
    run, own = runs(titles), codes(titles)
    every = known if each else pl.concat([known, own["token"]]).unique()
    code = pl.concat([own, spelled(run, every)]).with_columns(kind=pl.lit(CODE, pl.Int8))
    variants, colors = special()
    token = pl.col("token")
    kind = (
        pl.when("number")
        .then(NUMBER)
        .when(token.is_in(list(variants)))
        .then(VARIANT)
        .when(token.is_in(list(colors)))
        .then(COLOR)
        .otherwise(WORD)
    )
    plain = run.with_columns(kind=kind.cast(pl.Int8)).with_columns(
        token=pl.when(pl.col("kind") == COLOR).then(token.replace(colors)).otherwise(token)
    )
    columns = ("row", "kind", "token")
    return pl.concat([plain.select(columns), code.select(columns)]).unique().sort(columns)


@cache
def special() -> tuple[frozenset[str], Mapping[str, str]]:
    """Read the table of variant words, and of colours to their English names."""
    text = resources.files("kembar.evidence").joinpath("token_kinds.toml").read_text(encoding="utf-8")
    tree = tomllib.loads(text)
    colors = {word: name for name, words in tree["color"].items() for word in words.split()}
    return frozenset(tree["variant"]["words"].split()), colors


# One title


def tokens_of(title: str, known: Callable[[str], bool]) -> set[tuple[int, str]]:
    """List the distinct tokens of a title, each with its kind, as `tokens` does with each by itself.

    Args:
        title: in normal form.
        known: tells whether a text is a code of the catalogue.
    """
    run, (variants, colors) = runs_of(title), special()
    plain = {
        (NUMBER, text)
        if number
        else (VARIANT, text)
        if text in variants
        else (COLOR, colors[text])
        if text in colors
        else (WORD, text)
        for text, number in run
    }
    return plain | {(CODE, code) for code in (*_codes_of(title), *_spelled_of([text for text, _ in run], known))}


def runs_of(title: str) -> list[tuple[str, bool]]:
    """Split a title into runs, each with whether it is of digits, as `runs` does."""
    run = [match[0] for match in extracted(_RUN, replaced(_PLUS, "${1} plus${2}", title))]
    return [(_decimal_of(text), True) if "0" <= text[0] <= "9" else (text, False) for text in run]


def _decimal_of(token: str) -> str:
    if contains(_THOUSANDS, token):
        return token.replace(".", "").replace(",", "")
    return replaced(_ZEROS, "${1}", token.replace(",", "."), 1).removesuffix(".")


def _codes_of(title: str) -> list[str]:
    """Find the codes that a title spells, as `codes` does."""
    return [text for match in extracted(_SPELLED, title) if _is_code(text := replaced(_HYPHENS, "", match[0]))]


def _is_code(text: str) -> bool:
    digits = len(extracted("[0-9]", text))
    letters = len(text) - digits
    mixed = (letters >= 1 and digits >= 2) or (letters >= 3 and digits >= 1)
    long = _SHORTEST <= len(text) <= _LONGEST_CODE
    return long and (mixed or digits >= 5) and not (letters and contains(_MEASURES, text))


def _spelled_of(run: list[str], known: Callable[[str], bool]) -> list[str]:
    """Find known codes that neighbouring runs spell, as `spelled` does."""
    raw = [text.replace(".", "") if contains(_SPELLS, text) else "" for text in run]
    spelled: list[str] = []
    for begin in range(len(raw)):
        text = ""
        for part in raw[begin : begin + _LONGEST]:
            text += part
            if not part or (len(text) > _LONGEST_CODE and text != part):
                break
            spelled += [text] if known(text) else []
    return spelled
