"""How much a request may hold, how long it may take to come, and how many are worked on at once.

A body is read whole before anything of it is worked on. So a client that is slow holds no place in the queue, and of a
client that hangs up nothing has begun; what has begun is finished, whether or not the client still waits.
"""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kembar.service.answers import Refused, answer
from kembar.service.bodies import JSON, MULTIPART, content_type, other_type
from kembar.service.security import CSRF_FIELD, CSRF_HEADER, is_csrf, is_plain_form, no_csrf
from kembar.service.settings import Settings

UNLIMITED: Final = frozenset({"/health", "/ready", "/metrics"})  # paths that are answered however busy the service is
API: Final = "/v1/"
RETRY: Final = {"Retry-After": "1"}
_BODIES: Final = 16  # of the largest size that may be in memory at once
_URLENCODED: Final = "application/x-www-form-urlencoded"


class Bodies:
    """Read bodies within limits of size, time and memory; refuse forms without the token of their browser.

    Args:
        app: what answers; it gets each body in one piece.
        settings: of the service.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app, self._settings = app, settings
        self._held = 0  # bytes of all bodies in memory

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request whose body came whole; drop one whose client hung up before."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = bytearray()
        try:
            if not await self._read(scope, receive, body):
                return
            _check_form(HTTPConnection(scope), body)
            await self._app(scope, _whole(bytes(body), receive), send)
        except Refused as error:
            await answer(error)(scope, receive, send)
        finally:
            self._held -= len(body)

    async def _read(self, scope: Scope, receive: Receive, body: bytearray) -> bool:
        """Read a body into a buffer; false: the client hung up."""
        declared = Headers(scope=scope).get("Content-Length", "")
        if declared.isdecimal() and int(declared[:20]) > self._settings.max_body:
            raise self._too_large(f"a body of {int(declared[:20]):,} bytes")
        try:
            async with asyncio.timeout(self._settings.body_seconds):
                while (message := await receive())["type"] == "http.request":
                    self._take(message.get("body", b""), body)
                    if not message.get("more_body", False):
                        return True
        except TimeoutError as error:
            seconds = f"{self._settings.body_seconds:g} seconds"
            raise Refused(
                408,
                f"a body that had not come after {seconds}",
                "one that comes faster",
                "Send less at once.",
                {"Connection": "close"},
            ) from error
        return False

    def _take(self, piece: bytes, body: bytearray) -> None:
        if len(body) + len(piece) > self._settings.max_body:
            raise self._too_large("a longer body")
        if self._held + len(piece) > _BODIES * self._settings.max_body:
            raise Refused(429, "more requests at once than fit in memory", "fewer", "Send it again later.", RETRY)
        self._held += len(piece)
        body += piece

    def _too_large(self, given: str) -> Refused:
        limit = f"at most {self._settings.max_body:,} bytes"
        return Refused(413, given, limit, "Send fewer posts at once, or a smaller photo.")


@dataclass(slots=True)
class Load:
    """How many requests are worked on, and how many wait for it."""

    running: int = 0
    waiting: int = 0


class Queue:
    """Have a bounded number of requests worked on at once, and a bounded number wait; refuse the others.

    A request gives up its place when its answer begins, so that a client that reads slowly holds none. Requests with
    photos, which can take seconds, have half of the places at most.

    Args:
        app: what answers.
        settings: of the service.
        load: where the requests are counted.
    """

    def __init__(self, app: ASGIApp, settings: Settings, load: Load) -> None:
        self._app, self._settings, self._load = app, settings, load
        self._places = asyncio.Semaphore(settings.workers)
        self._photos = asyncio.Semaphore(max(1, settings.workers // 2))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request in its turn."""
        if scope["type"] != "http" or scope["path"] in UNLIMITED:
            await self._app(scope, receive, send)
            return
        if self._is_full(scope["path"]):
            limit = f"at most {self._settings.workers + self._settings.queue} requests at once"
            error = Refused(429, "one request more than the service works on", limit, "Send it again later.", RETRY)
            await answer(error)(scope, receive, send)
            return
        await self._in_turn(scope, receive, send)

    def _is_full(self, path: str) -> bool:
        """Tell whether a request would have to wait, where as many as may wait do so already."""
        busy = self._places.locked() or (path.endswith("/with-photo") and self._photos.locked())
        return busy and self._load.waiting >= self._settings.queue

    async def _in_turn(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with AsyncExitStack() as held:
            self._load.waiting += 1
            try:
                if scope["path"].endswith("/with-photo"):
                    await held.enter_async_context(self._photos)
                await self._places.acquire()
            finally:
                self._load.waiting -= 1
            await self._at_its_place(scope, receive, send)

    async def _at_its_place(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._load.running += 1
        holds = True

        def leave() -> None:
            """Give up the place, once."""
            nonlocal holds
            if holds:
                holds = False
                self._load.running -= 1
                self._places.release()

        async def leaving(message: Message) -> None:
            """Send a piece of the answer."""
            leave()
            await send(message)

        try:
            await self._app(scope, receive, leaving)
        finally:
            leave()


def _whole(body: bytes, receive: Receive) -> Receive:
    """Hand a body on in one piece; after it, what the server says, such as that the client hung up."""
    handed = False

    async def hand() -> Message:
        nonlocal handed
        if handed:
            return await receive()
        handed = True
        return {"type": "http.request", "body": body, "more_body": False}

    return hand


def _check_form(request: HTTPConnection, body: bytearray) -> None:
    """Refuse what a form of another site could send.

    Raises:
        Refused: 403; 415 where the API reads no forms.
    """
    if request.scope["method"] != "POST" or not is_plain_form(request.headers):
        return
    kind = content_type(request.headers)
    given = request.headers.get(CSRF_HEADER)
    if given is None and kind == _URLENCODED:
        given = _field(body, CSRF_FIELD)
    if not is_csrf(request, given):
        raise no_csrf() if kind == MULTIPART or not request.scope["path"].startswith(API) else other_type(kind, JSON)


def _field(body: bytearray, name: str) -> str | None:
    """Take a field from a form; None: it has none, or is none."""
    try:
        return parse_qs(bytes(body).decode("utf-8"), max_num_fields=1000).get(name, [None])[0]
    except ValueError:
        return None
