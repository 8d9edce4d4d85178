"""What further columns say of two posts: whether their brands can be one, and what they share beside the titles."""

from dataclasses import dataclass
from functools import reduce
from typing import Final

import numpy as np
import polars as pl
import scipy.sparse as sp

from kembar.arrays import Bools, Floats, Rows, Sparse
from kembar.evidence.identity import Identity
from kembar.posts.further import BRAND
from kembar.posts.titles import normalize

_WORD: Final = r"[\p{L}\p{M}\p{N}]+"
_KEPT: Final = (
    "code shared", "code alone low", "code alone high", "number shared", "number alone low", "number alone high",
    "token jaccard", "token contained", "code rarest shared", "codes differ", "codes missing", "code similarity",
)  # fmt: skip
_BRANDS: Final = ("brand found low", "brand found high", "brands differ")


@dataclass(frozen=True, slots=True)
class Brands:
    """Whether two posts can be of one brand: it may stand in a column of its own, in the title, or in both.

    Attributes:
        own: (n, w) CSR float32, the words of each brand; a row sums to 1, or to 0 where the brand is unknown.
        told: (n, w) CSR float32, 1 for each of these words that stands in a post's brand or title.
    """

    own: Sparse
    told: Sparse

    @classmethod
    def of(cls, brands: pl.Series, titles: pl.Series) -> "Brands":
        """Read brands and titles: (n,) String each, in normal form, "" where unknown."""
        own, texts = _words(brands), _words(brands + " " + titles)
        words = own.select(pl.col("word").unique()).sort("word").with_row_index("term")
        shape = len(brands), max(1, len(words))
        tables = []
        for found in (own, texts):
            placed = found.join(words, on="word").sort("row", "term")
            where = placed["row"].to_numpy(), placed["term"].to_numpy()
            tables.append(sp.csr_matrix((np.ones(len(placed), dtype=np.float32), where), shape=shape))
        share = 1 / np.maximum(np.diff(tables[0].indptr), 1)
        return cls(sp.diags_array(share.astype(np.float32)).tocsr() @ tables[0], tables[1])

    @property
    def meaning(self) -> str:
        """In words."""
        return "whether the brand of one post stands in the brand or the title of the other"

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return _BRANDS

    def score(self, left: Rows, right: Rows) -> list[Floats]:
        """Compare pairs: one (m,) float32 for each of `names`, NaN where no brand is known (the last: where one is)."""
        known = np.diff(self.own.indptr) > 0
        found = np.stack([self._found(left, right, known), self._found(right, left, known)])
        some = np.isnan(found).all(axis=0)
        low, high = np.fmin(*found), np.fmax(*found)
        differ = np.where(np.isnan(found).any(axis=0), np.float32(np.nan), (high == 0).astype(np.float32))
        low[some] = high[some] = np.nan
        return [low, high, differ.astype(np.float32)]

    def _found(self, one: Rows, other: Rows, known: Bools) -> Floats:
        """Share of the words of a brand that stand in the other post, NaN where it is unknown."""
        share = np.asarray(self.own[one].multiply(self.told[other]).sum(axis=1), dtype=np.float32).ravel()
        return np.where(known[one], share, np.float32(np.nan))


@dataclass(frozen=True, slots=True)
class Details:
    """Codes, numbers and words of all texts of two posts together: title, brand and further columns.

    Attributes:
        texts: all texts of n posts as one each, ready to be compared.
        have: (n,) bool, whether a post has any text beside title and brand.
    """

    texts: Identity
    have: Bools

    @property
    def meaning(self) -> str:
        """In words."""
        return "model codes, numbers and words that the titles and further columns of two posts share, or one has alone"

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(f"details {name}" for name in _KEPT)

    def score(self, left: Rows, right: Rows) -> list[Floats]:
        """Compare pairs: one (m,) float32 for each of `names`, NaN where neither post has further texts."""
        found = dict(zip(self.texts.names, self.texts.score(left, right), strict=True))
        nothing = ~(self.have[left] | self.have[right])
        for name in _KEPT:
            found[name][nothing] = np.nan
        return [found[name] for name in _KEPT]


def further_scorers(titles: pl.Series, further: pl.DataFrame | None) -> tuple[Brands | Details, ...]:
    """Make the scorers of further columns.

    Args:
        titles: (n,) String in normal form.
        further: (n, c) String, see `Catalog.further`.

    Returns:
        Those for which there are columns.
    """
    if further is None:
        return ()
    texts = {column.name: normalize(column) for column in further}
    brands = texts.pop(BRAND, None)
    found: list[Brands | Details] = [] if brands is None else [Brands.of(brands, titles)]
    if texts:
        have = reduce(np.logical_or, [(text != "").to_numpy() for text in texts.values()])
        every = reduce(lambda one, other: one + " " + other, [*filter(_given, [brands]), *texts.values()], titles)
        found.append(Details(Identity.of(every.str.strip_chars()), have))
    return tuple(found)


def _given(text: pl.Series | None) -> bool:
    return text is not None


def _words(texts: pl.Series) -> pl.DataFrame:
    """List the distinct words of each text: columns row, word."""
    found = pl.DataFrame({"row": pl.int_range(len(texts), eager=True), "word": texts.str.extract_all(_WORD)})
    return found.with_columns(pl.col("word").list.unique()).explode("word").drop_nulls()
