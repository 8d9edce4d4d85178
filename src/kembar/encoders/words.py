"""Titles as words in their order: what the shipped title encoder reads.

A word is described by its own hash and by the hashes of its character n-grams. A batch holds every distinct word once,
so that the work on a word is shared by all titles that hold it; short words, which are most of them, are padded less
than long ones.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from kembar.arrays import Floats, Rows, ragged
from kembar.encoders.ngrams import PAIR, WORD, Hashed, Text, mixed
from kembar.encoders.protocol import batches_by_length
from kembar.errors import ConfigError

_SHORT: Final = 16  # features of a word of 5 letters, with n-grams of 2 to 4
_MIDDLE: Final = 25  # of 8 letters
_LONG: Final = 40  # of a longer word the rest is left out
_LONGEST: Final = 12  # letters; longer words count as this long
INPUTS: Final = {"short": _SHORT, "middle": _MIDDLE, "long": _LONG, "shapes": 2, "words": None, "pairs": None}
"""The inputs of a model and their numbers of columns; those of None are free."""


@dataclass(frozen=True, slots=True)
class Words:
    """Splits titles into words, and words into hashed features.

    Attributes:
        shortest: length of the shortest n-gram in characters, the blank on each side of a word counted; at least 2.
        longest: length of the longest.
        most: words of a title that are read; the rest is left out.
        apart: whether each sign of a script without spaces (kembar.posts.scripts) is a word of its own. Else what
            stands between two blanks is one, so that two titles in Chinese have hardly a word in common.

    Raises:
        ConfigError: an option out of range.
    """

    shortest: int = 2
    longest: int = 4
    most: int = 64
    apart: bool = False

    def __post_init__(self) -> None:
        if not 2 <= self.shortest <= self.longest or self.most < 1:
            given = f"n-grams of {self.shortest} to {self.longest} characters in {self.most} words"
            raise ConfigError(given, "2 <= shortest <= longest, at least one word", "Correct the options.")

    def batches(self, titles: Sequence[str], size: int, step: Callable[[int], None]) -> Iterator[tuple[Rows, "Batch"]]:
        """Read titles in batches of as many words each: nothing is padded, and no title depends on another.

        Args:
            titles: n texts in normal form.
            size: titles in a batch.
            step: called with the number of titles without a word; they are in no batch.

        Yields:
            The rows of a batch, and their words.
        """
        counts = np.diff(np.searchsorted(self._titles(titles), np.arange(len(titles) + 1)))
        step(int(np.count_nonzero(counts == 0)))
        for rows in batches_by_length(np.minimum(counts, self.most), size, padded=False):
            yield rows, self.batch([titles[row] for row in rows.tolist()])

    def _titles(self, titles: Sequence[str]) -> Rows:
        """Give the title of each word."""
        text = Text.split(titles, apart=self.apart)
        return text.title[text.begin]

    def batch(self, titles: Sequence[str]) -> "Batch":
        """Read titles in normal form (see kembar.posts.titles).

        Args:
            titles: n texts.

        Returns:
            Their words.
        """
        text = Text.split(titles, apart=self.apart)
        whole = text.hashes(text.begin, text.end)
        title = text.title[text.begin]
        begin = np.searchsorted(title, np.arange(len(titles) + 1))
        place = np.arange(len(title)) - begin[title]
        read = place < self.most
        _, first, word = np.unique(whole, return_index=True, return_inverse=True)
        length = text.end[first] - text.begin[first]
        # The shortest words come first; within a part in the order of their hashes, which no other title changes.
        part = np.searchsorted([self._letters(_SHORT), self._letters(_MIDDLE)], length)
        order = np.argsort(part, kind="stable")
        short, middle = np.searchsorted(part[order], [1, 2])
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        columns = int(min(np.diff(begin).max(initial=0), self.most))
        words, pairs = np.zeros((2, len(titles), max(columns, 1)), dtype=np.int64)
        words[title[read], place[read]] = 1 + rank[word[read]]
        near = np.flatnonzero((title[1:] == title[:-1]) & read[1:])
        pairs[title[near], place[near]] = _numbers(whole[near] * PAIR + whole[near + 1])
        shapes = np.stack([text.digits[first], np.minimum(length, _LONGEST) / (_LONGEST / 2) - 1], axis=1)
        features = self._features(text, first[order])
        parts = features[:short, :_SHORT], features[short:middle, :_MIDDLE], features[middle:]
        return Batch(*parts, shapes[order].astype(np.float32), words, pairs)

    def _letters(self, features: int) -> int:
        """Return the length of the longest word that has at most so many features."""
        letters = 1
        while 1 + sum(max(0, letters + 4 - n) for n in range(self.shortest, self.longest + 1)) <= features:
            letters += 1
        return letters

    def _features(self, text: Text, words: Rows) -> Rows:
        """Hash the given words and their n-grams, the longest first: (v, 40) int64, 0 for none."""
        begin, end = text.begin[words] - 1, text.end[words] + 1
        features = np.zeros((len(words), _LONG), dtype=np.int64)
        features[:, 0] = _numbers(text.hashes(begin + 1, end - 1) * WORD)
        used = np.ones(len(words), dtype=np.int64)
        for n in range(self.longest, self.shortest - 1, -1):
            count = np.minimum(np.maximum(end - begin - n + 1, 0), _LONG - used)
            row, step = ragged(count)
            start = begin[row] + step
            features[row, used[row] + step] = _numbers(text.hashes(start, start + n))
            used += count
        return features


@dataclass(frozen=True, slots=True)
class Batch:
    """The words of n titles.

    Attributes:
        short: (s, 16) int64 features of the distinct short words; each in [1, 2^31), 0 for none.
        middle: (m, 25) int64, of those of middle length.
        long: (v - s - m, 40) int64, of the other distinct words.
        shapes: (v, 2) float32 of all distinct words, short ones first: 1 for digits, and the length in [-5/6, 1].
        words: (n, k) int64, row + 1 of each title's words in `shapes`; 0 for none.
        pairs: (n, k) int64, the feature of a word and the next one; 0 for none.
    """

    short: Rows
    middle: Rows
    long: Rows
    shapes: Floats
    words: Rows
    pairs: Rows

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, part: slice) -> "Batch":
        return replace(self, words=self.words[part], pairs=self.pairs[part])

    def feed(self, names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
        """Give the inputs of these names to a model."""
        return {name: getattr(self, name) for name in names}


def _numbers(hashes: Hashed) -> Rows:
    """Turn hashes into feature numbers in [1, 2^31)."""
    numbers: Rows = np.maximum(mixed(hashes) >> np.uint64(33), np.uint64(1)).astype(np.int64)
    return numbers
