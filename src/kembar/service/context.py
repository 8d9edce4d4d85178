"""What a running service holds, and how its routes reach the store: in a bounded number of threads."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Annotated, ParamSpec, TypeVar

from fastapi import Depends, Request

from kembar.errors import InputError, StoreError
from kembar.service.answers import Refused
from kembar.service.decoders import Decoders
from kembar.service.limits import RETRY, Load
from kembar.service.metrics import Metrics
from kembar.service.settings import Settings
from kembar.service.uploads import Uploads
from kembar.store import Live

Outcome = TypeVar("Outcome")
Given = ParamSpec("Given")


@dataclass(slots=True)
class Context:
    """What the routes of one service share.

    Args:
        settings: of the service.
        metrics: its counts.
        load: of its queue.
    """

    settings: Settings
    metrics: Metrics
    load: Load
    _live: Live | None = None
    _threads: ThreadPoolExecutor | None = None
    _uploads: Uploads | None = None
    exports: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))
    rematches: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))

    def begin(self, live: Live) -> None:
        """Take the store, and threads that work on it."""
        settings = self.settings
        decoders = Decoders(settings.decoders, seconds=settings.photo_seconds, pixels=settings.photo_pixels)
        self._uploads = Uploads(live.photos, decoders)
        self._threads = ThreadPoolExecutor(settings.workers, thread_name_prefix="kembar-service")
        self._live = live

    def end(self) -> None:
        """Finish the work that was accepted; the store stays open."""
        if self._threads is not None:
            self._threads.shutdown(wait=True)
        if self._uploads is not None:
            self._uploads.close()

    @property
    def live(self) -> Live:
        """The store."""
        if self._live is None:
            raise StoreError("a service that has not opened its store", "one that has", "Wait until it has started.")
        return self._live

    @property
    def uploads(self) -> Uploads:
        """The photos that come with requests."""
        if self._uploads is None:
            raise StoreError("a service that has not opened its store", "one that has", "Wait until it has started.")
        return self._uploads

    async def call(self, function: Callable[Given, Outcome], *given: Given.args, **named: Given.kwargs) -> Outcome:
        """Call what waits for the disk or computes, in a thread; once begun it is finished.

        Errors tell no path of this machine.
        """
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: function(*given, **named))
        except InputError as error:
            folder = str(self.live.folder)
            if folder not in str(error):
                raise
            raise type(error)(
                *(part.replace(folder, "STORE") for part in (error.given, error.expected, error.fix))
            ) from error


def refuse_if_busy(places: asyncio.Semaphore, what: str) -> None:
    """Refuse another one of what takes long, where as many as may be are under way.

    Raises:
        Refused: 429.
    """
    if places.locked():
        raise Refused(429, f"one more {what} while others are under way", "one at a time", "Wait for them.", RETRY)


async def of_request(request: Request) -> Context:
    """Find the context of the application that answers."""
    context: Context = request.app.state.context
    return context


Here = Annotated[Context, Depends(of_request)]
"""The parameter of a route that takes the context."""
