"""The units of measure in titles, and how quantities are read from a title.

A quantity is a category and a whole number of a small base unit, so that 1 kg, 1000 gr and 1.000 gr are equal to the
last digit; the tables of units follow the 15th and 19th places of Kaggle "Shopee - Price Match Guarantee".

How a title is read, by rules drawn from real titles (`bench/units.py` measures what each category is worth):

- numbers: "1,5" and "1.5" are decimals; "1.000 ml" and "10,000 mah" are thousands, but "1.250 kg" is 1.25 kg, for
  nobody sells a tonne; "1/2 kg" and "1 1/2 kg" are fractions
- lists: "30/60 ml" says both; "10x20 cm" says both lengths; "4/64 gb" says 64 gb, the 4 being RAM
- multipacks: "2x250 ml" and "250 ml x 2" say 250 ml and 2 pieces
- "isi 12" and "12's" are pieces; "1 lusin" is 12 pieces, "1 kodi" 20; lembar and sachet count as pieces
- "bb 45-84 kg" (a range in kg) is the wearer's weight and "1 kg muat 6 pcs" what a parcel holds: neither is read
- "twin pack" says 2 pieces, "pack of 4", "4-pack" and "80 ct" 4 and 80; an ounce is one of weight unless it is "fl oz"
- units of other scripts and languages are read as the ASCII ones that units.toml names beside them
- "2in1", "4g" beside a word for a phone or a radio, "98mb/s" and codes such as "a5" or "xl3" are not quantities
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib import resources
from typing import Final, NamedTuple

CATEGORIES: Final = (
    *("weight", "volume", "length", "pieces", "memory", "layers"),
    *("power", "doses", "spf", "charge", "voltage", "age"),
)
"""What a quantity can measure; the number of a category is its place here."""

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
    Unit("weight", 28_349_523, "oz ounce ounces", coarse=True),
    Unit("weight", 453_592_370, "lb lbs pound pounds", coarse=True),
    # microlitre
    Unit("volume", 10**3, "ml cc mili mililiter milliliter"),
    Unit("volume", 10**4, "cl", coarse=True),
    Unit("volume", 10**5, "dl", coarse=True),
    Unit("volume", 10**6, "l lt ltr liter litre liters litres", coarse=True),
    Unit("volume", 29_574, "floz", coarse=True),
    Unit("volume", 946_353, "quart quarts qt", coarse=True),
    Unit("volume", 3_785_412, "gal gallon gallons", coarse=True),
    # micrometre
    Unit("length", 10**3, "mm milimeter millimeter"),
    Unit("length", 10**4, "cm centimeter sentimeter"),
    Unit("length", 10**6, "m mtr meter metre meters", coarse=True),
    Unit("length", 25_400, 'inch inches inci " ″ ”', coarse=True),
    Unit("length", 304_800, "feet ft kaki", coarse=True),
    Unit("length", 914_400, "yard yards yd", coarse=True),
    Unit("pieces", 1, "pcs pc pieces piece biji bj buah bh butir keping 's ’s"),
    Unit("pieces", 1, "pack packs pk ct count botol btl bungkus bks adet szt sztuk uds unidades piezas"),
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

SIGNS: Final = {name: unit for unit in UNITS for name in unit.names.split()}
PACKED: Final = ("weight", "volume")
_PACKS: Final = "|".join(name for name, unit in SIGNS.items() if unit.category in PACKED)
_WORDS: Final = "|".join(name for name, unit in SIGNS.items() if name.isalpha() and unit.category not in PACKED)
_MARKS: Final = "|".join(re.escape(name) for name in SIGNS if not name.isalpha())
# Rust's regex has no look-around: what may stand before a number is matched with it, and the end of an ASCII word
# suffices on the right (and lets "5kg毛巾" through).
_START: Final = r"(?:^|[^0-9a-z.,]|[a-z)\]][.,])"
_END: Final = r"(?-u:\b)"
NUMBER: Final = r"[0-9]+(?:[.,][0-9]+)*"
_CHAIN: Final = rf"(?:[1-9] [1-7][/⁄][2-8]|{NUMBER}(?: ?[x×*/⁄~&+-] ?{NUMBER})*)"
QUANTITY: Final = (
    rf"{_START}(?:spf ?(?P<spf>[0-9]{{1,3}}(?: ?/ ?[0-9]{{1,3}})*)(?:pa)?{_END}"
    rf"|(?:(?:isi|uk|ukuran|size|netto|berat)[ .:]*)?(?P<chain>{_CHAIN}) ?"
    rf"(?:(?P<pack>{_PACKS}){_END}(?: ?[x×*] ?(?P<times>[0-9]{{1,3}})(?:$|[^0-9a-z.,]))?"
    rf"|(?P<word>{_WORDS}){_END}(?P<rate>/s{_END})?|(?P<mark>{_MARKS}))"
    rf"|(?:isi|(?:pack|set|box|case|pk|paket) (?:of|de|isi))[ .:]*(?P<isi>{_CHAIN})s?{_END})"
)
JOINED: Final = r"([0-9](?:kg|gr|g|ml|l|cm|mm|m|inch))[x×*]"
JOINED_APART: Final = "$1 x "
PARCEL: Final = r"(^|[^0-9.,])1 ?kg ?[=:]? ?(?:(?:muat|isi|dapat|max|maks) ?)?[0-9]+ ?(?:pcs|pc|biji|buah|set)(?-u:\b)"
RADIO: Final = r"(^|[^0-9a-z.,])(?:[2-8]|2[.,]4|5[.,]8)g(?-u:\b)"
DEVICE: Final = (
    r"(?-u:\b)(?:wireless|wifi|gsm|lte|sim|hp|handphone|smartphone|smartwatch|modem|router|mouse|keyboard|kabel|case|lcd"
    r"|headset|ram|iphone|ipad|samsung|galaxy|oppo|vivo|x?xiaomi|redmi|realme|asus|polytron|advan)(?-u:\b)"
)
REWRITTEN: Final = (
    (r"(?-u:\b)fl\.? ?oz(?-u:\b)", "floz"),
    (r"(?-u:\b)(?:twin|duo|double)[ -]?pack(?-u:\b)", "2 pack"),
    (r"(?-u:\b)(?:triple|trio)[ -]?pack(?-u:\b)", "3 pack"),
    (r"([0-9])-(pack|packs|pk|ct|count|piece|pieces|pc|pcs|oz|ounce|inch|gb|tb|ml|watt)(?-u:\b)", "${1} ${2}"),
)
FRACTIONS: Final = tuple(
    (f"^(?:([1-9]) )?{fraction.replace('/', ' ?[/⁄] ?')}$", f"0${{1}}.{decimals}")
    for fraction, decimals in (("1/2", 5), ("1/4", 25), ("3/4", 75), ("1/8", 125), ("3/8", 375), ("5/8", 625))
)
"""Fractions, and the decimals to write for them: "1/2" as "0.5", "1 1/2" as "01.5"."""
WEARER: Final = r"^[0-9]{2} ?[~-] ?[0-9]{2,3}$"
KILO: Final = 10**9
"""A range of this unit is the wearer's weight."""
RAM: Final = r"^[0-9] ?[/+] ?([0-9]{2,4})$"
FOREIGN: Final = r"[0-9] ?[\p{L}--\p{ASCII}]|[0-9] ?st[üu]"
"""What a unit of another script looks like."""
APART: Final = (r"([0-9] pcs) ?[x×*] ?([0-9])", "${1} ${2}")
THOUSANDS: Final = r"^[1-9][0-9]{0,2}(?:(?:\.[0-9]{3})+|(?:,[0-9]{3})+)$"
SEVERAL: Final = r"[.,][0-9]{3}[.,]"
ENGLISH: Final = r"^[1-9][0-9]{0,2}(?:,[0-9]{3})+\.[0-9]+$"
GERMAN: Final = r"^[1-9][0-9]{0,2}(?:\.[0-9]{3})+,[0-9]+$"


@cache
def foreign() -> tuple[tuple[str, str], ...]:
    """Read units.toml: patterns of a unit in another script, and what to write in its place."""
    tree = tomllib.loads(resources.files("kembar.posts").joinpath("units.toml").read_text(encoding="utf-8"))
    found = []
    for kind, end in (("words", r"($|[^\p{L}\p{M}])"), ("signs", "()")):
        names: dict[str, list[str]] = {}
        for table in tree[kind].values():
            for unit, spellings in table.items():
                names.setdefault(unit, []).extend(spellings.split())
        for unit, spellings in names.items():
            longest = "|".join(map(re.escape, sorted(spellings, key=len, reverse=True)))
            found.append((rf"([0-9]) ?(?:{longest}){end}", f"${{1}} {unit} ${{2}}"))
    return tuple(found)
