"""What can still be read of a damaged store: row by row, past the pages that are damaged."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from kembar.errors import StoreError, quoted
from kembar.store.damaged_file import readable
from kembar.store.database import FILE, event_of
from kembar.store.posts import COLUMNS, Record, record_of, usable
from kembar.store.records import Event

_MOST_FAILS: Final = 20_000  # ranges that cannot be read, and nothing that can, after which a table is given up

Row = tuple[Any, ...]


@dataclass
class Salvage:
    """The rows that could be read.

    Attributes:
        about: what is known of the store.
        events: in their order.
        keys: of requests, by the number of their event.
        last: the highest number that any event had.
        posts: by row: the record, the row of its group, whether its list was full, and the event that removed it.
        groups: names by row.
        decisions: event, rows of two posts, verdict, who, note, undone.
        pairs: rows of two posts and their probability.
        vectors: row of the post, name, bytes.
        merges: event, rows of two groups, probability, closed.
        unread: what could not be read, in words.
        whole: names of tables that could be read from end to end.
    """

    about: dict[str, str] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    keys: dict[int, str] = field(default_factory=dict)
    last: int = 0
    posts: dict[int, tuple[Record, int, int, int | None]] = field(default_factory=dict)
    groups: dict[int, str] = field(default_factory=dict)
    decisions: list[Row] = field(default_factory=list)
    pairs: list[Row] = field(default_factory=list)
    vectors: list[Row] = field(default_factory=list)
    merges: list[Row] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    whole: set[str] = field(default_factory=set)


def salvaged(folder: Path, scratch: Path) -> Salvage:
    """Read what can be read of a store, from a copy of its file.

    Args:
        folder: of the store, which is left as it is.
        scratch: an empty folder for the copy.

    Returns:
        The rows.

    Raises:
        StoreError: nothing of it can be read.
    """
    try:
        for path in folder.glob(f"{FILE}*"):
            if not path.name.endswith("-shm"):
                shutil.copyfile(path, scratch / path.name)
    except OSError as error:
        raise StoreError(
            f"{quoted(folder)}, which cannot be copied ({error.strerror})", "a disk that can be read", "Check the disk."
        ) from error
    read = readable(scratch / FILE)
    try:
        return _Reading(read).everything()
    finally:
        read.close()


class _Reading:
    """Reads all tables of a damaged file."""

    def __init__(self, read: sqlite3.Connection) -> None:
        self.read = read
        self.found = Salvage()

    def everything(self) -> Salvage:
        """Read what can be read."""
        found = self.found
        found.about = dict(self._attempt("SELECT key, value FROM about") or ())
        self._events()
        for row, post in self._rows("posts", "row", f"row, {COLUMNS}, group_row, full, removed", _post):
            found.posts[row] = post
        found.groups = dict(self._rows("groups", "row", "row, id", _of_texts(1)))
        found.decisions = self._rows("decisions", "event", "event, left, right, verdict, by, note, undone", tuple)
        found.merges = self._rows("merges", "event", "event, left, right, probability, closed", tuple)
        found.pairs = self._rows("pairs", "left", "left, right, probability", tuple)
        found.vectors = self._rows("vectors", "post", "post, name, vector", tuple)
        return found

    def _events(self) -> None:
        found = self.found
        asked = "number, at, kind, by, note, body, undoes, key"
        for event, key in self._rows("events", "number", asked, _event):
            found.events.append(event)
            if key is not None:
                found.keys[event.number] = key
        sequence = self._attempt("SELECT seq FROM sqlite_sequence WHERE name = 'events'") or []
        numbers = [event.number for event in found.events] + [row[0] for row in sequence if isinstance(row[0], int)]
        found.last = max(numbers, default=0)

    def _rows(self, table: str, key: str, names: str, of: Callable[[Row], Any]) -> list[Any]:
        """Read all rows of a table that can be read, in the order of a key that is a whole number."""
        asked = f"SELECT {names} FROM {table} WHERE {key} BETWEEN ? AND ? ORDER BY {key}"
        rows: list[Any] = []
        fails, odd, waiting = 0, 0, [self._bounds(table, key)]
        while waiting and (rows or fails < _MOST_FAILS):
            low, high = waiting.pop()
            read = self._attempt(asked, (low, high))
            if read is None and low < high:
                middle = (low + high) // 2
                waiting += [(middle + 1, high), (low, middle)]
            fails += read is None
            for row in read or ():
                try:
                    rows.append(of(row))
                except (TypeError, ValueError, KeyError, AttributeError):
                    odd += 1
        if fails or odd:
            self.found.unread.append(f"{table}: {len(rows):,} rows could be read, others not")
        elif rows:
            self.found.whole.add(table)
        return rows

    def _bounds(self, table: str, key: str) -> tuple[int, int]:
        """Find the range of a key: from the table, else so large that no file of this size has more."""
        found = self._attempt(f"SELECT min({key}), max({key}) FROM {table}")
        if found and all(isinstance(value, int) for value in found[0]):
            return int(found[0][0]), int(found[0][1])
        if found:
            return 0, 0
        pages, size = ((self._attempt(f"PRAGMA {name}") or [(4096,)])[0][0] for name in ("page_count", "page_size"))
        return 1, max(1024, pages * size // 16)

    def _attempt(self, asked: str, values: tuple[int, ...] = ()) -> list[Row] | None:
        try:
            return self.read.execute(asked, values).fetchall()
        except (StoreError, sqlite3.Error, OverflowError):
            return None


def _post(row: Row) -> tuple[int, tuple[Record, int, int, int | None]]:
    number, *values, group, full, removed = row
    return number, (usable(record_of(values)), int(group), int(full), removed)


def _event(row: Row) -> tuple[Event, str | None]:
    *values, key = row
    _check(all(isinstance(each, str) for each in values[1:6]) and isinstance(json.loads(values[5]), dict))
    return event_of(tuple(values)), key


def _of_texts(at: int) -> Callable[[Row], Row]:
    def checked(row: Row) -> Row:
        _check(isinstance(row[at], str))
        return row

    return checked


def _check(right: bool) -> None:
    if not right:
        raise ValueError
