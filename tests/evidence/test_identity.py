import math
from pathlib import Path

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from kembar.evidence.identity import Identity, TokenCounts
from kembar.evidence.tokens import KINDS, tokens
from properties import examples

TITLES = [
    "denon avr-4308ci receiver black",
    "denon avr 4308 ci hitam",
    "denon avr-4309ci receiver",
    "gigabyte rtx 3060 8gb",
    "gigabyte rtx 3060 ti 8 gb",
    "",
    "baterai abc aa",
    "baterai abc aaa",
    "12 34",
    "34 12",
]


def compared(titles: list[str], left: list[int], right: list[int]) -> dict[str, np.ndarray]:
    identity = Identity.of(pl.Series(titles, dtype=pl.String))
    columns = identity.score(np.array(left, dtype=np.int64), np.array(right, dtype=np.int64))
    return dict(zip(identity.names, columns, strict=True))


def slow(titles: list[str], a: int, b: int) -> dict[str, float]:
    """What the columns of shares say, by sets of tokens."""
    bags: list[set[tuple[int, str]]] = [set() for _ in titles]
    for row, kind, token in tokens(pl.Series(titles, dtype=pl.String), pl.Series([], dtype=pl.String)).iter_rows():
        bags[row].add((kind, token))
    rarity = {
        token: math.log((1 + len(titles)) / (1 + sum(token in bag for bag in bags))) + 1 for token in set().union(*bags)
    }
    one, other = bags[a], bags[b]
    alone = [one - other, other - one]
    found: dict[str, float] = {}
    for at, kind in enumerate(KINDS):
        own = [[token for token in side if token[0] == at] for side in alone]
        sums = [sum(rarity[token] for token in side) for side in own]
        found[f"{kind} shared"] = sum(rarity[token] for token in one & other if token[0] == at)
        found[f"{kind} alone low"], found[f"{kind} alone high"] = min(sums), max(sums)
        if kind in ("word", "number", "variant"):
            counts = [len(side) for side in own]
            found[f"{kind} alone count low"], found[f"{kind} alone count high"] = min(counts), max(counts)
        if kind == "word":
            rarest = [max((rarity[token] for token in side), default=0.0) for side in own]
            found["word alone rarest low"], found["word alone rarest high"] = min(rarest), max(rarest)
    short = [sum(len(text) <= 3 and KINDS[kind] != "number" for kind, text in side) for side in alone]
    found["short alone low"], found["short alone high"] = min(short), max(short)
    both, ends = (sum(rarity[token] for token in part) for part in (one & other, one ^ other))
    least = min(sum(rarity[token] for token in side) for side in alone)
    found["token jaccard"] = both / (both + ends) if both + ends else math.nan
    found["token contained"] = both / (both + least) if both + least else math.nan
    return found


def check(titles: list[str]) -> None:
    left, right = (side.tolist() for side in np.triu_indices(len(titles), 1))
    found = compared(titles, left, right)
    for place, (a, b) in enumerate(zip(left, right, strict=True)):
        if titles[a] and titles[b]:
            for name, value in slow(titles, a, b).items():
                assert_allclose(
                    found[name][place], value, rtol=1e-4, atol=1e-3, err_msg=f"{name}: {titles[a]!r}, {titles[b]!r}"
                )
        else:
            assert all(np.isnan(column[place]) for column in found.values())


def test_the_shares_are_those_of_the_slow_twin() -> None:
    check(TITLES)


@examples(40)
@given(st.lists(st.text(alphabet="ab1 2-x+", max_size=14), min_size=2, max_size=6))
def test_the_shares_are_those_of_the_slow_twin_for_any_titles(titles: list[str]) -> None:
    check([" ".join(title.split()) for title in titles])


def test_codes_that_differ_and_codes_that_agree() -> None:
    found = compared(TITLES, [0, 0, 0, 6], [1, 2, 3, 7])
    assert (found["code rarest shared"] > 0).tolist() == [True, False, False, False]
    assert found["codes differ"].tolist() == [0, 1, 0, 0]
    assert found["codes missing"].tolist() == [0, 0, 1, 2]
    assert found["code similarity"][1] > 0.8
    assert np.isnan(found["code similarity"][[0, 2, 3]]).all()


def test_a_variant_word_and_a_short_token_stand_alone() -> None:
    found = compared(TITLES, [3, 6], [4, 7])
    assert found["variant alone count high"].tolist() == [1, 0]
    assert found["short alone low"].tolist() == [0, 1]


def test_numbers_as_a_set_and_in_order() -> None:
    found = compared(TITLES, [8, 8, 6, 3], [9, 6, 7, 4])
    assert found["numbers equal"].tolist() == [2, 0, 1, 2]
    assert found["numbers in order"].tolist() == [0, 0, 1, 2]


def test_the_order_of_ends_and_of_posts_changes_nothing() -> None:
    left, right = (side.tolist() for side in np.triu_indices(len(TITLES), 1))
    found, turned = compared(TITLES, left, right), compared(TITLES, right, left)
    last = len(TITLES) - 1
    back = compared(TITLES[::-1], [last - row for row in left], [last - row for row in right])
    for name, column in found.items():
        assert_array_equal(column, turned[name], err_msg=name)
        assert_array_equal(column, back[name], err_msg=name)


def test_what_was_counted_is_saved_and_applied_to_other_titles(tmp_path: Path) -> None:
    titles = pl.Series(TITLES)
    counts = TokenCounts.fit(titles)
    counts.save(tmp_path)
    again = TokenCounts.load(tmp_path)
    assert again.posts == counts.posts
    assert again.counts.equals(counts.counts)
    some = again.apply(titles.gather([1, 0, 2]))
    whole = counts.apply(titles)
    pairs = np.array([0, 1]), np.array([1, 2])
    rows = np.array([1, 0]), np.array([0, 2])
    places = [whole.names.index(name) for name in ("code rarest shared", "word alone high", "number shared")]
    for at in places:
        assert_allclose(some.score(*pairs)[at], whole.score(*rows)[at], rtol=1e-6)
    assert counts.apply(pl.Series(["unheard xyz123"])).score(np.array([0]), np.array([0]))[0][0] > 0


def with_further(titles: list[str], **further: list[str]) -> dict[str, np.ndarray]:
    """Compare the first post with the second."""
    identity = Identity.of(pl.Series(titles, dtype=pl.String), pl.DataFrame(further) if further else None)
    columns = identity.score(np.array([0]), np.array([1]))
    return dict(zip(identity.names, columns, strict=True))


def test_short_further_texts_are_read_with_the_title() -> None:
    apart = ["epson elplp12 projector lamp", "lamp for epson projector", "kabel hdmi"]
    found = with_further(apart, brand=["Epson", "Epson", ""], modelno=["ELPLP12", "ELPLP12", "X1234"])
    alone = with_further(apart)
    assert alone["codes missing"] == 1
    assert found["codes missing"] == 0
    assert found["code rarest shared"] > 0 == alone["code rarest shared"]
    whole = with_further(["epson elplp12 projector lamp", "lamp for epson projector elplp12", "kabel hdmi x1234"])
    for name in ("code shared", "code alone high", "word shared", "word alone high", "token jaccard"):
        assert_allclose(found[name], whole[name], rtol=1e-6)


def test_of_descriptions_the_codes_alone_are_read() -> None:
    titles = ["denon receiver", "denon receiver", "kabel hdmi"]
    text = ["the avr-4308ci is a fine receiver for rooms large and small alike", "", ""]
    found = with_further(titles, description=text)
    assert found["codes missing"] == 1
    assert found["word alone high"] == 0
    assert with_further(titles, brand=["yamaha", "", ""])["word alone high"] > 0


def test_further_texts_of_nobody_change_nothing() -> None:
    titles = pl.Series(TITLES, dtype=pl.String)
    left, right = np.triu_indices(len(TITLES), 1)
    plain, more = Identity.of(titles), Identity.of(titles, pl.DataFrame({"brand": [""] * len(TITLES)}))
    for one, other in zip(plain.score(left, right), more.score(left, right), strict=True):
        assert_array_equal(one, other)
