"""The quantities in a title, and when two titles contradict each other.

"250 ml" and "100 ml" of the same soap are two products whose photos and titles look alike. A title is read into
quantities, each a category and a whole number of a small base unit, so that 1 kg, 1000 gr and 1.000 gr are equal to the
last digit. Two titles conflict when they share a category and no shared category has a common value (Kaggle "Shopee -
Price Match Guarantee", 18th place; the 15th and 19th places give the richer tables of units).

How a title is read, by rules drawn from real titles (`bench/units.py` measures what each category is worth):

- numbers: "1,5" and "1.5" are decimals; "1.000 ml" and "10,000 mah" are thousands, but "1.250 kg" is 1.25 kg, for
  nobody sells a ton; "1/2 kg" and "1 1/2 kg" are fractions
- lists: "30/60 ml" says both; "10x20 cm" says both lengths; "4/64 gb" says 64 gb, the 4 being working memory
- multipacks: "2x250 ml" and "250 ml x 2" say 250 ml and 2 pieces
- "isi 12" and "12's" are pieces; "1 lusin" is 12 pieces, "1 kodi" 20; lembar and sachet count as pieces
- "bb 45-84 kg" (a range in kg) is the wearer's weight and "1 kg muat 6 pcs" what a parcel holds: neither is read
- "2in1", "4g" beside a word for a phone or a radio, "98mb/s" and codes such as "a5" or "xl3" are no quantities
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from kembar.errors import CatalogError, EvidenceError

Bools = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]

CATEGORIES: Final = (
    *("weight", "volume", "length", "pieces", "memory", "layers"),
    *("power", "doses", "spf", "charge", "voltage", "age"),
)
"""What a quantity can measure; a category's number is its place here."""

VETO: Final = ("weight", "volume", "length", "pieces", "memory", "layers", "power")
"""The categories that tell products apart often enough to forbid a match; the others are evidence only."""

LARGEST: Final = 10**15
"""Values at or above this many base units are not read; below it float64 and int64 are both exact."""


class Unit(NamedTuple):
    """Spellings of one unit, worth `scale` base units; `coarse` reads "1.250" as a decimal, not as thousands."""

    category: str
    scale: int
    names: str
    coarse: bool = False


UNITS: Final = (
    # microgram
    Unit("weight", 10**3, "mg miligram milligram"),
    Unit("weight", 10**6, "g gr grm gm gram grams gramm"),
    Unit("weight", 10**8, "ons", coarse=True),
    Unit("weight", 10**9, "kg kgs kilo kilogram", coarse=True),
    Unit("weight", 453_592_370, "lb lbs pound", coarse=True),
    # microlitre
    Unit("volume", 10**3, "ml cc mili mililiter milliliter"),
    Unit("volume", 10**6, "l lt ltr liter litre liters litres", coarse=True),
    # micrometre
    Unit("length", 10**3, "mm milimeter millimeter"),
    Unit("length", 10**4, "cm centimeter sentimeter"),
    Unit("length", 10**6, "m mtr meter metre meters", coarse=True),
    Unit("length", 25_400, 'inch inches inci " ″ ”', coarse=True),
    Unit("length", 304_800, "feet ft kaki", coarse=True),
    Unit("length", 914_400, "yard yards yd", coarse=True),
    Unit("pieces", 1, "pcs pc pieces piece biji bj buah bh butir keping 's ’s"),
    Unit("pieces", 1, "lembar lbr lmbr helai sheet sheets sachet sachets saset sct"),
    Unit("pieces", 12, "lusin lsn dozen"),
    Unit("pieces", 20, "kodi"),
    # megabyte
    Unit("memory", 1, "mb"),
    Unit("memory", 10**3, "gb", coarse=True),
    Unit("memory", 10**6, "tb", coarse=True),
    Unit("doses", 1, "tablet tablets kapsul kaplet capsule capsules caps softgel softgels"),
    Unit("layers", 1, "ply lapis layer layers susun tingkat"),
    # milliwatt, milliampere hour, millivolt, month
    Unit("power", 10**3, "w watt watts", coarse=True),
    Unit("charge", 1, "mah"),
    Unit("voltage", 10**3, "v volt", coarse=True),
    Unit("age", 1, "bulan bln month months"),
    Unit("age", 12, "tahun thn th year years"),
)

_DISPLAY: Final = {
    "weight": ((10**9, "kg"), (10**6, "g"), (10**3, "mg")),
    "volume": ((10**6, "l"), (10**3, "ml")),
    "length": ((10**6, "m"), (10**4, "cm"), (10**3, "mm")),
    "memory": ((10**6, "tb"), (10**3, "gb"), (1, "mb")),
    "power": ((10**3, "w"),),
    "charge": ((1, "mah"),),
    "voltage": ((10**3, "v"),),
    "age": ((1, "months"),),
}

_SIGNS: Final = {name: unit for unit in UNITS for name in unit.names.split()}
_PACKED: Final = ("weight", "volume")
_PACKS: Final = "|".join(name for name, unit in _SIGNS.items() if unit.category in _PACKED)
_WORDS: Final = "|".join(name for name, unit in _SIGNS.items() if name.isalpha() and unit.category not in _PACKED)
_MARKS: Final = "|".join(re.escape(name) for name in _SIGNS if not name.isalpha())
# Rust's regex has no look-around: what may stand before a number is matched with it, and the end of an ASCII word
# suffices on the right (and lets "5kg毛巾" through).
_START: Final = r"(?:^|[^0-9a-z.,]|[a-z)\]][.,])"
_END: Final = r"(?-u:\b)"
_NUMBER: Final = r"[0-9]+(?:[.,][0-9]+)*"
_CHAIN: Final = rf"(?:[1-9] [1-7][/⁄][2-8]|{_NUMBER}(?: ?[x×*/⁄~&+-] ?{_NUMBER})*)"
_QUANTITY: Final = (
    rf"{_START}(?:spf ?(?P<spf>[0-9]{{1,3}}(?: ?/ ?[0-9]{{1,3}})*)(?:pa)?{_END}"
    rf"|(?:(?:isi|uk|ukuran|size|netto|berat)[ .:]*)?(?P<chain>{_CHAIN}) ?"
    rf"(?:(?P<pack>{_PACKS}){_END}(?: ?[x×*] ?(?P<times>[0-9]{{1,3}})(?:$|[^0-9a-z.,]))?"
    rf"|(?P<word>{_WORDS}){_END}(?P<rate>/s{_END})?|(?P<mark>{_MARKS}))"
    rf"|isi[ .:]*(?P<isi>{_CHAIN})s?{_END})"
)
_JOINED: Final = r"([0-9](?:kg|gr|g|ml|l|cm|mm|m|inch))[x×*]"
_PARCEL: Final = r"(^|[^0-9.,])1 ?kg ?[=:]? ?(?:(?:muat|isi|dapat|max|maks) ?)?[0-9]+ ?(?:pcs|pc|biji|buah|set)(?-u:\b)"
_RADIO: Final = r"(^|[^0-9a-z.,])(?:[2-8]|2[.,]4|5[.,]8)g(?-u:\b)"
_DEVICE: Final = (
    r"(?-u:\b)(?:wireless|wifi|gsm|lte|sim|hp|handphone|smartphone|smartwatch|modem|router|mouse|keyboard|kabel|case|lcd"
    r"|headset|ram|iphone|ipad|samsung|galaxy|oppo|vivo|x?xiaomi|redmi|realme|asus|polytron|advan)(?-u:\b)"
)
_FRACTIONS: Final = {"1/2": "5", "1/4": "25", "3/4": "75", "1/8": "125", "3/8": "375", "5/8": "625"}
_WEARER: Final = r"^[0-9]{2} ?[~-] ?[0-9]{2,3}$"
_SHIFT: Final = LARGEST.bit_length()
_PIECES: Final = CATEGORIES.index("pieces")


def _tidy(titles: pl.Series) -> pl.Series:
    """Lower-case the titles and take out what only looks like a quantity."""
    text = pl.col("text")
    radio = text.str.contains(_RADIO) & text.str.contains(_DEVICE)
    frame = titles.fill_null("").str.to_lowercase().alias("text").to_frame()
    return (
        frame.with_columns(text.str.replace_all(_JOINED, "$1 x ").str.replace_all(_PARCEL, "$1 "))
        .with_columns(pl.when(radio).then(text.str.replace_all(_RADIO, "$1 ")).otherwise(text))
        .to_series()
    )


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
    found = pl.DataFrame({"row": np.arange(len(titles)), "match": titles.str.extract_all(_QUANTITY)})
    groups = (
        found.filter(pl.col("match").list.len() > 0)
        .explode("match")
        .with_columns(pl.col("match").str.extract_groups(_QUANTITY))
        .unnest("match")
        .filter(pl.col("rate").is_null())
    )
    sign, names, units = pl.coalesce("pack", "word", "mark"), list(_SIGNS), list(_SIGNS.values())
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
    """Write fractions as decimals: "1/2" as "0.5", "1 1/2" as "01.5"."""
    for fraction, decimals in _FRACTIONS.items():
        chain = chain.str.replace(f"^(?:([1-9]) )?{fraction.replace('/', ' ?[/⁄] ?')}$", f"0${{1}}.{decimals}")
    return chain


def _numbers(mentions: pl.DataFrame) -> pl.DataFrame:
    """Take each chain apart: one row for each number, with the category it speaks of."""
    chain, category, scale = pl.col("chain"), pl.col("category"), pl.col("scale")
    wearer = (scale == 10**9) & chain.str.contains(_WEARER)
    memory = category == CATEGORIES.index("memory")
    broken = pl.col("coarse") | ((category == _PIECES) & (scale > 1))
    last = pl.col("place") == pl.col("places") - 1
    pack = category.is_in([CATEGORIES.index(name) for name in _PACKED]) & ~last
    return (
        mentions.filter(~wearer)
        .with_columns(
            pl.when(memory)
            .then(chain.str.replace(r"^[0-9] ?[/+] ?([0-9]{2,4})$", "$1"))
            .when(broken)
            .then(_unbroken(chain))
            .otherwise(chain)
        )
        .with_columns(chain.str.replace_all("[×*]", "x").str.split("x"))
        .with_columns(places=chain.list.len(), place=pl.int_ranges(chain.list.len()))
        .explode("chain", "place")
        .with_columns(
            category=pl.when(pack).then(pl.lit(_PIECES, pl.Int64)).otherwise(category),
            scale=pl.when(pack).then(pl.lit(1, pl.Int64)).otherwise(scale),
            coarse=pl.col("coarse") & ~pack,
            number=chain.str.extract_all(_NUMBER),
        )
        .explode("number")
        .select("row", "category", "scale", "coarse", "number")
    )


def _decimal() -> pl.Expr:
    """The float64 value of `number`; null where its points and commas make no number."""
    number = pl.col("number")
    grouped = number.str.contains(r"^[1-9][0-9]{0,2}(?:(?:\.[0-9]{3})+|(?:,[0-9]{3})+)$")
    several = number.str.contains(r"[.,][0-9]{3}[.,]")
    plain = (
        pl.when(number.str.contains(r"^[1-9][0-9]{0,2}(?:,[0-9]{3})+\.[0-9]+$"))
        .then(number.str.replace_all(",", ""))
        .when(number.str.contains(r"^[1-9][0-9]{0,2}(?:\.[0-9]{3})+,[0-9]+$"))
        .then(number.str.replace_all(".", "", literal=True).str.replace(",", "."))
        .when(grouped & (several | ~pl.col("coarse")))
        .then(number.str.replace_all("[.,]", ""))
        .otherwise(number.str.replace(",", "."))
    )
    return plain.cast(pl.Float64, strict=False)


def _read(titles: pl.Series) -> pl.DataFrame:
    """Columns row, category, value (int64, base units), sorted and each once."""
    numbers = _numbers(_mentions(_tidy(titles)))
    value = pl.col("value")
    return (
        numbers.select("row", "category", value=(_decimal() * pl.col("scale")).round())
        .filter(value.is_between(1, LARGEST, closed="left"))
        .with_columns(value.cast(pl.Int64))
        .unique()
        .sort("row", "category", "value")
    )


@dataclass(frozen=True, slots=True)
class Quantities:
    """The quantities of n titles, sorted by title, category and value, each once.

    Attributes:
        offsets: (n + 1,) int64; the quantities of title i are [offsets[i], offsets[i + 1]).
        categories: (q,) int8, places in CATEGORIES.
        values: (q,) int64, base units (microgram, microlitre, micrometre, piece, megabyte, layer, milliwatt, SPF,
            milliampere hour, millivolt, month), each in [1, LARGEST).

    Raises:
        EvidenceError: the arrays do not fit each other.
    """

    offsets: Integers
    categories: npt.NDArray[np.int8]
    values: Integers

    def __post_init__(self) -> None:
        offsets, count = self.offsets, len(self.values)
        fits = len(offsets) > 0 and offsets[0] == 0 and offsets[-1] == count and bool(np.all(np.diff(offsets) >= 0))
        if not fits or len(self.categories) != count:
            raise EvidenceError(
                f"offsets of shape {offsets.shape}, {len(self.categories)} categories and {count} values",
                "offsets that rise from 0 to the number of values, and one category for each value",
                "Build quantities with Quantities.parse(titles).",
            )

    @classmethod
    def parse(cls, titles: pl.Series | Sequence[str]) -> Quantities:
        """Read the quantities in titles.

        Args:
            titles: n titles, best in normal form; case does not matter and a null title has no quantity.

        Returns:
            The quantities of the n titles, in their order.

        Raises:
            CatalogError: the titles are not strings.
        """
        series = _series(titles)
        frame = _read(series)
        counts = np.bincount(frame["row"].to_numpy(), minlength=len(series))
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return cls(offsets, frame["category"].to_numpy().astype(np.int8), frame["value"].to_numpy())

    def __len__(self) -> int:
        """The number of titles."""
        return len(self.offsets) - 1

    def __getitem__(self, rows: npt.ArrayLike) -> Quantities:
        """Take titles by number, in the order asked for and as often as asked for.

        Args:
            rows: (m,) integers in [0, n).

        Returns:
            The quantities of those m titles.

        Raises:
            EvidenceError: the rows are not whole numbers in range.
        """
        given = np.asarray(rows)
        whole = given.ndim == 1 and (given.dtype.kind in "iu" or not given.size)
        if not whole or (given.size and not 0 <= int(given.min()) <= int(given.max()) < len(self)):
            raise EvidenceError(
                f"rows {str(rows)[:80]!r} of {len(self)} titles",
                f"one row of whole numbers in [0, {len(self)})",
                "Take row numbers of the titles these quantities were read from.",
            )
        taken = given.astype(np.int64)
        starts = self.offsets[taken]
        counts = self.offsets[taken + 1] - starts
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        source = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], counts)
        return Quantities(offsets, self.categories[source], self.values[source])

    def conflicts(self, other: Quantities, categories: Collection[str] = VETO) -> Bools:
        """Tell which titles contradict their partner, row by row.

        A pair conflicts when it shares at least one category and no shared category has a common value.

        Args:
            other: quantities of as many titles.
            categories: the categories to look at.

        Returns:
            (n,) bool, symmetric in the two sides.

        Raises:
            EvidenceError: the lengths differ, or a category is unknown.
        """
        shared, common = self._compare(other, categories)
        veto: Bools = (shared != 0) & (common == 0)
        return veto

    def shared(self, other: Quantities, categories: Collection[str] = VETO) -> npt.NDArray[np.int8]:
        """Weigh the quantities of two titles against each other, row by row.

        Args:
            other: quantities of as many titles.
            categories: the categories to look at.

        Returns:
            (n,) int8: +1 every shared category has a common value, -1 a conflict, 0 nothing to compare or some
            categories agree and others do not.

        Raises:
            EvidenceError: the lengths differ, or a category is unknown.
        """
        shared, common = self._compare(other, categories)
        signs: npt.NDArray[np.int8] = np.where(common == 0, -1, common == shared).astype(np.int8)
        signs[shared == 0] = 0
        return signs

    def describe(self, row: int) -> str:
        """Name the quantities of one title, for people: "250 ml, 12 pieces"; empty where there are none.

        Raises:
            EvidenceError: there is no such row.
        """
        one = self[[row]]
        pairs = zip(one.categories.tolist(), one.values.tolist(), strict=True)
        return ", ".join(_named(CATEGORIES[category], value) for category, value in pairs)

    def _present(self, wanted: int) -> Integers:
        """(n,) int64, the bits of the wanted categories each title has."""
        rows = np.repeat(np.arange(len(self)), np.diff(self.offsets))
        bits = np.zeros(len(self), np.int64)
        np.bitwise_or.at(bits, rows, np.int64(1) << self.categories.astype(np.int64))
        return bits & wanted

    def _compare(self, other: Quantities, categories: Collection[str]) -> tuple[Integers, Integers]:
        """Bits of the categories both titles have, and of those with a common value."""
        wanted = _bits(categories)
        if len(self) != len(other):
            raise EvidenceError(
                f"quantities of {len(self)} and of {len(other)} titles",
                "two of the same length, to compare row by row",
                "Take the two ends of each pair first: q[left].conflicts(q[right]).",
            )
        shared = self._present(wanted) & other._present(wanted)
        common = np.zeros(len(self), np.int64)
        mine, theirs = ((q.categories.astype(np.int64) << _SHIFT) | q.values for q in (self, other))
        # both sides are sorted: walk them together, one step of every pair at a time
        live = np.flatnonzero(shared)
        i, j = self.offsets[live], other.offsets[live]
        while live.size:
            a, b = mine[i], theirs[j]
            equal = a == b
            common[live[equal]] |= np.int64(1) << (a[equal] >> _SHIFT)
            i, j = i + (a <= b), j + (b <= a)
            on = (i < self.offsets[live + 1]) & (j < other.offsets[live + 1])
            live, i, j = live[on], i[on], j[on]
        return shared, common & wanted


def _series(titles: pl.Series | Sequence[str]) -> pl.Series:
    """The titles as a polars series of strings."""
    try:
        series = titles if isinstance(titles, pl.Series) else pl.Series(titles, dtype=pl.String, strict=True)
    except (TypeError, pl.exceptions.PolarsError):
        series = pl.Series([0])
    if isinstance(titles, str) or series.dtype not in (pl.String, pl.Null):
        raise CatalogError(
            f"titles {str(titles)[:80]!r}",
            "a polars Series or a sequence of strings",
            "Give one string for each post; an empty string where a post has no title.",
        )
    return series.cast(pl.String)


def _bits(categories: Collection[str]) -> int:
    """One bit for each named category."""
    unknown = [name for name in categories if name not in CATEGORIES]
    if unknown or isinstance(categories, str):
        raise EvidenceError(
            f"categories {str(categories)[:80]!r}",
            f"names out of {', '.join(CATEGORIES)}",
            'Give a tuple of these names, for example ("weight", "volume").',
        )
    return sum(1 << CATEGORIES.index(name) for name in set(categories))


def _named(category: str, value: int) -> str:
    """One quantity for people, in the largest unit that it fills."""
    steps = _DISPLAY.get(category, ((1, category),))
    scale, unit = next((step for step in steps if value >= step[0]), steps[-1])
    return f"{value / scale:.12g} {unit}"
