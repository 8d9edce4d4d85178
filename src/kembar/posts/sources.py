"""Where posts come from: files of many kinds and frames of several libraries, read as one polars frame.

A file is known by its first bytes, then by its name. Archives are unpacked in containers.py; text with separators is
read in delimited.py, JSON in records.py, workbooks in workbooks.py, XML feeds in feeds.py; each finds out what its user
did not say, and notes it.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
import polars as pl

from kembar.errors import CatalogError, quoted
from kembar.posts.containers import STANDARD_INPUT, Content, is_workbook, open_content
from kembar.posts.delimited import read_delimited
from kembar.posts.feeds import read_feed
from kembar.posts.layout import Layout
from kembar.posts.records import read_json
from kembar.posts.table import Exactly, Table, Wanted, once, present
from kembar.posts.workbooks import read_workbook
from kembar.remote import is_path, place, reaching
from kembar.threads import unforked

__all__ = ["STANDARD_INPUT", "SUFFIXES", "Source", "Table", "read_table"]


class ArrowStream(Protocol):
    """Any table with the Arrow stream interface: of pyarrow, pandas, duckdb and others."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return the table as a stream of Arrow batches."""


Records: TypeAlias = Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Any]]
Source: TypeAlias = str | Path | pl.DataFrame | pl.LazyFrame | ArrowStream | Records
"""A file of posts, a frame of them, a list with a dict for each, or a dict with a list for each column."""

_TEXT: Final = (".csv", ".tsv", ".tab", ".txt")
_COLUMNAR: Final = (".parquet", ".pq", ".arrow", ".arrows", ".feather", ".ipc")
_JSON: Final = (".json", ".jsonl", ".ndjson")
_FEEDS: Final = (".xml", ".rss", ".atom")
_WORKBOOKS: Final = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
SUFFIXES: Final = (*_TEXT, *_COLUMNAR, *_JSON, *_FEEDS, *_WORKBOOKS, ".gz", ".zip")
"""The file names understood; most kinds are also known by their first bytes, whatever the name."""

_KINDS: Final = (  # what a file that is not a table looks like, by its first bytes
    (b"\xff\xd8\xff", "a JPEG photo"),
    (b"\x89PNG", "a PNG photo"),
    (b"GIF8", "a GIF photo"),
    (b"PK\x03\x04", "a zip archive or an Excel workbook (.xlsx)"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls)"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a rar archive"),
    (b"%PDF", "a PDF"),
    (b"SQLite format 3", "an SQLite database"),
    (b"FEA1", "a Feather file of version 1"),
)


@unforked
def read_table(source: Source, wanted: Collection[str] | Wanted, layout: Layout | None = None) -> Table:
    """Read the wanted columns of a file or frame.

    Args:
        source: a path to a file of one of :data:`SUFFIXES`, or its address; or "-" for standard input; a polars frame,
            eager or lazy; a pandas frame; a pyarrow table or anything else with the Arrow stream interface; a list of
            dicts, or a dict of lists.
        wanted: names of columns, or how to find them; those the source lacks are left out of the result.
        layout: what is said about a file; nothing by default.

    Returns:
        The table; nothing else is checked yet.

    Raises:
        CatalogError: there is no such file, it is not a table of a known kind, or its rows have different lengths.
        MissingExtraError: a workbook without the extra `excel`.
    """
    chosen: Wanted = Exactly(wanted) if isinstance(wanted, Collection) else wanted
    if is_path(source):
        return _from_file(place(source), chosen, layout or Layout())
    if isinstance(source, pl.LazyFrame):
        names = source.collect_schema().names()
        return Table("LazyFrame", names, source.select(present(names, chosen)).collect())
    if isinstance(source, pl.DataFrame):
        return Table("DataFrame", source.columns, source.select(present(source.columns, chosen)))
    if type(source).__module__.partition(".")[0] == "pandas" and hasattr(source, "columns"):
        return _from_pandas(source, chosen)
    if hasattr(source, "__arrow_c_stream__"):
        return _from_arrow(source, chosen)
    if isinstance(source, Mapping):
        return _from_columns(source, chosen)
    if isinstance(source, list | tuple) and all(isinstance(post, Mapping) for post in source):
        names = list(dict.fromkeys(str(name) for post in source for name in post))
        return _from_columns({name: [post.get(name) for post in source] for name in names}, chosen)
    raise CatalogError(
        f"posts as {type(source).__name__}",
        "a path, a polars, pandas or pyarrow table, a list of dicts, or a dict of lists",
        "Give the path of a CSV or Parquet file, or put the posts in a frame first.",
    )


def _from_columns(columns: Mapping[str, Sequence[Any]], wanted: Wanted) -> Table:
    lengths = {name: len(cells) for name, cells in columns.items() if isinstance(cells, Collection)}
    odd = next((name for name in columns if isinstance(columns[name], str | Mapping) or name not in lengths), None)
    if odd is not None:
        raise CatalogError(
            f"column {quoted(odd)} as {type(columns[odd]).__name__}", "a list", "Give one cell per post."
        )
    if len(set(lengths.values())) > 1:
        counted = ", ".join(f"{quoted(name)} of {length}" for name, length in lengths.items())
        raise CatalogError(f"columns of different lengths: {counted}", "one cell per post in each", "Fill in the rest.")
    names = [str(name) for name in columns]
    return Table("posts", names, pl.DataFrame({name: _cells(columns[name]) for name in present(names, wanted)}))


def _cells(values: Sequence[Any]) -> pl.Series:
    try:
        return pl.Series(values)
    except (TypeError, pl.exceptions.PolarsError):  # mixed types: titles that are numbers in some rows
        return pl.Series([None if value is None else str(value) for value in values], dtype=pl.String)


def _from_pandas(frame: Any, wanted: Wanted) -> Table:
    names = [str(name) for name in frame.columns]
    indices = [str(name) for name in frame.index.names if name is not None and str(name) not in names]
    index = next(iter(present(indices, wanted)), None)
    if index is not None:
        raise CatalogError(
            f"a DataFrame with {quoted(index)} as its index",
            f"a column {quoted(index)}",
            "Make the index a column: frame.reset_index().",
        )
    columns = {name: _pandas_column(frame.iloc[:, names.index(name)]) for name in once(names, wanted, "DataFrame")}
    return Table("DataFrame", names, pl.DataFrame(columns))


def _pandas_column(column: Any) -> pl.Series:
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iufb":
        return pl.Series(column.to_numpy())
    if isinstance(column.dtype, np.dtype) and column.dtype.kind != "O":
        return pl.Series(column.to_numpy(), strict=False)
    cells, missing = column.astype(object).to_numpy(), column.isna().to_numpy()
    return _cells([None if gone else cell for cell, gone in zip(cells, missing, strict=True)])


def _from_arrow(source: Any, wanted: Wanted) -> Table:
    name = type(source).__name__
    if hasattr(source, "schema") and hasattr(source, "select") and hasattr(source.schema, "names"):
        names = list(source.schema.names)
        source = source.select(once(names, wanted, name))
        return Table(name, names, pl.DataFrame(source))
    frame = pl.DataFrame(source)
    return Table(name, frame.columns, frame.select(present(frame.columns, wanted)))


def _from_file(path: Path, wanted: Wanted, layout: Layout) -> Table:
    with reaching(path):
        if path.suffix.lower() in (".parquet", ".pq") and path.is_dir():
            return _from_parts(path, wanted)
    content = open_content(path)
    table = _from_content(content, wanted, layout)
    return replace(table, notes=(*content.notes, *table.notes))


def _from_parts(folder: Path, wanted: Wanted) -> Table:
    """Read a folder named as a Parquet file, as Spark writes it: its parts in the order of their names."""
    files = (path for path in folder.rglob("*.parquet") if path.is_file())
    parts = sorted(path for path in files if not path.name.startswith(("_", ".")))
    if not parts:
        raise CatalogError(f"{quoted(folder)} without Parquet files", "a folder of parts", "Name a file of posts.")
    tables = [_from_content(open_content(part), wanted, Layout()) for part in parts]
    try:
        frame = pl.concat([table.frame for table in tables])
    except pl.exceptions.PolarsError as error:
        given = f"{quoted(folder)}, whose parts have different columns"
        raise CatalogError(given, "parts of one table", "Write them again as one file.") from error
    return replace(tables[0], source=folder.name, frame=frame)


def _from_content(content: Content, wanted: Wanted, layout: Layout) -> Table:
    start, suffix = content.start(), content.suffix
    if start.startswith(b"PAR1") or suffix in (".parquet", ".pq"):
        return _from_columnar(content, wanted, pl.read_parquet_schema, partial(pl.read_parquet, glob=False))
    if start.startswith(b"ARROW1") or suffix in (".arrow", ".feather", ".ipc"):
        return _from_columnar(content, wanted, pl.read_ipc_schema, pl.read_ipc)
    if suffix == ".arrows":
        return _from_columnar(content, wanted, None, pl.read_ipc_stream)
    if start.startswith(b"\xd0\xcf\x11\xe0") or (start.startswith(b"PK\x03\x04") and is_workbook(content)):
        return read_workbook(content, wanted, layout)
    return _from_text(content, start, wanted, layout)


def _from_text(content: Content, start: bytes, wanted: Wanted, layout: Layout) -> Table:
    """Read a text of whatever kind: JSON, XML or rows of cells."""
    _check_text(content, start)
    head = start.replace(b"\x00", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")
    if head[:200].lower().startswith((b"<!doctype html", b"<html", b"<table", b"<meta", b"<head", b"<body", b"<div")):
        raise _html(content)
    if content.suffix in _FEEDS or head.startswith((b"<?xml", b"<rss", b"<feed")):
        return read_feed(content.data, content.name, wanted, layout)
    if content.suffix in _JSON or (not content.suffix and head.startswith((b"{", b"[{"))):
        return read_json(content.data, content.name, wanted, layout)
    return read_delimited(content.data, content.name, wanted, layout)


def _check_text(content: Content, start: bytes) -> None:
    """Refuse names that are not understood, and bytes that are not text."""
    if content.suffix and content.suffix not in (*_TEXT, *_JSON, *_FEEDS, *_WORKBOOKS):
        raise CatalogError(
            f"{quoted(content.name)} with the unknown suffix {quoted(content.suffix)}",
            f"one of {', '.join(SUFFIXES)}",
            f"{_looks(start)}Rename the file to what it holds, or export the posts as CSV or Parquet.",
        )
    if _looks(start) or b"\x00\x00\x00\x00" in start:  # fewer may be UTF-16, or a damaged title
        raise CatalogError(
            f"{quoted(content.name)}, which is not text (it starts with {quoted(start[:12])})",
            "a CSV or TSV file, in UTF-8 or in one that encoding=... names",
            f"{_looks(start)}Export the posts as CSV in UTF-8.",
        )


def _html(content: Content) -> CatalogError:
    return CatalogError(
        f"{quoted(content.name)}, an HTML table" + (f" named {content.suffix}" if content.suffix else ""),
        "a workbook or a table of text",
        "Open it in a spreadsheet, and save it as .xlsx or CSV.",
    )


def _looks(start: bytes) -> str:
    kind = next((kind for magic, kind in _KINDS if start.startswith(magic)), "")
    return f"It looks like {kind}. " if kind else ""


def _from_columnar(
    content: Content,
    wanted: Wanted,
    read_schema: Callable[[Any], Collection[str]] | None,
    read: Callable[..., pl.DataFrame],
) -> Table:
    try:
        with content.file() as file:  # not its path: one with brackets or stars would be taken for a pattern
            names = list(read_schema(file)) if read_schema else read(file, n_rows=0).columns
            file.seek(0)
            chosen = present(names, wanted)
            frame = read(file, columns=chosen) if chosen else pl.DataFrame()
    except (pl.exceptions.PolarsError, OSError) as error:
        kind = content.suffix or "Parquet"
        raise CatalogError(
            f"{quoted(content.name)}, which cannot be read as a {kind} file ({quoted(str(error))})",
            "a whole Parquet or Arrow file",
            f"{_looks(content.start(16))}Export the posts again; the file is cut short, damaged or of another kind.",
        ) from error
    return Table(content.name, names, frame)
