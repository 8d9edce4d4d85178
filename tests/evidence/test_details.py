import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kembar.evidence.details import Brands, Details, further_scorers
from kembar.evidence.identity import Identity
from properties import examples

BRANDS = ["VisionTek", "XFX", "", "Black & Decker", "black decker", ""]
TITLES = ["Radeon HD 5450 1GB", "XFX Radeon HD 5450", "VisionTek HD 5450", "drill 18V", "drill 18 V", "saw"]
TEXTS = st.lists(st.sampled_from(["canon", "hp", "x fx", "xfx", "lampu"]), max_size=3).map(" ".join)


def lower(texts: list[str]) -> pl.Series:
    return pl.Series([text.lower() for text in texts], dtype=pl.String)


def compared(brands: list[str], titles: list[str], a: int, b: int) -> list[float]:
    scorer = Brands.of(lower(brands), lower(titles))
    return [float(column[0]) for column in scorer.score(np.array([a]), np.array([b]))]


def slow(brands: list[str], titles: list[str], a: int, b: int) -> list[float]:
    """What the columns say, by sets of words."""
    found = []
    for one, other in ((a, b), (b, a)):
        own, told = set(brands[one].split()), set(brands[other].split()) | set(titles[other].split())
        found.append(len(own & told) / len(own) if own else math.nan)
    known = [share for share in found if not math.isnan(share)]
    differ = math.nan if len(known) < 2 else float(max(known) == 0)
    return [min(known, default=math.nan), max(known, default=math.nan), differ]


@pytest.mark.parametrize(
    ("pair", "low", "high", "differ"),
    [
        ((0, 1), 0, 0, 1),  # two brands
        ((0, 2), 1, 1, math.nan),  # the brand stands in the other title
        ((1, 2), 0, 0, math.nan),  # it does not
        ((3, 4), 1, 1, 0),  # written in two ways
        ((2, 5), math.nan, math.nan, math.nan),
    ],
)
def test_brands_are_found_in_brands_and_titles(pair: tuple[int, int], low: float, high: float, differ: float) -> None:
    np.testing.assert_array_equal(compared(BRANDS, TITLES, *pair), [low, high, differ])


@examples(200)
@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=2, max_size=5))
def test_brands_as_sets_of_words_say(posts: list[tuple[str, str]]) -> None:
    brands, titles = (list(texts) for texts in zip(*posts, strict=True))
    for a in range(len(posts)):
        for b in range(len(posts)):
            found = compared(brands, titles, a, b)
            np.testing.assert_allclose(found, slow(brands, titles, a, b), rtol=1e-6)
            np.testing.assert_array_equal(found, compared(brands, titles, b, a))


def test_details_are_those_of_all_texts_together() -> None:
    further = pl.DataFrame(
        {"brand": ["Epson", "", ""], "modelno": ["ELPLP12", "", ""], "text": ["", "lamp ELPLP12", ""]}
    )
    titles = lower(["Epson lamp", "projector lamp", "projector lamp"])
    brands, details = further_scorers(titles, further)
    assert isinstance(brands, Brands)
    assert isinstance(details, Details)
    left, right = np.array([0, 0, 1]), np.array([1, 2, 2])
    whole = Identity.of(lower(["Epson lamp Epson ELPLP12", "projector lamp lamp ELPLP12", "projector lamp"]))
    wanted = dict(zip(whole.names, whole.score(left, right), strict=True))
    found = dict(zip(details.names, details.score(left, right), strict=True))
    for name, column in found.items():
        np.testing.assert_array_equal(column, wanted[name.removeprefix("details ")])
    assert found["details code rarest shared"][0] > 0


def test_nothing_is_said_where_neither_post_has_further_texts() -> None:
    further = pl.DataFrame({"modelno": ["", "", "A1234"]})
    (details,) = further_scorers(lower(["a b", "a b", "a b"]), further)
    for column in details.score(np.array([0, 0]), np.array([1, 2])):
        assert np.isnan(column[0])
    assert further_scorers(lower(["a"]), None) == ()
