"""A table as it was read, and what its reader must know of the columns that are wanted."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import polars as pl

from kembar.errors import CatalogError, quoted
from kembar.posts.notes import Note


@dataclass(frozen=True, slots=True)
class Table:
    """The wanted columns of a source.

    Args:
        source: what the source is called in messages.
        names: every column the source has, wanted or not.
        frame: the wanted columns that exist, rows in the order given; all String when the source is a text file.
        notes: what was noticed while reading.
        is_file: whether it was read from a file, whose rows may hold headers, instructions and totals.
        is_workbook: whether it was read from a workbook, which makes numbers and dates of what looks like them.
    """

    source: str
    names: list[str]
    frame: pl.DataFrame
    notes: tuple[Note, ...] = ()
    is_file: bool = False
    is_workbook: bool = False


class Wanted(Protocol):
    """The columns that are looked for."""

    def fits(self, cells: Sequence[str]) -> bool:
        """Whether a row looks like the header of such a table."""

    def wanted(self, names: Collection[str]) -> Collection[str]:
        """Return the names of the columns to read, among those of a header."""

    def plain(self, names: Collection[str]) -> Collection[str]:
        """Return the names of the columns that are text or numbers: no lists, no objects."""


@dataclass(frozen=True, slots=True)
class Exactly:
    """Columns looked for by their names."""

    names: Collection[str]

    def fits(self, cells: Sequence[str]) -> bool:
        """Whether a row has all of the names."""
        return set(self.names) <= set(cells)

    def wanted(self, names: Collection[str]) -> Collection[str]:
        """Return the names looked for, whatever there is."""
        del names
        return self.names

    def plain(self, names: Collection[str]) -> Collection[str]:
        """Return the names looked for."""
        return self.wanted(names)


def present(names: Collection[str], wanted: Wanted) -> list[str]:
    """Return the names that are wanted, in the order of the source."""
    chosen = set(wanted.wanted(names))
    return [name for name in names if name in chosen]


def once(names: Collection[str], wanted: Wanted, source: str) -> list[str]:
    """Return the names that are wanted, each of which must be there once.

    Raises:
        CatalogError: two columns have one name.
    """
    found = present(names, wanted)
    twice = sorted({name for name in found if found.count(name) > 1})
    if twice:
        raise CatalogError(
            f"{source} with two columns named {quoted(twice[0])}",
            "each column name once",
            "Rename or drop one of the two.",
        )
    return found


def header_row(rows: Sequence[Sequence[str]], wanted: Wanted) -> int:
    """Find the header among the first rows: the first that fits, else the first row."""
    return next((at for at, cells in enumerate(rows) if wanted.fits(stripped(cells))), 0)


def stripped(cells: Sequence[str]) -> list[str]:
    """Take the blanks off the cells of a header."""
    return [cell.strip().strip("\ufeff").strip() for cell in cells]


def blanks_note(cells: Sequence[str]) -> tuple[Note, ...]:
    """Note the names of columns that had blanks around them."""
    count = sum(cell != name for cell, name in zip(cells, stripped(cells), strict=True))
    return (Note("header", "column names with blanks around them, taken off", count),) if count else ()


def skipped_note(rows: int, what: str = "lines before the header, left out") -> tuple[Note, ...]:
    """Note what stood before the header."""
    return (Note("header", what, rows),) if rows else ()
