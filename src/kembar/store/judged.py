"""The answers of people that a store holds, as rows: who said what about which two posts, and how the pair stood."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from sqlite3 import Connection
from typing import Final

from kembar.store.records import JOINS, SEPARATES

VERDICTS_THAT_SETTLE: Final = (JOINS, *SEPARATES)
"""The other two verdicts, unsure and skip, say that a person has seen the pair and leave it open."""

_NEVER: Final = "never compared"
_NOTE: Final = re.compile(r"([a-z]+), (never compared|[0-9.]+), (together|apart)\Z")
_COLUMNS: Final = """SELECT d.event, d.left, d.right, d.verdict, d.by, d.note FROM decisions d
    JOIN events e ON e.number = d.event AND e.kind = 'decide' WHERE d.undone IS NULL"""


@dataclass(frozen=True, slots=True)
class Judged:
    """An answer that was not taken back.

    Attributes:
        event: its number.
        left: row of a post.
        right: likewise, left < right.
        verdict: one of kembar.store.VERDICTS.
        by: who answered.
        kind: why the pair was shown, see `kembar.store.review.KINDS`; "" where it did not come from the review.
        probability: when it was answered; None where the two were not compared or it is not known.
        together: whether the two were in one group then; None where that is not known.
    """

    event: int
    left: int
    right: int
    verdict: str
    by: str
    kind: str
    probability: float | None
    together: bool | None

    @property
    def settles(self) -> bool:
        """Whether it says what the two are."""
        return self.verdict in VERDICTS_THAT_SETTLE

    @property
    def note(self) -> str:
        """What was kept with it, in the form of `kembar.store.review.Item.note`; "" where it came from elsewhere."""
        if not self.kind:
            return ""
        sure = _NEVER if self.probability is None else f"{self.probability:.3f}"
        return f"{self.kind}, {sure}, {'together' if self.together else 'apart'}"

    @property
    def says_same(self) -> bool:
        """Whether it says that the two are one product; a variant is another one."""
        return self.verdict == JOINS


def judged(connection: Connection, by: str | None = None) -> Iterator[Judged]:
    """List the answers about single pairs in their order; whole groups that were accepted or merged are not among them.

    Args:
        connection: of the store.
        by: of this reviewer alone.
    """
    more, values = ("", ()) if by is None else (" AND d.by = ?", (by,))
    for row in connection.execute(f"{_COLUMNS}{more} ORDER BY d.event", values):
        yield _read(row)


def last_answers(connection: Connection, by: str, back: int) -> Judged | None:
    """Give the last answer of a reviewer (back = 1), or an earlier one; None where there are not so many."""
    row = connection.execute(
        f"{_COLUMNS} AND d.by = ? ORDER BY d.event DESC LIMIT 1 OFFSET ?", (by, back - 1)
    ).fetchone()
    return None if row is None else _read(row)


def latest(connection: Connection, left: int, right: int, by: str) -> Judged | None:
    """Give the last answer of a reviewer about a pair, left < right; None where there is none."""
    row = connection.execute(
        f"{_COLUMNS} AND d.left = ? AND d.right = ? AND d.by = ? ORDER BY d.event DESC LIMIT 1", (left, right, by)
    ).fetchone()
    return None if row is None else _read(row)


def answers_to(connection: Connection, left: int, right: int) -> list[Judged]:
    """List the answers about a pair, left < right, in their order."""
    found = connection.execute(f"{_COLUMNS} AND d.left = ? AND d.right = ? ORDER BY d.event", (left, right))
    return [_read(row) for row in found]


def is_seen(connection: Connection, left: int, right: int, by: str) -> bool:
    """Tell whether this reviewer has met a pair, or any has settled it."""
    found = connection.execute(
        """SELECT 1 FROM decisions WHERE left = ? AND right = ? AND undone IS NULL
        AND (by = ? OR verdict IN ('same', 'different', 'variant')) LIMIT 1""",
        (left, right, by),
    )
    return found.fetchone() is not None


def is_open(connection: Connection, left: int, right: int) -> bool:
    """Tell whether both posts are still there."""
    found = connection.execute(
        "SELECT count(*) FROM posts WHERE row IN (?, ?) AND removed IS NULL", (left, right)
    ).fetchone()
    return bool(found[0] == 2)


def pair_rows(connection: Connection, a: str, b: str) -> tuple[int, int] | None:
    """Find the rows of two posts, the smaller first; None where one is not there or the two are one."""
    found = connection.execute("SELECT row FROM posts WHERE id IN (?, ?) AND removed IS NULL ORDER BY row", (a, b))
    rows = [row for (row,) in found]
    return (rows[0], rows[1]) if len(rows) == 2 else None


def _read(row: tuple[int, int, int, str, str, str | None]) -> Judged:
    event, left, right, verdict, by, note = row
    found = _NOTE.match(note or "")
    if found is None:
        return Judged(event, left, right, verdict, by, "", None, None)
    probability = None if found[2] == _NEVER else float(found[2])
    return Judged(event, left, right, verdict, by, found[1], probability, found[3] == "together")
