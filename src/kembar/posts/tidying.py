"""Rows of a file that are no posts, and posts that have several rows."""

import re
from typing import Final

import polars as pl

from kembar.posts.columns import Columns
from kembar.posts.headings import is_heading, is_instruction, is_total
from kembar.posts.layout import Layout
from kembar.posts.notes import Note

_TEMPLATE: Final = 10  # rows below a header that may be those of a template
JOIN: Final = "|"
"""Between the photos of one post."""


def tidied(frame: pl.DataFrame, columns: Columns, layout: Layout) -> tuple[pl.DataFrame, list[Note]]:
    """Leave out the rows that are no posts: of templates, repeated headers, empty ones, totals at the end.

    Args:
        frame: the wanted columns of a file.
        columns: which column holds what.
        layout: what is said about the file.

    Returns:
        The posts, and a note of each kind of rows left out.
    """
    if not len(frame) or columns.id not in frame.columns:
        return frame, []
    notes: list[Note] = []
    after = layout.skip_after
    if after is None:
        frame = _without(frame, _template(frame, columns), "rows of a template below the header, left out", notes)
    else:
        frame = frame.slice(after)
        notes += [Note("rows", "rows below the header, left out as asked", after)] if after else []
    header = pl.all_horizontal(pl.col(name).cast(pl.String).str.strip_chars() == name for name in frame.columns)
    frame = _without(frame, frame.select(header.fill_null(False)).to_series(), "repeated headers, left out", notes)
    blank = [pl.col(name).cast(pl.String).str.strip_chars().fill_null("") == "" for name in frame.columns]
    empty = frame.select(pl.all_horizontal(blank)).to_series()
    frame = _without(frame, empty, "rows without any of the wanted cells, left out", notes)
    return _without(frame, _totals(frame, columns), "rows of totals at the end, left out", notes), notes


def joined(frame: pl.DataFrame, columns: Columns) -> tuple[pl.DataFrame, list[Note]]:
    """Join the rows of one product, as of Shopify: of each id one row has a title, the others further photos.

    Args:
        frame: the wanted columns.
        columns: which column holds what.

    Returns:
        One row per id with the first filled cell of each column, all its photos joined by "|", codes only where its
        rows agree; or the frame as it is, where rows of one id have several titles or labels.
    """
    title = columns.title
    if (
        title is None
        or not {columns.id, title} <= set(frame.columns)
        or any(dtype.is_nested() for dtype in frame.dtypes)
    ):
        return frame, []
    texts = frame.select(_filled(name) for name in frame.columns)
    ids = texts[columns.id]
    if ids.n_unique() == len(ids) or ids.null_count():
        return frame, []
    single = columns.label if columns.label is not None and columns.label in frame.columns else title
    counts = texts.group_by(columns.id).agg(
        pl.col(title).count().alias("titles"), pl.len().alias("rows"), _kinds(single).alias("kinds")
    )
    several = counts.filter(pl.col("rows") > 1)
    if not ((several["titles"] == 1) & (several["kinds"] <= 1)).all():
        return frame, []
    found = texts.group_by(columns.id, maintain_order=True).agg(
        _cell(name, columns) for name in frame.columns if name != columns.id
    )
    left_out = sum(_disagreeing(texts, columns.id, name) for name in columns.identifiers if name in frame.columns)
    notes = [Note("products", "products with several rows, joined with all their photos", len(several))]
    if left_out:
        notes.append(Note("products", "codes that differ between the rows of a product, left out", left_out))
    return found.select(frame.columns), notes


def _without(frame: pl.DataFrame, rows: pl.Series, what: str, notes: list[Note]) -> pl.DataFrame:
    if not rows.any():
        return frame
    notes.append(Note("rows", what, int(rows.sum())))
    return frame.filter(~rows)


def _template(frame: pl.DataFrame, columns: Columns) -> pl.Series:
    """Mark the rows of a template: names of columns, words such as "mandatory", and what follows them in sentences."""
    names = [name for name in (columns.id, columns.title, columns.image) if name in frame.columns]
    marks = [False] * len(frame)
    rows = frame.select(pl.col(names).cast(pl.String).fill_null("")).head(_TEMPLATE).rows()
    codes = frame[columns.id].cast(pl.String).slice(_TEMPLATE // 2).str.contains(r"\s").mean() or 0.0
    for at, cells in enumerate(rows):
        filled = [cell for cell in cells if cell.strip()]
        said = [is_heading(cell) or is_instruction(cell) for cell in filled]
        sentence = bool(filled) and any(marks[:at]) and _is_sentence(cells[0]) and codes < 0.1  # type: ignore[operator]
        if not (sentence or ((len(filled) > 1 or len(names) == 1) and all(said) and said)):
            break
        marks[at] = True
    return pl.Series(marks, dtype=pl.Boolean)


def _is_sentence(cell: str) -> bool:
    return len(re.findall(r"\w+", cell)) >= 3 and " " in cell.strip()


def _totals(frame: pl.DataFrame, columns: Columns) -> pl.Series:
    """Mark the last rows whose id is the word for a total, or is empty beside one, and that have no title."""
    marks = [False] * len(frame)
    others = [name for name in (columns.title, columns.image, columns.hash) if name in frame.columns]
    for at in range(len(frame) - 1, max(-1, len(frame) - 4), -1):
        row = frame.row(at, named=True)
        filled = [str(row[name]).strip() for name in (columns.id, *others) if row[name] is not None]
        filled = [cell for cell in filled if cell]
        if not (filled and len(filled) == 1 and is_total(filled[0])):
            break
        marks[at] = True
    return pl.Series(marks, dtype=pl.Boolean)


def _filled(name: str) -> pl.Expr:
    text = pl.col(name).cast(pl.String)
    return pl.when(text.str.strip_chars() != "").then(text).alias(name)


def _kinds(name: str) -> pl.Expr:
    return pl.col(name).drop_nulls().n_unique()


def _cell(name: str, columns: Columns) -> pl.Expr:
    cells = pl.col(name).drop_nulls()
    if name == columns.image:
        photos = cells.unique(maintain_order=True)
        return pl.when(photos.len() > 0).then(photos.str.join(JOIN)).alias(name)
    if name in columns.identifiers:
        return pl.when(cells.n_unique() <= 1).then(cells.first()).alias(name)
    return cells.first().alias(name)


def _disagreeing(texts: pl.DataFrame, key: str, name: str) -> int:
    return int((texts.group_by(key).agg(_kinds(name).alias("kinds"))["kinds"] > 1).sum())
