"""The ids of posts: text, each once."""

import polars as pl

from kembar.errors import CatalogError, quoted
from kembar.posts.text import as_text


def read_ids(cells: pl.Series) -> pl.Series:
    """Take ids as text; :func:`check_ids` refuses what is empty or repeated.

    Args:
        cells: (n,) text or whole numbers.

    Returns:
        (n,) String, "" where missing.

    Raises:
        CatalogError: cells of another type.
    """
    return as_text(cells, "id").fill_null("")


def check_ids(ids: pl.Series) -> None:
    """Refuse empty and repeated ids.

    Args:
        ids: (n,) String.

    Raises:
        CatalogError: an id is empty or given twice; the first five are named, rows counted from 1.
    """
    empty = (ids.str.strip_chars() == "").arg_true()
    if len(empty):
        raise CatalogError(
            f"{len(empty)} empty ids, in rows {_first(empty)} (the first post is row 1)",
            "an id for every post",
            "Fill in the ids, or drop these rows.",
        )
    if ids.n_unique() == len(ids):
        return
    rows = pl.DataFrame({"id": ids}).with_row_index("row", offset=1)
    twice = rows.filter(pl.col("id").is_duplicated()).group_by("id", maintain_order=True).agg("row")
    shown = "; ".join(f"{quoted(name)} in rows {_first(at, 0)}" for name, at in twice.head(5).iter_rows())
    raise CatalogError(
        f"{len(twice)} ids that several posts share: {shown}",
        "a different id for every post",
        "Drop the repeated rows, or build an id that tells them apart.",
    )


def _first(rows: pl.Series | list[int], offset: int = 1) -> str:
    shown = ", ".join(str(row + offset) for row in list(rows[:5]))
    return f"{shown}, ..." if len(rows) > 5 else shown
