"""Prices as shops export them: with currency signs, in ranges, with points or commas for thousands."""

import numpy as np
import polars as pl

from kembar.arrays import Doubles
from kembar.posts.problems import problems

_NUMBER = r"[0-9](?:[0-9.,' \u00a0\u202f]*[0-9])?"
_NONE = r"(?i)^\s*(?:null|nan|n/?a|none)\s*$"
_THOUSANDS = r"^[1-9][0-9]{0,2}(?:([.,' \u00a0\u202f])[0-9]{3})(?:[.,' \u00a0\u202f][0-9]{3})*$"


def read_prices(cells: pl.Series, ids: pl.Series) -> tuple[Doubles, pl.DataFrame]:
    """Take prices from numbers or texts; of a range the lowest.

    "1.234,50", "1,234.50" and "Rp 1.234" are read as people write them: a last group of three digits is thousands,
    of one or two digits the cents. A price of 0 says nothing.

    Args:
        cells: (n,) numbers or text; null, "", "N/A" and their like are missing.
        ids: (n,) ids, for the problems.

    Returns:
        (n,) float64 above 0, NaN where missing; and the problems: texts without a number.
    """
    prices, bad = pl.repeat(None, len(cells), dtype=pl.Float64, eager=True), pl.Series([False] * len(cells))
    if cells.dtype.is_numeric():
        prices = cells.cast(pl.Float64)
    elif cells.dtype == pl.String:
        prices = _read(cells.str.extract(f"({_NUMBER})"))
        bad = (prices.is_null() & cells.str.contains(r"[\p{L}\p{N}]") & ~cells.str.contains(_NONE)).fill_null(False)
    values = prices.fill_null(float("nan")).to_numpy().astype(np.float64)
    found = problems(ids, bad, "price", "'" + cells.cast(pl.String).str.head(60) + "' is no price")
    return np.where(np.isfinite(values) & (values > 0), values, np.nan), found


def _read(found: pl.Series) -> pl.Series:
    """Turn the first number of each text into a float; null where there is none."""
    text = pl.col("text")
    plain = text.str.replace_all(r"[' \u00a0\u202f]", "")
    cents = plain.str.replace_all(r"[.,]([0-9]{3})", "${1}").str.replace(",", ".", literal=True)
    whole = plain.str.replace_all("[.,]", "")
    read = pl.when(text.str.contains(_THOUSANDS)).then(whole).otherwise(cents)
    return pl.DataFrame({"text": found}).select(read.cast(pl.Float64, strict=False)).to_series()
