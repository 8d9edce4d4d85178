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

from kembar.errors import StoreError, quoted
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
    """

    write: sqlite3.Connection
    number: int
    body: dict[str, Any] = field(default_factory=dict)
    event: Event | None = None

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
        self._readers: list[sqlite3.Connection] = []
        self._writer = _connected(folder / FILE)

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
        lock = _locked(folder)
        try:
            (folder / PHOTOS).mkdir(exist_ok=True)
            database = cls(folder, lock)
            with database.transaction() as write:
                for statement in _statements(TABLES):
                    write.execute(statement)
                told = {"format": FORMAT, "version": str(VERSION), **about}
                write.executemany("INSERT INTO about VALUES (?, ?)", told.items())
        except OSError as error:
            os.close(lock)
            raise StoreError(
                f"{quoted(folder)}, which cannot be written ({error.strerror})",
                "a folder that can be written, on a disk with free space",
                "Choose another folder, or free some space.",
            ) from error
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
        lock = _locked(folder)
        try:
            database = cls(folder, lock)
            with damage_told(folder):
                database._check_version()
        except BaseException:
            os.close(lock)
            raise
        return database

    def _check_version(self) -> None:
        about = self.about()
        version = int(about.get("version", 0)) if about.get("version", "").isdigit() else 0
        if about.get("format") != FORMAT or version > VERSION:
            raise StoreError(
                f"{quoted(self.folder)}, a store of version {quoted(about.get('version', 'none'))}",
                f"a store of version {VERSION} or older",
                "Open it with the version of kembar that made it, or a newer one.",
            )
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
            own = _connected(self.folder / FILE)
            own.execute("PRAGMA query_only = 1")
            self._local.connection = own
            self._readers.append(own)
        return own

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Write all or nothing; on disk when it ends. Callers see to it that there is one at a time.

        Raises:
            StoreError: a full or failing disk, or a damaged file; nothing was written.
        """
        with damage_told(self.folder):
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
            at = datetime.now(UTC).isoformat(timespec="milliseconds")
            text = json.dumps(change.body, ensure_ascii=False, separators=(",", ":"))
            write.execute(
                "INSERT INTO events (number, at, kind, by, note, body, undoes, key) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (number, at, kind, by, note, text, undoes, key),
            )
        change.event = Event(number, at, kind, by, note, change.body, undoes)

    def close(self) -> None:
        """Let the store go."""
        for connection in (*self._readers, self._writer):
            connection.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


@contextmanager
def damage_told(folder: Path) -> Iterator[None]:
    """Say in plain words what SQLite says of a disk or a file; raises StoreError."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
            raise
        text = str(error)
        if "full" in text:
            given, expected, fix = "a full disk", "free space", "Free some space; what was asked for was not done."
        elif "malformed" in text or "not a database" in text or "no such table" in text:
            given, expected = f"a damaged store ({text})", "a whole store"
            fix = "See `kembar store check`, and mend it with `kembar store repair`, or take a copy that is whole."
        else:
            given, expected, fix = (
                f"a store that cannot be used ({text})",
                "a readable, writable disk",
                "Check the disk.",
            )
        raise StoreError(f"{quoted(folder)}: {given}", expected, fix) from error


def event_of(row: tuple[Any, ...]) -> Event:
    """Read (number, at, kind, by, note, body, undoes) as the log has them."""
    number, at, kind, by, note, body, undoes = row
    return Event(number, at, kind, by, note, json.loads(body), undoes)


def _connected(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
    with damage_told(path.parent):
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = 1")
        connection.execute("PRAGMA cache_size = -65536")
    return connection


def _statements(script: str) -> Iterator[str]:
    """Cut a script into statements: a trigger holds semicolons of its own."""
    waiting = ""
    for line in script.splitlines(keepends=True):
        waiting += line
        if sqlite3.complete_statement(waiting):
            yield waiting
            waiting = ""


def _locked(folder: Path) -> int:
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
