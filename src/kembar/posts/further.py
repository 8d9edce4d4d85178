"""Further text columns of a catalogue: the brand, and whatever else is known of a post beside its title."""

from collections.abc import Sequence
from typing import Final

import polars as pl

from kembar.errors import CatalogError, quoted
from kembar.posts.columns import ALWAYS_SHOWN
from kembar.posts.problems import problems, quoted_each
from kembar.posts.text import as_text, no_text

BRAND: Final = "brand"
"""The name of the column of brands among the further ones."""
_LONGEST: Final = 60  # characters of a brand; what is longer is a title or a description


def read_further(
    frame: pl.DataFrame, brand: str | None, further: Sequence[str], ids: pl.Series, titles: pl.Series
) -> tuple[pl.DataFrame | None, pl.DataFrame]:
    """Take brands and other texts.

    Args:
        frame: n rows, the cells as they were read.
        brand: the name of the column of brands; it may be absent.
        further: the names of other columns of text or numbers.
        ids: (n,) ids, for the problems.
        titles: (n,) String.

    Returns:
        One String column per name, "" where missing, that of the brands named "brand"; None where all are empty. And
        the problems: brands that repeat the title, or are too long to be one.

    Raises:
        CatalogError: a column that holds neither text nor numbers.
    """
    names = dict.fromkeys(further)
    names.pop(brand or "", None)
    texts = {name: read_text(frame[name]) for name in names}
    found = problems(ids, pl.repeat(False, len(ids), dtype=pl.Boolean, eager=True), BRAND, "")
    if brand is not None and brand in frame.columns:
        brands = read_text(frame[brand])
        wrong = (brands != "") & ((brands.str.len_chars() > _LONGEST) | (brands == titles.str.strip_chars()))
        found = problems(ids, wrong, BRAND, quoted_each(brands) + " is the title, or too long for a brand")
        texts = {BRAND: brands.set(wrong, ""), **texts}
    kept = {name: text for name, text in texts.items() if (text != "").any()}
    return (pl.DataFrame(kept) if kept else None), found


def read_texts(frame: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame | None:
    """Take columns of any simple type as text, see `read_text`; None where there is no such column.

    Args:
        frame: the cells as they were read.
        names: columns of it.

    Returns:
        One String column per name.

    Raises:
        CatalogError: a column that holds neither text nor numbers.
    """
    return pl.DataFrame([read_text(frame[name]) for name in dict.fromkeys(names)]) if names else None


def read_shown(frame: pl.DataFrame, names: Sequence[str], titles: pl.Series, images: pl.Series) -> pl.DataFrame | None:
    """Take columns that are carried into the results, as they are.

    Args:
        frame: n rows, the cells as they were read.
        names: columns of it, or of `ALWAYS_SHOWN`.
        titles: (n,) String.
        images: (n,) String.

    Returns:
        One String column per name, in their order, "" where missing; None where there are no names.

    Raises:
        CatalogError: a column of lists or structures.
    """
    own = dict(zip(ALWAYS_SHOWN, (titles, images), strict=True))
    columns = {name: own[name] if name in own else _as_it_is(frame[name]) for name in names}
    return pl.DataFrame(columns) if columns else None


def _as_it_is(cells: pl.Series) -> pl.Series:
    if cells.dtype.is_nested() or cells.dtype in (pl.Binary, pl.Object):
        raise CatalogError(
            f"the column {quoted(cells.name)} of type {cells.dtype} to show",
            "text, numbers, dates or truth values",
            "Leave it out, or write it as text first.",
        )
    return cells.cast(pl.String).fill_null("").str.replace_all("\x00", "", literal=True)


def read_text(cells: pl.Series) -> pl.Series:
    """Take cells of any simple type as text without blanks around it.

    Args:
        cells: (n,) text, numbers or truth values.

    Returns:
        (n,) String, "" where they say that there is nothing.

    Raises:
        CatalogError: cells of another type.
    """
    plain = cells.cast(pl.String) if cells.dtype == pl.Boolean else cells
    text = as_text(plain, "further").fill_null("").str.replace_all("\x00", "", literal=True).str.strip_chars()
    return text.set(no_text(text), "").alias(cells.name)
