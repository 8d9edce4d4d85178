"""The state of a store as its log tells it, and as its tables have it: the two are the same."""

import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kembar.store.database import event_of
from kembar.store.posts import COLUMNS, Record, record_of, usable, values_of
from kembar.store.records import Event

Content = Callable[[Record], Any]
Said = tuple[str, str, str, int | None]
"""A verdict, who said it, a note, and the number of the event that took it back."""

REPAIR: Final = "repair"
LOST: Final = "lost"  # what stands for an event that could not be read
_EVENTS: Final = "SELECT number, at, kind, by, note, body, undoes FROM events ORDER BY number"


@dataclass
class State:
    """Posts, groups and decisions.

    Attributes:
        posts: what is kept of the content of each post, by id; of removed ones too.
        groups: the name of each post's group, by id.
        removed: the number of the event that removed a post, by id.
        decisions: by the number of their event and the ids of two posts, the smaller first.
        names: of all groups.
        gaps: what the log does not tell, in words.
    """

    posts: dict[str, Any] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    decisions: dict[tuple[int, str, str], Said] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    gaps: list[str] = field(default_factory=list)


def digest(record: Record) -> bytes:
    """Tell two contents apart in 16 bytes."""
    return hashlib.blake2b(repr(values_of(record)).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def events_of(read: sqlite3.Connection) -> Iterator[Event]:
    """Read the whole log, one event at a time; raises StoreError."""
    return (event_of(row) for row in read.execute(_EVENTS))


def replayed(events: Iterable[Event], content: Content = digest) -> State:
    """Tell what the log says is there, without matching anything.

    Args:
        events: in their order.
        content: what is kept of a post.

    Returns:
        The state. What an event does not say, or says of a post that no event brought, is among its gaps.
    """
    state, before = State(), 0
    for event in events:
        if event.number != before + 1:
            state.gaps.append(f"events {before + 1} to {event.number - 1} are missing")
        before = event.number
        try:
            if event.kind == REPAIR and event.body.get("begins"):  # what was before has holes: all is told anew
                state = State()
            _happened(state, event, content)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            state.gaps.append(f"event {event.number} ({event.kind}) is not what an event is: {error!r}")
    return state


def _happened(state: State, event: Event, content: Content) -> None:
    body = event.body
    if isinstance(body.get("posts"), list):
        _placed(state, body, content)
    _went_and_came(state, event)
    for a, b, verdict in body.get("said", ()):
        state.decisions[event.number, min(a, b), max(a, b)] = (verdict, event.by, event.note, None)
    for post, (left, joined) in body.get("moved", {}).items():
        _known(state, event, post)
        state.groups[post] = joined
        state.names |= {left, joined}
    if event.kind == "undo":
        for key, said in state.decisions.items():
            if key[0] == event.undoes and said[3] is None:
                state.decisions[key] = (*said[:3], event.number)
    _told_anew(state, body)


def _went_and_came(state: State, event: Event) -> None:
    for post, group in event.body.get("removed", {}).items():
        _known(state, event, post)
        state.removed[post] = event.number
        state.names.add(group)
    for post, group in event.body.get("back", {}).items():
        _known(state, event, post)
        state.removed.pop(post, None)
        state.groups[post] = group
        state.names.add(group)


def _placed(state: State, body: Mapping[str, Any], content: Content) -> None:
    for record in body["posts"]:
        state.posts[record["id"]] = content(usable(record))
        state.removed.pop(record["id"], None)
    for each in body["placed"]:
        state.groups[each["id"]] = each["group"]
        state.names.add(each["group"])
    if {each["id"] for each in body["placed"]} != {record["id"] for record in body["posts"]}:
        raise ValueError("the posts that it brings are not those that it places")


def _told_anew(state: State, body: Mapping[str, Any]) -> None:
    """Read what an event of a repair says of earlier ones."""
    for post, number in body.get("were_removed", {}).items():
        state.removed[post] = number
    for number, a, b, *said in body.get("decisions", ()):
        state.decisions[number, min(a, b), max(a, b)] = (said[0], said[1], said[2], said[3])


def _known(state: State, event: Event, post: str) -> None:
    if post not in state.posts:
        gap = f"event {event.number} ({event.kind}) is about post {post!r}, which no event brought"
        if gap not in state.gaps:
            state.gaps.append(gap)


def stored(read: sqlite3.Connection, content: Content = digest) -> State:
    """Read the state that the tables have; raises StoreError."""
    state = State(names={name for (name,) in read.execute("SELECT id FROM groups")})
    asked = f"SELECT {COLUMNS}, removed, (SELECT id FROM groups WHERE groups.row = group_row) FROM posts"
    for *values, removed, group in read.execute(asked):
        record = record_of(values)
        state.posts[record["id"]] = content(record)
        state.groups[record["id"]] = group
        if removed is not None:
            state.removed[record["id"]] = removed
    asked = (
        "SELECT event, a.id, b.id, verdict, by, note, undone FROM decisions "
        "JOIN posts a ON a.row = decisions.left JOIN posts b ON b.row = decisions.right"
    )
    for event, a, b, *said in read.execute(asked):
        state.decisions[event, min(a, b), max(a, b)] = (said[0], said[1], said[2], said[3])
    return state


def differences(told: State, found: State) -> list[str]:
    """Say in words where the tables are not what the log tells: one line for each kind of difference."""
    lines = [
        _line("posts that the log tells of and the tables lack", set(told.posts) - set(found.posts)),
        _line("posts that the tables have and no event brought", set(found.posts) - set(told.posts)),
        _line("posts whose content is not what the log tells", _differing(told.posts, found.posts)),
        _line("posts in another group than the log tells", _differing(told.groups, found.groups)),
        _line("posts removed in the log alone", set(told.removed) - set(found.removed)),
        _line("posts removed in the tables alone", set(found.removed) - set(told.removed)),
        _line("posts removed by another event than the log tells", _differing(told.removed, found.removed)),
        _line("decisions that the log tells of and the tables lack", set(told.decisions) - set(found.decisions)),
        _line("decisions that no event tells of", set(found.decisions) - set(told.decisions)),
        _line("decisions that are not what the log tells", _differing(told.decisions, found.decisions)),
        _line("groups that the log names and the tables lack", told.names - found.names),
    ]
    return [line for line in lines if line]


def _differing(one: Mapping[Any, Any], other: Mapping[Any, Any]) -> set[Any]:
    return {key for key in one.keys() & other.keys() if one[key] != other[key]}


def _line(what: str, found: set[Any]) -> str:
    if not found:
        return ""
    some = ", ".join(repr(key) for key in sorted(found)[:3])
    return f"{len(found):,} {what}: {some}{' ...' if len(found) > 3 else ''}"
