"""The pages of the review: rendered on the server, without a build step, usable without a script.

`pages_router` has all of them: the queue at /review, the groups at /review/groups, search, progress.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends, Request

from kembar.service.pages import files, measured, overview, queue
from kembar.service.pages.reviewed import Reviewed

if TYPE_CHECKING:
    from kembar.store import Live


def pages_router(live: "Callable[[Request], Live]", *, seed: int = 0) -> APIRouter:
    """Make the routes of the review.

    Args:
        live: gives the store that is reviewed, which may be opened after this.
        seed: of the draws of quiet cases.

    Returns:
        A router without a prefix; photos themselves are not among its routes.
    """
    known: dict[int, Reviewed] = {}

    def bind(request: Request) -> None:
        """Give the pages their store."""
        store = live(request)
        if id(store) not in known:
            known.clear()
            known[id(store)] = Reviewed(store, seed)
        request.state.reviewed = known[id(store)]

    router = APIRouter(dependencies=[Depends(bind)], include_in_schema=False)
    for part in (queue.router, overview.router, measured.router, files.router):
        router.include_router(part)
    return router
