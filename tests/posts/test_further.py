from pathlib import Path

import polars as pl
import pytest

from kembar.errors import CatalogError
from kembar.evidence.copies import MOST, Copies, content_keys
from kembar.posts.catalog import Catalog, Columns
from kembar.posts.titles import normalize

POSTS = pl.DataFrame(
    {
        "posting_id": ["a", "b", "c", "d"],
        "title": ["Epson lamp", "D-Link", "saw", "x" * 70],
        "brand": ["Epson", "D-Link", "N/A", "x" * 70],
        "modelno": [12, None, 7, 8],
        "empty": ["", "-", None, "NULL"],
    }
)
WANTED = Columns(further=("modelno", "empty"))


def test_brands_and_further_columns_are_read() -> None:
    catalog = Catalog.read(POSTS, columns=WANTED)
    assert catalog.further is not None
    assert catalog.further.to_dict(as_series=False) == {"brand": ["Epson", "", "", ""], "modelno": ["12", "", "7", "8"]}
    told = catalog.problems.filter(pl.col("part") == "brand")
    assert told["posting_id"].to_list() == ["b", "d"]
    assert told["problem"][0] == "'D-Link' is the title, or too long for a brand"


def test_the_brand_may_be_named_among_the_further_columns() -> None:
    catalog = Catalog.read(POSTS, columns=Columns(further=("brand",)))
    assert catalog.further is not None
    assert catalog.further.columns == ["brand"]


def test_columns_of_which_all_cells_are_empty_are_none() -> None:
    assert Catalog.read(POSTS.drop("brand"), columns=Columns(further=("empty",))).further is None
    assert Catalog.read(POSTS.drop("brand")).further is None


def test_a_catalogue_keeps_further_columns(tmp_path: Path) -> None:
    catalog = Catalog.read(POSTS, columns=WANTED)
    catalog.save(tmp_path / "kept")
    again = Catalog.load(tmp_path / "kept")
    assert again.further is not None
    assert again.further.equals(catalog.further)
    assert again.fingerprint() == catalog.fingerprint() != Catalog.read(POSTS.drop("brand")).fingerprint()
    some = catalog.take([2, 0]).further
    assert some is not None
    assert some["modelno"].to_list() == ["7", "12"]


@pytest.mark.parametrize(("names", "said"), [(("modelnr",), "modelno"), ("modelno", "names in a tuple")])
def test_a_further_column_that_is_not_there_is_refused(names: tuple[str, ...], said: str) -> None:
    with pytest.raises(CatalogError, match=said):
        Catalog.read(POSTS, columns=Columns(further=names))


def test_a_column_of_lists_is_refused() -> None:
    posts = POSTS.with_columns(modelno=pl.Series([[1], [2], [3], [4]]))
    with pytest.raises(CatalogError, match="the further column 'modelno' of type List"):
        Catalog.read(posts, columns=WANTED)


def test_posts_that_differ_in_a_further_column_are_no_copies() -> None:
    count = 2 * (MOST + 1)
    posts = pl.DataFrame(
        {
            "posting_id": [f"{row:03}" for row in range(count)],
            "title": ["kopi"] * count,
            "brand": ["abc", "xyz"] * (count // 2),
        }
    )
    catalog = Catalog.read(posts)
    titles = normalize(catalog.titles)
    assert len(Copies.find(catalog, titles, ()).kept) == 2
    assert len(set(content_keys(catalog, titles, ()).tolist())) == 2
