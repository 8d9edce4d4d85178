"""Which Content-Type the body of a request has, and which ones a route reads."""

from typing import Final

from fastapi import Depends, Request
from fastapi.params import Depends as Dependency
from starlette.datastructures import Headers

from kembar.errors import quoted
from kembar.service.answers import Refused

JSON: Final = "application/json"
MULTIPART: Final = "multipart/form-data"


def content_type(headers: Headers) -> str:
    """Give the Content-Type without its parameters, in lower case; "" where there is none."""
    return headers.get("Content-Type", "").partition(";")[0].strip().lower()


def other_type(kind: str, wanted: str) -> Refused:
    """Make the answer to a body of another Content-Type."""
    given = f"a request of Content-Type {quoted(kind)}" if kind else "a request without Content-Type"
    return Refused(415, given, wanted, f"Add the header Content-Type: {wanted}.")


def _reads(wanted: str) -> Dependency:
    """Have a route read bodies of one Content-Type alone."""

    async def check(request: Request) -> None:
        """Refuse another one; none is needed where there is no body."""
        kind = content_type(request.headers)
        if kind != wanted and (kind or await request.body()):
            raise other_type(kind, wanted)

    dependency: Dependency = Depends(check)
    return dependency


READS_JSON: Final = [_reads(JSON)]
"""Dependencies of a route."""
READS_FORMS: Final = [_reads(MULTIPART)]
"""Likewise."""
