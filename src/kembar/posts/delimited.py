"""Text with separators (CSV, TSV): regular text is parsed by polars, irregular text is first written anew.

Text is read as text throughout: no column is guessed to be a number, so ``007`` stays ``007``. The separator is the one
that a first line ``sep=`` names, else the one of comma, tab, semicolon and bar that splits the header most. What can
mean one thing only is read and noted: lines before the header, blanks around names, blank lines, rows of empty cells,
empty cells beyond the header, backslashes before quotes. Any other row with more or fewer cells than the header is
refused with its line number, or left out on request.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import numpy as np
import polars as pl

from kembar.errors import CatalogError, quoted
from kembar.posts.encodings import as_utf8
from kembar.posts.layout import Layout
from kembar.posts.notes import Note
from kembar.posts.table import Table, Wanted, blanks_note, header_row, once, skipped_note, stripped

_SEPARATORS: Final = ",\t;|"
_SEPARATOR_LINE: Final = re.compile(rb'"?sep=(.)"?[,;\t]*\r?\n', re.IGNORECASE)
_BLOCK: Final = 1 << 24  # bytes looked at in one go
_LONGEST_CELL: Final = 2**31 - 1  # characters; the csv module's own limit is 131,072
_QUOTE: Final = "\ue0f1"  # in place of a quote behind a backslash; no character of any language
_SEARCHED: Final = 30  # rows among which the header is looked for


@dataclass(frozen=True, slots=True)
class _Header:
    """The header of a text: its names, and where the rows begin."""

    separator: str
    names: list[str]
    end: int  # bytes before the rows
    lines: int  # lines before the rows
    notes: tuple[Note, ...]


@dataclass(slots=True)
class _Counts:
    """What was irregular about the rows."""

    empty: int = 0
    longer: int = 0
    bad: list[int] = field(default_factory=list)

    def notes(self) -> tuple[Note, ...]:
        """Tell of what there was."""
        shown = ", ".join(map(str, self.bad[:5])) + (", ..." if len(self.bad) > 5 else "")
        found = [
            Note("rows", "rows of empty cells, left out", self.empty),
            Note("cells", "rows with empty cells beyond the header, cut off", self.longer),
            Note("rows", f"rows with more or fewer cells than the header, left out (lines {shown})", len(self.bad)),
        ]
        return tuple(note for note in found if note.count)


def read_delimited(raw: bytes, source: str, wanted: Wanted, layout: Layout) -> Table:
    """Read the wanted columns of a text with separators.

    Args:
        raw: the bytes of the file.
        source: what the file is called in messages.
        wanted: the columns that are looked for.
        layout: what is said about the file.

    Returns:
        The table, all String.

    Raises:
        CatalogError: no text, a row with more or fewer cells than the header, quotes that do not close.
    """
    data, encoding = as_utf8(raw, source, layout.encoding)
    data, notes = _with_line_feeds(data)
    header = _header(data, wanted, layout)
    notes = (encoding, *notes, *header.notes)
    chosen = once(header.names, wanted, source)
    if not chosen:
        return Table(source, header.names, pl.DataFrame(), notes, is_file=True)
    text = _Text(data[header.end :].rstrip(b"\r\n"), header, source, layout.bad_rows == "skip")
    frame, more = text.frame(chosen)
    return Table(source, header.names, frame, (*notes, *more), is_file=True)


def _with_line_feeds(data: bytes) -> tuple[bytes, tuple[Note, ...]]:
    if b"\n" in data or b"\r" not in data:
        return data, ()
    return data.replace(b"\r", b"\n"), (Note("rows", "lines end in carriage returns, as on old Macs"),)


def _header(data: bytes, wanted: Wanted, layout: Layout) -> _Header:
    named = _SEPARATOR_LINE.match(data)
    separators = named[1].decode("latin-1") if named else _SEPARATORS
    given = layout.skip_rows
    before = given or (1 if named else 0)
    start = _after(data, 0, before)
    found = {mark: _first_rows(data[start : start + _BLOCK], mark) for mark in separators}
    if given is None:
        separator, at = _fitting(found, wanted)
    else:
        separator, at = _widest(found), 0
    rows = found[separator]
    cells, lines = rows[at] if rows else ([], 0)
    skipped = (rows[at - 1][1] if at else 0) + (given or 0)
    notes = skipped_note(skipped) + blanks_note(cells)
    if named:
        notes = (Note("header", f"a first line that names the separator: {quoted(separators)}"), *notes)
    return _Header(separator, stripped(cells), _after(data, start, lines), before + lines, notes)


def _fitting(found: dict[str, list[tuple[list[str], int]]], wanted: Wanted) -> tuple[str, int]:
    """Choose separator and row of the header: the earliest that fits, widest of these; else the widest first row."""
    at = {mark: header_row([cells for cells, _ in rows], wanted) for mark, rows in found.items()}
    fits = [mark for mark, rows in found.items() if rows and wanted.fits(stripped(rows[at[mark]][0]))]
    if not fits:
        return _widest(found), 0
    best = min(fits, key=lambda mark: (found[mark][at[mark]][1], -len(found[mark][at[mark]][0])))
    return best, at[best]


def _widest(found: dict[str, list[tuple[list[str], int]]]) -> str:
    return max(found, key=lambda mark: len(found[mark][0][0]) if found[mark] else 0)  # the first of equals: the comma


def _first_rows(data: bytes, separator: str) -> list[tuple[list[str], int]]:
    """Read the first rows that are not blank, each with the number of its last line.

    Fewer where one cell has no end, as of thousands of columns with another separator.
    """
    rows = csv.reader(_lines(data), delimiter=separator)
    found: list[tuple[list[str], int]] = []
    with suppress(csv.Error):
        for cells in islice(rows, 2 * _SEARCHED):
            found += [(cells, rows.line_num)] if any(map(str.strip, cells)) else []
    return found[:_SEARCHED]


def _after(data: bytes, start: int, lines: int) -> int:
    """Find where so many lines after a start end."""
    for _ in range(lines):
        end = data.find(b"\n", start)
        if end < 0:
            return len(data)
        start = end + 1
    return start


def _lines(data: bytes) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(data), "utf-8", errors="replace", newline="")


@contextmanager
def _long_cells() -> Iterator[None]:
    limit = csv.field_size_limit(_LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


@dataclass(frozen=True, slots=True)
class _Text:
    """The rows of a text below its header."""

    data: bytes
    header: _Header
    source: str
    skip: bool  # rows of another length

    def frame(self, chosen: list[str]) -> tuple[pl.DataFrame, tuple[Note, ...]]:
        """Parse the chosen columns."""
        width = len(self.header.names)
        if b'\\"' not in self.data and _is_rectangular(self.data, self.header.separator, width):
            try:
                return self._parsed(self.data, self.header.separator, chosen), ()
            except pl.exceptions.PolarsError:  # a quote that polars and the check above take differently
                pass
        data, notes = self._regular()
        return self._parsed(data, ",", chosen), notes

    def _parsed(self, data: bytes, separator: str, chosen: list[str]) -> pl.DataFrame:
        places = {name: self.header.names.index(name) for name in chosen}
        if not data:
            return pl.DataFrame(schema=dict.fromkeys(chosen, pl.String))
        frame = pl.read_csv(
            data, separator=separator, has_header=False, infer_schema=False, columns=sorted(places.values())
        )
        return frame.rename(dict(zip(frame.columns, sorted(places, key=places.__getitem__), strict=True)))

    def _regular(self) -> tuple[bytes, tuple[Note, ...]]:
        """Write irregular rows anew, with backslashes before quotes taken as such where they can be nothing else."""
        count = self.data.count(b'\\"')
        if not count or b'\\\\"' in self.data or _QUOTE.encode() in self.data:
            return self._rewritten(self.data)
        if not self._escapes():
            with suppress(CatalogError):
                return self._rewritten(self.data)
        try:
            data, notes = self._rewritten(self.data.replace(b'\\"', _QUOTE.encode()))
        except CatalogError:
            return self._rewritten(self.data)  # or the complaint about the text as it stands
        return data, (*notes, Note("cells", "quotes behind backslashes, read as quotes", count))

    def _escapes(self) -> bool:
        """Whether there is a backslash before a quote where standard quoting never has one.

        There the quote would be doubled, or end its cell.
        """
        mark = re.escape(self.header.separator.encode())
        inside = rb'\\"(?!["\r\n]|' + mark + rb"|$)"
        unquoted = rb"(?m)(?:^|" + mark + rb')[^"\n' + mark + rb']*\\"'
        return bool(re.search(inside, self.data) or re.search(unquoted, self.data))

    def _rewritten(self, data: bytes) -> tuple[bytes, tuple[Note, ...]]:
        r"""Write rows with every cell quoted, without blank ones; refuse, or leave out, the broken.

        Python's own parser takes some seconds per million rows; it accepts the single quote of ``24" monitor``, which
        polars does not when a quoted line end follows.
        """
        out, counts = io.StringIO(newline=""), _Counts()
        write = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n").writerow
        rows = csv.reader(_lines(data), delimiter=self.header.separator, strict=True)
        with _long_cells():
            try:
                for cells in rows:
                    self._write([cell.replace(_QUOTE, '"') for cell in cells], rows.line_num, write, counts)
            except csv.Error as error:
                raise CatalogError(
                    f"{quoted(self.source)} line {rows.line_num + self.header.lines}, which does not parse ({error})",
                    "quotes around a whole cell, doubled inside it",
                    "Fix that line, or export the posts again with standard CSV quoting.",
                ) from error
        return out.getvalue().encode(), counts.notes()

    def _write(self, cells: list[str], line: int, write: Callable[[list[str]], object], counts: _Counts) -> None:
        names = self.header.names
        if not any(map(str.strip, cells)):
            counts.empty += len(cells) > 1
            return
        named = len(names) - next((at for at, name in enumerate(reversed(names)) if name), len(names))
        if len(cells) > len(names) and not any(map(str.strip, cells[len(names) :])):
            counts.longer += 1
            cells = cells[: len(names)]
        elif named <= len(cells) < len(names):
            cells = cells + [""] * (len(names) - len(cells))
        if len(cells) == len(names):
            write(cells)
        elif self.skip:
            counts.bad.append(line + self.header.lines)
        else:
            raise self._ragged(cells, line + self.header.lines)

    def _ragged(self, cells: list[str], line: int) -> CatalogError:
        return CatalogError(
            f"{quoted(self.source)} line {line}: {len(cells)} cells, the first {quoted(''.join(cells[:1]))}",
            f"{len(self.header.names)} cells, as in the header",
            "Fix that line: a separator too many or too few, or a cell that needs quotes around it; "
            "with bad_rows=... as 'skip' such rows are left out and counted.",
        )


def _is_rectangular(data: bytes, separator: str, width: int) -> bool:
    """Whether every row has as many cells as the header; True is certain, False needs a closer look.

    A line end or separator counts when an even number of quotes precedes it. A quote inside a cell that none begins, as
    in ``5" tv``, would hide what follows up to the next one: it needs the closer look.
    """
    inside, cells, before = False, 0, ord("\n")
    openers = np.array([ord(separator), ord("\n"), ord('"')], dtype=np.uint8)
    for start in range(0, len(data), _BLOCK):
        block = np.frombuffer(data, np.uint8, min(_BLOCK, len(data) - start), start)
        quotes = block == ord('"')
        quoting = np.logical_xor.accumulate(quotes) ^ inside
        opening = np.flatnonzero(quotes & quoting)
        if not np.isin(np.where(opening > 0, block[opening - 1], before), openers).all():
            return False
        before = int(block[-1])
        marks = block[((block == ord(separator)) | (block == ord("\n"))) & ~quoting]
        ends = np.flatnonzero(marks == ord("\n"))
        counts = np.diff(ends, prepend=-1)
        counts[:1] += cells
        if np.any(counts != width):
            return False
        inside = bool(quoting[-1])
        cells = len(marks) - 1 - int(ends[-1]) if len(ends) else cells + len(marks)
    return not inside and cells == (0 if data.endswith(b"\n") else width - 1)
