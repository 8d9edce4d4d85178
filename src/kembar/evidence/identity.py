"""What says that two titles name one product, or two: model codes, numbers, variant words, colours and rare words.

Shared words make two titles similar; what stands in one title alone tells the products apart. Each column says how much
of a kind of token (see kembar.evidence.tokens) two titles share, and how much each has alone, weighed by rarity.

Brands, model numbers and other further texts are read with the title, so that it does not matter which of the two names
them. Of long ones, such as descriptions, only the codes are: their words say little of what tells products apart.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy.sparse as sp
from rapidfuzz import process
from rapidfuzz.distance import Indel

from kembar.arrays import Doubles, Floats, Hashes, Rows, Sparse, offsets_of, slices
from kembar.evidence.pairs import posts_of
from kembar.evidence.tokens import CODE, KINDS, NUMBER, VARIANT, WORD, codes, runs, runs_of, tokens, tokens_of
from kembar.evidence.vocabulary import Vocabulary, narrowed, stacked_rows, summed
from kembar.posts.patterns import extracted, one_by_one
from kembar.posts.titles import normalize

_FILE: Final = "title-tokens.parquet"
_SHORT: Final = 3  # signs of a short token: "aa", "ti", "xl"
_COUNTED: Final = (WORD, NUMBER, VARIANT)
_ENDS: Final = ("low", "high")
_FIRST: Final = r"[\p{L}\p{M}]{2,}|[0-9]{2,}"
_LONG: Final = 60  # characters from which on a further text is a description


@dataclass(frozen=True)
class TokenCounts:
    """In how many titles of a catalogue each token stands: fitted once, applied to any titles.

    Attributes:
        posts: titles in the catalogue.
        counts: columns kind, token, df; sorted.
    """

    posts: int
    counts: pl.DataFrame

    @classmethod
    def fit(cls, titles: pl.Series, further: pl.DataFrame | None = None) -> "TokenCounts":
        """Count the tokens of a catalogue; arguments as of `apply`."""
        texts = (titles, *map(normalize, () if further is None else further))
        parts = slices(len(titles))
        known = pl.concat([codes(text[part])["token"].unique() for text in texts for part in parts]).unique()
        read = (_read(titles[part], None if further is None else further[part], known) for part in parts)
        return cls(len(titles), summed(map(_counted, read), "kind", "token"))

    def save(self, folder: Path) -> None:
        """Write title-tokens.parquet into a folder that is there."""
        self.counts.write_parquet(folder / _FILE, metadata={"posts": str(self.posts)})

    @classmethod
    def load(cls, folder: Path) -> "TokenCounts":
        """Read what `save` wrote; raises OSError or a polars error where it is damaged or missing."""
        posts = int(pl.read_parquet_metadata(folder / _FILE)["posts"])
        return cls(posts, pl.read_parquet(folder / _FILE, glob=False))

    def apply(self, titles: pl.Series, further: pl.DataFrame | None = None) -> "Identity":
        """Read titles, of the catalogue or others; a token that the catalogue does not know is as rare as can be.

        Args:
            titles: (n,) String in normal form.
            further: (n, c) String, further texts of the same posts as they were given; None where there are none.

        Returns:
            The titles, ready to be compared.
        """
        parts = slices(len(titles))
        if len(parts) > 1:
            texts = [(titles[part], None if further is None else further[part]) for part in parts]
            return Identity.joined([self.apply(*part) for part in texts])
        row, keys = self._read(titles, further)
        column = self.vocabulary.columns(keys)
        df = self._df[np.minimum(column, len(self.counts))]
        # ln((1 + n) / (1 + df)) + 1, as scikit-learn smooths it
        rarity = (np.log((1 + self.posts) / (1 + df)) + 1).astype(np.float32)
        order, width = np.lexsort((column, row)), max(1, len(self.vocabulary))
        offsets = offsets_of(np.bincount(row, minlength=len(titles)))
        table = sp.csr_matrix((rarity[order], column[order], offsets), shape=(len(titles), width), dtype=np.float32)
        (kinds, short), code = self._kinds(width), _main_codes(row, keys, rarity, len(titles))
        return Identity(table, kinds, short, code, *_order(titles))

    def _read(self, titles: pl.Series, further: pl.DataFrame | None) -> tuple[Rows, pl.Series | list[str]]:
        """List the tokens of titles, each by itself: (m,) rows, and kind and token as one text."""
        texts = [one_by_one(text) for text in (titles, *map(normalize, () if further is None else further))]
        few = [text for text in texts if text is not None]
        if len(few) < len(texts):
            found = _read(titles, further, self._codes, each=True)
            return found["row"].to_numpy(), _keyed(found)
        each = [self._read_one(*post) for post in zip(*few, strict=True)]
        keys = [f"{kind}{token}" for own in each for kind, token in own]
        return np.repeat(np.arange(len(each)), np.array([len(own) for own in each], dtype=np.int64)), keys

    def _read_one(self, title: str, *further: str) -> set[tuple[int, str]]:
        """List the tokens of a post."""
        own = tokens_of(title, self._is_code)
        for text in further:
            long = len(text) > _LONG
            own |= {token for token in tokens_of(text, self._is_code) if token[0] == CODE or not long}
        return own

    def _is_code(self, text: str) -> bool:
        return self.vocabulary.holds(f"{CODE}{text}")

    def passing(self) -> "TokenCounts":
        """Give the same for titles that are only asked about: what is new in them is forgotten again."""
        found = copy(self)  # with all that it has made ready
        found.__dict__["vocabulary"] = self.vocabulary.passing()
        return found

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The columns of tokens: those of the catalogue by kind, then others as they turn up."""
        return Vocabulary(_keyed(self.counts))

    @cached_property
    def _codes(self) -> pl.Series:
        return self.counts.filter(pl.col("kind") == CODE)["token"]

    @cached_property
    def _df(self) -> Rows:
        """Posts that hold each token, and 0 for all others."""
        return np.append(self.counts["df"].to_numpy(), 0)

    @cached_property
    def _known_kinds(self) -> tuple[Rows, npt.NDArray[np.bool_]]:
        kinds = self.counts["kind"].to_numpy().astype(np.int64)
        return kinds, (self.counts["token"].str.len_chars() <= _SHORT).to_numpy() & (kinds != NUMBER)

    def _kinds(self, width: int) -> tuple[Rows, npt.NDArray[np.bool_]]:
        """Tell the kind of the first columns, and which are short ones other than numbers."""
        further = self.vocabulary.further()[: max(0, width - len(self.counts))]
        if not further:
            return self._known_kinds if len(self.counts) else (np.zeros(1, dtype=np.int64), np.zeros(1, dtype=bool))
        kinds = np.array([int(key[0]) for key in further], dtype=np.int64)
        short = np.array([len(key) - 1 <= _SHORT for key in further]) & (kinds != NUMBER)
        return np.append(self._known_kinds[0], kinds), np.append(self._known_kinds[1], short)


@dataclass(frozen=True, slots=True)
class Identity:
    """The tokens of n titles, ready to be compared.

    Attributes:
        table: (n, t) CSR float32: a token's inverse document frequency where a title, or a further text, has it; sorted
            columns.
        kinds: (t,) int64, the kind of each token.
        short: (t,) bool, whether a token other than a number has at most three signs.
        code: (n,) String, the rarest code of each title, "" where it has none.
        numbers: (2, n) uint64, keys of its numbers in the order of their size and as they stand; 0 where it has none.
        first: (n,) uint64, a key of the first word.
        titles: (n,) String.
    """

    table: Sparse
    kinds: Rows
    short: npt.NDArray[np.bool_]
    code: pl.Series
    numbers: Hashes
    first: Hashes
    titles: pl.Series

    @classmethod
    def of(cls, titles: pl.Series, further: pl.DataFrame | None = None) -> "Identity":
        """Read the titles of a catalogue by its own tokens; arguments as of `TokenCounts.apply`."""
        return TokenCounts.fit(titles, further).apply(titles, further)

    def take(self, rows: Rows) -> "Identity":
        """Keep some titles."""
        kept = self.code[rows], self.numbers[:, rows], self.first[rows], self.titles[rows]
        return Identity(self.table[rows], self.kinds, self.short, *kept)

    @classmethod
    def joined(cls, parts: "Sequence[Identity]") -> "Identity":
        """Put titles that one catalogue's counts were applied to below one another."""
        widest = max(parts, key=lambda part: len(part.kinds))
        return cls(
            stacked_rows([part.table for part in parts]),
            widest.kinds,
            widest.short,
            pl.concat([part.code for part in parts]),
            np.concatenate([part.numbers for part in parts], axis=1),
            np.concatenate([part.first for part in parts]),
            pl.concat([part.titles for part in parts]),
        )

    def narrowed(self) -> "Identity":
        """Keep the tokens in use alone: quicker to compare, and not to be joined with others any more."""
        table, used = narrowed(self.table)
        used = used if len(used) else np.zeros(1, dtype=np.int64)
        return replace(self, table=table, kinds=self.kinds[used], short=self.short[used])

    @property
    def meaning(self) -> str:
        """In words."""
        return "model codes, numbers, variant words, colours and rare words that two titles share or one has alone"

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        weighed = [f"{kind} {part}" for kind in KINDS for part in ("shared", "alone low", "alone high")]
        counted = [f"{KINDS[kind]} alone count {end}" for kind in _COUNTED for end in _ENDS]
        short = [f"short alone {end}" for end in _ENDS]
        rarest = [f"word alone rarest {end}" for end in _ENDS]
        code = ("code rarest shared", "codes differ", "codes missing", "code similarity")
        return (
            *weighed, *counted, *short, *rarest, "token jaccard", "token contained", *code,
            "numbers equal", "numbers in order", "first word",
        )  # fmt: skip

    def score(self, left: Rows, right: Rows) -> list[Floats]:
        """Compare pairs: one (m,) float32 for each of `names`, NaN where a title is missing or nothing can be said."""
        some = posts_of(left, right, len(self.titles))
        if some is not None:
            return self.take(some[0]).score(*some[1:])
        found = [*self._shares(left, right), *self._codes(left, right), *self._numbers(left, right)]
        found.append(self._first(left, right))
        bare = (self.titles == "").to_numpy()
        missing = bare[left] | bare[right]
        for column in found:
            column[missing] = np.nan
        return found

    def _shares(self, left: Rows, right: Rows) -> list[Floats]:
        """What the two have in common and what each has alone, by kind."""
        kinds, pairs = len(KINDS), len(left)
        total = self._totals()
        apart = self.table[left] - self.table[right]  # what both have cancels out, to the bit
        pair = np.repeat(np.arange(pairs), np.diff(apart.indptr))
        side = (apart.data < 0).astype(np.int64)
        kind = self.kinds[apart.indices]
        weight = np.abs(apart.data)
        key = (pair * kinds + kind) * 2 + side
        alone = np.bincount(key, weight, pairs * kinds * 2).reshape(pairs, kinds, 2)
        count = np.bincount(key, minlength=pairs * kinds * 2).reshape(pairs, kinds, 2).astype(np.float32)
        shared = np.maximum((total[left] + total[right] - alone.sum(axis=2)) / 2, 0)
        shared[shared < 1e-3] = 0  # sums in another order
        found: list[Any] = []
        for at in range(kinds):
            found += [shared[:, at], alone[:, at].min(axis=1), alone[:, at].max(axis=1)]
        for at in _COUNTED:
            found += [count[:, at].min(axis=1), count[:, at].max(axis=1)]
        few = self.short[apart.indices]
        signs = np.bincount((pair * 2 + side)[few], minlength=pairs * 2).reshape(pairs, 2)
        found += [signs.min(axis=1), signs.max(axis=1)]
        rarest = np.zeros(pairs * 2, dtype=np.float32)
        word = kind == WORD
        np.maximum.at(rarest, (pair * 2 + side)[word], weight[word])
        found += [rarest.reshape(pairs, 2).min(axis=1), rarest.reshape(pairs, 2).max(axis=1)]
        both, ends = shared.sum(axis=1), alone.sum(axis=1)
        with np.errstate(invalid="ignore"):
            found.append(both / (both + ends.sum(axis=1)))
            found.append(both / (both + ends.min(axis=1)))
        return [np.asarray(column, dtype=np.float32) for column in found]

    def _totals(self) -> Doubles:
        """(n, kinds) sums of the rarity of all tokens of a title."""
        n = self.table.shape[0]
        row = np.repeat(np.arange(n), np.diff(self.table.indptr))
        key = row * len(KINDS) + self.kinds[self.table.indices]
        sums: Doubles = np.bincount(key, self.table.data, n * len(KINDS)).astype(np.float64).reshape(n, -1)
        return sums

    def _codes(self, left: Rows, right: Rows) -> list[Floats]:
        only = self.table[:, self.kinds == CODE] if (self.kinds == CODE).any() else self.table[:, :0]
        have = np.diff(only.indptr) > 0
        rarest = np.zeros(len(left), dtype=np.float32)
        both = np.flatnonzero(have[left] & have[right])
        if len(both):
            common = only[left[both]].multiply(only[right[both]]).tocsr()
            rarest[both] = np.sqrt(np.asarray(common.max(axis=1).todense(), dtype=np.float32).ravel())
        missing = (~have[left]).astype(np.float32) + ~have[right]
        alike = np.full(len(left), np.nan, dtype=np.float32)
        unlike = both[rarest[both] == 0]
        one, other = (self.code[ends[unlike]].to_list() for ends in (left, right))
        alike[unlike] = process.cpdist(one, other, scorer=Indel.normalized_similarity, dtype=np.float32)
        differ = ((missing == 0) & (rarest == 0)).astype(np.float32)
        return [rarest, differ, missing, alike]

    def _numbers(self, left: Rows, right: Rows) -> list[Floats]:
        found = []
        for keys in self.numbers:
            one, other = keys[left], keys[right]
            equal = np.where(one == other, np.where(one == 0, 1, 2), 0).astype(np.float32)
            found.append(equal)
        return found

    def _first(self, left: Rows, right: Rows) -> Floats:
        """1 where both titles begin with the same word."""
        equal: Floats = (self.first[left] == self.first[right]).astype(np.float32)
        return equal


def _read(titles: pl.Series, further: pl.DataFrame | None, known: pl.Series, *, each: bool = False) -> pl.DataFrame:
    """List the tokens of posts: those of titles and short further texts, and the codes of long ones."""
    found = [tokens(titles, known, each=each)]
    for column in () if further is None else further:
        text = normalize(column)
        own = tokens(text, known, each=each)
        long = (text.str.len_chars() > _LONG).to_numpy()[own["row"].to_numpy()]
        found.append(own.filter((pl.col("kind") == CODE) | ~pl.Series(long)))
    return pl.concat(found).unique()


def _counted(found: pl.DataFrame) -> pl.DataFrame:
    return found.group_by("kind", "token").agg(df=pl.len().cast(pl.Int64))


def _keyed(found: pl.DataFrame) -> pl.Series:
    """Write kind and token as one text, which sorts by kind, then token."""
    return found.select(pl.col("kind").cast(pl.String) + pl.col("token")).to_series()


def _main_codes(row: Rows, keys: pl.Series | list[str], rarity: Floats, n: int) -> pl.Series:
    """Take the rarest code of each title, the longest and first by letters among equally rare ones."""
    if not isinstance(keys, pl.Series):
        return pl.Series(_main_codes_of(row.tolist(), keys, rarity.tolist(), n), dtype=pl.String)
    placed = pl.DataFrame({"row": row, "key": keys, "rarity": rarity}).filter(pl.col("key").str.starts_with(str(CODE)))
    own = placed.select("row", "rarity", token=pl.col("key").str.slice(1)).with_columns(
        length=pl.col("token").str.len_bytes()
    )
    own = own.sort("row", "rarity", "length", "token", descending=[False, True, True, False])
    first = own.unique("row", keep="first", maintain_order=True)
    texts = pl.DataFrame({"row": pl.int_range(n, eager=True)}).join(first, on="row", how="left", maintain_order="left")
    return texts["token"].fill_null("")


def _is(key: str, kind: int) -> bool:
    return key[0] == str(kind)


def _main_codes_of(row: list[int], keys: list[str], rarity: list[float], n: int) -> list[str]:
    """Do what `_main_codes` does with a few titles."""
    best = [""] * n
    codes = [
        (-rare, 1 - len(key), key[1:], at)
        for rare, key, at in zip(rarity, keys, row, strict=True)
        if key[0] == str(CODE)
    ]
    for _, _, code, at in sorted(codes):
        best[at] = best[at] or code
    return best


def _order(titles: pl.Series) -> tuple[Hashes, Hashes, pl.Series]:
    """Give each title the keys of its numbers, its first word, and itself."""
    few = one_by_one(titles)
    if few is not None:
        return _order_of(few, titles)
    number = runs(titles).filter("number")
    lists = number.group_by("row", maintain_order=True).agg("token")
    keys = np.zeros((2, len(titles)), dtype=np.uint64)
    for at, column in enumerate((pl.col("token").list.sort(), pl.col("token"))):
        text = lists.select(column.list.join(" ")).to_series()
        keys[at, lists["row"].to_numpy()] = _key(text)
    return keys, _key(titles.str.extract(f"({_FIRST})").fill_null("")), titles


def _order_of(few: list[str], titles: pl.Series) -> tuple[Hashes, Hashes, pl.Series]:
    """Do what `_order` does with a few titles."""
    numbers = [[text for text, number in runs_of(title) if number] for title in few]
    firsts = [match[0][0] if (match := extracted(_FIRST, title)) else "" for title in few]
    texts = [" ".join(sorted(own)) for own in numbers] + [" ".join(own) for own in numbers] + firsts
    keys = _key(pl.Series(texts, dtype=pl.String)).reshape(3, -1)
    return np.where([bool(own) for own in numbers], keys[:2], np.uint64(0)), keys[2], titles


def _key(texts: pl.Series) -> Hashes:
    """Number texts by what they say, wherever they stand; above 0."""
    keys: Hashes = np.maximum(texts.hash(0).to_numpy(), np.uint64(1))
    return keys
