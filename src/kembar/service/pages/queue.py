"""The queue: one pair at a time, its answers, the way back; people who disagree."""

from contextlib import suppress
from dataclasses import replace
from hashlib import blake2b
from sqlite3 import Connection
from types import SimpleNamespace
from typing import Annotated, Any, Final

from fastapi import APIRouter, Form, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from kembar.errors import CatalogError, InputError
from kembar.service.pages.history import done_of, told_of
from kembar.service.pages.pairs import apart, evidence, sides
from kembar.service.pages.reviewed import reviewed
from kembar.service.pages.reviewers import remember, reviewer, tidy
from kembar.service.pages.views import (
    HOME,
    VERDICT_WORDS,
    PageRoute,
    go,
    is_secure,
    render,
    safe_path,
    with_query,
)
from kembar.store.judged import Judged, answers_to, judged, last_answers, pair_rows
from kembar.store.listing import Strip, strip_of
from kembar.store.progress import disagreements, doubtful_left
from kembar.store.records import VERDICTS
from kembar.store.review import Item, pair_item

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_BUTTONS: Final = (
    ("same", "s", "Same"),
    ("different", "d", "Different"),
    ("variant", "v", "Variant"),
    ("unsure", "c", "Cannot tell"),
)
_NOTHING: Final = "Nothing is left to ask you", "Every pair that the review would ask about is answered."
_QUIET_LEFT: Final = (
    "Nothing doubtful is left",
    "All doubtful pairs and proposed merges are answered. Quiet cases are left: pairs the classifier is sure of, drawn "
    "at random; answers to them measure how often it is right.",
)


class Answer(BaseModel):
    """An answer as the form sends it.

    Attributes:
        a: posting id.
        b: posting id.
        verdict: one of VERDICTS.
        key: the same for the same form, so that a double click is one answer.
        again: the event of the earlier answer that this one takes the place of; "" where there is none.
        quiet: "1" where quiet cases alone are asked about.
    """

    a: str
    b: str
    verdict: str
    key: str = ""
    again: str = ""
    quiet: str = ""


@router.get("/")
def begin() -> Response:
    """Lead to the queue."""
    return go(HOME)


@router.get("/review")
def queue(
    request: Request, back: Annotated[int, Query(ge=0, le=100_000)] = 0, quiet: Annotated[int, Query(ge=0, le=1)] = 0
) -> Response:
    """Show the next pair, or an earlier one."""
    by, live = reviewer(request), reviewed(request).live
    if not by:
        return go(with_query("/review/reviewer", then=HOME))
    earlier = last_answers(live.reading(), by, back) if back else None
    if earlier is not None:
        item = _as_it_was(live.reading(), earlier)
        if item is not None:
            return _show(request, item, again=earlier, back=back)
    found = reviewed(request).next(by, quiet=bool(quiet))
    if found is None:
        more = not quiet and reviewed(request).next(by, quiet=True) is not None
        heading, words = _QUIET_LEFT if more else _NOTHING
        last = _said(last_answers(live.reading(), by, 1))
        return render(request, "empty.html", heading=heading, words=words, more_quiet=more, last=last)
    return _show(request, found, quiet=bool(quiet))


@router.get("/review/pair")
def pair(request: Request, a: str, b: str) -> Response:
    """Show a pair that a person chose."""
    if not reviewer(request):
        return go(with_query("/review/reviewer", then=with_query("/review/pair", a=a, b=b)))
    live = reviewed(request).live
    item = pair_item(live.reading(), live.post(a).id, live.post(b).id)
    if item is None:
        raise _twice()
    return _show(request, item)


@router.get("/review/evidence")
def why(request: Request, a: str, b: str) -> Response:
    """Show what the classifier made of a pair: a page of its own, whose middle the page of the pair takes over."""
    live = reviewed(request).live
    item = pair_item(live.reading(), live.post(a).id, live.post(b).id)
    if item is None:
        raise _twice()
    return render(request, "evidence.html", item=item, **evidence(live, a, b))


@router.post("/review/answer")
def answer(request: Request, form: Annotated[Answer, Form()]) -> Response:
    """Keep an answer and go on to the next pair."""
    by, live = reviewer(request), reviewed(request).live
    if not by:
        return go(with_query("/review/reviewer", then=HOME))
    if form.verdict not in VERDICTS:
        raise CatalogError(f"the answer {form.verdict!r}", f"one of {', '.join(VERDICTS)}", "Use the buttons.")
    if form.again:
        note = _replaced(request, form, by)
    else:
        asked = reviewed(request).next(by, quiet=bool(form.quiet))
        if asked is None or {asked.a, asked.b} != {form.a, form.b}:
            asked = pair_item(live.reading(), form.a, form.b)
        note = "" if asked is None else asked.note
    done = live.decide(form.a, form.b, form.verdict, by=by, note=note, key=form.key or None)
    if note.startswith("chosen"):
        return go(with_query("/review/pair", a=form.a, b=form.b, done=done.number))
    return go(with_query(HOME, quiet=form.quiet))


@router.post("/review/undo")
def undo(request: Request, event: Annotated[int, Form(ge=1)], then: Annotated[str, Form()] = HOME) -> Response:
    """Take back what an event did."""
    by = reviewer(request)
    done = reviewed(request).live.undo(event, by=by)
    path = safe_path(then)
    return go(path if path.partition("?")[0] == HOME else safe_path(then, done=done.number))


@router.get("/review/reviewer")
def ask_name(request: Request, then: str = HOME) -> Response:
    """Ask for the name of the reviewer."""
    return render(request, "reviewer.html", then=safe_path(then))


@router.post("/review/reviewer")
def keep_name(
    request: Request,
    name: Annotated[str, Form(max_length=1000)],
    then: Annotated[str, Form()] = HOME,
) -> Response:
    """Keep the name of the reviewer in the browser."""
    if not tidy(name):
        raise CatalogError("an empty name", "the name of the reviewer", "Go back and write one.")
    response = go(safe_path(then))
    remember(response, name, secure=is_secure(request))
    return response


@router.get("/review/disagreements")
def disagree(request: Request) -> Response:
    """List what people do not agree about."""
    live = reviewed(request).live
    found = disagreements(live.reading())
    shown = {frozenset((each.a, each.b)) for each in found}
    cases = [
        SimpleNamespace(a=each.a, b=each.b, events=[told_of(live, number) for number in each.events])
        for each in reviewed(request).against()
        if frozenset((each.a, each.b)) not in shown
    ]
    return render(request, "disagreements.html", disagreements=found, contradictions=cases, verdicts=VERDICT_WORDS)


def _twice() -> CatalogError:
    return CatalogError("one post twice", "two different posts", "Choose another one.")


def _show(request: Request, item: Item, *, again: Judged | None = None, back: int = 0, quiet: bool = False) -> Response:
    """Write the page of a pair."""
    live, by = reviewed(request).live, reviewer(request)
    connection = live.reading()
    left, right = live.post(item.a), live.post(item.b)
    both = sides(left, right)
    last = None if again else last_answers(connection, by, 1)
    values: dict[str, Any] = {
        "item": item,
        "why": item.why(),
        "sides": both,
        "buttons": _BUTTONS,
        "key": _key(connection, item, by),
        "again": _said(again),
        "last": _said(last),
        "said": [] if again is None and item.kind != "chosen" else _others(connection, item, again),
        "previous": back + 1 if last_answers(connection, by, back + 1) else None,
        "following": with_query(HOME, back=back - 1 if back > 1 else None),
        "quiet_only": quiet,
        "answered": sum(1 for _ in judged(connection, by)),
        "left": doubtful_left(connection),
        "groups": _strips(connection, left.group, right.group),
        "done": done_of(live, request),
        "apart": apart(*both),
        "evidence_path": with_query("/review/evidence", a=item.a, b=item.b),
    }
    return render(request, "item.html", **values)


def _strips(connection: Connection, one: str, other: str) -> list[Strip]:
    found = [strip_of(connection, group) for group in dict.fromkeys((one, other))]
    return [strip for strip in found if strip is not None]


def _said(answer: Judged | None) -> SimpleNamespace | None:
    if answer is None:
        return None
    return SimpleNamespace(event=answer.event, verdict=answer.verdict, words=VERDICT_WORDS[answer.verdict])


def _others(connection: Connection, item: Item, again: Judged | None) -> list[tuple[str, str]]:
    """Tell what was said of a pair that is not being asked about for the first time: who, and what in words."""
    rows = pair_rows(connection, item.a, item.b)
    given = [] if rows is None else answers_to(connection, *rows)
    event = None if again is None else again.event
    return [(each.by, VERDICT_WORDS[each.verdict]) for each in given if each.event != event]


def _as_it_was(connection: Connection, answer: Judged) -> Item | None:
    """Show a pair again that was answered: None where a post is gone."""
    ids = dict(
        connection.execute(
            "SELECT row, id FROM posts WHERE row IN (?, ?) AND removed IS NULL", (answer.left, answer.right)
        ).fetchall()
    )
    if len(ids) < 2:
        return None
    item = pair_item(connection, ids[answer.left], ids[answer.right])
    return None if item is None or not answer.kind else replace(item, kind=answer.kind)


def _replaced(request: Request, form: Answer, by: str) -> str:
    """Take back the answer that another one takes the place of: the new one keeps why and how the pair was asked."""
    live = reviewed(request).live
    earlier = next((each for each in judged(live.reading(), by) if str(each.event) == form.again), None)
    if earlier is None:
        raise CatalogError(
            "an answer that was taken back already, or is another person's", "one of yours", "Reload the page."
        )
    with suppress(InputError):  # posts that later answers moved on stay where they are; the later answer counts
        live.undo(earlier.event, by=by)
    return earlier.note


def _key(connection: Connection, item: Item, by: str) -> str:
    """Name a form by the state that it was made from: sent twice it is one answer, after an undo it is another."""
    last = connection.execute("SELECT max(number) FROM events").fetchone()[0]
    text = "\x1f".join((by, item.a, item.b, str(last)))
    return f"review-{blake2b(text.encode(), digest_size=12).hexdigest()}"
