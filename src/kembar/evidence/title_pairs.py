"""How the words of two titles agree and differ: edits, words and numbers weighted by rarity, quantities, lengths."""

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import scipy.sparse as sp
from rapidfuzz import fuzz, process
from rapidfuzz.distance import Indel

from kembar.arrays import Bools, Floats, Rows, Sparse, offsets_of, slices
from kembar.evidence.pairs import posts_of
from kembar.evidence.vocabulary import Vocabulary, narrowed, stacked_rows, summed
from kembar.posts.patterns import contains, extracted, one_by_one
from kembar.posts.quantities import Quantities
from kembar.posts.units import CATEGORIES

_WORD: Final = r"\w+"
_NUMBER: Final = r"\d"
_WORDS_FILE: Final = "title-words.parquet"
_COPIES_FILE: Final = "title-copies.parquet"
_TOKENS: Final = ("shared", "alone low", "alone high", "rarest shared", "jaccard")


@dataclass(frozen=True)
class TitleTerms:
    """What a catalogue says of the words of its titles: fitted once, applied to any titles.

    Attributes:
        posts: titles in the catalogue.
        words: columns word, df (titles that hold it); sorted.
        titles: columns title, copies (posts that have it); sorted.
    """

    posts: int
    words: pl.DataFrame
    titles: pl.DataFrame

    def save(self, folder: Path) -> None:
        """Write title-words.parquet and title-copies.parquet into a folder that is there."""
        self.words.write_parquet(folder / _WORDS_FILE, metadata={"posts": str(self.posts)})
        self.titles.write_parquet(folder / _COPIES_FILE)

    @classmethod
    def load(cls, folder: Path) -> "TitleTerms":
        """Read what `save` wrote; raises OSError or a polars error where it is damaged or missing."""
        posts = int(pl.read_parquet_metadata(folder / _WORDS_FILE)["posts"])
        words, titles = (pl.read_parquet(folder / name, glob=False) for name in (_WORDS_FILE, _COPIES_FILE))
        return cls(posts, words, titles)

    @classmethod
    def fit(cls, titles: pl.Series) -> "TitleTerms":
        """Count the words and the titles of a catalogue: (n,) String in normal form."""
        words = summed((_counted(titles[part]) for part in slices(len(titles))), "word")
        copies = pl.DataFrame({"title": titles}).group_by("title").agg(pl.len().cast(pl.Int64).alias("copies"))
        return cls(len(titles), words, copies.sort("title"))

    def apply(self, titles: pl.Series, quantities: Quantities | None = None) -> "TitlePairs":
        """Read titles, of the catalogue or others; a word that the catalogue does not know is as rare as can be.

        Args:
            titles: (n,) String in normal form.
            quantities: of the same titles; read from them where None.

        Returns:
            The titles, ready to be compared.
        """
        parts = slices(len(titles))
        if len(parts) > 1:
            rows = np.arange(len(titles))
            own = [None if quantities is None else quantities[rows[part]] for part in parts]
            return TitlePairs.joined([self.apply(titles[part], own[at]) for at, part in enumerate(parts)])
        read = _Read.of(titles)
        column = self.vocabulary.columns(read.words)
        df = self._df[np.minimum(column, len(self._df) - 1)]
        # ln((1 + n) / (1 + df)) + 1, as scikit-learn smooths it
        rarity = (np.log((1 + self.posts) / (1 + df)) + 1).astype(np.float32)
        order, shape = np.lexsort((column, read.row)), (len(titles), max(1, len(self.vocabulary)))
        number = order[read.number[order]]
        lengths = np.stack([read.length, np.bincount(read.row, minlength=len(titles))])
        place = self._known_titles.places(titles)
        copies = np.where(place < 0, 1, self._copies[place]).astype(np.float32)
        return TitlePairs(
            titles,
            _table(rarity[order], read.row[order], column[order], shape),
            _table(rarity[number], read.row[number], column[number], shape),
            Quantities.parse(titles) if quantities is None else quantities,
            lengths.astype(np.float32),
            np.where(read.length == 0, np.float32(np.nan), copies),
        )

    def passing(self) -> "TitleTerms":
        """Give the same for titles that are only asked about: what is new in them is forgotten again."""
        found = copy(self)  # with all that it has made ready
        found.__dict__["vocabulary"] = self.vocabulary.passing()
        return found

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The columns of words: those of the catalogue, then others as they turn up."""
        return Vocabulary(self.words["word"])

    @cached_property
    def _known_titles(self) -> Vocabulary:
        return Vocabulary(self.titles["title"])

    @cached_property
    def _df(self) -> Rows:
        """Titles that hold each word, and 0 for all others."""
        return np.append(self.words["df"].to_numpy(), 0)

    @cached_property
    def _copies(self) -> Rows:
        return np.append(self.titles["copies"].to_numpy(), 1)


@dataclass(frozen=True, slots=True)
class TitlePairs:
    """The titles of n posts, ready to be compared.

    Attributes:
        titles: (n,) String in normal form, "" where missing.
        words: (n, w) CSR float32: a word's inverse document frequency where a title has it.
        numbers: the same for words that hold a digit.
        quantities: the quantities of the n titles.
        lengths: (2, n) float32, characters and words.
        copies: (n,) float32, how many posts have the same title.
    """

    titles: pl.Series
    words: Sparse
    numbers: Sparse
    quantities: Quantities
    lengths: Floats
    copies: Floats

    @classmethod
    def of(cls, titles: pl.Series, quantities: Quantities | None = None) -> "TitlePairs":
        """Read the titles of a catalogue by its own words; arguments as of `TitleTerms.apply`."""
        return TitleTerms.fit(titles).apply(titles, quantities)

    def take(self, rows: Rows) -> "TitlePairs":
        """Keep some titles."""
        return TitlePairs(
            self.titles[rows],
            self.words[rows],
            self.numbers[rows],
            self.quantities[rows],
            self.lengths[:, rows],
            self.copies[rows],
        )

    @classmethod
    def joined(cls, parts: "Sequence[TitlePairs]") -> "TitlePairs":
        """Put titles that one catalogue's terms were applied to below one another."""
        return cls(
            pl.concat([part.titles for part in parts]),
            stacked_rows([part.words for part in parts]),
            stacked_rows([part.numbers for part in parts]),
            Quantities.joined([part.quantities for part in parts]),
            np.concatenate([part.lengths for part in parts], axis=1),
            np.concatenate([part.copies for part in parts]),
        )

    def narrowed(self) -> "TitlePairs":
        """Keep the words in use alone: quicker to compare, and not to be joined with others any more."""
        return replace(self, words=narrowed(self.words)[0], numbers=narrowed(self.numbers)[0])

    @property
    def meaning(self) -> str:
        """In words."""
        return "how the words, numbers, quantities and lengths of two titles agree and differ"

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        edits = ("edit ratio", "token set ratio", "token sort ratio", "same title")
        tokens = [f"{kind} {figure}" for kind in ("words", "numbers") for figure in _TOKENS]
        units = [f"unit {category}" for category in CATEGORIES]
        ends = [f"{what} {end}" for what in ("characters", "word count", "title copies") for end in ("low", "high")]
        counts = ("units agree", "units conflict", "pack ratio")
        return (*edits, *tokens, *units, *counts, *ends, "titles missing")

    def score(self, left: Rows, right: Rows) -> list[Floats]:
        """Compare pairs: one (m,) float32 for each of `names`, NaN where a title is missing."""
        some = posts_of(left, right, len(self.titles))
        if some is not None:
            return self.take(some[0]).score(*some[1:])
        a, b = left, right
        found = [*self._edits(a, b), *_tokens(self.words, a, b), *_tokens(self.numbers, a, b)]
        found += self._units(a, b)
        for figure in (*self.lengths, self.copies):
            found += [np.minimum(figure[a], figure[b]), np.maximum(figure[a], figure[b])]
        bare = self.lengths[0] == 0
        missing = bare[a].astype(np.float32) + bare[b]
        for column in found:
            column[missing > 0] = np.nan
        return [*found, missing]

    def _edits(self, a: Rows, b: Rows) -> list[Floats]:
        rows, place = np.unique(np.concatenate([a, b]), return_inverse=True)
        titles = self.titles[rows].to_list()
        lines = [" ".join(sorted(title.split())) for title in titles]  # else token_sort_ratio sorts for each pair
        ends = place[: len(a)].tolist(), place[len(a) :].tolist()
        edit = _compared(titles, ends, Indel.normalized_similarity)
        # token_set_ratio is symmetric in exact arithmetic and in its integers; no order of ends shows
        bags = _compared(titles, ends, fuzz.token_set_ratio)
        line = _compared(lines, ends, fuzz.ratio)
        return [edit, bags / 100, line / 100, (edit == 1).astype(np.float32)]

    def _units(self, a: Rows, b: Rows) -> list[Floats]:
        signs = self.quantities[a].agreement(self.quantities[b]).astype(np.float32)
        agree, conflict = (signs > 0).sum(axis=1), (signs < 0).sum(axis=1)
        return [*signs.T.copy(), agree.astype(np.float32), conflict.astype(np.float32), self._packs(a, b)]

    def _packs(self, a: Rows, b: Rows) -> Floats:
        """How many times more pieces one title names, as a logarithm; a title that names none sells one piece."""
        count = self.quantities.pieces()
        one, other = count[a], count[b]
        ratio = np.abs(np.log(np.nan_to_num(one, nan=1.0) / np.nan_to_num(other, nan=1.0)))
        ratio[np.isnan(one) & np.isnan(other)] = np.nan
        return ratio.astype(np.float32)


def _compared(texts: list[str], ends: tuple[list[int], list[int]], scorer: Callable[..., float]) -> Floats:
    """Compare pairs of texts, by their places: (m,) float32."""
    one, other = ([texts[place] for place in end] for end in ends)
    return np.asarray(process.cpdist(one, other, scorer=scorer, dtype=np.float32))


def _table(values: Floats, row: Rows, column: Rows, shape: tuple[int, int]) -> Sparse:
    """Make a table of values that come by row, then column."""
    offsets = offsets_of(np.bincount(row, minlength=shape[0]))
    return sp.csr_matrix((values, column, offsets), shape=shape, dtype=np.float32)


def _tokens(table: Sparse, a: Rows, b: Rows) -> list[Floats]:
    """Weigh what two titles share and what each has alone: a figure for each of `_TOKENS`."""
    total = np.asarray(table.sum(axis=1), dtype=np.float32).ravel()
    one, other = table[a], table[b]
    common = one.multiply(other).tocsr()  # squares of the rarity
    common.data = np.sqrt(common.data)
    shared = np.asarray(common.sum(axis=1), dtype=np.float32).ravel()
    rarest = np.asarray(common.max(axis=1).todense(), dtype=np.float32).ravel()
    mine, theirs = np.maximum(total[a] - shared, 0), np.maximum(total[b] - shared, 0)
    union = mine + theirs + shared
    jaccard = np.divide(shared, union, out=np.full(len(a), np.nan, dtype=np.float32), where=union > 0)
    return [shared, np.minimum(mine, theirs), np.maximum(mine, theirs), rarest, jaccard]


@dataclass(frozen=True, slots=True)
class _Read:
    """The distinct words of titles, by title, and the characters of these.

    Attributes:
        row: (m,) int64, the title of each word.
        words: m texts.
        number: (m,) bool, whether it holds a digit.
        length: (n,) int64.
    """

    row: Rows
    words: pl.Series | list[str]
    number: Bools
    length: Rows

    @classmethod
    def of(cls, titles: pl.Series) -> "_Read":
        """Read n titles in normal form."""
        few = one_by_one(titles)
        if few is None:
            found = _words(titles)
            number, length = found["word"].str.contains(_NUMBER).to_numpy(), titles.str.len_chars().to_numpy()
            return cls(found["row"].to_numpy().astype(np.int64), found["word"], number, length.astype(np.int64))
        each = [list(dict.fromkeys(match[0] for match in extracted(_WORD, title))) for title in few]
        row = np.repeat(np.arange(len(few)), np.array([len(own) for own in each], dtype=np.int64))
        words = [word for own in each for word in own]
        number = np.array([contains(_NUMBER, word) for word in words], dtype=bool)
        return cls(row, words, number, np.array([len(title) for title in few], dtype=np.int64))


def _counted(titles: pl.Series) -> pl.DataFrame:
    """Count the titles that hold each word: columns word, df."""
    return _words(titles).group_by("word").agg(df=pl.len().cast(pl.Int64))


def _words(titles: pl.Series) -> pl.DataFrame:
    """List the distinct words of each title: columns row, word."""
    found = pl.DataFrame({"title": titles}).with_row_index("row")
    words = found.select("row", pl.col("title").str.extract_all(_WORD).list.unique().alias("word"))
    return words.explode("word").drop_nulls()
