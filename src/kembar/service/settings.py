"""What the operator of a service sets: where it listens, who may ask, and every limit."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from kembar.errors import ConfigError, quoted

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
TOKEN_VARIABLE: Final = "KEMBAR_TOKEN"
_LEAST_TOKEN: Final = 16  # characters: a guess a millisecond finds none of them
_MAKE_ONE: Final = "python -c 'import secrets; print(secrets.token_urlsafe(32))'"


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a service.

    Args:
        host: address to listen on, or name of one.
        port: likewise; 0: a free one.
        token: what a client must show; None: nothing, which only a loopback address permits.
        hosts: further names under which the service is reached, such as those that a proxy in front of it answers to.
        max_body: bytes of a request.
        max_posts: posts of a request, and groups or events of an answer.
        max_title: characters of a title, and of any other text of a post.
        workers: requests that are worked on at once.
        queue: requests that may wait for that; more are refused with 429.
        connections: that may be open at once.
        photo_pixels: width times height of a photo.
        photo_seconds: that decoding one may take.
        decoders: processes that decode uploaded photos.
        head_seconds: that a client may take for the head of a request.
        body_seconds: likewise for its body.
        send_seconds: that a client may leave a piece of an answer unread.
        stop_seconds: that accepted work may take when the service is stopped.

    Raises:
        ConfigError: a limit below 1; an address other than loopback, or a name for one, without a token; a short token.
    """

    host: str = "127.0.0.1"
    port: int = 8321
    token: str | None = field(default=None, repr=False)
    hosts: tuple[str, ...] = ()
    max_body: int = 10_000_000
    max_posts: int = 1000
    max_title: int = 4096
    workers: int = 8
    queue: int = 64
    connections: int = 512
    photo_pixels: int = 50_000_000
    photo_seconds: float = 10.0
    decoders: int = 2
    head_seconds: float = 10.0
    body_seconds: float = 60.0
    send_seconds: float = 60.0
    stop_seconds: float = 60.0

    def __post_init__(self) -> None:
        for name in ("max_body", "max_posts", "max_title", "workers", "connections", "photo_pixels", "decoders"):
            _at_least(name, getattr(self, name), 1)
        for name in ("photo_seconds", "head_seconds", "body_seconds", "send_seconds", "stop_seconds"):
            _at_least(name, getattr(self, name), 0.1)
        _at_least("queue", self.queue, 0)
        if not 0 <= self.port < 1 << 16:
            raise ConfigError(f"port={self.port}", "a number from 0 to 65535", "Choose another port.")
        object.__setattr__(self, "hosts", tuple(name.lower() for name in self.hosts))
        self._check_token()

    def _check_token(self) -> None:
        """Refuse to be open to others."""
        reached = [name for name in (self.host, *self.hosts) if not is_loopback(name)]
        if self.token is None and reached:
            raise ConfigError(
                f"a service that others reach, at {quoted(reached[0])}, without a token",
                f"a token in the variable {TOKEN_VARIABLE} or in a file",
                f"Make one with `{_MAKE_ONE}` and give it, or listen on 127.0.0.1.",
            )
        if self.token is not None and not (len(self.token) >= _LEAST_TOKEN and _plain(self.token)):
            raise ConfigError(
                f"a token of {len(self.token)} characters",  # not the token itself
                f"at least {_LEAST_TOKEN} characters of ASCII without blanks",
                f"Make one with `{_MAKE_ONE}`.",
            )


def is_loopback(host: str) -> bool:
    """Tell whether an address, or a name for one, is that of this machine alone."""
    host = host.strip("[]").lower()
    if host in LOOPBACK:
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def find_token(file: Path | None, environment: Mapping[str, str] = os.environ) -> str | None:
    """Read the token from a file or, where none is named, from the environment; None: there is none.

    Raises:
        ConfigError: the file cannot be read or is empty.
    """
    if file is None:
        return environment.get(TOKEN_VARIABLE, "").strip() or None
    try:
        token = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not ASCII"
        raise ConfigError(
            f"token file {quoted(file)} ({reason})", "a file with one line, the token", "Name another file."
        ) from error
    if not token:
        raise ConfigError(f"token file {quoted(file)}, which is empty", "one line, the token", "Write the token to it.")
    return token


def _at_least(name: str, value: float, least: float) -> None:
    if not value >= least:
        raise ConfigError(f"{name}={value!r}", f"at least {least}", f"Give a larger {name}.")


def _plain(token: str) -> bool:
    return token.isascii() and token.isprintable() and " " not in token
