"""Connections as the service's own server holds them: bounded in number, and closed when a client is too slow.

uvicorn waits for ever for the head of a request and for a client that does not read its answer. Another server in front
of the service, or in its place, has limits of its own for these.
"""

import asyncio
import json
from http import HTTPStatus

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from kembar.errors import InputError
from kembar.service.security import HEADERS
from kembar.service.settings import Settings


class Connection(H11Protocol):
    """A connection of a client; `connections_of` makes the class for a service."""

    settings = Settings()
    _head: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request, or refuse one connection too many."""
        super().connection_made(transport)
        if len(self.connections) > self.settings.connections:
            limit = f"at most {self.settings.connections} connections"
            self._refuse(503, InputError("one connection more than the service holds", limit, "Try again later."))
            return
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take a piece of a request."""
        super().data_received(data)
        self._wait()

    def on_response_complete(self) -> None:
        """Begin to wait for the next request."""
        super().on_response_complete()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client."""
        self._stop("_head")
        self._stop("_unread")
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Note that the client does not read as fast as it is answered."""
        super().pause_writing()
        self._unread = self._unread or self.loop.call_later(self.settings.send_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Note that it reads on."""
        self._stop("_unread")
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(400, InputError("a request that is not HTTP/1.1", "HTTP/1.1", "Use a client for HTTP."))

    def _wait(self) -> None:
        """Bound the time while no request is answered; between two requests uvicorn does so itself."""
        idle = self.cycle is None or self.cycle.response_complete
        if not idle or self.timeout_keep_alive_task is not None or self.transport.is_closing():
            self._stop("_head")
        elif self._head is None:
            self._head = self.loop.call_later(self.settings.head_seconds, self._too_slow)

    def _too_slow(self) -> None:
        """End a connection whose client began a request and did not go on; say so where that can be."""
        self._head = None
        if self.conn.our_state is h11.IDLE and self.conn.trailing_data[0]:
            seconds = f"{self.settings.head_seconds:g} seconds"
            self._refuse(408, InputError(f"a request that had not begun after {seconds}", "one that is faster", ""))
        else:
            self.transport.close()

    def _refuse(self, status: int, error: InputError) -> None:
        """Answer without a request and end the connection."""
        parts = {"given": error.given, "expected": error.expected, "fix": error.fix, "message": str(error)}
        body = json.dumps({"error": parts}).encode()
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
            **({"Retry-After": "1"} if status == 503 else {}),
            **HEADERS,
        }
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {v}" for name, v in headers.items())]
        self.transport.write("\r\n".join([*lines, "", ""]).encode() + body)
        self.transport.close()

    def _stop(self, timer: str) -> None:
        if (running := getattr(self, timer)) is not None:
            running.cancel()
            setattr(self, timer, None)


def connections_of(settings: Settings) -> type[Connection]:
    """Make the class of the connections of a service."""
    return type("Connection", (Connection,), {"settings": settings})
