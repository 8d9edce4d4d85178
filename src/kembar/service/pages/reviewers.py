"""The name of a reviewer: asked for once, kept in a cookie of the browser, written to every answer."""

from typing import Final
from urllib.parse import quote, unquote

from fastapi import Request
from starlette.responses import Response

from kembar.errors import visible

COOKIE: Final = "kembar_reviewer"
LONGEST: Final = 60
"""Characters of a name."""
_YEAR: Final = 365 * 24 * 3600


def reviewer(request: Request) -> str:
    """Read the name of who asks; "" where it is not known yet."""
    return tidy(unquote(request.cookies.get(COOKIE, "")))


def tidy(name: str) -> str:
    """Write a name in one way: no line ends or control characters, no blanks around it, not too long."""
    return visible(" ".join(name.split()))[:LONGEST].strip()


def remember(response: Response, name: str, *, secure: bool) -> None:
    """Keep a name in the browser; it is no secret, and no proof of who somebody is."""
    response.set_cookie(
        COOKIE, quote(tidy(name)), _YEAR, httponly=True, samesite="strict", secure=secure, path="/review"
    )
