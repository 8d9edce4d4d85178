"""Where posts come from: files of several formats and frames of several libraries, read as one polars frame.

A text file is read as text throughout: no column is guessed to be a number, so ``007`` stays ``007``. Its encoding
is found in this order: a byte order mark; UTF-8; UTF-8 with a few broken bytes (each becomes U+FFFD); Windows-1252
where bytes 0x80-0x9F appear; Latin-1. The separator is the one of comma, tab, semicolon and bar that splits the
header most. Blank lines are skipped; a row with more or fewer cells than the header is refused with its line number.
"""

import codecs
import csv
import io
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import polars as pl

from kembar.errors import CatalogError, nearest, quoted
from kembar.threads import unforked


class ArrowStream(Protocol):
    """Any table with the Arrow stream interface: of pyarrow, pandas, duckdb and others."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return the table as a stream of Arrow batches."""


Records: TypeAlias = Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Any]]
Source: TypeAlias = str | Path | pl.DataFrame | pl.LazyFrame | ArrowStream | Records
"""A file of posts, a frame of them, a list with a dict for each, or a dict with a list for each column."""

SUFFIXES = (".csv", ".tsv", ".tab", ".txt", ".parquet", ".pq", ".arrow", ".arrows", ".feather", ".ipc")
"""The file names understood; Parquet and Arrow files are also known by their first bytes, whatever the name."""

_TEXT = SUFFIXES[:4]
_SEPARATORS = ",\t;|"
_KINDS = (  # what a file that is not a table looks like, by its first bytes
    (b"\xff\xd8\xff", "a JPEG photo"),
    (b"\x89PNG", "a PNG photo"),
    (b"GIF8", "a GIF photo"),
    (b"PK\x03\x04", "a zip archive or an Excel workbook (.xlsx)"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls)"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"%PDF", "a PDF"),
    (b"SQLite format 3", "an SQLite database"),
    (b"FEA1", "a Feather file of version 1"),
)
_BLOCK = 1 << 24  # bytes looked at in one go
_LONGEST_CELL = 2**31 - 1  # characters; the csv module's own limit is 131,072

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Table:
    """The wanted columns of a source.

    Args:
        source: what the source is called in messages.
        names: every column the source has, wanted or not.
        frame: the wanted columns that exist, rows in the order given; all String when the source is a text file.
    """

    source: str
    names: list[str]
    frame: pl.DataFrame


@unforked
def read_table(source: Source, wanted: Collection[str]) -> Table:
    """Read the wanted columns of a file or frame.

    Args:
        source: a path to CSV, TSV, Parquet or Arrow IPC; a polars frame, eager or lazy; a pandas frame; a pyarrow
            table or anything else with the Arrow stream interface; a list of dicts, or a dict of lists.
        wanted: names of columns; those the source lacks are left out of the result.

    Returns:
        The table; nothing else is checked yet.

    Raises:
        CatalogError: there is no such file, it is not a table of a known kind, or its rows have different lengths.
    """
    if isinstance(source, str | Path):
        return _from_file(Path(source), wanted)
    if isinstance(source, pl.LazyFrame):
        names = source.collect_schema().names()
        return Table("LazyFrame", names, source.select(_present(names, wanted)).collect())
    if isinstance(source, pl.DataFrame):
        return Table("DataFrame", source.columns, source.select(_present(source.columns, wanted)))
    if type(source).__module__.partition(".")[0] == "pandas" and hasattr(source, "columns"):
        return _from_pandas(source, wanted)
    if hasattr(source, "__arrow_c_stream__"):
        return _from_arrow(source, wanted)
    if isinstance(source, Mapping):
        return _from_columns(source, wanted)
    if isinstance(source, list | tuple) and all(isinstance(post, Mapping) for post in source):
        names = list(dict.fromkeys(str(name) for post in source for name in post))
        return _from_columns({name: [post.get(name) for post in source] for name in names}, wanted)
    raise CatalogError(
        f"posts as {type(source).__name__}",
        "a path, a polars, pandas or pyarrow table, a list of dicts, or a dict of lists",
        "Give the path of a CSV or Parquet file, or put the posts in a frame first.",
    )


def _present(names: Collection[str], wanted: Collection[str]) -> list[str]:
    return [name for name in names if name in set(wanted)]


def _from_columns(columns: Mapping[str, Sequence[Any]], wanted: Collection[str]) -> Table:
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
    return Table("posts", names, pl.DataFrame({name: _cells(columns[name]) for name in _present(names, wanted)}))


def _cells(values: Sequence[Any]) -> pl.Series:
    try:
        return pl.Series(values)
    except (TypeError, pl.exceptions.PolarsError):  # mixed types: titles that are numbers in some rows
        return pl.Series([None if value is None else str(value) for value in values], dtype=pl.String)


def _from_pandas(frame: Any, wanted: Collection[str]) -> Table:
    names = [str(name) for name in frame.columns]
    index = next((str(name) for name in frame.index.names if name in wanted and name not in names), None)
    if index is not None:
        raise CatalogError(
            f"a DataFrame with {quoted(index)} as its index",
            f"a column {quoted(index)}",
            "Make the index a column: frame.reset_index().",
        )
    chosen = _once(names, wanted, "DataFrame")
    columns = {name: _pandas_column(frame.iloc[:, names.index(name)]) for name in chosen}
    return Table("DataFrame", names, pl.DataFrame(columns))


def _pandas_column(column: Any) -> pl.Series:
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iufb":
        return pl.Series(column.to_numpy())
    if isinstance(column.dtype, np.dtype) and column.dtype.kind != "O":
        return pl.Series(column.to_numpy(), strict=False)
    cells, missing = column.astype(object).to_numpy(), column.isna().to_numpy()
    return _cells([None if gone else cell for cell, gone in zip(cells, missing, strict=True)])


def _from_arrow(source: Any, wanted: Collection[str]) -> Table:
    name = type(source).__name__
    if hasattr(source, "schema") and hasattr(source, "select") and hasattr(source.schema, "names"):
        names = list(source.schema.names)
        source = source.select(_once(names, wanted, name))
        return Table(name, names, pl.DataFrame(source))
    frame = pl.DataFrame(source)
    return Table(name, frame.columns, frame.select(_present(frame.columns, wanted)))


def _once(names: list[str], wanted: Collection[str], source: str) -> list[str]:
    present = _present(names, wanted)
    twice = sorted({name for name in present if present.count(name) > 1})
    if twice:
        raise CatalogError(
            f"{source} with two columns named {quoted(twice[0])}",
            "each column name once",
            "Rename or drop one of the two.",
        )
    return present


def _from_file(path: Path, wanted: Collection[str]) -> Table:
    _check_file(path)
    with path.open("rb") as file:
        start = file.read(16)
    if not start:
        raise CatalogError(f"{quoted(Path(path))}, an empty file", "a table of posts", "Export the posts again.")
    suffix = path.suffix.lower()
    if start.startswith(b"PAR1") or suffix in (".parquet", ".pq"):
        return _from_columnar(path, wanted, pl.read_parquet_schema, partial(pl.read_parquet, glob=False))
    if start.startswith(b"ARROW1") or suffix in (".arrow", ".feather", ".ipc"):
        return _from_columnar(path, wanted, pl.read_ipc_schema, _read_ipc)
    if suffix == ".arrows":
        return _from_columnar(path, wanted, None, pl.read_ipc_stream)
    if suffix not in _TEXT:
        raise CatalogError(
            f"{quoted(Path(path))} with the unknown suffix {quoted(path.suffix)}",
            f"one of {', '.join(SUFFIXES)}",
            f"{_looks(start)}Rename the file to what it holds, or export the posts as CSV or Parquet.",
        )
    return _from_text(path, wanted)


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise CatalogError(
            f"{quoted(Path(path))}, a folder", "a file of posts", "Name the CSV or Parquet file inside it."
        )
    if path.is_file():
        return
    beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    raise CatalogError(
        f"{quoted(Path(path))}, which does not exist",
        "a file of posts",
        f"Check the spelling and the folder you run in.{nearest(path.name, beside)}",
    )


def _looks(start: bytes) -> str:
    kind = next((kind for magic, kind in _KINDS if start.startswith(magic)), "")
    return f"It looks like {kind}. " if kind else ""


def _from_columnar(
    path: Path,
    wanted: Collection[str],
    read_schema: Callable[[Path], Collection[str]] | None,
    read: Callable[..., pl.DataFrame],
) -> Table:
    try:
        names = list(read_schema(path)) if read_schema else read(path, n_rows=0).columns
        present = _present(names, wanted)
        frame = read(path, columns=present) if present else pl.DataFrame()
    except (pl.exceptions.PolarsError, OSError) as error:
        with path.open("rb") as file:
            looks = _looks(file.read(16))
        raise CatalogError(
            f"{quoted(Path(path))}, which cannot be read as a {path.suffix or 'Parquet'} file ({quoted(str(error))})",
            "a whole Parquet or Arrow file",
            f"{looks}Export the posts again; the file is cut short, damaged or of another kind.",
        ) from error
    return Table(path.name, names, frame)


def _read_ipc(path: Path, **options: Any) -> pl.DataFrame:
    with path.open("rb") as file:  # a path with brackets or stars would be taken for a pattern
        return pl.read_ipc(file, **options)


def _from_text(path: Path, wanted: Collection[str]) -> Table:
    data = _as_utf8(path.read_bytes(), path)
    if data.endswith((b"\n\n", b"\n\r\n")):  # blank lines at the end are common, and cheap to take off
        data = data.rstrip(b"\r\n")
    separator, names = _header(data)
    present = _once(names, wanted, path.name)
    if not present:
        return Table(path.name, names, pl.DataFrame())
    if not _is_rectangular(data, separator, len(names)):
        data, separator = _rewritten(data, separator, len(names), path), ","
    try:
        frame = _parsed(data, separator, present)
    except pl.exceptions.PolarsError:
        frame = _parsed(_rewritten(data, separator, len(names), path), ",", present)
    return Table(path.name, names, frame)


def _parsed(data: bytes, separator: str, columns: list[str]) -> pl.DataFrame:
    return pl.read_csv(data, separator=separator, infer_schema=False, columns=columns, raise_if_empty=False)


def _as_utf8(raw: bytes, path: Path) -> bytes:
    """Find the encoding and return the text as UTF-8 without a byte order mark."""
    for mark, encoding in (
        (b"\xef\xbb\xbf", "utf-8"),
        (b"\xff\xfe", "utf-16-le"),
        (b"\xfe\xff", "utf-16-be"),
    ):
        if raw.startswith(mark):
            log.info("%s: %s, by its byte order mark", path.name, encoding)
            text = raw[len(mark) :]
            return text if encoding == "utf-8" and _is_utf8(text) else _decoded(text, encoding, path)
    if _is_binary(raw):
        raise CatalogError(
            f"{quoted(Path(path))}, which is not text (it starts with {quoted(raw[:12])})",
            "a CSV or TSV file in UTF-8, UTF-16 with a byte order mark, Windows-1252 or Latin-1",
            f"{_looks(raw)}Export the posts as CSV in UTF-8.",
        )
    if _is_utf8(raw):
        log.info("%s: utf-8", path.name)
        return raw
    return _from_bytes(raw, path)


def _is_binary(raw: bytes) -> bool:
    start = raw[:65536]
    return bool(_looks(start)) or start.count(0) > len(start) // 20  # a single null byte is a damaged title


def _is_utf8(raw: bytes) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    view = memoryview(raw)
    try:
        for start in range(0, len(raw), _BLOCK):  # in blocks: a str of the whole file can take 4 bytes a letter
            decoder.decode(view[start : start + _BLOCK])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _decoded(raw: bytes, encoding: str, path: Path) -> bytes:
    text = raw.decode(encoding, "replace")
    broken = text.count("\ufffd")
    if broken > max(1, len(text) // 20):
        raise CatalogError(
            f"{quoted(Path(path))}, whose byte order mark says {encoding} but whose bytes are not",
            f"text in {encoding}",
            "Export the posts as CSV in UTF-8.",
        )
    if broken:
        log.warning("%s: %d places are not %s; each became U+FFFD", path.name, broken, encoding)
    return text.encode("utf-8", "replace")


def _from_bytes(raw: bytes, path: Path) -> bytes:
    """Decode bytes that are not UTF-8: damaged UTF-8, else one of the two Western 8-bit encodings."""
    codes = np.frombuffer(raw, np.uint8)
    text = raw.decode("utf-8", "replace")
    broken = text.count("\ufffd")
    if len(text) - broken - np.count_nonzero(codes < 0x80) > broken:  # more letters of several bytes than breaks
        return _decoded(raw, "utf-8", path)
    if np.any((codes >= 0x80) & (codes < 0xA0)):
        try:
            text = raw.decode("cp1252")
        except UnicodeDecodeError:
            pass
        else:
            log.info("%s: windows-1252, by its bytes 0x80-0x9f", path.name)
            return text.encode()
    log.info("%s: latin-1, for it is not UTF-8", path.name)
    return raw.decode("latin-1").encode()


def _header(data: bytes) -> tuple[str, list[str]]:
    headers = [_split(data, mark) for mark in _SEPARATORS]
    widest = max(range(len(headers)), key=lambda place: len(headers[place]))  # the first of equals: the comma
    return _SEPARATORS[widest], headers[widest]


def _split(data: bytes, separator: str) -> list[str]:
    """Read the first line; empty where one cell has no end, as of thousands of columns with another separator."""
    try:
        return next(csv.reader(_lines(data), delimiter=separator), [])
    except csv.Error:
        return []


def _lines(data: bytes) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(data), "utf-8", newline="")


def _rewritten(data: bytes, separator: str, width: int, path: Path) -> bytes:
    """Write an irregular text anew, every cell quoted, without its blank lines; refuse the first broken row.

    Python's own parser takes some seconds per million rows; it accepts the single quote of ``24" monitor``, which
    polars does not when a quoted line end follows.
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
    rows = csv.reader(_lines(data), delimiter=separator, strict=True)
    limit = csv.field_size_limit(_LONGEST_CELL)
    try:
        for cells in rows:
            if len(cells) == width:
                writer.writerow(cells)
            elif len(cells) > 1 or "".join(cells).strip():
                raise _ragged(path, rows.line_num, cells, width)
    except csv.Error as error:
        raise CatalogError(
            f"{quoted(Path(path))} line {rows.line_num}, which does not parse ({error})",
            "quotes around a whole cell, doubled inside it",
            "Fix that line, or export the posts again with standard CSV quoting.",
        ) from error
    finally:
        csv.field_size_limit(limit)
    return out.getvalue().encode()


def _ragged(path: Path, line: int, cells: list[str], width: int) -> CatalogError:
    return CatalogError(
        f"{quoted(Path(path))} line {line}: {len(cells)} cells, the first {quoted(''.join(cells[:1]))}",
        f"{width} cells, as in the header",
        "Fix that line: a separator too many or too few, or a cell that needs quotes around it.",
    )


def _is_rectangular(data: bytes, separator: str, width: int) -> bool:
    """Whether every row has as many cells as the header; True is certain, False needs a closer look.

    A line end or separator counts when an even number of quotes precedes it.
    """
    inside, cells = False, 0
    for start in range(0, len(data), _BLOCK):
        block = np.frombuffer(data, np.uint8, min(_BLOCK, len(data) - start), start)
        quoting = np.logical_xor.accumulate(block == ord('"')) ^ inside
        marks = block[((block == ord(separator)) | (block == ord("\n"))) & ~quoting]
        ends = np.flatnonzero(marks == ord("\n"))
        counts = np.diff(ends, prepend=-1)
        counts[:1] += cells
        if np.any(counts != width):
            return False
        inside = bool(quoting[-1])
        cells = len(marks) - 1 - int(ends[-1]) if len(ends) else cells + len(marks)
    return not inside and cells == (0 if data.endswith(b"\n") else width - 1)
