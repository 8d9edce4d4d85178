"""What people say, applied at once: groups are joined or parted so that decisions hold."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import polars as pl

from kembar.arrays import Floats, Rows, connected
from kembar.errors import ConfigError, InputError, UnknownError, nearest, quoted
from kembar.grouping.average_link import average_link
from kembar.grouping.limits import Limits
from kembar.store.connection import chunks
from kembar.store.decisions import constraints, constraints_among
from kembar.store.records import JOINS, SEPARATES, VERDICTS
from kembar.store.rematching import renamed
from kembar.store.tables import (
    Moves,
    group_names,
    group_row_of,
    groups_of,
    members_of,
    move,
    named_group,
    pairs_among,
    row_of,
)

_HELD = 1e-3  # what a pair counts that nothing is known of, where people said that the whole is one
_WHOLE = 2000  # posts of a group whose pairs are all laid out

Said = list[tuple[int, int, str]]
"""Decisions about pairs of rows, left < right."""


def told(read: sqlite3.Connection, said: Said) -> list[list[str]]:
    """Tell what was said by the ids of posts: two ids and the verdict each."""
    names: dict[int, str] = {}
    for marks, part in chunks(list({row for left, right, _ in said for row in (left, right)})):
        names.update(read.execute(f"SELECT row, id FROM posts WHERE row IN ({marks})", part))
    return [[names[left], names[right], verdict] for left, right, verdict in said]


def ends_of(read: sqlite3.Connection, a: str, b: str) -> tuple[int, int]:
    """Find the rows of two posts, the smaller first; raises UnknownError, or InputError where they are one."""
    one, other = row_of(read, a), row_of(read, b)
    if one == other:
        raise InputError(f"post {quoted(a)} twice", "two different posts", "Name another one.")
    return min(one, other), max(one, other)


def check_verdict(verdict: str) -> None:
    """Refuse what is no verdict: raises ConfigError."""
    if verdict not in VERDICTS:
        raise ConfigError(
            f"the verdict {quoted(verdict)}",
            f"one of {', '.join(VERDICTS)}",
            f"Choose one.{nearest(verdict, VERDICTS)}",
        )


def note_decisions(write: sqlite3.Connection, event: int, said: Said, by: str, note: str) -> None:
    """Write decisions of one event."""
    write.executemany(
        "INSERT OR IGNORE INTO decisions (event, left, right, verdict, by, note) VALUES (?, ?, ?, ?, ?, ?)",
        [(event, left, right, verdict, by, note) for left, right, verdict in said],
    )


def applied(write: sqlite3.Connection, event: int, said: Said) -> Moves:
    """Let decisions that are noted hold: join the groups of posts that are one, part those that are not.

    Args:
        write: within a transaction.
        event: the number of the event that says so.
        said: what was said.

    Returns:
        The posts that moved.
    """
    moved: Moves = {}
    for verdict in (JOINS, *SEPARATES):
        for left, right, _ in (each for each in said if each[2] == verdict):
            one, other = (int(group) for group in groups_of(write, np.array([left, right])))
            if (one == other) == (verdict != JOINS):
                moved = after(moved, _settled(write, {one, other}))
                _close(write, event, one, other)
    close_empty(write, event)
    return moved


def held(write: sqlite3.Connection, event: int, moved: Moves) -> Moves:
    """Let all decisions hold that can, after something else was done: posts that came back, or went.

    Args:
        write: within a transaction.
        event: its number.
        moved: the posts that it has moved so far.

    Returns:
        These, and those that moved since.
    """
    said = constraints(write)
    broken: Said = []
    for pairs, verdict in ((said.same, JOINS), (said.apart, SEPARATES[0])):
        groups = groups_of(write, pairs.ravel()).reshape(-1, 2)
        wrong = (groups[:, 0] == groups[:, 1]) == (verdict != JOINS)
        broken += [(left, right, verdict) for left, right in pairs[wrong].tolist()]
    return after(moved, applied(write, event, broken))


def close_empty(write: sqlite3.Connection, event: int) -> None:
    """Close the proposed merges of groups that have no posts any more."""
    there = "EXISTS (SELECT 1 FROM posts WHERE removed IS NULL AND group_row = merges.{})"
    write.execute(
        "UPDATE merges SET closed = ? WHERE closed IS NULL "
        f"AND NOT ({there.format('left')} AND {there.format('right')})",
        (event,),
    )


def after(before: Moves, then: Moves) -> Moves:
    """Chain moves: a post that moved twice has left the first group and joined the last."""
    found = {**before}
    for post, (left, joined) in then.items():
        start = found[post][0] if post in found else left
        found[post] = [start, joined]
    return {post: ends for post, ends in found.items() if ends[0] != ends[1]}


def _settled(write: sqlite3.Connection, groups: Iterable[int]) -> Moves:
    """Join groups to one, but for posts that people hold apart; parts keep the names of the groups they were most of.

    What holds the parts together is what is known of their pairs; where nothing is, that they were one group.
    """
    members = members_of(write, groups)
    rows = np.array([row[0] for row in members], dtype=np.int64)
    labels = _parts(write, rows)
    names = group_names(write, {row[1] for row in members})
    kept = renamed(pl.Series([names[row[1]] for row in members], dtype=pl.String), labels)
    known = {name: row for row, name in names.items()}
    posts: dict[int, int] = {}
    for label in np.unique(labels).tolist():
        ids = [row[5] for row, part in zip(members, labels, strict=True) if part == label]
        group = known[kept[label]] if label in kept else named_group(write, ids)
        posts |= dict.fromkeys(rows[labels == label].tolist(), group)
    return move(write, posts)


def _parts(read: sqlite3.Connection, rows: Rows) -> Rows:
    """Part posts that are to be together as far as people allow: (n,) int64 labels."""
    said = constraints_among(read, rows)
    if not len(said.apart):
        return np.zeros(len(rows), dtype=np.int64)
    n = len(rows)
    left, right, probability = pairs_among(read, rows)
    if n <= _WHOLE:
        table = np.full((n, n), _HELD, dtype=np.float32)
        table[left, right] = np.maximum(probability, _HELD)
        left, right = np.triu_indices(n, 1)
        probability = table[left, right]
    start = np.arange(n)
    if len(said.same):
        start = connected(said.same[:, 0], said.same[:, 1], n)
    limits = Limits(start=start, apart=(said.apart[:, 0], said.apart[:, 1]))
    return average_link(left, right, probability, n, cut=_HELD / 10, limits=limits)


def _close(write: sqlite3.Connection, event: int, one: int, other: int) -> None:
    write.execute(
        "UPDATE merges SET closed = ? WHERE left = ? AND right = ? AND closed IS NULL",
        (event, min(one, other), max(one, other)),
    )


def close_refused(write: sqlite3.Connection, event: int, said: Said) -> None:
    """Close the proposed merges of groups whose posts people said are apart."""
    for left, right, verdict in said:
        if verdict in SEPARATES:
            one, other = (int(group) for group in groups_of(write, np.array([left, right])))
            _close(write, event, one, other)


def to_merge(read: sqlite3.Connection, left: str, right: str) -> Said:
    """Say what makes two groups one: their most likely pair, or the first posts of both."""
    one, other = group_row_of(read, left), group_row_of(read, right)
    if one == other:
        raise InputError(f"group {quoted(left)} twice", "two different groups", "Name another one.")
    rows = [np.array([row[0] for row in members_of(read, [group])], dtype=np.int64) for group in (one, other)]
    everyone = np.sort(np.concatenate(rows))
    a, b, probability = pairs_among(read, everyone)
    inside = np.isin(everyone, rows[0])
    across = np.flatnonzero(inside[a] != inside[b])
    if len(across):
        best = across[int(np.argmax(probability[across]))]
        return [(int(everyone[a[best]]), int(everyone[b[best]]), JOINS)]
    first = int(rows[0][0]), int(rows[1][0])
    return [(min(first), max(first), JOINS)]


def to_move(read: sqlite3.Connection, post: str, group: str | None) -> Said:
    """Say what takes a post out of its group, and into another if one is named."""
    row = row_of(read, post)
    own = int(groups_of(read, np.array([row]))[0])
    target = None if group is None else group_row_of(read, group)
    if target == own:
        raise InputError(f"group {quoted(group)}, where the post is", "another group, or none", "Name another one.")
    others = [member[0] for member in members_of(read, [own]) if member[0] != row]
    said: Said = [(min(row, other), max(row, other), "different") for other in others]
    if target is not None:
        rows = np.array([member[0] for member in members_of(read, [target])], dtype=np.int64)
        best = _nearest(read, row, rows)
        said.append((min(row, best), max(row, best), JOINS))
    return said


def _nearest(read: sqlite3.Connection, row: int, rows: Rows) -> int:
    """Find the post of a group that another one is most like, the first of equals."""
    everyone = np.sort(np.append(rows, row))
    a, b, probability = pairs_among(read, everyone)
    own = np.flatnonzero((everyone[a] == row) | (everyone[b] == row))
    if not len(own):
        return int(rows[0])
    best = own[int(np.argmax(probability[own]))]
    return int(everyone[b[best]] if everyone[a[best]] == row else everyone[a[best]])


def to_accept(read: sqlite3.Connection, groups: Sequence[str]) -> Said:
    """Say what keeps groups together: a tree of their strongest pairs, and the rest by the first post."""
    said: Said = []
    for group in dict.fromkeys(groups):
        rows = np.array([row[0] for row in members_of(read, [group_row_of(read, group)])], dtype=np.int64)
        said += [(int(rows[a]), int(rows[b]), JOINS) for a, b in _tree(len(rows), *pairs_among(read, rows))]
    return said


def _tree(n: int, left: Rows, right: Rows, probability: Floats) -> list[tuple[int, int]]:
    """Join n places by the strongest pairs (Kruskal), then by pairs with the first place."""
    head = list(range(n))

    def top(place: int) -> int:
        while head[place] != place:
            place = head[place] = head[head[place]]
        return place

    order = np.lexsort((right, left, -probability)).tolist()
    pairs = [(int(left[at]), int(right[at])) for at in order] + [(0, place) for place in range(1, n)]
    found = []
    for a, b in pairs:
        one, other = top(a), top(b)
        if one != other:
            head[max(one, other)] = min(one, other)
            found.append((a, b))
    return found


def undone(write: sqlite3.Connection, number: int, event: int, moved: Moves) -> Moves:
    """Take back the decisions and moves of an event.

    Args:
        write: within a transaction.
        number: the event.
        event: the number of the event that takes it back.
        moved: what the event moved.

    Returns:
        The posts that moved back.

    Raises:
        InputError: later events moved some of them on.
    """
    back: dict[int, int] = {}
    for post, (before, after) in moved.items():
        row = row_of(write, post)
        now = write.execute(
            "SELECT id FROM groups WHERE row = ?", (int(groups_of(write, np.array([row]))[0]),)
        ).fetchone()
        if now[0] != after:
            raise InputError(
                f"event {number}, after which post {quoted(post)} went on to group {quoted(now[0])}",
                "an event whose posts are still where it put them",
                "Undo the later events first.",
            )
        found = write.execute("SELECT row FROM groups WHERE id = ?", (before,)).fetchone()
        if found is None:
            raise UnknownError(f"group {quoted(before)}, which is gone", "a group that is there", "Merge by hand.")
        back[row] = int(found[0])
    write.execute("UPDATE decisions SET undone = ? WHERE event = ? AND undone IS NULL", (event, number))
    told = move(write, back)
    _reopen(write, number, event)
    return told


def _reopen(write: sqlite3.Connection, number: int, event: int) -> None:
    """Open the proposed merges that an event closed, but for those of groups that have no posts now."""
    write.execute("UPDATE merges SET closed = NULL WHERE closed = ?", (number,))
    close_empty(write, event)


def put_into(write: sqlite3.Connection, groups: Mapping[str, str]) -> Moves:
    """Put posts that are there into groups that they had, by the names of both; tells which moved."""
    asked = "SELECT row FROM groups WHERE id = ?"
    rows = {name: int(write.execute(asked, (name,)).fetchone()[0]) for name in set(groups.values())}
    return move(write, {row_of(write, post): rows[group] for post, group in groups.items()})


def put_back(write: sqlite3.Connection, number: int, event: int, removed: Mapping[str, str]) -> list[int]:
    """Put removed posts back into their groups.

    Args:
        write: within a transaction.
        number: the event that removed them.
        event: the number of the event that puts them back.
        removed: the names of their groups, by id.

    Returns:
        Their rows.

    Raises:
        InputError: one of them was added again meanwhile.
    """
    rows = []
    for post, group in removed.items():
        found = write.execute(
            "UPDATE posts SET removed = NULL, group_row = (SELECT row FROM groups WHERE id = ?) "
            "WHERE id = ? AND removed = ? RETURNING row",
            (group, post, number),
        ).fetchone()
        if found is None:
            raise InputError(
                f"post {quoted(post)}, which was added again", "a removal that still holds", "Leave it so."
            )
        rows.append(int(found[0]))
    _reopen(write, number, event)
    return rows
