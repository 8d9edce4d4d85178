"""Posts from Python: lists of dicts, dicts of lists, and what pandas makes of a file."""

import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kembar import Catalog, CatalogError, Columns
from kembar.synthesis import write_shop
from properties import examples

TITLES = st.lists(st.none() | st.text("abc 1é", max_size=5), min_size=1, max_size=6)


@examples(40)
@given(TITLES)
def test_records_columns_and_frames_are_one(titles: list[str | None]) -> None:
    ids = list(range(len(titles)))
    frame = Catalog.read(pl.DataFrame({"posting_id": ids, "title": pl.Series(titles, dtype=pl.String)}))
    columns = Catalog.read({"posting_id": ids, "title": titles})
    records = Catalog.read([{"posting_id": row, "title": title} for row, title in zip(ids, titles, strict=True)])
    assert frame.fingerprint() == columns.fingerprint() == records.fingerprint()
    if any(titles):
        known = [{"posting_id": row, **({"title": title} if title else {})} for row, title in enumerate(titles)]
        assert Catalog.read(known).titles.to_list() == frame.titles.to_list()


def test_mixed_cells_are_text() -> None:
    found = Catalog.read([{"posting_id": 1, "title": "a"}, {"posting_id": "x2", "title": 3}])
    assert found.ids.to_list() == ["1", "x2"]
    assert found.titles.to_list() == ["a", "3"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"posting_id": ["a"], "title": ["a", "b"]}, "columns of different lengths: 'posting_id' of 1, 'title' of 2"),
        ({"posting_id": "ab", "title": ["a", "b"]}, "column 'posting_id' as str"),
        ({"posting_id": 3, "title": ["a"]}, "column 'posting_id' as int"),
        ([1], "posts as list"),
        ([], "without a column 'posting_id'"),
    ],
)
def test_what_is_no_table(given: object, told: str) -> None:
    with pytest.raises(CatalogError, match=told):
        Catalog.read(given)  # type: ignore[arg-type]


def test_pandas_reads_what_synth_writes(tmp_path) -> None:
    """Of a column without cells pandas makes floats, all NaN."""
    write_shop(tmp_path / "shop", 30, photos=False)
    path = tmp_path / "shop" / "posts.csv"
    frame = pd.read_csv(path)
    assert frame["image"].dtype == "float64"
    assert Catalog.read(frame).fingerprint() == Catalog.read(path).fingerprint()
    frame["image_phash"] = float("nan")
    assert not Catalog.read(frame).hashed.any()
    frame["image_phash"] = 1.5
    with pytest.raises(CatalogError, match="of type Float64"):
        Catalog.read(frame)


def test_an_id_in_the_index_is_named() -> None:
    frame = pd.DataFrame({"sku": ["a", "b"], "title": ["t", "u"]}).set_index("sku")
    with pytest.raises(CatalogError, match=r"with 'sku' as its index.*frame.reset_index\(\)"):
        Catalog.read(frame, columns=Columns(id="sku"))
    assert Catalog.read(frame.reset_index(), columns=Columns(id="sku")).ids.to_list() == ["a", "b"]
