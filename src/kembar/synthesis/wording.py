"""How sellers word the titles of a synthetic shop.

A title is put together from slots (promotion, brand, noun, name, code, variant, size ...). Each post words, drops,
misspells and reorders them anew, unless its seller copied the usual wording of the product. The texts are gathered
from tables and joined for a whole block of posts at once; no Python runs per post.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import polars as pl

from kembar.arrays import Bools, Doubles, Rows
from kembar.synthesis import vocabulary
from kembar.synthesis.vocabulary import FAMILIES, VARIANTS

Flags = Bools
FORMS = 8  # wordings of a text: mostly the same one, some misspelt


@dataclass(frozen=True, slots=True)
class Bank:
    """Texts of all families end to end, each in `FORMS` wordings; row 0 of `table` is null.

    Attributes:
        table: the texts; that of family f, choice c, wording w is row 1 + (start[f] + c) * FORMS + w.
        start: (families,) texts before those of a family.
        count: (families,) texts of a family.
    """

    table: pl.Series
    start: Rows
    count: Rows

    @classmethod
    def of(cls, families: Sequence[Sequence[Sequence[str]]]) -> "Bank":
        """Build a bank from the wordings of each text of each family."""
        rows = [wording for family in families for forms in family for wording in forms]
        count = np.array([len(family) for family in families], dtype=np.int64)
        return cls(pl.Series([None, *rows], dtype=pl.String), np.cumsum(count) - count, count)


def _typed(rng: random.Random, words: Sequence[str], slips: int) -> list[list[str]]:
    """Word each text `FORMS` times, the last `slips` of them misspelt."""
    return [
        [word.title()] * (FORMS - slips) + [vocabulary.misspell(rng, word).title() for _ in range(slips)]
        for word in words
    ]


def _cycled(wordings: Sequence[str]) -> list[str]:
    return [wordings[i % len(wordings)] for i in range(FORMS)]


@lru_cache(maxsize=1)
def banks() -> dict[str, Bank]:
    """Return the texts of every slot that the vocabulary fixes."""
    rng = random.Random(7)
    spelled = {
        kind: [_cycled([text.title() for text in (v.spellings[0], *v.spellings)]) for v in variants]
        for kind, variants in VARIANTS.items()
    }
    return {
        "noun": Bank.of([_typed(rng, family.nouns, 2) for family in FAMILIES]),
        "extra": Bank.of([_typed(rng, family.attributes, 1) for family in FAMILIES]),
        "variant": Bank.of([spelled[family.variants] for family in FAMILIES]),
        "size": Bank.of([[_cycled(vocabulary.spell_size(size)) for size in family.sizes] for family in FAMILIES]),
        "promo": Bank.of([[[word] * FORMS for word in vocabulary.PROMOTIONS]]),
        "tail": Bank.of([_typed(rng, vocabulary.TAILS, 1)]),
        "escape": Bank.of([[[word] * FORMS for word in vocabulary.ESCAPES]]),
    }


@dataclass(frozen=True, slots=True)
class Products:
    """What is sold; every array has one entry per product.

    Attributes:
        line: products of one line are siblings.
        family: row of `kembar.synthesis.vocabulary.FAMILIES`.
        brand: number of the brand, from 1; 0 is none.
        name: number of the name, from 1; 0 is none.
        code: number of the model code, from 1; 0 is none.
        variant: choice among the variants of the family.
        size: choice among the sizes of the family.
        by_size: whether siblings differ by size rather than by variant.
        alone: whether the product has no sibling.
        usual: random bits, from which the usual wording of the product is chosen.
    """

    line: Rows
    family: Rows
    brand: Rows
    name: Rows
    code: Rows
    variant: Rows
    size: Rows
    by_size: Flags
    alone: Flags
    usual: npt.NDArray[np.uint32]


def _coin_names(rng: random.Random, count: int) -> list[str]:
    words = vocabulary.coin_words(rng, count, known=True)
    return [f"{word} {rng.choice(words)}" if rng.random() < 0.6 else word for word in words]


def coin_tables(seed: int, names: int) -> dict[str, pl.Series]:
    """Invent brands, product names and model codes.

    Args:
        seed: of the random generator.
        names: how many of each.

    Returns:
        For "brand", "name" and "code", tables laid out as in `Bank`.
    """
    rng = random.Random(seed)
    codes = [f"{rng.choice('ABDFGHKMNPRSTVXZ')}{rng.choice('ABCDKLMSTX')}" for _ in range(names)]
    spelled = [
        (f"{c}{i}", f"{c}-{i}", f"{c} {i}", f"{c}{i}") for c, i in zip(codes, range(11, names + 11), strict=True)
    ]
    wordings = {
        "brand": _typed(rng, vocabulary.coin_words(rng, names), 1),
        "name": _typed(rng, _coin_names(rng, names), 1),
        "code": [_cycled(forms) for forms in spelled],
    }
    return {slot: Bank.of([rows]).table for slot, rows in wordings.items()}


# Orders in which sellers put the slots; a dash, where present, separates what follows.
_ORDERS = tuple(
    row.split()
    for row in (
        "promo brand noun name code variant size extra second dash more tail",
        "promo noun brand name code size variant extra more dash second tail",
        "brand name noun extra code size dash variant more second tail promo",
        "noun extra brand name dash variant size code more second promo tail",
        "brand noun extra name code dash size variant tail second promo",
        "promo noun extra more second dash brand name code variant size tail",
        "code brand name variant noun size extra more dash second tail promo",
        "name brand code noun dash extra more second variant size promo tail",
    )
)


class _Writer:
    """Writes one block of titles; every method works on all posts of the block."""

    def __init__(self, rng: np.random.Generator, products: Products, product: Rows, copied: Flags) -> None:
        self.rng, self.products, self.product, self.copied = rng, products, product, copied
        self.family = products.family[product]
        self.usual = products.usual[product]

    def chance(self, share: float | Doubles) -> Flags:
        return self.rng.random(len(self.product), dtype=np.float32) < share

    def pick(self, count: Rows | int, turn: int, loyal: float) -> Rows:
        """Choose one of `count`: the product's usual choice for copies and some others, else any."""
        fresh = self.rng.integers(0, 1 << 16, len(self.product), dtype=np.uint32)
        stays = self.copied | self.chance(loyal)
        return np.where(stays, self.usual >> turn, fresh).astype(np.int64) % count

    def form(self, shown: Flags, row: Rows) -> Rows:
        """Rows of a table of wordings, 0 where the slot stays empty."""
        form = self.rng.integers(0, FORMS, len(row))
        form[self.chance(np.where(self.copied, 0.9, 0.65))] = 0
        return np.where(shown, 1 + row * FORMS + form, 0)

    def row(self, slot: str, turn: int, loyal: float) -> Rows:
        bank = banks()[slot]
        family = self.family if len(bank.start) > 1 else np.zeros_like(self.family)
        return bank.start[family] + self.pick(bank.count[family], turn, loyal)

    def text(self, slot: str, shown: Flags, row: Rows) -> pl.Series:
        return banks()[slot].table.gather(self.form(shown, row))

    def fixed(self, slot: str, shown: Flags, choice: Rows) -> pl.Series:
        return self.text(slot, shown, banks()[slot].start[self.family] + choice[self.product])

    def coined(self, table: pl.Series, number: Rows, share: float) -> pl.Series:
        number = number[self.product]
        return table.gather(self.form((number > 0) & self.chance(share), np.maximum(number, 1) - 1))

    def slots(self, tables: dict[str, pl.Series]) -> pl.DataFrame:
        """Choose the words of every title: one column for each place in it."""
        own = self.products
        differs = ~own.alone[self.product]
        by_size = own.by_size[self.product]
        sized = np.array([family.sized for family in FAMILIES])[self.family]
        names_size = self.chance(np.where(differs & by_size, 0.95, 0.8 * sized))
        names_variant = self.chance(np.where(differs & ~by_size, 0.93, 0.35))
        dashes = pl.Series([None, "-", "/", "|", ","], dtype=pl.String)
        noun, second = self.row("noun", 7, 0.6), self.row("noun", 13, 0.4)
        extra, more = self.row("extra", 11, 0.65), self.row("extra", 15, 0.65)
        columns = {
            "promo": self.text("promo", self.chance(0.28), self.row("promo", 3, 0.0)),
            "brand": self.coined(tables["brand"], own.brand, 0.92),
            "noun": self.text("noun", self.chance(0.95), noun),
            "name": self.coined(tables["name"], own.name, 0.94),
            "code": self.coined(tables["code"], own.code, 0.75),
            "variant": self.fixed("variant", names_variant, own.variant),
            "size": self.fixed("size", names_size, own.size),
            "extra": self.text("extra", self.chance(0.7), extra),
            "second": self.text("noun", self.chance(0.35) & (second != noun), second),
            "more": self.text("extra", self.chance(0.45) & (more != extra), more),
            "dash": dashes.gather(self.rng.integers(1, 5, len(by_size)) * self.chance(0.2)),
            "tail": self.text("tail", self.chance(0.35), self.row("tail", 17, 0.1)),
        }
        return pl.DataFrame(columns)

    def titles(self, tables: dict[str, pl.Series]) -> pl.Series:
        """Put the words of every title in an order."""
        slots = self.slots(tables)
        order = self.pick(len(_ORDERS), 19, 0.15)
        sorted_posts = np.argsort(order, kind="stable")
        ends = np.searchsorted(order[sorted_posts], np.arange(len(_ORDERS) + 1))
        parts = [
            slots[sorted_posts[ends[i] : ends[i + 1]]].select(
                pl.concat_str(_ORDERS[i], separator=" ", ignore_nulls=True).alias("title")
            )
            for i in range(len(_ORDERS))
        ]
        back = np.empty_like(sorted_posts)
        back[sorted_posts] = np.arange(len(back))
        return self.finish(pl.concat(parts)["title"].gather(back))

    def finish(self, titles: pl.Series) -> pl.Series:
        """Put some titles in upper case, some in lower case, leave a few empty and put escaped emoji before a few."""
        case = self.rng.random(len(titles), dtype=np.float32)
        title = pl.col("title")
        frame = pl.DataFrame(
            {
                "title": titles,
                "case": case,
                "escape": self.text("escape", self.chance(0.015), self.row("escape", 0, 0.0)),
            }
        )
        cased = (
            pl.when(pl.col("case") < 0.25)
            .then(title.str.to_uppercase())
            .when(pl.col("case") < 0.4)
            .then(title.str.to_lowercase())
            .otherwise(title)
        )
        escaped = pl.concat_str(["escape", cased], separator=" ", ignore_nulls=True)
        return frame.select(title=pl.when(pl.col("case") > 0.999).then(pl.lit("")).otherwise(escaped))["title"]


def write_titles(
    rng: np.random.Generator,
    products: Products,
    tables: dict[str, pl.Series],
    product: Rows,
    copied: Flags,
) -> pl.Series:
    """Word one title per post.

    Args:
        rng: the random generator.
        products: the products.
        tables: what `coin_tables` gives.
        product: (m,) product that each post sells.
        copied: (m,) whether its seller copied the usual wording.

    Returns:
        m titles, about one in a thousand empty.
    """
    return _Writer(rng, products, product, copied).titles(tables)
