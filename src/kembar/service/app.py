"""The application: all layers and routes, around one open store."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from threadpoolctl import threadpool_limits

from kembar.service import login
from kembar.service.answers import add_handlers
from kembar.service.context import Context
from kembar.service.gate import Gate, Watch
from kembar.service.limits import Bodies, Load, Queue
from kembar.service.metrics import Metrics
from kembar.service.pages import pages_router
from kembar.service.routes import events, exports, groups, operation, photos, posts
from kembar.service.settings import Settings
from kembar.store import Live

_PARTS = (posts, groups, events, exports, photos, operation, login)
_ABOUT = "Find the posts of a marketplace that sell the same product: add, look up, decide, export."


def create_app(live: Live | Callable[[], Live], settings: Settings) -> FastAPI:
    """Make the application.

    Args:
        live: the store, which stays open when the application ends; or what opens it when the application starts, in
            the process that serves, and then it is closed with it.
        settings: of the service.

    Returns:
        An ASGI application; one process serves it, since one process holds a store.
    """
    context = Context(settings, Metrics(), Load())
    if isinstance(live, Live):
        context.begin(live)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        """Open the store where that is to do; at the end, finish what was accepted, and close it."""
        opened = None if isinstance(live, Live) else live()
        if opened is not None:
            opened.warm()
            context.begin(opened)
        try:
            with threadpool_limits(limits=1, user_api="blas"):  # else the threads of requests wait for these
                yield
        finally:
            context.end()
            if opened is not None:
                opened.close()

    app = FastAPI(
        title="kembar",
        version=version("kembar"),
        description=_ABOUT,
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # an id may end with a slash
        lifespan=lifespan,
    )
    app.state.context = context
    add_handlers(app, [route for part in _PARTS for route in part.router.routes])
    _add_routes(app)
    for layer, given in ((Queue, (settings, context.load)), (Bodies, (settings,)), (Gate, (settings,))):
        app.add_middleware(layer, *given)
    app.add_middleware(Watch, context.metrics)  # the one added last is the outermost
    return app


def _add_routes(app: FastAPI) -> None:
    for part in _PARTS:
        app.include_router(part.router)
    app.include_router(pages_router(lambda request: request.app.state.context.live))
