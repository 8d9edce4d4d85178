"""TF-IDF vectors of titles: words, and character n-grams inside word bounds.

Titles are first counted, then weighted by what a whole catalogue says of its terms. `Tfidf.encode` does both for one
catalogue; `count`, `fit` and `Terms.encode` do it slice by slice, and weigh posts that came later by the same terms.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import polars as pl

from kembar.arrays import Floats, Rows, Sparse, offsets_of, unit_rows
from kembar.errors import ConfigError, FolderError, quoted
from kembar.posts.patterns import one_by_one
from kembar.posts.scripts import SPACELESS
from kembar.threads import unforked

Unit = Literal["word", "char"]

MOST: Final = 1000
"""Terms of more titles than this may be left out of a search."""
MASS: Final = 0.5
"""Of a row's squared length, at most this share is left out of a search."""

_SIGNS_DF: Final = 0.5  # a sign without spaces is as common as a word elsewhere
_SIGN: Final = f"[{SPACELESS}]"
_runs: Final = re.compile(f"{_SIGN}+")
_word: Final = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Counted:
    """The terms of n titles, before any weights.

    Attributes:
        terms: (t,) the terms, sorted by code point.
        matrix: (n, t) CSR float32, 1 where a title holds a term, columns sorted.
    """

    terms: tuple[str, ...]
    matrix: Sparse


@dataclass(frozen=True, slots=True)
class Tfidf:
    """How titles become TF-IDF vectors.

    Binary term counts, smoothed inverse document frequencies ln((1 + n) / (1 + df)) + 1 and unit rows, as in the
    baselines of Kaggle "Shopee - Price Match Guarantee" (C. Deotte).

    Attributes:
        unit: "word" for runs of letters and digits, "char" for n-grams that do not cross words. Scripts without spaces
            are read by pairs of signs as words, and by single signs as characters.
        n_gram: the shortest and the longest n-gram, in words or characters.
        max_df: a term in more than this share of the titles, and in more than two titles, is left out; it costs time
            and tells little. In (0, 1].

    Raises:
        ConfigError: an option out of range.
    """

    unit: Unit = "word"
    n_gram: tuple[int, int] = (1, 1)
    max_df: float = 1.0

    def __post_init__(self) -> None:
        if self.unit not in ("word", "char"):
            raise ConfigError(f"unit {self.unit!r}", "'word' or 'char'", "Choose one of the two.")
        shortest, longest = self.n_gram
        if not 1 <= shortest <= longest:
            raise ConfigError(f"n_gram {self.n_gram}", "1 <= shortest <= longest", "Change the lengths of the n-grams.")
        if not 0 < self.max_df <= 1:
            raise ConfigError(f"max_df {self.max_df}", "a share above 0, at most 1", "Choose a share in that range.")

    @unforked
    def encode(self, titles: pl.Series) -> Sparse:
        """Encode the titles of a catalogue by its own terms.

        Args:
            titles: (n,) String in normal form (see kembar.posts.titles); an empty title gives an empty row.

        Returns:
            (n, terms) CSR float32, unit rows, or (n, 0) when no title has any term.
        """
        counted = self.count(titles)
        return self.fit([counted]).weigh(counted)

    @unforked
    def count(self, titles: pl.Series) -> Counted:
        """Count the terms of titles in normal form: of a whole catalogue, or of a slice of it.

        Each distinct piece of a title is read once: a word of most titles costs as much as one of a single title.
        """
        few = one_by_one(titles)
        if few is not None:
            return self._count_of(few)
        texts = pl.DataFrame({"piece": titles}).with_row_index("row")
        if self._by_words:
            texts = texts.with_columns(pl.col("piece").str.split(" ")).explode("piece")
        pieces = texts["piece"].unique().sort()
        read = [self._terms(piece) for piece in pieces]
        found = pl.DataFrame({"term": pl.Series(chain.from_iterable(read), dtype=pl.String)})
        terms = found["term"].unique().sort()
        column = _places(found["term"], terms)
        within = _csr(np.ones(len(column)), column, offsets_of(np.array([*map(len, read)], dtype=np.int64)), len(terms))
        where = texts["row"].to_numpy(), _places(texts["piece"], pieces)
        matrix = _matrix(where, (len(titles), len(pieces))) @ within
        matrix.sort_indices()
        matrix.data[:] = 1
        return Counted(tuple(terms), matrix)

    def _count_of(self, titles: list[str]) -> Counted:
        """Do what `count` does with a few titles."""
        pieces = [title.split(" ") if self._by_words else [title] for title in titles]
        each = [{term for piece in own for term in self._terms(piece)} for own in pieces]
        terms = sorted(set().union(*each))
        place = {term: at for at, term in enumerate(terms)}
        columns = [np.array(sorted(place[term] for term in own), dtype=np.int64) for own in each]
        offsets = offsets_of(np.array([len(own) for own in each], dtype=np.int64))
        column = np.concatenate([np.zeros(0, dtype=np.int64), *columns])
        return Counted(tuple(terms), _csr(np.ones(len(column)), column, offsets, len(terms)))

    @property
    def _by_words(self) -> bool:
        """Whether no term reaches beyond a blank, so that titles can be read piece by piece."""
        return self.unit == "char" or self.n_gram == (1, 1)

    def _terms(self, text: str) -> list[str]:
        """Read the terms of a title, or of a piece of it.

        Scripts without spaces are read sign by sign (words: by overlapping pairs of signs), and the rest as usual. So
        the two views differ, and find more together than if both read pairs.
        """
        read = self._words if self.unit == "word" else self._grams
        signs = _runs.findall(text)
        found = read(_runs.sub(" ", text) if signs else text)
        for run in signs:
            found += run if self.unit == "char" else [run[at : at + 2] for at in range(len(run) - 1)] or [run]
        return found

    def _words(self, text: str) -> list[str]:
        """Read n-grams of words."""
        words, (shortest, longest) = _word.findall(text), self.n_gram
        return [" ".join(gram) for n in range(shortest, longest + 1) for gram in _windows(words, n)]

    def _grams(self, text: str) -> list[str]:
        """Read n-grams of characters inside words, a blank on both sides of each; a shorter word is read whole."""
        shortest, longest = self.n_gram
        found = []
        for word in text.split():
            padded = f" {word} "
            lengths = range(shortest, max(shortest, min(longest, len(padded))) + 1)
            found += [gram for n in lengths for gram in _windows(padded, n) or [padded]]
        return found

    def fit(self, slices: Iterable[Counted]) -> "Terms":
        """Take terms and document frequencies from slices that together hold all titles of a catalogue."""
        posts, found = 0, pl.DataFrame(schema={"term": pl.String, "df": pl.Int64})
        for counted in slices:
            frequency = np.bincount(counted.matrix.indices, minlength=len(counted.terms)).astype(np.int64)
            part = pl.DataFrame({"term": pl.Series(counted.terms, dtype=pl.String), "df": frequency})
            posts, found = posts + counted.matrix.shape[0], pl.concat([found, part])
        found = found.group_by("term").agg(pl.col("df").sum())
        # Of a handful of titles every term is in a large share: only one in more than two titles can be frequent.
        signs = pl.col("term").str.contains(f"^{_SIGN}{{1,2}}$")
        share = pl.when(signs).then(max(self.max_df, _SIGNS_DF)).otherwise(float(self.max_df))
        found = found.filter(pl.col("df") <= pl.max_horizontal(share * posts, pl.lit(2.0))).sort("term")
        return Terms(self, posts, tuple(found["term"]), found["df"].to_numpy())


@dataclass(frozen=True)
class Terms:
    """What a catalogue says of its terms: fitted once, applied to any titles.

    Attributes:
        tfidf: how titles are read.
        posts: titles in the catalogue.
        terms: (d,) the terms that count, sorted by code point.
        frequency: (d,) int64, titles that hold each.
    """

    tfidf: Tfidf
    posts: int
    terms: tuple[str, ...]
    frequency: Rows

    def encode(self, titles: pl.Series) -> Sparse:
        """Encode titles in normal form, of the catalogue or others; terms that it does not know are left out.

        Args:
            titles: (n,) String.

        Returns:
            (n, d) CSR float32, unit rows; a title without any known term gives an empty row.
        """
        return self.weigh(self.tfidf.count(titles))

    def weigh(self, counted: Counted) -> Sparse:
        """Weigh titles that were counted: (n, d) CSR float32, unit rows."""
        if not self.terms:
            return _csr(np.zeros(0), np.zeros(0, np.int64), np.zeros(counted.matrix.shape[0] + 1, np.int64), 0)
        place = np.array([self._place.get(term, -1) for term in counted.terms], dtype=np.int64)
        matrix = counted.matrix
        column = place[matrix.indices]
        known = column >= 0
        row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))[known]
        offsets = offsets_of(np.bincount(row, minlength=matrix.shape[0]))
        weighted = _csr(self._weights[column[known]], column[known], offsets, len(self.terms))
        return unit_rows(weighted)

    @cached_property
    def _place(self) -> dict[str, int]:
        return {term: column for column, term in enumerate(self.terms)}

    @cached_property
    def _weights(self) -> Floats:
        df = self.frequency.astype(np.float32) + np.float32(1)
        weights: Floats = np.log(np.float32(self.posts + 1) / df) + np.float32(1)
        return weights

    def save(self, path: Path) -> None:
        """Write a Parquet file: term, df; how titles are read stands in its metadata."""
        how = {"unit": self.tfidf.unit, "n_gram": self.tfidf.n_gram, "max_df": self.tfidf.max_df, "posts": self.posts}
        frame = pl.DataFrame({"term": pl.Series(self.terms, dtype=pl.String), "df": self.frequency})
        frame.write_parquet(path, metadata={"kembar": json.dumps(how)})

    @classmethod
    @unforked
    def load(cls, path: Path) -> "Terms":
        """Read what `save` wrote; raises FolderError where it is damaged or missing."""
        try:
            how: dict[str, Any] = json.loads(pl.read_parquet_metadata(path)["kembar"])
            frame = pl.read_parquet(path, glob=False)
            tfidf = Tfidf(how["unit"], tuple(how["n_gram"]), how["max_df"])
            return cls(tfidf, how["posts"], tuple(frame["term"]), frame["df"].to_numpy())
        except (OSError, KeyError, ValueError, pl.exceptions.PolarsError) as error:
            given = f"terms {quoted(Path(path))} that cannot be read ({str(error).splitlines()[0]})"
            raise FolderError(given, "what Terms.save wrote", "Match the catalogue again.") from error


@dataclass(frozen=True)
class Pruning:
    """Which terms a search leaves out, to search a large catalogue in time that grows with its size.

    A join costs the sum over terms of their squared document frequencies, so a few words that thousands of titles share
    cost nearly all of it and find nearly nothing. What is left is for finding candidates: similarities only fall
    (between copies by at most `mass`, between others it may be more), so compare the candidates by their whole rows.

    Attributes:
        frequency: (d,) int64, rows of the base that hold each term; not counted where the base has too few rows.
        rows: rows of the base.
        most: only terms of more rows than this are dropped; nothing is where the base is not larger.
        mass: of a row's squared length, at most this share is dropped, the most frequent terms first.
    """

    frequency: Rows
    rows: int
    most: int = MOST
    mass: float = MASS

    @classmethod
    def fit(cls, base: Sparse, *, most: int = MOST, mass: float = MASS) -> "Pruning":
        """Count the terms of (n, d) CSR rows that are to be searched."""
        if base.shape[0] <= most:
            return cls(np.zeros(0, dtype=np.int64), base.shape[0], most, mass)
        return cls(np.bincount(base.indices, minlength=base.shape[1]).astype(np.int64), base.shape[0], most, mass)

    @cached_property
    def _keeps_all(self) -> bool:
        return self.rows <= self.most or bool(self.frequency.max(initial=0) <= self.most)

    def apply(self, vectors: Sparse) -> Sparse:
        """Drop the most frequent terms from each row, of the base or of queries.

        Args:
            vectors: (n, d) CSR of unit rows, float32, without negative numbers, columns sorted.

        Returns:
            (n, d) CSR float32, its rows not rescaled; `vectors` where nothing is dropped.
        """
        if self._keeps_all:
            return vectors
        row = np.repeat(np.arange(vectors.shape[0]), np.diff(vectors.indptr))
        order = np.lexsort((-self.frequency[vectors.indices], row))
        total = np.concatenate([[0], np.cumsum(vectors.data[order].astype(np.float64) ** 2)])
        reached = total[1:] - total[vectors.indptr[:-1]][row]
        keep = np.ones(len(row), dtype=bool)
        keep[order] = (reached > self.mass) | (self.frequency[vectors.indices[order]] <= self.most)
        offsets = offsets_of(np.bincount(row[keep], minlength=vectors.shape[0]))
        return _csr(vectors.data[keep], vectors.indices[keep], offsets, vectors.shape[1])


def prune(vectors: Sparse, *, most: int = MOST, mass: float = MASS) -> Sparse:
    """Fit a `Pruning` on rows and apply it to the same."""
    return Pruning.fit(vectors, most=most, mass=mass).apply(vectors)


def _windows(sequence: Any, n: int) -> list[Any]:
    """List all slices of n neighbours."""
    return [sequence[at : at + n] for at in range(len(sequence) - n + 1)]


def _places(values: pl.Series, among: pl.Series) -> Rows:
    """Find each text among distinct ones, all of which are there."""
    table = pl.DataFrame({"text": among}).with_row_index("place")
    found = pl.DataFrame({"text": values}).join(table, on="text", how="left", maintain_order="left")["place"]
    return found.to_numpy().astype(np.int64)


def _matrix(where: tuple[Any, Rows], shape: tuple[int, int]) -> Sparse:
    import scipy.sparse as sp

    return sp.csr_matrix((np.ones(len(where[1]), dtype=np.float32), where), shape=shape)


def _csr(data: Any, columns: Rows, offsets: Rows, width: int) -> Sparse:
    import scipy.sparse as sp

    return sp.csr_matrix((data, columns, offsets), shape=(len(offsets) - 1, width), dtype=np.float32)
