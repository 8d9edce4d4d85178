"""The page where a person gives the token of the service."""

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from kembar.results.html import Html, element, joined
from kembar.service.context import Here
from kembar.service.security import PAGE_POLICY, csrf_field, csrf_token, is_token, set_csrf, start_session

router = APIRouter(include_in_schema=False)
AFTER = "/review"
"""Where a person goes who was let in."""


@router.get("/login")
async def ask(request: Request) -> Response:
    """Ask for the token."""
    return _page(request, 200)


@router.post("/login")
async def enter(request: Request, here: Here) -> Response:
    """Let in who knows the token."""
    given = (await request.form()).get("token", "")
    if not (isinstance(given, str) and is_token(given.strip(), here.settings)):
        return _page(request, 401, "This is not the token of this service.")
    response = RedirectResponse(AFTER, 303)
    start_session(response, secure=request.url.scheme == "https")
    return response


def _page(request: Request, status: int, fault: str = "") -> HTMLResponse:
    token = csrf_token(request)
    form = element(
        "form",
        csrf_field(token),
        element("label", "Token of this service", for_="token"),
        Html('<input type="password" id="token" name="token" autocomplete="current-password" required autofocus>'),
        element("button", "Enter", type="submit"),
        method="post",
        action="/login",
    )
    told = [element("p", fault, role="alert")] if fault else []
    head = joined(
        Html('<meta charset="utf-8"><meta name="viewport" content="width=device-width">'),
        element("title", "kembar"),
        Html('<link rel="stylesheet" href="/static/review.css">'),
    )
    page = element("html", element("head", head), element("body", element("main", *told, form)), lang="en")
    response = HTMLResponse(f"<!DOCTYPE html>{page}", status, {"Content-Security-Policy": PAGE_POLICY})
    set_csrf(response, token, secure=request.url.scheme == "https")
    return response
