"""How quantities are read from titles by the rules of `kembar.posts.units`: many titles at once, or one by one.

Both ways give the same for any title. Polars reads a hundred thousand titles in a second, and one title as slowly as a
thousand; what a post on its way into a store has to say is read in Python (see `kembar.posts.patterns`).
"""

import re
from typing import Final

import numpy as np
import polars as pl

from kembar.posts.patterns import contains, extracted, replaced
from kembar.posts.units import (
    APART,
    CATEGORIES,
    DEVICE,
    ENGLISH,
    FOREIGN,
    FRACTIONS,
    GERMAN,
    JOINED,
    JOINED_APART,
    KILO,
    LARGEST,
    NUMBER,
    PACKED,
    PARCEL,
    QUANTITY,
    RADIO,
    RAM,
    REWRITTEN,
    SEVERAL,
    SIGNS,
    THOUSANDS,
    WEARER,
    Unit,
    foreign,
)  # fmt: skip

_PIECES: Final = CATEGORIES.index("pieces")
_PIECE: Final = Unit("pieces", 1, "")
_COUNTED: Final = {"times": _PIECE, "isi": _PIECE, "spf": Unit("spf", 1, "")}


def _tidy(titles: pl.Series) -> pl.Series:
    """Lower-case the titles and remove what only looks like a quantity."""
    text = pl.col("text")
    radio = text.str.contains(RADIO) & text.str.contains(DEVICE)
    lowered = titles.fill_null("").str.to_lowercase()
    for pattern, written in REWRITTEN:
        lowered = lowered.str.replace_all(pattern, written)
    plain = _in_ascii(lowered).str.replace_all(*APART)
    frame = plain.alias("text").to_frame()
    return (
        frame.with_columns(text.str.replace_all(JOINED, JOINED_APART).str.replace_all(PARCEL, "$1 "))
        .with_columns(pl.when(radio).then(text.str.replace_all(RADIO, "$1 ")).otherwise(text))
        .to_series()
    )


def without_quantities(titles: pl.Series) -> pl.Series:
    """Leave the quantities out of titles.

    Args:
        titles: (n,) String in normal form.

    Returns:
        (n,) String; a blank where a quantity stood.
    """
    plain = _tidy(titles)
    for _ in range(2):  # a quantity begins with the sign before it, which may end the one before
        plain = plain.str.replace_all(QUANTITY, " ")
    return plain.str.replace_all(r" {2,}", " ").str.strip_chars()


def _in_ascii(titles: pl.Series) -> pl.Series:
    """Write the units of other scripts as the ASCII ones; titles without such letters stay."""
    rows = titles.str.contains(FOREIGN).arg_true()
    if not len(rows):
        return titles
    some = titles.gather(rows)
    for pattern, plain in foreign():
        some = some.str.replace_all(pattern, plain)
    return titles.clone().scatter(rows, some)


def _counts(groups: pl.DataFrame, column: str, category: str) -> pl.DataFrame:
    """Mentions whose numbers stand in `column` and count single things of `category`."""
    return groups.drop_nulls(column).select(
        "row",
        pl.col(column).alias("chain"),
        category=pl.lit(CATEGORIES.index(category), pl.Int64),
        scale=pl.lit(1, pl.Int64),
        coarse=pl.lit(False),
    )


def _mentions(titles: pl.Series) -> pl.DataFrame:
    """Find the mentions: columns row, chain (the numbers as written), category, scale, coarse."""
    found = pl.DataFrame({"row": np.arange(len(titles)), "match": titles.str.extract_all(QUANTITY)})
    groups = (
        found.filter(pl.col("match").list.len() > 0)
        .explode("match")
        .with_columns(pl.col("match").str.extract_groups(QUANTITY))
        .unnest("match")
        .filter(pl.col("rate").is_null())
    )
    sign, names, units = pl.coalesce("pack", "word", "mark"), list(SIGNS), list(SIGNS.values())
    known = groups.drop_nulls("chain").with_columns(
        category=sign.replace_strict(names, [CATEGORIES.index(u.category) for u in units], return_dtype=pl.Int64),
        scale=sign.replace_strict(names, [u.scale for u in units], return_dtype=pl.Int64),
        coarse=sign.replace_strict(names, [u.coarse for u in units], return_dtype=pl.Boolean),
    )
    return pl.concat(
        [
            known.select("row", "chain", "category", "scale", "coarse"),
            _counts(groups, "times", "pieces"),
            _counts(groups, "isi", "pieces"),
            _counts(groups, "spf", "spf"),
        ]
    )


def _unbroken(chain: pl.Expr) -> pl.Expr:
    """Write fractions as decimals."""
    for fraction, decimals in FRACTIONS:
        chain = chain.str.replace(fraction, decimals)
    return chain


def _numbers(mentions: pl.DataFrame) -> pl.DataFrame:
    """Split each chain: one row per number, with its category."""
    chain, category, scale = pl.col("chain"), pl.col("category"), pl.col("scale")
    wearer = (scale == KILO) & chain.str.contains(WEARER)
    memory = category == CATEGORIES.index("memory")
    broken = pl.col("coarse") | ((category == _PIECES) & (scale > 1))
    last = pl.col("place") == pl.col("places") - 1
    pack = category.is_in([CATEGORIES.index(name) for name in PACKED]) & ~last
    return (
        mentions.filter(~wearer)
        .with_columns(
            pl.when(memory).then(chain.str.replace(RAM, "$1")).when(broken).then(_unbroken(chain)).otherwise(chain)
        )
        .with_columns(chain.str.replace_all("[×*]", "x").str.split("x"))
        .with_columns(places=chain.list.len(), place=pl.int_ranges(chain.list.len()))
        .explode("chain", "place")
        .with_columns(
            category=pl.when(pack).then(pl.lit(_PIECES, pl.Int64)).otherwise(category),
            scale=pl.when(pack).then(pl.lit(1, pl.Int64)).otherwise(scale),
            coarse=pl.col("coarse") & ~pack,
            number=chain.str.extract_all(NUMBER),
        )
        .explode("number")
        .select("row", "category", "scale", "coarse", "number")
    )


def _decimal() -> pl.Expr:
    """The float64 value of `number`; null where its points and commas do not form a number."""
    number = pl.col("number")
    grouped = number.str.contains(THOUSANDS)
    several = number.str.contains(SEVERAL)
    plain = (
        pl.when(number.str.contains(ENGLISH))
        .then(number.str.replace_all(",", ""))
        .when(number.str.contains(GERMAN))
        .then(number.str.replace_all(".", "", literal=True).str.replace(",", "."))
        .when(grouped & (several | ~pl.col("coarse")))
        .then(number.str.replace_all("[.,]", ""))
        .otherwise(number.str.replace(",", "."))
    )
    return plain.cast(pl.Float64, strict=False)


def read(titles: pl.Series) -> pl.DataFrame:
    """Read the quantities in titles.

    Args:
        titles: n titles (String); case does not matter and a null title has no quantity.

    Returns:
        Frame of `row` (Int64, in [0, n)), `category` (Int64, a place in CATEGORIES) and `value` (Int64, base units, in
        [1, LARGEST)), sorted by the three and each row once.
    """
    numbers = _numbers(_mentions(_tidy(titles)))
    value = pl.col("value")
    return (
        numbers.select("row", "category", value=(_decimal() * pl.col("scale")).round())
        .filter(value.is_between(1, LARGEST, closed="left"))
        .with_columns(value.cast(pl.Int64))
        .unique()
        .sort("row", "category", "value")
    )


# One title


def read_one(title: str) -> list[tuple[int, int]]:
    """Read the quantities of a title: (place in CATEGORIES, base units), sorted, each once, as `read` does."""
    values = {
        (CATEGORIES.index(unit.category), number * unit.scale)
        for chain, unit in _mentions_of(_tidied(title))
        for number, unit in _numbers_of(chain, unit)
    }
    rounded = {(category, round(value)) for category, value in values if value < LARGEST}
    return sorted((category, value) for category, value in rounded if 1 <= value < LARGEST)


def _tidied(title: str) -> str:
    """Do what `_tidy` does with one title."""
    text = title.lower()
    for pattern, written in (*REWRITTEN, *(foreign() if contains(FOREIGN, text) else ())):
        text = replaced(pattern, written, text)
    text = replaced(PARCEL, "$1 ", replaced(JOINED, JOINED_APART, replaced(*APART, text)))
    radio = contains(RADIO, text) and contains(DEVICE, text)
    return replaced(RADIO, "$1 ", text) if radio else text


def _mentions_of(title: str) -> list[tuple[str, Unit]]:
    """Find the mentions of a title: the numbers as written, and what they count."""
    mentions: list[tuple[str, Unit]] = []
    for match in extracted(QUANTITY, title):
        own = extracted(QUANTITY, match[0])[0]  # by itself, as `extract_groups` reads it
        if own["rate"] is not None:
            continue
        if own["chain"] is not None:
            mentions.append((own["chain"], SIGNS[own["pack"] or own["word"] or own["mark"]]))
        mentions += [(own[part], unit) for part, unit in _COUNTED.items() if own[part] is not None]
    return mentions


def _numbers_of(chain: str, unit: Unit) -> list[tuple[float, Unit]]:
    """Split a chain: its numbers, each with what it counts."""
    if unit.scale == KILO and contains(WEARER, chain):
        return []
    if unit.category == "memory":
        chain = replaced(RAM, "$1", chain, 1)
    elif unit.coarse or (unit.category == "pieces" and unit.scale > 1):
        for fraction, decimals in FRACTIONS:
            chain = replaced(fraction, decimals, chain, 1)
    *packs, last = re.split("[x×*]", chain)
    counts = [(part, _PIECE if unit.category in PACKED else unit) for part in packs]
    written = [(number[0], counted) for part, counted in (*counts, (last, unit)) for number in extracted(NUMBER, part)]
    values = [(_decimal_of(number, counted.coarse), counted) for number, counted in written]
    return [(value, counted) for value, counted in values if value is not None]


def _decimal_of(number: str, coarse: bool) -> float | None:
    """Read a number; None where its points and commas do not form one."""
    if contains(ENGLISH, number):
        return float(number.replace(",", ""))
    if contains(GERMAN, number):
        return float(number.replace(".", "").replace(",", "."))
    if contains(THOUSANDS, number) and (not coarse or contains(SEVERAL, number)):
        return float(re.sub("[.,]", "", number))
    plain = number.replace(",", ".", 1)
    return float(plain) if plain.count(".") < 2 and "," not in plain else None
