"""Workbooks: .xlsx, .xlsm, .xlsb, .xls and .ods, through calamine (needs the extra `excel`).

Cells are read as text: a whole number without decimals, a date as 2024-03-05 00:00:00. Formulas have the value that
was stored with them; merged cells have theirs in the first cell alone.
"""

import re
import zipfile
from collections.abc import Sequence
from typing import Any, Final

import polars as pl

from kembar.errors import CatalogError, MissingExtraError, quoted
from kembar.posts.containers import Content, check_size
from kembar.posts.layout import Layout
from kembar.posts.notes import Note
from kembar.posts.table import Table, Wanted, blanks_note, header_row, once, skipped_note, stripped

_SEARCHED: Final = 30  # rows among which the header is looked for
_BLOCK: Final = 1 << 20
_UNCOMPUTED: Final = re.compile(rb"<f[^>]*(?:/>|>[^<]*</f>)\s*(?:<v\s*/>|<v>\s*</v>|</c>)")
_MERGED: Final = re.compile(rb"<mergeCell\s")
_LONGEST: Final = 4096  # bytes of a formula or a tag


def read_workbook(content: Content, wanted: Wanted, layout: Layout) -> Table:
    """Read the wanted columns of the sheet that holds posts.

    Args:
        content: the workbook.
        wanted: the columns that are looked for.
        layout: what is said about the file.

    Returns:
        The table, all String.

    Raises:
        MissingExtraError: fastexcel is not installed.
        CatalogError: no workbook, several sheets of posts, or none of the name given.
    """
    book = _opened(content)
    name, rows = _sheet(book, content.name, wanted, layout)
    at = layout.skip_rows if layout.skip_rows is not None else header_row(rows, wanted)
    cells = list(rows[at]) if at < len(rows) else []
    names = stripped(cells)
    chosen = once(names, wanted, content.name)
    frame = _loaded(book, name)
    columns = {heading: frame.to_series(names.index(heading)).slice(at + 1) for heading in chosen}
    notes = (Note("container", f"sheet {quoted(name)}"), *skipped_note(at), *blanks_note(cells), *_oddities(content))
    return Table(content.name, names, pl.DataFrame(columns), notes, is_file=True, is_workbook=True)


def _opened(content: Content) -> Any:
    try:
        import fastexcel
    except ModuleNotFoundError as error:
        raise MissingExtraError("fastexcel", "excel") from error
    _check_bomb(content)
    try:
        return fastexcel.read_excel(content.data if content.path is None else str(content.path))
    except (fastexcel.FastExcelError, OSError) as error:
        raise CatalogError(
            f"{quoted(content.name)}, which cannot be read as a workbook ({str(error).splitlines()[0]})",
            "a whole workbook without a password",
            "Save it again as .xlsx or CSV; the file is cut short, damaged or of another kind.",
        ) from error


def _check_bomb(content: Content) -> None:
    try:
        with content.file() as file, zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            check_size(sum(e.file_size for e in entries), sum(e.compress_size for e in entries), content.name)
    except zipfile.BadZipFile:  # an old one, or damaged
        return


def _sheet(book: Any, source: str, wanted: Wanted, layout: Layout) -> tuple[str, Sequence[Sequence[str]]]:
    """Choose the sheet: the one named, else the only one whose header fits, else the first."""
    names = book.sheet_names
    if layout.sheet is not None:
        if layout.sheet not in names:
            raise CatalogError(
                f"{quoted(source)} without a sheet {quoted(layout.sheet)}; it has {', '.join(map(quoted, names[:20]))}",
                "the name of a sheet",
                "Name one of these: sheet=...",
            )
        return layout.sheet, _first_rows(book, layout.sheet)
    first = {name: _first_rows(book, name) for name in names}
    fitting = [name for name, rows in first.items() if any(wanted.fits(stripped(cells)) for cells in rows)]
    if len(fitting) > 1:
        raise CatalogError(
            f"{quoted(source)} with {len(fitting)} sheets of posts: {', '.join(map(quoted, fitting[:20]))}",
            "one sheet of posts",
            "Choose one: sheet=...",
        )
    chosen = fitting[0] if fitting else next((name for name, rows in first.items() if rows), names[0])
    return chosen, first[chosen]


def _first_rows(book: Any, name: str) -> Sequence[Sequence[str]]:
    return [[cell or "" for cell in row] for row in _loaded(book, name, n_rows=_SEARCHED).iter_rows()]


def _loaded(book: Any, name: str, **options: Any) -> pl.DataFrame:
    frame: pl.DataFrame = book.load_sheet(name, header_row=None, dtypes="string", **options).to_polars()
    return frame.cast(pl.String)


def _oddities(content: Content) -> tuple[Note, ...]:
    """Count formulas without a stored value, and merged cells."""
    uncomputed = merged = 0
    try:
        with content.file() as file, zipfile.ZipFile(file) as archive:
            for entry in archive.namelist():
                if re.fullmatch(r"xl/worksheets/[^/]+\.xml", entry):
                    with archive.open(entry) as sheet:
                        found = _counted(sheet, (_UNCOMPUTED, _MERGED))
                    uncomputed, merged = uncomputed + found[0], merged + found[1]
    except (zipfile.BadZipFile, OSError):
        return ()
    notes = [
        Note("cells", "formulas without a stored value, read as empty; save the workbook in a spreadsheet", uncomputed),
        Note("cells", "merged cells, of which only the first holds the value", merged),
    ]
    return tuple(note for note in notes if note.count)


def _counted(file: Any, patterns: Sequence[re.Pattern[bytes]]) -> list[int]:
    """Count matches in a file, in blocks that share their ends."""
    counts, kept = [0] * len(patterns), b""
    while block := file.read(_BLOCK):
        text = kept + block
        edge = len(text) - _LONGEST
        for place, pattern in enumerate(patterns):
            counts[place] += sum(found.start() < edge for found in pattern.finditer(text))
        kept = text[max(0, edge) :]
    return [count + len(pattern.findall(kept)) for count, pattern in zip(counts, patterns, strict=True)]
