"""TF-IDF vectors of titles: words, and character n-grams inside word bounds."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
import scipy.sparse as sp
from sklearn.feature_extraction.text import TfidfVectorizer

from kembar.arrays import Sparse, offsets_of
from kembar.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Tfidf:
    """A TF-IDF encoder that learns its document frequencies from the titles it encodes.

    Binary term counts, smoothed inverse document frequencies ln((1 + n) / (1 + df)) + 1 and unit rows, as in the
    baselines of Kaggle "Shopee - Price Match Guarantee" (C. Deotte).

    Attributes:
        unit: "word" for runs of letters and digits, "char" for n-grams that do not cross words.
        n_gram: the shortest and the longest n-gram, in words or characters.
        max_df: a term in more than this share of the titles, and in more than two titles, is left out; it costs time
            and tells little. In (0, 1].

    Raises:
        ConfigError: an option out of range.
    """

    unit: Literal["word", "char"] = "word"
    n_gram: tuple[int, int] = (1, 1)
    max_df: float = 1.0

    def __post_init__(self) -> None:
        if self.unit not in ("word", "char"):
            raise ConfigError(f"unit {self.unit!r}", "'word' or 'char'", "Choose one of the two.")
        shortest, longest = self.n_gram
        if not 1 <= shortest <= longest:
            raise ConfigError(f"n_gram {self.n_gram}", "1 <= shortest <= longest", "Mend the lengths of the n-grams.")
        if not 0 < self.max_df <= 1:
            raise ConfigError(f"max_df {self.max_df}", "a share above 0, at most 1", "Choose a share in that range.")

    def encode(self, titles: pl.Series) -> Sparse:
        """Encode titles in normal form (see kembar.posts.titles).

        Args:
            titles: (n,) String; an empty title gives an empty row.

        Returns:
            (n, terms) CSR float32, unit rows, or (n, 0) when no title has any term.
        """
        texts = titles.to_list()
        # Of a handful of titles every term is in a large share: only one in more than two titles can be frequent.
        max_df = max(float(self.max_df), min(1.0, 2 / max(1, len(texts))))  # to sklearn 1 is a count, 1.0 a share
        words = self.unit == "word"
        vectorizer = TfidfVectorizer(
            analyzer="word" if words else "char_wb",
            token_pattern=r"\w+" if words else None,
            ngram_range=self.n_gram,
            max_df=max_df,
            lowercase=False,
            binary=True,
            dtype=np.float32,
        )
        try:
            return sp.csr_matrix(vectorizer.fit_transform(texts))
        except ValueError as error:
            if "empty vocabulary" not in str(error) and "no terms remain" not in str(error):
                raise
            return sp.csr_matrix((len(texts), 0), dtype=np.float32)


def prune(vectors: Sparse, *, most: int = 1000, mass: float = 0.5) -> Sparse:
    """Drop the most frequent terms from each row, to search a large catalogue in time that grows with its size.

    A join costs the sum over terms of their squared document frequencies, so a few words that thousands of titles share
    cost nearly all of it and find nearly nothing. What is left is for finding candidates: similarities only fall
    (between copies by at most `mass`, between others it may be more), so compare the candidates by their whole rows.

    Args:
        vectors: (n, d) CSR of unit rows, float32, without negative numbers.
        most: only terms of more rows than this are dropped; nothing is where n is not larger.
        mass: of a row's squared length, at most this share is dropped, the most frequent terms first.

    Returns:
        (n, d) CSR float32 without the dropped entries, its rows not rescaled; `vectors` where nothing is dropped.
    """
    frequency = np.bincount(vectors.indices, minlength=vectors.shape[1])
    if vectors.shape[0] <= most or frequency.max(initial=0) <= most:
        return vectors
    row = np.repeat(np.arange(vectors.shape[0]), np.diff(vectors.indptr))
    order = np.lexsort((-frequency[vectors.indices], row))
    total = np.concatenate([[0], np.cumsum(vectors.data[order].astype(np.float64) ** 2)])
    reached = total[1:] - total[vectors.indptr[:-1]][row]
    keep = np.ones(len(row), dtype=bool)
    keep[order] = (reached > mass) | (frequency[vectors.indices[order]] <= most)
    offsets = offsets_of(np.bincount(row[keep], minlength=vectors.shape[0]))
    return sp.csr_matrix((vectors.data[keep], vectors.indices[keep], offsets), shape=vectors.shape, dtype=np.float32)
