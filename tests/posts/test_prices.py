from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kembar import Catalog
from kembar.posts.prices import read_prices
from properties import examples


def read(*cells: str | None) -> list[float | None]:
    ids = pl.Series([str(row) for row in range(len(cells))])
    prices, _ = read_prices(pl.Series(cells, dtype=pl.String), ids)
    return [None if np.isnan(price) else float(price) for price in prices]


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ("$399.00", 399),
        ("Rp 1.250.000", 1_250_000),
        ("1.234,50 €", 1234.5),
        ("1,234.50", 1234.5),
        ("10-20", 10),
        ("19.99 USD - 29.99 USD", 19.99),
        ("12,5", 12.5),
        ("1 299 kr", 1299),
        ("1'000", 1000),
        ("£ 5", 5),
        ("3.499", 3499),
        ("0", None),
        ("0.00", None),
        ("", None),
        (None, None),
        ("N/A", None),
        ("nan", None),
    ],
)
def test_prices_are_read_as_people_write_them(text: str | None, price: float | None) -> None:
    assert read(text) == [price]


def test_numbers_are_taken_as_they_are() -> None:
    ids = pl.Series(["a", "b", "c", "d"])
    prices, told = read_prices(pl.Series([1.5, 0.0, None, float("inf")]), ids)
    np.testing.assert_array_equal(prices, [1.5, np.nan, np.nan, np.nan])
    assert told.is_empty()
    assert read_prices(pl.Series([3, 4, 5, -6]), ids)[0].tolist()[:3] == [3.0, 4.0, 5.0]


def test_a_text_without_a_number_is_told() -> None:
    _, told = read_prices(pl.Series(["free", "5", None, "N/A"]), pl.Series(["a", "b", "c", "d"]))
    assert told.rows() == [("a", "price", "'free' is no price")]


@examples(100)
@given(st.integers(1, 10**9), st.sampled_from([".", ",", "'", " "]))
def test_thousands_may_be_grouped_in_any_way(number: int, sign: str) -> None:
    assert read(f"{number:,}".replace(",", sign)) == [float(number)]


def test_a_catalogue_keeps_prices(tmp_path: Path) -> None:
    posts = pl.DataFrame({"posting_id": ["a", "b", "c"], "title": ["x y", "y z", "z x"], "price": ["5", "", "$7"]})
    catalog = Catalog.read(posts)
    np.testing.assert_array_equal(catalog.prices, [5, np.nan, 7])
    np.testing.assert_array_equal(catalog.take([2, 0]).prices, [7, 5])
    catalog.save(tmp_path / "kept")
    again = Catalog.load(tmp_path / "kept")
    np.testing.assert_array_equal(again.prices, catalog.prices)
    assert again.fingerprint() == catalog.fingerprint() != Catalog.read(posts.drop("price")).fingerprint()


def test_a_column_without_any_price_is_none() -> None:
    posts = pl.DataFrame({"posting_id": ["a", "b"], "title": ["x y", "y z"], "price": [None, None]})
    assert Catalog.read(posts).prices is None
