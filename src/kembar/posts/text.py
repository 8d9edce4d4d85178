"""Columns of text: titles, and any others; how exports write that there is nothing."""

import polars as pl

from kembar.errors import CatalogError, quoted
from kembar.posts.problems import problems, quoted_each

_MARK = "\ufffd"

# How databases, spreadsheets and shop systems write that there is no title.
_NOTHING = (
    r"null|nan|n\.?/?a\.?|#n/?a|#ref!|#value!|none|nil|undefined|unknown|untitled|no (?:title|name)|missing|empty"
)
_NO_TITLE = rf"(?i)^[\s'\"(\[<]*(?:{_NOTHING}|blank|-?inf)[\s'\")\]>]*$|^[^\p{{L}}\p{{N}}]*$"


def no_text(texts: pl.Series) -> pl.Series:
    """Tell where text only says that there is none: NULL, nan, "-" and their like. (n,) String to (n,) Boolean."""
    return texts.str.contains(_NO_TITLE)


def as_text(cells: pl.Series, part: str) -> pl.Series:
    """Take text or whole numbers as text, and other numbers where they may be an id, a label, a title or a detail.

    Args:
        cells: (n,) of any type.
        part: what they hold, for the error.

    Returns:
        (n,) String, null where missing.

    Raises:
        CatalogError: cells of another type.
    """
    dtype = cells.dtype
    if dtype in (pl.String, pl.Null, pl.Categorical, pl.Enum) or dtype.is_integer():
        return cells.cast(pl.String)
    numbers = cells.fill_nan(None) if dtype.is_float() else cells
    if numbers.null_count() == len(cells):  # what pandas makes of an empty column
        return pl.repeat(None, len(cells), dtype=pl.String, eager=True).alias(cells.name)
    if dtype.is_float() and part in ("id", "label", "title", "further"):
        whole = (numbers == numbers.round()) & (numbers.abs() < 2**53)  # whole numbers beside missing cells
        return numbers.set(~whole, None).cast(pl.Int64).cast(pl.String).zip_with(whole, numbers.cast(pl.String))
    raise wrong_type(cells, part)


def wrong_type(cells: pl.Series, part: str) -> CatalogError:
    """Say that a column holds something else than text or whole numbers."""
    return CatalogError(
        f"the {part} column {quoted(cells.name)} of type {cells.dtype}",
        "text or whole numbers",
        f"Cast the column to text, or name another: Columns({part}=...).",
    )


def read_titles(cells: pl.Series, ids: pl.Series) -> tuple[pl.Series, pl.DataFrame]:
    """Take titles as text, without null bytes.

    Args:
        cells: (n,) text, or numbers; null and NaN are missing.
        ids: (n,) ids, for the problems.

    Returns:
        (n,) String, "" where missing; and the problems: null bytes, bytes lost in decoding, and texts that say that
        there is no title, such as NULL, nan or "-".

    Raises:
        CatalogError: cells of another type.
    """
    titles = as_text(cells, "title").fill_null("")
    nulls, lost = titles.str.contains("\x00", literal=True), titles.str.contains(_MARK, literal=True)
    found = [
        problems(ids, nulls, "title", "null bytes, removed"),
        problems(ids, lost & ~nulls, "title", "bytes that are not text, each now U+FFFD"),
    ]
    titles = titles.str.replace_all("\x00", "", literal=True)
    bare = no_text(titles)
    found.append(problems(ids, bare & (titles.str.strip_chars() != ""), "title", quoted_each(titles) + " is no title"))
    return titles.set(bare, ""), pl.concat(found)
