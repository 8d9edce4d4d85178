"""What people say of posts, and the log of all that happened."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from kembar.service.answers import described
from kembar.service.bodies import READS_JSON
from kembar.service.context import Here, refuse_if_busy
from kembar.service.models import (
    Accept,
    Contradictions,
    Decide,
    Events,
    Key,
    Merge,
    Move,
    Number,
    OneEvent,
    Person,
    check_number,
)  # fmt: skip

router = APIRouter(prefix="/v1", tags=["decisions"])


@router.post("/decisions", dependencies=READS_JSON, responses=described(404, 409, 413, 415, 422, 429))
async def decide(here: Here, given: Decide, key: Key = None) -> OneEvent:
    """Say of two posts that they are the same product, different ones, or variants; it holds in every re-match."""
    said = (given.a, given.b, given.verdict)
    return OneEvent(event=await here.call(here.live.decide, *said, by=given.by, note=given.note, key=key))


@router.post("/move", dependencies=READS_JSON, responses=described(404, 409, 413, 415, 422, 429))
async def move(here: Here, given: Move, key: Key = None) -> OneEvent:
    """Take a post out of its group, into another or one of its own; it holds in every re-match."""
    return OneEvent(
        event=await here.call(here.live.move, given.post, given.group, by=given.by, note=given.note, key=key)
    )


@router.post("/merge", dependencies=READS_JSON, responses=described(404, 409, 413, 415, 422, 429))
async def merge(here: Here, given: Merge, key: Key = None) -> OneEvent:
    """Make two groups one, under the id of the larger; it holds in every re-match."""
    return OneEvent(
        event=await here.call(here.live.merge, given.left, given.right, by=given.by, note=given.note, key=key)
    )


@router.post("/accept", dependencies=READS_JSON, responses=described(404, 409, 413, 415, 422, 429))
async def accept(here: Here, given: Accept, key: Key = None) -> OneEvent:
    """Say of groups that each is one product; it holds in every re-match."""
    check_number(len(given.groups), "groups", here.settings)
    return OneEvent(event=await here.call(here.live.accept, given.groups, by=given.by, note=given.note, key=key))


@router.post("/events/{number}/undo", dependencies=READS_JSON, responses=described(404, 409, 413, 415, 422, 429))
async def undo(here: Here, number: Annotated[Number, Path()], given: Person | None = None) -> OneEvent:
    """Take back what an event did; the log keeps both."""
    return OneEvent(event=await here.call(here.live.undo, number, by=given.by if given else ""))


@router.get("/events", responses=described(422, 429))
async def list_events(
    here: Here,
    after: Annotated[Number, Query(description="`next` of the page before")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Events:
    """List what happened, in order, a page at a time."""
    events = await here.call(here.live.events, after, limit)
    return Events(events=events, next=events[-1].number if len(events) == limit else None)


@router.get("/contradictions", responses=described(422, 429))
async def list_contradictions(here: Here) -> Contradictions:
    """List decisions that cannot all hold."""
    return Contradictions(contradictions=await here.call(here.live.contradictions))


@router.post("/rematch", dependencies=READS_JSON, responses=described(413, 415, 422, 429))
async def rematch(here: Here, given: Person | None = None) -> OneEvent:
    """Match all posts anew; decisions hold, groups keep their ids by overlap. It takes as long as a batch."""
    refuse_if_busy(here.rematches, "re-match")
    async with here.rematches:
        return OneEvent(event=await here.call(here.live.rematch, by=given.by if given else ""))


@router.post("/regroup", dependencies=READS_JSON, responses=described(413, 415, 422, 429))
async def regroup(here: Here, given: Person | None = None) -> OneEvent:
    """Group all posts anew from the pairs that are known; nothing is compared again. Quick beside a re-match."""
    refuse_if_busy(here.rematches, "re-match")
    async with here.rematches:
        return OneEvent(event=await here.call(here.live.regroup, by=given.by if given else ""))
