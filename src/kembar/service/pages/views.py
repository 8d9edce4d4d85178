"""What all pages share: templates, headers, the way back, errors as pages."""

from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from typing import Any, Final
from urllib.parse import quote, urlsplit

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse, RedirectResponse, Response

from kembar.errors import InputError, visible
from kembar.service.answers import answer, invalid_request
from kembar.service.pages.reviewers import reviewer
from kembar.service.security import PAGE_POLICY, csrf_field, csrf_token, set_csrf

HOME: Final = "/review"
PAGES: Final = (
    (HOME, "Queue"),
    ("/review/groups", "Groups"),
    ("/review/search", "Search"),
    ("/review/progress", "Progress"),
    ("/review/disagreements", "Disagreements"),
)
VERDICT_WORDS: Final = {
    "same": "Same",
    "different": "Different",
    "variant": "Variant",
    "unsure": "Cannot tell",
    "skip": "Skip",
}


class PageRoute(APIRoute):
    """A route whose errors are pages for people, in the words that programs get as JSON."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        """Wrap the handler."""
        handler = super().get_route_handler()

        async def told(request: Request) -> Response:
            """Answer, or show what went wrong."""
            try:
                return await handler(request)
            except RequestValidationError as error:
                return render(request, "error.html", 422, error=invalid_request(error.errors()))
            except InputError as error:
                return render(request, "error.html", answer(error).status_code, error=error)

        return told


def render(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """Write a page.

    Args:
        request: what is answered.
        template: the name of its file.
        status: of the answer.
        values: what the template takes.

    Returns:
        The page, with the strict policy of `kembar.service.security`; text is escaped in all templates.
    """
    token = csrf_token(request)
    shared = {
        "by": reviewer(request),
        "csrf": Markup(csrf_field(token)),
        "done": None,
        "here": request.url.path,
        "pages": PAGES,
        "photo": photo_path,
        "then": this_page(request),
        "version": version("kembar"),
    }
    page = _templates().get_template(template).render({**shared, **values})
    response = HTMLResponse(page, status, {"Content-Security-Policy": PAGE_POLICY})
    set_csrf(response, token, secure=is_secure(request))
    return response


def go(path: str) -> RedirectResponse:
    """Send a browser on after a form, so that a reload does not send it again."""
    return RedirectResponse(path, 303)


def is_secure(request: Request) -> bool:
    """Tell whether cookies may be for HTTPS alone."""
    return request.url.scheme == "https"


def this_page(request: Request) -> str:
    """Give the path of a page with its query, to come back to."""
    asked = [(key, value) for key, value in request.query_params.multi_items() if key != "done"]
    query = "&".join(f"{quote(key)}={quote(value, safe='')}" for key, value in asked)
    return f"{request.url.path}?{query}" if query else request.url.path


def safe_path(path: str, *, done: int | None = None) -> str:
    """Take a path to go back to: one of the review's own pages, else the queue; with the event that was done."""
    parts = urlsplit(path)
    own = not parts.scheme and not parts.netloc and (parts.path == HOME or parts.path.startswith(f"{HOME}/"))
    path = path if own and path.isascii() and path.isprintable() else HOME
    return path if done is None else f"{path}{'&' if '?' in path else '?'}done={done}"


def photo_path(name: str) -> str:
    """Give the address of a photo of the store."""
    return f"/photos/{quote(name)}"


def with_query(path: str, **values: str | int | None) -> str:
    """Add what is not empty to a path as its query."""
    query = "&".join(f"{key}={quote(str(value), safe='')}" for key, value in values.items() if value not in (None, ""))
    return f"{path}?{query}" if query else path


@cache
def _templates() -> Environment:
    """Load the templates: everything is escaped; control characters, and those that turn text, are shown as escapes."""
    found = Environment(
        loader=PackageLoader("kembar.service.pages"),
        autoescape=True,
        finalize=lambda value: visible(value) if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["exact"] = escape  # what a form sends back must be the very text
    return found
