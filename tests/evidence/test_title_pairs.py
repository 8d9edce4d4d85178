import math
import re

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz import fuzz
from rapidfuzz.distance import Indel

from kembar import arrays
from kembar.arrays import Floats
from kembar.evidence.identity import Identity, TokenCounts
from kembar.evidence.pairs import posts_of
from kembar.evidence.title_pairs import TitlePairs, TitleTerms
from kembar.posts.quantities import Quantities
from kembar.posts.titles import normalize
from kembar.posts.units import CATEGORIES
from properties import examples

TITLES = [
    "sabun mandi lux 250 ml",
    "lux sabun mandi 250 ml promo",
    "sabun lux 100 ml isi 2",
    "charger oppo 2a original",
    "",
    "oppo charger 2a",
    "sabun mandi lux 250 ml",
    "!!!",
]


def compared(titles: list[str], left: list[int], right: list[int]) -> dict[str, np.ndarray]:
    wording = TitlePairs.of(pl.Series(titles, dtype=pl.String))
    columns = wording.score(np.array(left), np.array(right))
    return dict(zip(wording.names, columns, strict=True))


def everyone(n: int) -> tuple[list[int], list[int]]:
    left, right = np.triu_indices(n, 1)
    return left.tolist(), right.tolist()


def slow_tokens(titles: list[str], a: int, b: int, pattern: str) -> dict[str, float]:
    bags = [set(re.findall(r"\w+", title)) for title in titles]
    rarity = {
        word: math.log((1 + len(titles)) / (1 + sum(word in bag for bag in bags))) + 1 for bag in bags for word in bag
    }
    one, other = ({word for word in bags[end] if re.search(pattern, word)} for end in (a, b))
    weigh = [sum(rarity[word] for word in words) for words in (one & other, one - other, other - one)]
    return {
        "shared": weigh[0],
        "alone low": min(weigh[1:]),
        "alone high": max(weigh[1:]),
        "rarest shared": max((rarity[word] for word in one & other), default=0.0),
        "jaccard": weigh[0] / sum(weigh) if sum(weigh) else math.nan,
    }


def test_words_numbers_edits_and_lengths_are_those_of_the_slow_twin() -> None:
    left, right = everyone(len(TITLES))
    found = compared(TITLES, left, right)
    for place, (a, b) in enumerate(zip(left, right, strict=True)):
        if not TITLES[a] or not TITLES[b]:
            continue
        for kind, pattern in (("words", r"\w"), ("numbers", r"\d")):
            for name, value in slow_tokens(TITLES, a, b, pattern).items():
                np.testing.assert_allclose(found[f"{kind} {name}"][place], value, rtol=1e-5, atol=1e-5)
        pair = TITLES[a], TITLES[b]
        assert found["edit ratio"][place] == pytest.approx(Indel.normalized_similarity(*pair), rel=1e-6)
        assert found["token set ratio"][place] == pytest.approx(fuzz.token_set_ratio(*pair) / 100, rel=1e-6)
        assert found["characters high"][place] == max(map(len, pair))
        assert found["word count low"][place] == min(
            len(set(title.split())) if "!" not in title else 0 for title in pair
        )


@examples(100)
@given(st.lists(st.text(st.sampled_from("ab1 \t\u3000\x85\u00e9\U0001f600"), max_size=12), min_size=2, max_size=5))
def test_sorted_words_are_compared_as_rapidfuzz_sorts_them(titles: list[str]) -> None:
    titles, (left, right) = normalize(pl.Series(titles, dtype=pl.String)).to_list(), everyone(len(titles))
    found = compared(titles, left, right)["token sort ratio"]
    expected = [fuzz.token_sort_ratio(titles[a], titles[b]) / 100 for a, b in zip(left, right, strict=True)]
    told = ~np.isnan(found)
    np.testing.assert_allclose(found[told], np.array(expected, dtype=np.float32)[told], rtol=1e-6)
    assert told.tolist() == [bool(titles[a] and titles[b]) for a, b in zip(left, right, strict=True)]


def test_units_agree_conflict_or_say_nothing() -> None:
    found = compared(TITLES, [0, 0, 0], [1, 2, 3])
    assert found["unit volume"].tolist() == [1, -1, 0]
    assert found["units conflict"].tolist() == [0, 1, 0]
    assert found["units agree"].tolist() == [1, 0, 0]
    assert found["unit pieces"].tolist() == [0, 0, 0]


def test_agreement_tells_for_each_category_what_conflicts_tells_for_one() -> None:
    titles = pl.Series([*TITLES, "2 kg isi 2 250 ml", "1 kg isi 2", "64 gb 20 w", "32 gb 20 w"])
    quantities = Quantities.parse(titles)
    left, right = (np.array(ends) for ends in everyone(len(titles)))
    signs = quantities[left].agreement(quantities[right])
    for at, category in enumerate(CATEGORIES):
        expected = quantities[left].shared(quantities[right], (category,))
        np.testing.assert_array_equal(signs[:, at], expected)
    assert {-1, 0, 1} == set(np.unique(signs))


def test_a_missing_title_makes_everything_missing_but_the_flag() -> None:
    found = compared(TITLES, [0, 4], [4, 5])
    missing = found.pop("titles missing")
    assert missing.tolist() == [1, 1]
    assert all(np.isnan(column).all() for column in found.values())


def test_a_catalogue_is_read_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same counts, tables and quantities; a code that one slice spells is known in the others."""
    titles = pl.Series(["ab 12 cd34", "cd 34 red", "", "ab ab cd-34", "x5y6z7 red", "x5 y6 z7"])
    further = pl.DataFrame({"model": ["q9w8", "", "q9 w8", None, "1,50", "1.5"]})
    left, right = (np.array(ends) for ends in everyone(len(titles)))

    def read() -> tuple[TitleTerms, TokenCounts, list[Floats]]:
        words, tokens = TitleTerms.fit(titles), TokenCounts.fit(titles, further)
        scored = [
            *words.apply(titles).score(left, right),
            *words.apply(titles, Quantities.parse(titles)).score(left, right),
            *tokens.apply(titles, further).score(left, right),
        ]
        return words, tokens, scored

    whole = read()
    monkeypatch.setattr(arrays, "TEXTS", 2)
    cut = read()
    assert whole[0].words.equals(cut[0].words)
    assert whole[1].counts.equals(cut[1].counts)
    assert cut[1].counts.filter(pl.col("token") == "cd34")["df"].to_list() == [3]
    for one, other in zip(whole[2], cut[2], strict=True):
        np.testing.assert_array_equal(one, other)


def test_few_pairs_of_many_posts_are_compared_as_among_all() -> None:
    """Bit for bit: for few pairs only their own posts are looked at."""
    titles = pl.Series([f"kopi {n} cd{n % 7}-{n % 5}4 x{n % 3} {'red' * (n % 2)} 85 g isi {n % 4}" for n in range(60)])
    titles[7] = ""
    left, right = (ends.astype(np.int64) for ends in np.triu_indices(60, 1))
    some = np.array([0, 6, 7, 400, 401, 1200])
    for read in (TitlePairs.of(titles), Identity.of(titles)):
        whole, few = read.score(left, right), read.score(left[some], right[some])
        for name, one, other in zip(read.names, whole, few, strict=True):
            np.testing.assert_array_equal(one[some], other, err_msg=name)
    assert posts_of(left, right, 60) is None
    assert posts_of(left[:0], right[:0], 60) is None


def test_copies_of_a_title_are_counted() -> None:
    found = compared(TITLES, [0], [1])
    assert (found["title copies low"][0], found["title copies high"][0]) == (1, 2)
    assert compared(TITLES, [0], [6])["same title"][0] == 1


@examples(25)
@given(st.lists(st.text(alphabet="ab1 2g", max_size=12), min_size=2, max_size=7), st.randoms(use_true_random=False))
def test_neither_end_is_first_and_no_order_counts(titles: list[str], random: object) -> None:
    left, right = everyone(len(titles))
    here, swapped = compared(titles, left, right), compared(titles, right, left)
    order = list(range(len(titles)))
    random.shuffle(order)  # type: ignore[attr-defined]
    place = np.argsort(order)
    moved = compared([titles[i] for i in order], place[left].tolist(), place[right].tolist())
    for name, column in here.items():
        np.testing.assert_array_equal(column, swapped[name], err_msg=name)
        np.testing.assert_allclose(column, moved[name], rtol=1e-6, atol=1e-6, err_msg=name)
