"""What people said of pairs, as constraints: posts that are one, posts that are apart, and what cannot all hold."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from kembar.arrays import Bools, Rows, connected, places_in
from kembar.store.connection import chunks
from kembar.store.records import JOINS, SEPARATES, Contradiction


@dataclass(frozen=True, slots=True)
class Constraints:
    """Decisions that hold, about posts that are there.

    A decision counts for its two posts whoever took it; of two about one pair the later one.

    Attributes:
        same: (m, 2) int64 rows of posts that are one product.
        apart: (k, 2) int64 rows of posts that are not, and that no chain of `same` joins.
        against: (c, 2) int64 rows of posts that were said to be apart and that a chain of `same` joins.
    """

    same: Rows
    apart: Rows
    against: Rows

    @classmethod
    def of(cls, pairs: Rows, joins: Bools) -> "Constraints":
        """Sort decisions out.

        Args:
            pairs: (d, 2) int64 rows.
            joins: (d,) bool, whether the two are one product.
        """
        same, others = pairs[joins], pairs[~joins]
        rows, places = np.unique(pairs, return_inverse=True)
        places = places.reshape(-1, 2)
        joined, parted = places[joins], places[~joins]
        chain = connected(joined[:, 0], joined[:, 1], len(rows))
        clash = chain[parted[:, 0]] == chain[parted[:, 1]]
        return cls(same, others[~clash], others[clash])

    def among(self, rows: Rows) -> "Constraints":
        """Keep what is said of some posts, by their places: (n,) rising rows."""
        return Constraints(*(_placed(pairs, rows) for pairs in (self.same, self.apart, self.against)))


def _placed(pairs: Rows, rows: Rows) -> Rows:
    """Put places in the place of rows; pairs with others are left out."""
    at = places_in(rows, pairs)
    kept: Rows = at[(at >= 0).all(axis=1)]
    return kept


_HOLD = "decisions.undone IS NULL AND a.removed IS NULL AND b.removed IS NULL"
_ENDS = "JOIN posts a ON a.row = decisions.left JOIN posts b ON b.row = decisions.right"
_TOLD = ", ".join(repr(verdict) for verdict in (JOINS, *SEPARATES))
_ASKED = (
    f"SELECT decisions.left, decisions.right, verdict, max(event) FROM decisions {_ENDS} WHERE {_HOLD} "
    f"AND verdict IN ({_TOLD}) {{among}} "
    "GROUP BY decisions.left, decisions.right"
)


def constraints(read: sqlite3.Connection) -> Constraints:
    """Read the decisions that hold."""
    return _sorted_out(read.execute(_ASKED.format(among="")).fetchall())


def constraints_among(read: sqlite3.Connection, rows: Rows) -> Constraints:
    """Read the decisions that hold between some posts, by their places: (n,) rows, below 0 those of no post.

    Posts that people said are one are in one group: among whole groups no chain of decisions leads through others.
    """
    order = np.argsort(rows, kind="stable")
    ranked = rows[order]
    wanted, found = set(ranked.tolist()), []
    for marks, part in chunks([row for row in ranked.tolist() if row >= 0]):
        said = read.execute(_ASKED.format(among=f"AND decisions.left IN ({marks})"), part)
        found += [row for row in said if row[1] in wanted]
    placed = _sorted_out(found).among(ranked)
    return Constraints(order[placed.same], order[placed.apart], order[placed.against])


def _sorted_out(said: Sequence[tuple[int, int, str, int]]) -> Constraints:
    pairs = np.array([row[:2] for row in said], dtype=np.int64).reshape(-1, 2)
    return Constraints.of(pairs, np.array([row[2] == JOINS for row in said], dtype=bool))


def contradictions(read: sqlite3.Connection) -> list[Contradiction]:
    """List decisions that cannot all hold: see `Contradiction`; and pairs about which people said opposite things."""
    found = constraints(read)
    opposed = read.execute(
        f"SELECT decisions.left, decisions.right FROM decisions {_ENDS} WHERE {_HOLD} "
        "GROUP BY decisions.left, decisions.right "
        "HAVING max(verdict = 'same') AND max(verdict IN ('different', 'variant'))"
    ).fetchall()
    pairs = sorted({*map(tuple, found.against.tolist()), *map(tuple, opposed)})
    return [_told(read, found, left, right) for left, right in pairs]


def _told(read: sqlite3.Connection, found: Constraints, left: int, right: int) -> Contradiction:
    chain = _chain(found.same, left, right)
    pairs = {(left, right), *pairwise(chain)}
    events: set[int] = set()
    for a, b in pairs:
        asked = f"SELECT event FROM decisions WHERE left = ? AND right = ? AND undone IS NULL AND verdict IN ({_TOLD})"
        events |= {row[0] for row in read.execute(asked, (min(a, b), max(a, b)))}
    names = [read.execute("SELECT id FROM posts WHERE row = ?", (row,)).fetchone()[0] for row in (left, right)]
    return Contradiction(names[0], names[1], tuple(sorted(events)))


def _chain(same: Rows, start: int, end: int) -> Sequence[int]:
    """Find a shortest chain of decisions from one post to another; none where there is no chain."""
    near: dict[int, list[int]] = {}
    for a, b in same.tolist():
        near.setdefault(a, []).append(b)
        near.setdefault(b, []).append(a)
    before, waiting = {start: start}, [start]
    for row in waiting:  # grows while it is walked: breadth first
        for other in sorted(near.get(row, ())):
            if other not in before:
                before[other] = row
                waiting.append(other)
    if end not in before or start == end:
        return ()
    chain = [end]
    while chain[-1] != start:
        chain.append(before[chain[-1]])
    return chain
