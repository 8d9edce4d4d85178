"""The outermost layers of the service: headers of every answer, the access log, and who may ask at all."""

import logging
import time
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kembar.errors import visible
from kembar.service.answers import Refused, answer
from kembar.service.metrics import Metrics
from kembar.service.security import HEADERS, SAFE_METHODS, check_host, check_site, check_token
from kembar.service.settings import Settings

OPEN: Final = frozenset({"/health", "/ready", "/login"})  # paths that need no token
_LOGGED: Final = 300  # characters of a path

access = logging.getLogger("kembar.service.access")


class Watch:
    """Give every answer the headers of `security`, log it without what it carries, count it; answer what failed.

    Args:
        app: what answers.
        metrics: counts.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0

        async def watched(message: Message) -> None:
            """Send a piece of the answer."""
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            if status:  # a half answer: the connection ends, so that it is not taken for a whole one
                raise
            await answer(error)(scope, receive, watched)
        finally:
            self._tell(scope, status, time.perf_counter() - began)

    def _tell(self, scope: Scope, status: int, seconds: float) -> None:
        """Log and count an answer; the route and not the path, which may hold anything."""
        route = getattr(scope.get("route"), "path", "other")
        self._metrics.saw(scope["method"], route, status, seconds)
        client = (scope.get("client") or ("-",))[0]
        path = visible(scope["path"])[:_LOGGED].replace("\n", "\\n")
        access.info("%s %s %s %d %.1f ms", client, scope["method"], path, status, seconds * 1000)


class Gate:
    """Refuse, before a body is read, who may not ask: another name, another site, no token.

    Args:
        app: what answers.
        settings: of the service.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = HTTPConnection(scope)
        try:
            self._check(request)
        except Refused as error:
            await self._refusal(request, error)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check(self, request: HTTPConnection) -> None:
        if (
            "Transfer-Encoding" in request.headers and "Content-Length" in request.headers
        ):  # a proxy may read it so or so
            raise Refused(
                400,
                "a body of two lengths",
                "Content-Length or Transfer-Encoding",
                "Send one of the two.",
                {"Connection": "close"},
            )
        check_host(request.headers, self._settings)
        if request.scope["method"] not in SAFE_METHODS:
            check_site(request, self._settings)
        if request.scope["path"] not in OPEN and not request.scope["path"].startswith("/static/"):
            check_token(request, self._settings)

    def _refusal(self, request: HTTPConnection, error: Refused) -> ASGIApp:
        """Show a person the page where the token is asked for; tell a program."""
        page = request.scope["method"] == "GET" and "text/html" in request.headers.get("Accept", "")
        return RedirectResponse("/login", 303) if error.status == 401 and page else answer(error)
