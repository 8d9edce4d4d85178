"""Connections to the file of a store, which say in plain words what SQLite says of a disk or a file."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from kembar.errors import InputError, StoreError, quoted

_MANY: Final = 500  # values in one statement


def connected(path: Path, *, alone: bool = False) -> sqlite3.Connection:
    """Open the file of a store.

    Args:
        path: the file; made where it is not there, unless `alone`.
        alone: only read, and change nothing of how the file is kept.

    Returns:
        A connection that commits by itself; what it raises is a StoreError.
    """
    where = f"{path.absolute().as_uri()}?mode=ro" if alone else str(path)
    with damage_told(path.parent):
        connection = sqlite3.connect(
            where, isolation_level=None, check_same_thread=False, timeout=30, factory=_Connection, uri=alone
        )
    connection.folder = path.parent
    ways = ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = 1", "cache_size = -65536")
    try:
        for way in ("query_only = 1", "cache_size = -65536") if alone else ways:
            connection.execute(f"PRAGMA {way}")
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def damage_told(folder: Path) -> Iterator[None]:
    """Say in plain words what SQLite says of a disk or a file; raises StoreError."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise in_words(error, folder) from error


@contextmanager
def damaged_rows_told(folder: Path) -> Iterator[None]:
    """Say so where rows can be read and hold what no row can; raises StoreError."""
    try:
        yield
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise StoreError(
            f"{quoted(folder)}: a damaged store ({error})",
            "a whole store",
            "See `kembar store check`, and repair it with `kembar store repair`, or take a copy that is whole.",
        ) from error


def in_words(error: sqlite3.DatabaseError, folder: Path) -> Exception:
    """Give the StoreError for what SQLite says of a disk or a file; the error itself where it is a fault of ours."""
    if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
        return error
    text = str(error)
    if "full" in text:
        given, expected, fix = "a full disk", "free space", "Free some space; what was asked for was not done."
    elif any(said in text for said in ("malformed", "not a database", "no such table", "no such column", "decode")):
        given, expected = f"a damaged store ({text})", "a whole store"
        fix = "See `kembar store check`, and repair it with `kembar store repair`, or take a copy that is whole."
    else:
        given, expected, fix = f"a store that cannot be used ({text})", "a readable, writable disk", "Check the disk."
    return StoreError(f"{quoted(folder)}: {given}", expected, fix)


class _Connection(sqlite3.Connection):
    folder = Path()

    def __del__(self) -> None:
        with suppress(sqlite3.ProgrammingError):  # one that was never opened
            self.close()

    def cursor(self, *_: Any) -> sqlite3.Cursor:  # type: ignore[override]
        """Begin a statement."""
        return super().cursor(_Cursor)

    def execute(self, *asked: Any) -> sqlite3.Cursor:
        """Run a statement."""
        return self.cursor().execute(*asked)

    def executemany(self, *asked: Any) -> sqlite3.Cursor:
        """Run a statement for many values."""
        return self.cursor().executemany(*asked)


class _Cursor(sqlite3.Cursor):
    def execute(self, *asked: Any) -> "_Cursor":
        """Run a statement."""
        try:
            super().execute(*asked)
        except sqlite3.DatabaseError as error:
            raise self._told(error) from error
        return self

    def executemany(self, *asked: Any) -> "_Cursor":
        """Run a statement for many values."""
        try:
            super().executemany(*asked)
        except sqlite3.DatabaseError as error:
            raise self._told(error) from error
        return self

    def fetchone(self) -> Any:
        """Read a row."""
        try:
            return super().fetchone()
        except sqlite3.DatabaseError as error:
            raise self._told(error) from error

    def fetchall(self) -> list[Any]:
        """Read all rows."""
        try:
            return super().fetchall()
        except sqlite3.DatabaseError as error:
            raise self._told(error) from error

    def __next__(self) -> Any:
        try:
            return super().__next__()
        except sqlite3.DatabaseError as error:
            raise self._told(error) from error

    def _told(self, error: sqlite3.DatabaseError) -> Exception:
        return in_words(error, self.connection.folder if isinstance(self.connection, _Connection) else Path())


def chunks(values: Sequence[Any]) -> Iterator[tuple[str, Sequence[Any]]]:
    """Cut values into parts that fit a statement: yields "?, ?, ..." and the values."""
    for begin in range(0, len(values), _MANY):
        part = values[begin : begin + _MANY]
        yield ", ".join("?" * len(part)), part
