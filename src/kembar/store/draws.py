"""Pairs drawn at random from a store of any size: each one as likely as any other, none of them listed first."""

from bisect import bisect
from itertools import accumulate
from random import Random
from sqlite3 import Connection
from typing import Final

from kembar.store.judged import is_seen

_TRIES: Final = 400  # draws from groups until one is a pair that qualifies
_TRIES_APART: Final = 3000
_DEGREE: Final = 256  # pairs of a post at most: beyond, they are less likely to be drawn

_SIZES: Final = """SELECT group_row, count(*) FROM posts WHERE removed IS NULL GROUP BY group_row HAVING count(*) > 1
    ORDER BY group_row"""
_MEMBERS: Final = "SELECT row FROM posts WHERE group_row = ? AND removed IS NULL ORDER BY row"
_NEIGHBOURS: Final = """SELECT p.left, p.right, p.probability FROM pairs p
    JOIN posts a ON a.row = p.left JOIN posts b ON b.row = p.right
    WHERE p.{} = ? AND p.probability < ? AND a.removed IS NULL AND b.removed IS NULL AND a.group_row <> b.group_row
    ORDER BY p.{}"""

Drawn = tuple[int, int, float]


def draw_accepted(connection: Connection, by: str, draw: Random, least: float) -> Drawn | None:
    """Draw a pair of posts of one group that the classifier is sure of and nobody has answered.

    A group is drawn by the number of its pairs, then two of its posts, until they qualify: so all pairs that do are
    equally likely.

    Args:
        connection: of the store.
        by: the reviewer, who is not asked twice.
        draw: random numbers.
        least: probability from which on a pair is accepted.

    Returns:
        Rows, left < right, and the probability; None where none was found.
    """
    sizes = connection.execute(_SIZES).fetchall()
    total = list(accumulate(size * (size - 1) // 2 for _, size in sizes))
    members: dict[int, list[int]] = {}
    for _ in range(_TRIES if sizes else 0):
        group = sizes[bisect(total, draw.randrange(total[-1]))][0]
        if group not in members:
            members[group] = [row for (row,) in connection.execute(_MEMBERS, (group,))]
        left, right = sorted(draw.sample(members[group], 2))
        found = connection.execute("SELECT probability FROM pairs WHERE left = ? AND right = ?", (left, right))
        probability = next(found, (0.0,))[0]
        if probability >= least and not is_seen(connection, left, right, by):
            return left, right, float(probability)
    return None


def draw_apart(connection: Connection, by: str, draw: Random, below: float) -> Drawn | None:
    """Draw a pair that was compared, is unlikely and in two groups, and that nobody has answered.

    A post is drawn, then a place among so many that no post has more pairs, until a pair is there: so all pairs that
    qualify are equally likely.

    Args:
        connection: of the store.
        by: the reviewer, who is not asked twice.
        draw: random numbers.
        below: probability below which a pair is kept apart.

    Returns:
        As of `draw_accepted`.
    """
    some = connection.execute("SELECT 1 FROM pairs WHERE probability < ? LIMIT 1", (below,)).fetchone()
    last = connection.execute("SELECT max(row) FROM posts").fetchone()[0]
    for _ in range(_TRIES_APART if some and last else 0):
        row, place = draw.randint(1, last), draw.randrange(_DEGREE)
        found: list[Drawn] = [
            (left, right, probability)
            for end, order in (("left", "right"), ("right", "left"))
            for left, right, probability in connection.execute(_NEIGHBOURS.format(end, order), (row, below))
        ]
        if place < len(found) and not is_seen(connection, found[place][0], found[place][1], by):
            return found[place]
    return None
