import polars as pl
import pytest

from kembar import Catalog, Matcher
from kembar.posts.titles import normalize
from kembar.results.apart import apart, decisive


def compared(one: str, other: str) -> dict[str, tuple[str, str]]:
    return apart(normalize(pl.Series([one, other])))


@pytest.mark.parametrize(
    ("one", "other", "kind", "sides"),
    [
        ("sari roti 85 g isi 40", "sari roti 85 g isi 5", "quantities", ("85 g, 40 pieces", "85 g, 5 pieces")),
        ("iPhone 13", "iPhone 13 Pro Max", "variant words", ("nothing", "max pro")),
        ("Denon AVR-4308CI", "Denon AVR 3808CI", "model codes", ("avr4308ci", "3808ci")),
        ("RTX 3060 Ti", "RTX 3070 Ti", "numbers", ("3060", "3070")),
        ("kaos merah", "kaos biru", "colours", ("red", "blue")),
        ("sabun mawar", "sabun melati", "words", ("mawar", "melati")),
    ],
)
def test_what_tells_two_titles_apart(one: str, other: str, kind: str, sides: tuple[str, str]) -> None:
    assert compared(one, other)[kind] == sides
    assert compared(other, one)[kind] == sides[::-1]


def test_brands_tell_posts_apart() -> None:
    titles = pl.Series(["hd 5450", "hd 5450"])
    found = apart(titles, pl.Series(["visiontek", "xfx"]))
    assert found == {"brands": ("visiontek", "xfx")}
    assert decisive(found, [("word alone high", 1.0, -0.9)], vetoed=False) == "brands (visiontek | xfx)"
    assert apart(titles, pl.Series(["xfx", "xfx"])) == {}
    assert apart(titles, pl.Series(["xfx", ""])) == {"brands": ("xfx", "nothing")}


def test_equal_titles_are_not_apart() -> None:
    assert compared("Shampoo 250 ml (merah)", "shampoo 250ml merah") == {}
    assert compared("", "") == {}


def test_the_kind_that_spoke_most_against_a_match_is_named() -> None:
    found = compared("kabel hdmi 2 merah", "kabel hdmi 3 biru")
    shares = [("number alone low", 1.0, -0.9), ("color shared", 0.0, -0.2), ("char", 0.8, 2.0)]
    assert decisive(found, shares, vetoed=False) == "numbers (2 | 3)"
    assert decisive(found, [("color alone low", 1.0, -0.2)], vetoed=False) == "colours (red | blue)"
    assert decisive(found, [("char", 0.1, -3.0)], vetoed=False) is None
    assert decisive(compared("a 85 g", "a 90 g"), [], vetoed=True) == "quantities (85 g | 90 g)"


def test_an_explanation_names_the_deciding_difference() -> None:
    posts = pl.DataFrame(
        {
            "posting_id": ["a", "b", "c", "d"],
            "title": ["Kingston DataTraveler usb 64 GB", "Kingston DataTraveler usb 128 GB"] * 2,
        }
    )
    result = Matcher().match(Catalog.read(posts))
    assert not result.explain("a", "b").matched
    assert "do not match. Most against it: quantities (64 gb | 128 gb)." in str(result.explain("a", "b"))
    same = result.explain("a", "c")
    assert same.difference is None
