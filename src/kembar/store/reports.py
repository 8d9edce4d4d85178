"""What events tell of what was done, and what programs and pages read of a store."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from kembar.errors import InputError, TakenError, UnknownError, quoted
from kembar.newcomers import Prepared
from kembar.store.connection import chunks
from kembar.store.database import event_of
from kembar.store.decisions import constraints
from kembar.store.posts import COLUMNS, Record, post_of, record_of, records_of
from kembar.store.records import Counts, Event, Group, Placed, Post
from kembar.store.tables import Moves, group_names, group_row_of, pairs_among, records_there

_EVENT = "number, at, kind, by, note, body, undoes"
_UNDOABLE = ("add", "update", "remove", "decide", "merge", "split", "accept", "rematch", "regroup")


def added(
    posts: Prepared, placed: Sequence[Placed], before: Mapping[str, Record], known: Mapping[str, Placed]
) -> dict[str, Any]:
    """Tell of posts that were added or updated, so that all of it can be done again or taken back.

    Args:
        posts: as they were written.
        placed: what became of them.
        before: what they were before an update, by id.
        known: those of the request that were there already.
    """
    told = [{"id": each.id, "how": each.how, "group": each.group, "merges": list(each.merges)} for each in placed]
    body: dict[str, Any] = {"posts": records_of(posts.posts), "placed": told}
    if known:
        body["known"] = {each.id: each.group for each in known.values()}
    return {**body, "before": list(before.values())} if before else body


def begun_with(records: Sequence[Record], groups: Sequence[str]) -> dict[str, Any]:
    """Tell of posts that a store began with, and of their groups, in the form of `added`."""
    placed = [{"id": record["id"], "group": group} for record, group in zip(records, groups, strict=True)]
    return {"posts": records, "placed": placed}


def moved_on(body: dict[str, Any], moved: Moves, placed: Sequence[Placed]) -> list[Placed]:
    """Note the posts that decisions moved after posts were placed, and tell where these are then."""
    body["moved"] = moved
    for each in body["placed"]:
        each["group"] = moved.get(each["id"], [each["group"]])[-1]
    return [replace(each, group=moved.get(each.id, [each.group])[-1]) for each in placed]


def placed_before(event: Event, ids: Sequence[str]) -> list[Placed]:
    """Answer a request that is sent again as the first time, but for the candidates.

    Args:
        event: what the first one did.
        ids: of the posts of the second one.

    Raises:
        TakenError: they are others than those of the first.
    """
    found = {post: Placed(post, "known", group) for post, group in event.body.get("known", {}).items()}
    for each in event.body.get("placed", ()):
        found[each["id"]] = Placed(each["id"], each["how"], each["group"], merges=tuple(each["merges"]))
    check_same(set(ids) == set(found))
    return [found[post] for post in ids]


def check_same(same: bool) -> None:
    """Refuse the key of one request for another one; raises TakenError."""
    if not same:
        raise TakenError(
            "the key of a request that asked for something else", "a key of its own for each request", "Make a new one."
        )


def event_numbered(read: sqlite3.Connection, number: int) -> Event | None:
    """Read an event; None where there is none."""
    row = read.execute(f"SELECT {_EVENT} FROM events WHERE number = ?", (number,)).fetchone()
    return None if row is None else event_of(row)


def event_of_key(read: sqlite3.Connection, key: str | None, kind: str) -> Event | None:
    """Find the event of a request that was sent before, None where there is none; raises TakenError."""
    if key is None:
        return None
    row = read.execute(f"SELECT {_EVENT} FROM events WHERE key = ?", (key,)).fetchone()
    event = None if row is None else event_of(row)
    check_same(event is None or event.kind == kind)
    return event


def events_after(read: sqlite3.Connection, after: int, limit: int) -> list[Event]:
    """List events in order."""
    rows = read.execute(f"SELECT {_EVENT} FROM events WHERE number > ? ORDER BY number LIMIT ?", (after, limit))
    return [event_of(row) for row in rows]


def posts_of_group(read: sqlite3.Connection, row: int, name: str) -> tuple[tuple[Post, ...], list[int]]:
    """Read the posts of a group by id, and their rows."""
    found = read.execute(
        f"SELECT row, {COLUMNS} FROM posts WHERE group_row = ? AND removed IS NULL ORDER BY id", (row,)
    ).fetchall()
    return tuple(post_of(record_of(values), name) for _, *values in found), [own for own, *_ in found]


def group(read: sqlite3.Connection, name: str) -> Group:
    """Read a group; raises UnknownError."""
    row = group_row_of(read, name)
    posts, rows = posts_of_group(read, row, name)
    ids = {own: post.id for own, post in zip(rows, posts, strict=True)}
    places = np.sort(np.array(rows, dtype=np.int64))
    left, right, probability = pairs_among(read, places)
    links: list[tuple[str, str, float]] = []
    for a, b, likely in zip(places[left].tolist(), places[right].tolist(), probability.tolist(), strict=True):
        links.append((min(ids[a], ids[b]), max(ids[a], ids[b]), round(likely, 6)))
    links.sort(key=lambda link: (-link[2], link[0], link[1]))
    return Group(name, posts, tuple(links), _weakest([post.id for post in posts], links), _merges(read, row))


def _weakest(ids: Sequence[str], links: Sequence[tuple[str, str, float]]) -> tuple[str, str, float] | None:
    """Find the member whose best pair is the worst; one without any pair has 0 with the first other member."""
    if len(ids) < 2:
        return None
    best: dict[str, tuple[float, str]] = {}
    for a, b, probability in links:  # the most likely first
        best.setdefault(a, (probability, b))
        best.setdefault(b, (probability, a))
    worst = min(ids, key=lambda post: (best.get(post, (0.0, ""))[0], post))
    probability, other = best.get(worst, (0.0, next(post for post in ids if post != worst)))
    return worst, other, probability


def _merges(read: sqlite3.Connection, row: int) -> tuple[str, ...]:
    found = read.execute(
        "SELECT left, right FROM merges WHERE closed IS NULL AND (left = ? OR right = ?)", (row, row)
    ).fetchall()
    return tuple(sorted(set(group_names(read, {end for ends in found for end in ends if end != row}).values())))


def counts(read: sqlite3.Connection, fresh: int) -> Counts:
    """Count what a store holds."""
    asked = (
        "SELECT count(*) FROM posts WHERE removed IS NULL",
        "SELECT count(DISTINCT group_row) FROM posts WHERE removed IS NULL",
        "SELECT count(*) FROM pairs",
        "SELECT count(*) FROM decisions WHERE undone IS NULL AND verdict <> 'skip'",
        "SELECT count(*) FROM events",
    )
    posts, groups, pairs, decisions, events = (int(read.execute(each).fetchone()[0]) for each in asked)
    return Counts(posts, groups, pairs, decisions, events, fresh)


def last_event(read: sqlite3.Connection) -> Event:
    """Read the last event of a store."""
    return event_of(read.execute(f"SELECT {_EVENT} FROM events ORDER BY number DESC LIMIT 1").fetchone())


def undoable(read: sqlite3.Connection, number: int) -> Event:
    """Read an event that can be taken back; raises UnknownError, or InputError where it cannot."""
    event = event_numbered(read, number)
    if event is None:
        raise UnknownError(f"event {number}, which is not in the store", "the number of an event", "Check it.")
    again = read.execute("SELECT number FROM events WHERE undoes = ?", (number,)).fetchone()
    if event.kind not in _UNDOABLE or again is not None:
        given = f"event {number}, " + (f"undone by event {again[0]}" if again else f"of kind {event.kind!r}")
        raise InputError(given, "a decision, an add, an update, a removal or a re-match", "Name another event.")
    return event


def check_unchanged(read: sqlite3.Connection, update: Event) -> None:
    """Refuse to take an update back once its posts were updated again or removed; raises InputError."""
    there = records_there(read, [record["id"] for record in update.body["posts"]])
    for record in update.body["posts"]:
        if there.get(record["id"]) != record:
            raise InputError(
                f"event {update.number}, after which post {quoted(record['id'])} was changed again",
                "an event whose posts are still as it left them",
                "Undo the later events first.",
            )


def labels(read: sqlite3.Connection) -> pl.DataFrame:
    """Lay out decisions that hold as labelled pairs: left, right (ids) and same (1 or 0); the last one of each pair.

    Of those that cannot all hold, the ones that say that posts differ are left out: `kembar tune --labels` takes no
    contradictions.
    """
    found = constraints(read)
    pairs = np.concatenate([found.same, found.apart])
    names: dict[int, str] = {}
    for marks, part in chunks(np.unique(pairs).tolist()):
        names.update(read.execute(f"SELECT row, id FROM posts WHERE row IN ({marks})", part))
    ends = {end: [names[row] for row in pairs[:, at].tolist()] for at, end in enumerate(("left", "right"))}
    same = np.arange(len(pairs)) < len(found.same)
    frame = pl.DataFrame(
        {**ends, "same": same.astype(np.int64)}, schema={"left": pl.String, "right": pl.String, "same": pl.Int64}
    )
    return frame.sort("left", "right")
