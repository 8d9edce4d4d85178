"""Serve an open store until the process is told to stop."""

import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

import uvicorn

from kembar.errors import ConfigError
from kembar.service.app import create_app
from kembar.service.connections import connections_of
from kembar.service.settings import Settings
from kembar.store import Live

log = logging.getLogger(__name__)


class _Server(uvicorn.Server):
    """A server that says where it listens, once it does."""

    def __init__(self, config: uvicorn.Config, told: Callable[[str], None]) -> None:
        super().__init__(config)
        self._told = told

    async def startup(self, sockets: "list[object] | None" = None) -> None:  # type: ignore[override]
        """Listen."""
        await super().startup(sockets)  # type: ignore[arg-type]
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self._told(f"http://{f'[{host}]' if ':' in host else host}:{port}")


def serve(live: Live, settings: Settings, told: Callable[[str], None]) -> None:
    """Serve until SIGTERM or Ctrl-C; then finish accepted requests. The store stays open.

    Args:
        live: the store.
        settings: of the service.
        told: called with the address once requests are taken.

    Raises:
        ConfigError: nothing can listen at the address.
    """
    config = uvicorn.Config(
        create_app(live, settings),
        host=settings.host.strip("[]"),
        port=settings.port,
        http=connections_of(settings),
        ws="none",
        loop="asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(settings.stop_seconds) + 1,
    )
    with _until_stopped():
        try:
            _Server(config, told).run()
        except SystemExit as error:
            if error.code == 0:
                raise
            raise ConfigError(
                f"address {settings.host}:{settings.port}", "one that is free", "See the log; choose another port."
            ) from error


@contextmanager
def _until_stopped() -> Iterator[None]:
    """Have SIGTERM end what is inside as Ctrl-C does; both are the usual end of a service."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        """Leave what is running."""
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        with suppress(KeyboardInterrupt):
            yield
    finally:
        signal.signal(signal.SIGTERM, before)
        sys.stdout.flush()
