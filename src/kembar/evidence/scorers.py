"""Scorers: evidence of given pairs. A view is a scorer that also finds neighbours (see kembar.evidence.views)."""

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import polars as pl

from kembar.arrays import Doubles, Floats, Rows
from kembar.evidence.identity import TokenCounts
from kembar.evidence.title_pairs import TitleTerms
from kembar.posts.catalog import Catalog
from kembar.posts.quantities import Quantities

PRICE: Final = "price ratio"
CONFLICT: Final = "conflict"  # the evidence column that the veto reads


class Scorer(Protocol):
    """One kind of evidence about n posts that can compare any pairs of them."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its columns."""

    @property
    def meaning(self) -> str:
        """What it says, in words."""

    def score(self, left: Rows, right: Rows) -> list[Floats]:
        """Compare pairs of posts: one (m,) float32 column per name, NaN where either post lacks this evidence."""
        ...


@dataclass(frozen=True, slots=True)
class QuantityConflict:
    """Whether the quantities of two titles contradict each other.

    Attributes:
        quantities: of n titles.
        categories: the kinds of quantity that can conflict.
    """

    quantities: Quantities
    categories: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """One column."""
        return (CONFLICT,)

    @property
    def meaning(self) -> str:
        """In words."""
        return "1 where the quantities in the titles contradict each other"

    def score(self, left: Rows, right: Rows) -> list[Floats]:
        """Compare pairs: (m,) float32, 1 for a conflict, else 0."""
        conflict = self.quantities[left].conflicts(self.quantities[right], self.categories)
        return [conflict.astype(np.float32)]


@dataclass(frozen=True, slots=True)
class PriceRatio:
    """How far the prices of two posts are apart.

    Attributes:
        prices: (n,) float64 above 0, NaN where unknown.
    """

    prices: Doubles

    @property
    def names(self) -> tuple[str, ...]:
        """One column."""
        return (PRICE,)

    @property
    def meaning(self) -> str:
        """In words."""
        return "logarithm of the higher price over the lower one"

    def score(self, left: Rows, right: Rows) -> list[Floats]:
        """Compare pairs: (m,) float32, |ln(a / b)|, NaN where a price is unknown."""
        return [np.abs(np.log(self.prices[left] / self.prices[right])).astype(np.float32)]


def scorers_of(
    titles: pl.Series,
    quantities: Quantities | None = None,
    catalog: Catalog | None = None,
    counted: tuple[TitleTerms, TokenCounts] | None = None,
) -> tuple[Scorer, ...]:
    """Make the scorers whose columns a pair classifier sees beside similarities and ranks.

    Args:
        titles: (n,) String in normal form, "" where missing.
        quantities: of these titles; read from them where None.
        catalog: the same posts, for their prices, brands and further texts; None where nothing but titles is known.
        counted: what the catalogue says of words and tokens; None: what these posts say.

    Returns:
        The scorers, in the order of their columns.
    """
    prices, further = (None, None) if catalog is None else (catalog.prices, catalog.further)
    known = np.full(len(titles), np.nan) if prices is None else prices
    words, tokens = counted or (TitleTerms.fit(titles), TokenCounts.fit(titles, further))
    return (words.apply(titles, quantities), tokens.apply(titles, further), PriceRatio(known))
