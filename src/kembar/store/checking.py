"""Whether a store is whole: the file, its tables, and the log beside what the tables have.

Only reads, and needs no lock: a store can be checked while a service has it open.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from kembar.errors import KembarError, StoreError, quoted
from kembar.store.connection import connected
from kembar.store.database import FILE, PHOTOS, version_of
from kembar.store.replay import LOST, differences, events_of, replayed, stored
from kembar.store.reports import counts

_FURTHER: Final = "further_images "  # how the columns of further photos begin
_MOST: Final = 20  # lines that SQLite says of one file

_WRONG: Final = {  # what no store has: the rows of each
    "pairs of posts that are not there": "SELECT 1 FROM pairs JOIN posts ON posts.row IN (left, right) "
    "WHERE removed IS NOT NULL",
    "probabilities that are none": "SELECT 1 FROM pairs WHERE NOT probability BETWEEN 0 AND 1",
    "posts removed by an event that does not say so": "SELECT 1 FROM posts JOIN events ON number = removed "
    f"WHERE kind NOT IN ('remove', 'undo', '{LOST}')",
    "decisions of an event that is none": "SELECT 1 FROM decisions JOIN events ON number = event "
    f"WHERE kind NOT IN ('decide', 'merge', 'split', 'accept', '{LOST}')",
    "events that take back a later one": "SELECT 1 FROM events WHERE undoes >= number",
    "vectors that are cut off": "SELECT 1 FROM vectors LEFT JOIN about ON key = 'dimension ' || name "
    "WHERE value IS NULL OR length(vector) % (4 * value) <> 0",
}


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found.

    Attributes:
        faults: what is wrong, in words; none where the store is whole.
        notes: what is worth knowing and nothing is wrong with.
        posts: that are there.
        events: in the log.
    """

    faults: tuple[str, ...]
    notes: tuple[str, ...] = ()
    posts: int = 0
    events: int = 0

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults

    def __str__(self) -> str:
        lines = [f"{self.posts:,} posts, {self.events:,} events"]
        lines += [f"fault: {fault}" for fault in self.faults] + [f"note: {note}" for note in self.notes]
        end = "The store is whole." if self.whole else "Repair it with `kembar store repair`."
        return "\n".join([*lines, end])


@contextmanager
def looked_at(folder: Path) -> Iterator[sqlite3.Connection]:
    """Read a store as it is at one moment, while others may write to it; raises StoreError."""
    if not (folder / FILE).is_file():
        raise StoreError(
            f"{quoted(folder)}, which holds no {FILE}", "a store of `kembar store create`", "Check the path."
        )
    read = connected(folder / FILE, alone=True)
    try:
        read.execute("BEGIN")
        yield read
    finally:
        read.close()


def checked(folder: Path) -> Checked:
    """Check a store.

    Args:
        folder: of the store.

    Returns:
        What is wrong with it; damage is told, not raised.

    Raises:
        StoreError: there is no store, or one of a newer version.
    """
    try:
        with looked_at(folder) as read:
            said = _said_by_sqlite(read)
            if said:
                return Checked(tuple(said))
            version_of(folder, dict(read.execute("SELECT key, value FROM about")))
            return _checked(read, folder / PHOTOS)
    except StoreError as error:
        if "damaged store" not in error.given:
            raise
        return Checked((error.given,))


def _said_by_sqlite(read: sqlite3.Connection) -> list[str]:
    return [text for (text,) in read.execute(f"PRAGMA integrity_check({_MOST})") if text != "ok"]


def _named_and_missing(read: sqlite3.Connection) -> list[str]:
    found = Counter((table, parent) for table, _, parent, _ in read.execute("PRAGMA foreign_key_check"))
    return [f"{count:,} rows of {one} name rows of {other} that are not there" for (one, other), count in found.items()]


def _checked(read: sqlite3.Connection, photos: Path) -> Checked:
    counted = ((what, len(read.execute(asked).fetchall())) for what, asked in _WRONG.items())
    faults = [*_named_and_missing(read), *(f"{count:,} {what}" for what, count in counted if count)]
    try:
        told = replayed(events_of(read))
        faults += [*told.gaps, *differences(told, stored(read))]
    except (KembarError, ValueError, KeyError) as error:
        faults.append(f"posts or events that cannot be read: {error}")
    posts = read.execute("SELECT count(*) FROM posts WHERE removed IS NULL").fetchone()[0]
    events = read.execute("SELECT count(*) FROM events").fetchone()[0]
    return Checked(tuple(faults), tuple(_notes(read, photos)), posts, events)


def _notes(read: sqlite3.Connection, photos: Path) -> Iterator[str]:
    missing = sorted(name for name in _photos_named(read) if not (photos / name).is_file())
    if missing:
        some = ", ".join(map(repr, missing[:3]))
        yield f"{len(missing):,} photos that posts name are not in {PHOTOS}: {some}{' ...' if len(missing) > 3 else ''}"
    times = [at for (at,) in read.execute("SELECT at FROM events WHERE at <> '' ORDER BY number")]
    back = sum(later < earlier for earlier, later in pairwise(times))
    if back:
        yield f"the clock went backwards {back:,} times; the order of events is that of their numbers"
    lost = read.execute("SELECT count(*) FROM events WHERE kind = ?", (LOST,)).fetchone()[0]
    if lost:
        yield f"{lost:,} events were lost before a repair; what they did is told by the event of the repair"


def _photos_named(read: sqlite3.Connection) -> set[str]:
    found: set[str] = set()
    for image, more in read.execute("SELECT image, more FROM posts WHERE removed IS NULL"):
        found.add(image)
        if _FURTHER in more:
            found |= {name for key, name in json.loads(more).items() if key.startswith(_FURTHER)}
    return found - {""}


def described(folder: Path) -> dict[str, str]:
    """Tell what a store holds, in words, by what it is about; raises StoreError."""
    with looked_at(folder) as read:
        version = version_of(folder, dict(read.execute("SELECT key, value FROM about")))
        found = counts(read, 0)
        first, last = read.execute("SELECT min(at), max(number) FROM events").fetchone()
        removed = read.execute("SELECT count(*) FROM posts WHERE removed IS NOT NULL").fetchone()[0]
        merges = read.execute("SELECT count(*) FROM merges WHERE closed IS NULL").fetchone()[0]
    size = sum(path.stat().st_size for path in folder.glob(f"{FILE}*"))
    return {
        "version": str(version),
        "posts": f"{found.posts:,}",
        "removed posts": f"{removed:,}",
        "groups": f"{found.groups:,}",
        "pairs": f"{found.pairs:,}",
        "decisions": f"{found.decisions:,}",
        "proposed merges": f"{merges:,}",
        "events": f"{found.events:,}",
        "first event": str(first),
        "last event": str(last),
        "size": f"{size / 2**20:,.1f} MiB without photos",
    }
