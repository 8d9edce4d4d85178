"""Hashed words and n-grams against slow twins that read one title at a time."""

import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kembar.encoders.ngrams import NGrams
from kembar.encoders.words import Words
from kembar.errors import ConfigError
from properties import examples

M = 1 << 64
BASE = 0x9E3779B97F4A7C15
WORD, PAIR = 0xA0761D6478BD642F, 0xD6E8FEB86659FD93
TITLES = st.lists(st.text("ab1 2-é\n中文ไทー٣", max_size=12), max_size=6)
SPACELESS = "中文ไทー"


def mixed(value: int) -> int:
    value = (value ^ (value >> 33)) * 0xFF51AFD7ED558CCD % M
    value = (value ^ (value >> 33)) * 0xC4CEB9FE1A85EC53 % M
    return value ^ (value >> 33)


def hashed(text: str) -> int:
    """Hash a piece of text: the sum of character times power, from its own start."""
    return sum(mixed(ord(character) + 1) * pow(BASE, at, M) for at, character in enumerate(text)) % M


def words_of(title: str, *, apart: bool = False) -> list[str]:
    return re.findall(rf"\d+|[{SPACELESS}]|[^\W\d_{SPACELESS}]+" if apart else r"\d+|[^\W\d_]+", title)


def grams(word: str, n: int) -> list[str]:
    padded = f" {word} "
    return [padded[at : at + n] for at in range(len(padded) - n + 1)]


def slow_bag(title: str, options: NGrams) -> list[int]:
    words = words_of(title)
    found = [hashed(word) * WORD % M for word in words if options.words]
    if options.pairs:
        found += [(hashed(a) * PAIR + hashed(b)) % M for a, b in itertools.pairwise(words)]
    for n in range(options.shortest, options.longest + 1):
        found += [hashed(gram) for word in words for gram in grams(word, n)]
    return sorted(1 + ((mixed(value) >> 33) * (options.buckets - 1) >> 31) for value in found)


def slow_word(word: str) -> list[int]:
    found = [hashed(word) * WORD % M] + [hashed(gram) for n in (4, 3, 2) for gram in grams(word, n)]
    return [max(1, mixed(value) >> 33) for value in found[:40]]


@examples(60)
@given(TITLES, st.booleans(), st.booleans(), st.sampled_from([(3, 5), (2, 4), (3, 0)]))
def test_bags_of_n_grams_equal_their_slow_twin(
    titles: list[str], words: bool, pairs: bool, lengths: tuple[int, int]
) -> None:
    options = NGrams(1000, *lengths, words=words, pairs=pairs)
    offsets, buckets = options.features(titles)
    assert len(offsets) == len(titles) + 1
    for at, title in enumerate(titles):
        assert sorted(buckets[offsets[at] : offsets[at + 1]].tolist()) == slow_bag(title, options)


@examples(60)
@given(TITLES, st.booleans())
def test_words_in_their_order_equal_their_slow_twin(titles: list[str], apart: bool) -> None:
    batch = Words(apart=apart).batch(titles)
    rows = [row[row > 0].tolist() for part in (batch.short, batch.middle, batch.long) for row in part]
    assert len(rows) == len(batch.shapes)
    for at, title in enumerate(titles):
        words = words_of(title, apart=apart)
        places = batch.words[at][batch.words[at] > 0] - 1
        assert [rows[place] for place in places] == [slow_word(word) for word in words]
        assert batch.shapes[places, 0].tolist() == [float(word.isdigit()) for word in words]
        assert np.allclose(batch.shapes[places, 1], [min(len(word), 12) / 6 - 1 for word in words])
        pairs = [(hashed(a) * PAIR + hashed(b)) % M for a, b in itertools.pairwise(words)]
        assert batch.pairs[at][batch.pairs[at] > 0].tolist() == [max(1, mixed(pair) >> 33) for pair in pairs]


def test_every_distinct_word_is_held_once() -> None:
    batch = Words().batch(["kopi kopi susu", "susu kopi pandan wangi sempurna istimewanya"])
    assert len(batch.short) == 3
    assert len(batch.middle) == 2  # of 6 to 8 letters
    assert len(batch.long) == 1
    assert batch.words.shape == (2, 6)


def test_signs_of_a_script_without_spaces_are_words_of_their_own() -> None:
    batch = Words(apart=True).batch(["ins韩版 2帽子", "韩版帽子"])
    assert np.count_nonzero(batch.words, axis=1).tolist() == [6, 4]
    assert len(np.intersect1d(batch.words[0], batch.words[1])) == 4
    assert np.intersect1d(batch.pairs[0], batch.pairs[1]).size == 3  # 韩版, 帽子, and the 0 of none


def test_long_words_and_long_titles_are_cut() -> None:
    batch = Words(most=3).batch(["a" * 50 + " b c d e"])
    assert batch.long.shape == (1, 40)
    assert (batch.long > 0).all()
    assert np.count_nonzero(batch.words) == 3
    assert np.count_nonzero(batch.pairs) == 2


def test_batches_hold_every_title_with_words_once() -> None:
    titles = ["", "kopi", "!!!", "susu kental manis", "kopi susu"]
    skipped: list[int] = []
    found = list(Words().batches(titles, 2, skipped.append))
    assert sum(skipped) == 2
    assert sorted(row for rows, _ in found for row in rows.tolist()) == [1, 3, 4]
    assert found[0][0].tolist()[0] == 3  # the longest first
    again = found[0][1][:1]
    assert again.words.shape[0] == 1


@pytest.mark.parametrize("wrong", [{"shortest": 1}, {"shortest": 4, "longest": 3}, {"most": 0}])
def test_options_out_of_range(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        Words(**wrong)


@pytest.mark.parametrize("wrong", [{"buckets": 1}, {"shortest": 1}, {"shortest": 6}])
def test_options_of_n_grams_out_of_range(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        NGrams(**wrong)
