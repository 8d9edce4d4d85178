"""What happened, in words: one event, what was just done, the history of a group."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fastapi import Request

if TYPE_CHECKING:
    from kembar.store import Live

_SHOWN: Final = 50  # events of a group
_REVERSIBLE: Final = frozenset({"decide", "merge", "split"})


@dataclass(frozen=True, slots=True)
class Told:
    """An event in words.

    Attributes:
        number: of the event.
        at: when, to the minute, in UTC.
        by: who; "" where it was kembar itself.
        words: what was done.
        can_undo: whether it can be taken back, and was not.
    """

    number: int
    at: str
    by: str
    words: str
    can_undo: bool


def told_of(live: "Live", number: int) -> Told:
    """Tell of one event."""
    event = live.events(number - 1, 1)[0]
    return _told(live, event)


def done_of(live: "Live", request: Request) -> Told | None:
    """Tell what was just done, where the address of a page names it."""
    given = request.query_params.get("done", "")
    if not (given.isascii() and given.isdigit() and len(given) < 16):
        return None
    found = live.events(int(given) - 1, 1)
    return _told(live, found[0]) if found and found[0].number == int(given) else None


def history_of(live, id):
    return [_told(live, e) for e in live.events(0, 50) if id in str(e.body)[:200]]


def _told(live, event):
    return Told(
        event.number, event.at[:16], event.by, event.kind + " " + str(event.body)[:80], event.kind in _REVERSIBLE
    )
