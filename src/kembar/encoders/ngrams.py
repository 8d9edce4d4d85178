"""Titles as bags of hashed words, word pairs and character n-grams: what a title encoder reads.

Every feature of a title becomes a bucket number, computed for all titles at once. A word that was never seen still has
its character n-grams, and a typing error changes only some of them (Bojanowski et al. 2017, fastText). No vocabulary is
stored: the hash is part of the encoder's definition and must never change.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from kembar.arrays import Bools, Rows, run_ends
from kembar.errors import ConfigError
from kembar.posts.scripts import SPACELESS

Buckets = npt.NDArray[np.int32]
Hashed = npt.NDArray[np.uint64]

_BLANK: Final = 32
_NEWLINE: Final = 10
_LETTER, _DIGIT, _SIGN = 1, 2, 3  # kinds of characters
_BASE: Final = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2^64
_INVERSE: Final = pow(_BASE, -1, 1 << 64)
WORD: Final = np.uint64(0xA0761D6478BD642F)  # so that the word "abc" differs from the n-gram "abc" of "abcd"
PAIR: Final = np.uint64(0xD6E8FEB86659FD93)

_spaceless = re.compile(f"[{SPACELESS}]")


@dataclass(frozen=True, slots=True)
class NGrams:
    """The features of a title: words, pairs of neighbouring words, and character n-grams inside word bounds.

    A word is a run of letters, or of digits ("250gr" is two words). The n-grams of a word see one blank on both sides
    of it, as scikit-learn's `char_wb` does.

    Attributes:
        buckets: number of rows in the encoder's table; row 0 is for padding and belongs to no feature. At least 2.
        shortest: length of the shortest n-gram in characters, at least 2.
        longest: length of the longest; 0 for no n-grams at all.
        words: whether whole words are features.
        pairs: whether pairs of neighbouring words are features.

    Raises:
        ConfigError: an option out of range.
    """

    buckets: int = 65_536
    shortest: int = 3
    longest: int = 5
    words: bool = True
    pairs: bool = True

    def __post_init__(self) -> None:
        if not 2 <= self.buckets <= 1 << 31:
            raise ConfigError(f"buckets {self.buckets}", "2 to 2147483648", "Correct the number of buckets.")
        if self.longest and not 2 <= self.shortest <= self.longest:
            given = f"n-grams of {self.shortest} to {self.longest} characters"
            raise ConfigError(given, "2 <= shortest <= longest, or longest 0 for none", "Correct the lengths.")

    def features(self, titles: Sequence[str]) -> tuple[Rows, Buckets]:
        """Hash the features of titles in normal form (see kembar.posts.titles).

        Args:
            titles: n texts.

        Returns:
            (n + 1,) int64 offsets and (m,) int32 buckets in [1, buckets): title i has buckets[offsets[i]:offsets[i+1]],
            words first, then pairs, then n-grams, with repetitions.
        """
        words = Text.split(titles)
        parts = list(self._hashes(words)) or [(words.title[:0], words.sums[:0])]
        title = np.concatenate([where for where, _ in parts])
        hashed = np.concatenate([value for _, value in parts])
        order = np.argsort(title, kind="stable")
        offsets = np.zeros(len(titles) + 1, dtype=np.int64)
        np.cumsum(np.bincount(title, minlength=len(titles)), out=offsets[1:])
        # The upper bits are the best mixed; a product of two 31-bit numbers stays inside 64 bits.
        bucket = (mixed(hashed[order]) >> np.uint64(33)) * np.uint64(self.buckets - 1) >> np.uint64(31)
        return offsets, bucket.astype(np.int32) + np.int32(1)

    def _hashes(self, words: "Text") -> Iterator[tuple[Rows, Hashed]]:
        """Give the title and the hash of every feature, one kind after the other."""
        whole = words.hashes(words.begin, words.end)
        title = words.title[words.begin]
        if self.words:
            yield title, whole * WORD
        if self.pairs:
            near = np.flatnonzero(title[1:] == title[:-1])
            yield title[near], whole[near] * PAIR + whole[near + 1]
        blanks = np.concatenate([[0], np.cumsum(words.blank)])
        for n in range(self.shortest, self.longest + 1):
            start = np.arange(max(0, len(words.blank) - n + 1))
            inside = blanks[start + n - 1] == blanks[start + 1]  # the blanks of a word are its first and its last
            start = start[inside & (blanks[start + n] - blanks[start] < n)]
            yield words.title[start], words.hashes(start, start + n)


@dataclass(frozen=True, slots=True)
class Text:
    """The words of n titles as one text: a blank before each word, and one behind the last word of each title.

    Attributes:
        title: (t,) int64, the title of each character.
        blank: (t,) bool.
        sums: (t + 1,) uint64, sums of character times power: the hash of any piece is a difference of two of them.
        begin: (w,) int64, where each word starts.
        end: (w,) int64, where it ends.
        digits: (w,) bool, whether it is a run of digits.
    """

    title: Rows
    blank: Bools
    sums: Hashed
    begin: Rows
    end: Rows
    digits: Bools

    @classmethod
    def split(cls, titles: Sequence[str], *, apart: bool = False) -> "Text":
        """Find the words of n titles; where `apart`, each sign of a script without spaces is a word of its own."""
        joined = "\n".join(title.replace("\n", " ") for title in titles)
        codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
        kind = _kinds(codes, apart)
        title = np.cumsum(codes == _NEWLINE) if len(codes) else np.zeros(0, np.int64)
        starts = (kind > 0) & ((kind == _SIGN) | (kind != np.concatenate([[0], kind[:-1]])))
        inner = kind > 0
        codes, title, starts = codes[inner], title[inner].astype(np.int64), starts[inner]
        last = run_ends(title)
        # A character moves right by the blanks before it: one for each word begun, one for each title ended.
        place = np.arange(len(codes)) + np.cumsum(starts) + np.cumsum(last) - last
        text = np.full(place[-1] + 2 if len(place) else 0, _BLANK, dtype=np.uint64)
        text[place] = codes
        owner = np.zeros(len(text), dtype=np.int64)
        owner[place] = title
        owner[place[starts] - 1] = title[starts]
        owner[place[last] + 1] = title[last]
        blank = np.ones(len(text), dtype=bool)
        blank[place] = False
        sums = np.zeros(len(text) + 1, dtype=np.uint64)
        np.cumsum(mixed(text + np.uint64(1)) * _powers(len(text), _BASE), out=sums[1:])
        begin = place[starts]
        ends = np.concatenate([starts[1:], [True]])[: len(starts)] | last
        return cls(owner, blank, sums, begin, place[ends] + 1, kind[kind > 0][starts] == _DIGIT)

    def hashes(self, begin: Rows, end: Rows) -> Hashed:
        """Hash the pieces from `begin` to `end`: equal pieces have equal hashes, whatever their place."""
        found: Hashed = (self.sums[end] - self.sums[begin]) * _powers(len(self.sums), _INVERSE)[begin]
        return found


def _kinds(codes: npt.NDArray[np.uint32], apart: bool) -> npt.NDArray[np.uint8]:
    """Mark letters, digits, signs where they are to be apart, and everything else with 0."""
    distinct, where = np.unique(codes, return_inverse=True)
    kinds = [_kind(chr(code), apart) for code in distinct.tolist()]
    return np.array(kinds, dtype=np.uint8)[where] if kinds else np.zeros(0, np.uint8)


def _kind(character: str, apart: bool) -> int:
    """Tell what a character is; marks that belong to a letter count as letters."""
    if character.isdecimal():
        return _DIGIT
    if apart and _spaceless.match(character):
        return _SIGN
    return _LETTER if character.isalnum() or unicodedata.category(character) in ("Mn", "Mc") else 0


def _powers(n: int, base: int) -> Hashed:
    """Give base^0 to base^(n-1) modulo 2^64."""
    powers = np.full(n, base, dtype=np.uint64)
    powers[:1] = 1
    return np.multiply.accumulate(powers)


def mixed(values: Hashed) -> Hashed:
    """Spread 64-bit numbers evenly, (m,) uint64 to (m,) uint64 (the finaliser of MurmurHash3, A. Appleby)."""
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    mixed: Hashed = values ^ (values >> np.uint64(33))
    return mixed
