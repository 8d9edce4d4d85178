"""Errors as answers: one form for all of them, in the words given / expected / fix."""

import logging
import sqlite3
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Match

from kembar.errors import (
    ForkedError,
    InputError,
    KembarError,
    MissingExtraError,
    StoreError,
    TakenError,
    UnknownError,
    quoted,
)

_STATUS: Final = (
    (UnknownError, 404),
    (TakenError, 409),
    (StoreError, 503),
    (ForkedError, 503),
    (MissingExtraError, 503),
)
_TOLD: Final = 3  # faults of a request that are named
_EXPECTED: Final = {
    "missing": "a value",
    "extra_forbidden": "no such field",
    "json_invalid": "JSON",
    "string_type": "text",
    "string_unicode": "text of Unicode, without half characters",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}

log = logging.getLogger(__name__)


class ErrorParts(BaseModel):
    """What went wrong: what was given, what was expected, what to do; the message is all three."""

    given: str
    expected: str
    fix: str
    message: str


class ErrorBody(BaseModel):
    """The body of every answer that is an error."""

    error: ErrorParts


class Refused(InputError):  # noqa: N818 - an answer, not a fault
    """A request that is refused before it reaches the store.

    Args:
        status: of the answer.
        given: what was given.
        expected: what would have been accepted.
        fix: what the client can do.
        headers: further ones of the answer.
    """

    def __init__(
        self, status: int, given: str, expected: str, fix: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(given, expected, fix)
        self.status = status
        self.headers = dict(headers or {})

    def __reduce__(self) -> Any:
        """Pickle by all parts."""
        return type(self), (self.status, self.given, self.expected, self.fix, self.headers)


def described(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe answers that are errors, for the OpenAPI document: status to its form."""
    return {status: {"model": ErrorBody, "description": HTTPStatus(status).phrase} for status in statuses}


def answer(error: Exception) -> JSONResponse:
    """Make the answer to an error; one that nobody foresaw is logged and told without its details."""
    if isinstance(error, Refused):
        return body(error.status, error, error.headers)
    if isinstance(error, sqlite3.Error):
        error = StoreError(
            f"a store that cannot be read or written ({error})", "one that can", "See the log of the service."
        )
    if isinstance(error, KembarError):
        status = next((code for kind, code in _STATUS if isinstance(error, kind)), 422)
        if status == 503:
            log.error("%s", error)
        return body(status, _parts(error), {"Retry-After": "5"} if status == 503 else {})
    log.error("a request failed", exc_info=error)
    fault = InputError(
        "a request that kembar failed at, by a fault of its own", "an answer", "Tell its authors; the log has details."
    )
    return body(500, fault)


def _parts(error: KembarError) -> InputError:
    """Take an error in three parts; some have one sentence alone."""
    if isinstance(error, InputError):
        return error
    return InputError("a request that this installation cannot serve", "one that it can", str(error))


def body(status: int, error: InputError, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Write an error as JSON."""
    parts = {"given": error.given, "expected": error.expected, "fix": error.fix, "message": str(error)}
    return JSONResponse({"error": parts}, status, headers)


def add_handlers(app: FastAPI, routes: Sequence[BaseRoute]) -> None:
    """Have all errors of an application answered in this form.

    Args:
        app: the application.
        routes: its own, whose methods are told where another one was used.
    """

    async def known(request: Request, error: Exception) -> JSONResponse:
        """Answer an error of kembar."""
        return answer(error)

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        """Answer a request of another form than the route's."""
        return body(422, invalid_request(getattr(error, "errors", list)()))

    async def plain(request: Request, error: Exception) -> JSONResponse:
        """Answer what routing refuses: an unknown path or method, a body that cannot be read."""
        status, headers = getattr(error, "status_code", 500), getattr(error, "headers", None)
        status = 422 if status == 400 else status  # whatever is wrong with a body
        if status == 405 and (allowed := _methods(request, routes)):
            headers = {"Allow": ", ".join(allowed)}
        return body(status, _of_routing(request, status, str(getattr(error, "detail", ""))), headers)

    app.add_exception_handler(KembarError, known)
    app.add_exception_handler(sqlite3.Error, known)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, plain)


def invalid_request(errors: Sequence[Mapping[str, Any]]) -> InputError:
    """Write what pydantic found wrong as one message: the first faults, by where they are.

    Args:
        errors: as pydantic lists them, at least one.
    """
    first = errors[:_TOLD]
    more = len(errors) - len(first)
    given = "; ".join(_given(error) for error in first) + (f"; and {more:,} further faults" if more else "")
    expected = "; ".join(dict.fromkeys(_expected(error) for error in first))
    return InputError(given, expected, "Correct the request; /openapi.json has the form of each.")


def _given(error: Mapping[str, Any]) -> str:
    place, kind = _place(error["loc"]), error["type"]
    if kind == "missing":
        return f"no {place}"
    if kind == "json_invalid":
        return f"a body that is not JSON ({_reason(error)})"
    if kind == "extra_forbidden":
        return f"an unknown field: {place}"
    return f"{place}: {quoted(error.get('input'))}"


def _expected(error: Mapping[str, Any]) -> str:
    kind = error["type"]
    if kind in ("value_error", "json_invalid"):
        return "JSON" if kind == "json_invalid" else _reason(error)
    return _EXPECTED.get(kind) or str(error["msg"]).removeprefix("Input should ").removeprefix("be ")


def _reason(error: Mapping[str, Any]) -> str:
    return str(error.get("ctx", {}).get("error", error["msg"]))


def _place(location: Sequence[int | str]) -> str:
    """Write where a fault is, such as 'title' of post 3: counted from 1, as in files."""
    parts = [part for part in location if part not in ("body", "query", "path", "header")] or list(location)
    words: list[str] = []
    for part in parts:
        if isinstance(part, int):
            words[-1:] = [f"{words[-1].strip(chr(39)).removesuffix('s') if words else 'number'} {part + 1}"]
        else:
            words.append(quoted(part))
    return " of ".join(reversed(words))


def _methods(request: Request, routes: Sequence[BaseRoute]) -> list[str]:
    """List the methods of a path."""
    found = (route for route in routes if route.matches(request.scope)[0] != Match.NONE)
    return sorted({method for route in found for method in getattr(route, "methods", None) or ()})


def _of_routing(request: Request, status: int, detail: str) -> InputError:
    path = quoted(request.url.path)
    if status == 404:
        return InputError(f"path {path}", "a path of the API", "See /openapi.json.")
    if status == 405:
        return InputError(f"method {quoted(request.method)} for {path}", "a method of this path", "See /openapi.json.")
    return InputError(f"a body that cannot be read ({detail})", "one in the form of its Content-Type", "Correct it.")
