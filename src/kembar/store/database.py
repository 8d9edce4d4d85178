"""The file of a store: opened by one process, written in transactions that are on disk when they end."""

import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from weakref import WeakSet

from kembar.errors import StoreError, quoted
from kembar.store.connection import connected
from kembar.store.records import Event
from kembar.store.schema import FORMAT, MIGRATIONS, TABLES, VERSION

try:
    import fcntl
except ImportError:  # Windows: that a second process has the store is only told by SQLite, when both write
    fcntl: Any = None  # type: ignore[no-redef]

FILE: Final = "store.sqlite"
PHOTOS: Final = "photos"
_LOCK: Final = "lock"


@dataclass
class Change:
    """A transaction that ends with an event.

    Attributes:
        write: the connection.
        number: the number that the event will have.
        body: what it will tell.
        event: the event, once the transaction has ended.
        further: how many events were written behind it.
        at: its time, and that of those behind it.
    """

    write: sqlite3.Connection
    number: int
    body: dict[str, Any] = field(default_factory=dict)
    event: Event | None = None
    further: int = 0
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))

    def also(self, kind: str, body: Mapping[str, Any], by: str = "") -> None:
        """Write a further event behind this one, in the same transaction: what is too long for one body."""
        self.further += 1
        _write_event(self.write, Event(self.number + self.further, self.at, kind, by, "", body), None)

    def done(self) -> Event:
        """Give the event of a transaction that has ended."""
        if self.event is None:
            raise StoreError("a change that was not written", "a transaction that has ended", "Try again.")
        return self.event


class Database:
    """The tables of a store.

    Args:
        folder: with the file in it.
        lock: descriptor of the lock of the folder, which this process holds.
    """

    def __init__(self, folder: Path, lock: int) -> None:
        self.folder = folder
        self._lock = lock
        self._local = threading.local()
        self._readers: WeakSet[sqlite3.Connection] = WeakSet()  # that of a thread goes with the thread
        self._writer = connected(folder / FILE)

    @classmethod
    def create(cls, folder: Path, about: Mapping[str, str]) -> "Database":
        """Make a store in a folder that is there and empty.

        Args:
            folder: for the store.
            about: what is to be known of it, beside format and version.

        Returns:
            The store, with no posts.

        Raises:
            StoreError: the folder cannot be written, or another process has it.
        """
        lock = locked(folder)
        with _let_go(lock) as made:
            try:
                (folder / PHOTOS).mkdir(exist_ok=True)
            except OSError as error:
                raise StoreError(
                    f"{quoted(folder)}, which cannot be written ({error.strerror})",
                    "a folder that can be written, on a disk with free space",
                    "Choose another folder, or free some space.",
                ) from error
            database = cls(folder, lock)
            made.append(database)
            with database.transaction() as write:
                for statement in _statements(TABLES):
                    write.execute(statement)
                told = {"format": FORMAT, "version": str(VERSION), **about}
                write.executemany("INSERT INTO about VALUES (?, ?)", told.items())
        return database

    @classmethod
    def open(cls, folder: Path) -> "Database":
        """Open a store, and bring one of an older version to this.

        Raises:
            StoreError: there is no store, it is damaged or of a newer version, or another process has it.
        """
        if not (folder / FILE).is_file():
            raise StoreError(
                f"{quoted(folder)}, which holds no {FILE}", "a store of `kembar store create`", "Check the path."
            )
        lock = locked(folder)
        with _let_go(lock) as made:
            database = cls(folder, lock)
            made.append(database)
            database._check_version()
        return database

    def _check_version(self) -> None:
        version = version_of(self.folder, self.about())
        for older in range(version, VERSION):
            with self.transaction() as write:
                for statement in _statements(MIGRATIONS[older]):
                    write.execute(statement)
                write.execute("UPDATE about SET value = ? WHERE key = 'version'", (str(older + 1),))

    def about(self) -> dict[str, str]:
        """Tell what is known of the store."""
        return dict(self.reading().execute("SELECT key, value FROM about").fetchall())

    def reading(self) -> sqlite3.Connection:
        """Give this thread its own connection, which cannot write."""
        own: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if own is None:
            own = connected(self.folder / FILE)
            own.execute("PRAGMA query_only = 1")
            self._local.connection = own
            self._readers.add(own)
        return own

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Write all or nothing; on disk when it ends. Callers see to it that there is one at a time.

        Raises:
            StoreError: a full or failing disk, or a damaged file; nothing was written.
        """
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            yield self._writer
            self._writer.execute("COMMIT")
        except BaseException:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            raise

    @contextmanager
    def change(
        self, kind: str, *, by: str = "", note: str = "", undoes: int | None = None, key: str | None = None
    ) -> Iterator[Change]:
        """Do something that the log then tells of, all of it or nothing.

        Args:
            kind: see `Event`; likewise below.
            by: who does it.
            note: in words.
            undoes: the number of the event that it takes back.
            key: of the request, so that the same one is known.

        Yields:
            The change, whose body is to be filled.
        """
        with self.transaction() as write:
            write.execute("PRAGMA defer_foreign_keys = 1")  # the event is written last, when all is known of it
            number = write.execute("SELECT coalesce(max(number), 0) + 1 FROM events").fetchone()[0]
            change = Change(write, number)
            yield change
            event = Event(number, change.at, kind, by, note, change.body, undoes)
            _write_event(write, event, key)
        change.event = event

    def close(self) -> None:
        """Let the store go."""
        for connection in (*self._readers, self._writer):
            connection.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


@contextmanager
def _let_go(lock: int) -> Iterator[list[Database]]:
    """Close the database that is put into the list, or else the lock, if something fails."""
    made: list[Database] = []
    try:
        yield made
    except BaseException:
        for database in made:
            database.close()
        if not made:
            os.close(lock)
        raise


def version_of(folder: Path, about: Mapping[str, str]) -> int:
    """Read the version of a store; raises StoreError where it is newer than this program, or no store's."""
    told = about.get("version", "")
    version = int(told) if told.isascii() and told.isdigit() else 0
    if about.get("format") != FORMAT or version < 1:
        raise StoreError(
            f"{quoted(folder / FILE)}, which does not say that it is a store",
            "a store of `kembar store create`",
            "Check the path; a damaged store is repaired by `kembar store repair`.",
        )
    if version > VERSION:
        raise StoreError(
            f"{quoted(folder)}, a store of version {version}",
            f"a store of version {VERSION} or older",
            "Open it with the version of kembar that made it, or a newer one.",
        )
    return version


def _write_event(write: sqlite3.Connection, event: Event, key: str | None) -> None:
    text = json.dumps(event.body, ensure_ascii=False, separators=(",", ":"))
    write.execute(
        "INSERT INTO events (number, at, kind, by, note, body, undoes, key) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (event.number, event.at, event.kind, event.by, event.note, text, event.undoes, key),
    )


def event_of(row: tuple[Any, ...]) -> Event:
    """Read (number, at, kind, by, note, body, undoes) as the log has them; raises StoreError."""
    number, at, kind, by, note, body, undoes = row
    try:
        told = json.loads(body)
    except ValueError as error:
        raise StoreError(
            f"event {number}, whose text is damaged",
            "a whole store",
            "See `kembar store check` and `kembar store repair`.",
        ) from error
    return Event(number, at, kind, by, note, told, undoes)


def _statements(script: str) -> Iterator[str]:
    """Cut a script into statements: a trigger holds semicolons of its own."""
    waiting = ""
    for line in script.splitlines(keepends=True):
        waiting += line
        if sqlite3.complete_statement(waiting):
            yield waiting
            waiting = ""


def locked(folder: Path) -> int:
    """Hold the folder for this process, until it ends; raises StoreError."""
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StoreError(
            f"{quoted(folder)}, which cannot be used ({error.strerror})", "a folder that can be written", "Check it."
        ) from error
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise StoreError(
            f"{quoted(folder)}, which another process has open",
            "one process for a store",
            "Stop that one, or ask it over HTTP (`kembar serve`).",
        ) from error
    return descriptor
