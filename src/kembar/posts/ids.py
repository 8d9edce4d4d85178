"""The ids of posts: text, each once."""

import polars as pl

from kembar.errors import CatalogError, nearest, quoted
from kembar.posts.notes import Note
from kembar.posts.patterns import one_by_one
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
    few = one_by_one(ids)
    if few is not None and len(set(few)) == len(few) and all(map(str.strip, few)):
        return
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


def check_padding(ids: pl.Series) -> list[Note]:
    """Note ids with blanks around them: they are kept.

    Args:
        ids: (n,) String.

    Returns:
        A note, or none.

    Raises:
        CatalogError: two ids differ in nothing but the blanks around them.
    """
    bare = ids.str.strip_chars()
    padded = ids.filter((bare != ids) & (bare != ""))
    if not len(padded):
        return []
    rows = pl.DataFrame({"id": ids, "bare": bare}).with_row_index("row", 1).unique("id", maintain_order=True)
    twice = rows.filter(pl.col("bare").is_duplicated() & (pl.col("bare") != "")).sort("bare", "row")
    if len(twice):
        first, second = (twice.row(at, named=True) for at in (0, 1))
        raise CatalogError(
            f"the ids {quoted(first['id'])} and {quoted(second['id'])} in rows {first['row']} and {second['row']}, "
            "which differ only in the blanks around them",
            "a different id for every post",
            "Take the blanks off, and drop the repeated rows.",
        )
    return [Note("ids", f"ids with blanks around them, kept, such as {quoted(padded[0])}", len(padded))]


def rewritten_ids(ids: pl.Series, *, workbook: bool) -> list[Note]:
    """Note ids that a spreadsheet has made numbers or dates of: digits may be lost.

    Args:
        ids: (n,) String.
        workbook: whether they come from a workbook, where dates and long numbers are told by their form.
    """
    patterns = {"in scientific notation": r"^\d([.,]\d+)?[eE]\+\d+$"}
    if workbook:
        patterns["that are dates"] = r"^\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d)?$"
    found = [(how, ids.filter(ids.str.contains(pattern))) for how, pattern in patterns.items()]
    if workbook:
        found.append(("of more than 15 digits, as numbers", ids.filter(_rounded(ids))))
    changed = ": a spreadsheet may have changed them"
    return [Note("ids", f"ids {how}, such as {quoted(ids[0])}{changed}", len(ids)) for how, ids in found if len(ids)]


def _rounded(ids: pl.Series) -> pl.Series:
    """Mark whole numbers of more than 15 digits, where all of them are exact as floats: they have been numbers."""
    long = ids.str.contains(r"^[1-9]\d{15,}$")
    through = all(int(float(name)) == int(name) for name in ids.filter(long))
    return long & through


def _first(rows: pl.Series | list[int], offset: int = 1) -> str:
    shown = ", ".join(str(row + offset) for row in list(rows[:5]))
    return f"{shown}, ..." if len(rows) > 5 else shown


def row_of(ids: pl.Series, post: str) -> int:
    """Find the row of a post of a run.

    Args:
        ids: (n,) String.
        post: an id.

    Returns:
        Its row.

    Raises:
        CatalogError: there is no such post.
    """
    found = ids.index_of(post)
    if found is None:
        given = f"post {quoted(post)}, which is not in the run"
        raise CatalogError(given, "a posting id of it", f"Check the id.{nearest(post, ids)}")
    return found
