"""Groups: show one, list all by pages, explain why two posts are in one."""

from typing import Annotated

from fastapi import APIRouter, Query

from kembar.results.explanation import Explanation
from kembar.service.answers import described
from kembar.service.context import Context, Here
from kembar.service.models import Groups, GroupSize
from kembar.store import Group

router = APIRouter(prefix="/v1", tags=["groups"])
_PAGE = """
SELECT g.id, count(*) AS size FROM groups g JOIN posts p ON p.group_row = g.row AND p.removed IS NULL
WHERE g.id > ? GROUP BY g.row HAVING size >= ? ORDER BY g.id LIMIT ?
"""


@router.get("/groups", responses=described(422, 429))
async def list_groups(
    here: Here,
    after: Annotated[str, Query(max_length=1024, description="`next` of the page before")] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    least: Annotated[int, Query(ge=1, le=1_000_000, description="posts of a group")] = 1,
) -> Groups:
    """List groups by their ids, a page at a time."""
    return await here.call(_page, here, after, limit, least)


@router.get("/groups/{id:path}", responses=described(404, 422, 429))
async def show_group(here: Here, id: str) -> Group:
    """Show a group: its posts, the links among them, the weakest one, and groups it may have to be merged with."""
    return await here.call(here.live.group, id)


@router.get("/explain", responses=described(404, 422, 429))
async def explain(here: Here, a: str, b: str) -> Explanation:
    """Explain why two posts are one product or not: what was compared, and what the classifier made of it."""
    return await here.call(here.live.explain, a, b)


def _page(here: Context, after: str, limit: int, least: int) -> Groups:
    rows = here.live.reading().execute(_PAGE, (after, least, limit)).fetchall()
    groups = [GroupSize(id=id, size=size) for id, size in rows]
    return Groups(groups=groups, next=groups[-1].id if len(groups) == limit else None)
