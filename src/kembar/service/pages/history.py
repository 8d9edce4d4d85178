"""What happened, in words: one event, what was just done, the history of a group."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fastapi import Request

from kembar.service.pages.views import VERDICT_WORDS

if TYPE_CHECKING:
    from kembar.store import Live
    from kembar.store.records import Event

_SHOWN: Final = 50  # events of a group
_SAID: Final = frozenset({"decide", "merge", "split", "accept"})  # what people say; all of it can be taken back
_DIGITS: Final = 15  # of a number of an event at most
_EVENTS_OF_GROUP: Final = """
    WITH own AS (SELECT p.row FROM posts p JOIN groups g ON g.row = p.group_row WHERE g.id = ? AND p.removed IS NULL)
    SELECT event FROM decisions WHERE left IN (SELECT row FROM own)
    UNION SELECT event FROM decisions WHERE right IN (SELECT row FROM own)
    ORDER BY event DESC LIMIT ?"""


@dataclass(frozen=True, slots=True)
class Told:
    """An event in words.

    Attributes:
        number: of the event.
        at: when, to the minute, in UTC.
        by: who; "" where it was kembar itself.
        words: what was done.
        can_undo: whether it is something that a person said and that still holds.
    """

    number: int
    at: str
    by: str
    words: str
    can_undo: bool


def told_of(live: "Live", number: int) -> Told:
    """Tell of one event that is there."""
    event = live.events(number - 1, 1)[0]
    return Told(number, event.at[:16].replace("T", " "), event.by, words_of(live, event), _holds(live, event))


def done_of(live: "Live", request: Request) -> Told | None:
    """Tell what was just done, where the address of a page names it; None where it names nothing."""
    given = request.query_params.get("done", "")
    if not (given.isascii() and given.isdigit() and len(given) < _DIGITS and int(given)):
        return None
    found = live.events(int(given) - 1, 1)
    return told_of(live, int(given)) if found and found[0].number == int(given) else None


def history_of(live: "Live", group: str) -> list[Told]:
    """Tell what people said of the posts of a group, the latest first; the fifty last events."""
    found = live.reading().execute(_EVENTS_OF_GROUP, (group, _SHOWN)).fetchall()
    return [told_of(live, number) for (number,) in found]


def words_of(live: "Live", event: "Event") -> str:
    """Say what an event did."""
    if event.kind == "undo" and event.undoes is not None:
        return f"Took back: {words_of(live, live.events(event.undoes - 1, 1)[0])}"
    words = _WORDS[event.kind](event.body) if event.kind in _WORDS else event.kind
    return f"{words}{_moved(event.body)}"


def _holds(live: "Live", event: "Event") -> bool:
    if event.kind not in _SAID:
        return False
    asked = "SELECT 1 FROM decisions WHERE event = ? AND undone IS NULL LIMIT 1"
    return live.reading().execute(asked, (event.number,)).fetchone() is not None


def _moved(body: Mapping[str, Any]) -> str:
    count = len(body.get("moved", ()))
    return f" ({count:,} post{'' if count == 1 else 's'} changed group)" if count else ""


def _decide(body: Mapping[str, Any]) -> str:
    return f"{VERDICT_WORDS.get(body['verdict'], body['verdict'])}: {body['a']} and {body['b']}"


def _split(body: Mapping[str, Any]) -> str:
    if body.get("group"):
        return f"Moved {body['post']} to group {body['group']}"
    return f"Took {body['post']} out of its group"


def _merge(body: Mapping[str, Any]) -> str:
    groups = f"the groups {body['left']} and {body['right']}"
    if not body.get("moved"):
        return f"Noted that {groups} are one product; earlier answers still hold their posts apart"
    return f"Merged {groups}"


def _accept(body: Mapping[str, Any]) -> str:
    count = len(body["groups"])
    return f"Accepted {count:,} group{'' if count == 1 else 's'}"


_WORDS: Final[dict[str, Callable[[Mapping[str, Any]], str]]] = {
    "decide": _decide,
    "split": _split,
    "merge": _merge,
    "accept": _accept,
    "create": lambda body: "Made the store",
    "add": lambda body: f"Added {len(body.get('posts', ())):,} posts",
    "update": lambda body: f"Updated {len(body.get('posts', ())):,} posts",
    "remove": lambda body: f"Removed {len(body.get('removed', ())):,} posts",
    "rematch": lambda body: "Matched all posts again",
    "regroup": lambda body: "Grouped all posts again",
    "refit": lambda body: "Counted words anew",
}
