import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kembar import Catalog, Config, Matcher
from kembar.evidence.variants import without_variants
from kembar.posts.titles import normalize
from properties import examples


@pytest.mark.parametrize(
    ("title", "left"),
    [
        ("Kaos Polo Merah XL 2pcs", "kaos polo"),
        ("Indomie Goreng 85 g isi 40", "indomie goreng"),
        ("apple iphone 13 pro max 256 gb pink", "apple iphone 13"),
        ("Denon AVR-4308CI hitam", "denon avr-4308ci"),
        ("Red", "red"),
        ("250 ml", "250 ml"),
        ("", ""),
    ],
)
def test_what_names_a_variant_is_left_out(title: str, left: str) -> None:
    assert without_variants(pl.Series([title])).to_list() == [left]


_WORDS = "merah xl 85 g isi 40 sabun - , blue-red 3x250 ml abc"


@examples(60)
@example(["85", "merah", "g", "85"])
@given(st.lists(st.sampled_from(_WORDS.split(" ")), max_size=8))
def test_the_form_is_a_fixed_point_and_never_empties_a_title(words: list[str]) -> None:
    titles = pl.Series([" ".join(words)])
    once = without_variants(titles)
    assert without_variants(once).to_list() == once.to_list()
    assert (once == "").to_list() == (normalize(titles) == "").to_list()


def test_variants_together_are_one_group_and_titles_stay_as_they_were() -> None:
    sizes = ("500 ml", "250 ml", "1 l", "500 ml")
    titles = [f"Lifebuoy sabun cair {scent} {size}" for scent in ("lemon fresh", "matcha") for size in sizes]
    catalog = Catalog.read(pl.DataFrame({"posting_id": list("abcdefgh"), "title": titles}))
    apart, together = (
        Matcher(Config.read(None, [f"variants={kind}"])).match(catalog) for kind in ("apart", "together")
    )
    assert len(set(together.groups.labels[:4])) == 1
    assert len(set(apart.groups.labels[:3])) == 3
    assert together.catalog.titles.to_list() == titles
    assert "match" in str(together.explain("a", "b"))
