"""Who may ask: tokens, sessions of browsers, names of hosts, requests from other sites.

A client shows the token in `Authorization: Bearer`; a browser gives it once to /login and holds a signed cookie then.
What changes something must come from where a form of another site cannot: as application/json or with a header that
forms lack, or with the CSRF token of this browser, which pages put into a field (`csrf_field`) or htmx into a header.
"""

import hashlib
import hmac
import secrets
import time
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import Response

from kembar.errors import quoted
from kembar.results.html import Html, element
from kembar.service.answers import Refused
from kembar.service.bodies import JSON, content_type
from kembar.service.settings import Settings, is_loopback

CSRF_COOKIE: Final = "kembar_csrf"
CSRF_FIELD: Final = "csrf_token"
CSRF_HEADER: Final = "X-CSRF-Token"
SESSION_COOKIE: Final = "kembar_session"
SESSION_SECONDS: Final = 12 * 3600
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
API_POLICY: Final = "default-src 'none'; frame-ancestors 'none'"
PHOTO_POLICY: Final = "default-src 'none'; sandbox"
PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; font-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
"""Content-Security-Policy of pages: nothing inline, nothing remote."""
HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
    "Content-Security-Policy": API_POLICY,
}
"""Headers of every answer that does not set them itself."""

_KEY: Final = secrets.token_bytes(32)  # of this process: what it signed ends with it
_NOT_A_FORM: Final = ("Authorization", "Idempotency-Key")  # headers a form cannot send, nor a script of another site


def csrf_token(request: HTTPConnection) -> str:
    """Give the CSRF token of this browser: that of its cookie, or a new one, which `set_csrf` must hand out."""
    held = request.cookies.get(CSRF_COOKIE, "")
    return held if _is_signed("csrf", held) else _signed("csrf", secrets.token_urlsafe(24))


def csrf_field(token: str) -> Html:
    """Write the hidden field that carries the token in a form."""
    return element("input", type="hidden", name=CSRF_FIELD, value=token)


def set_csrf(response: Response, token: str, *, secure: bool = False) -> None:
    """Hand out the token in a cookie that no other site can send and no script can read."""
    response.set_cookie(CSRF_COOKIE, token, httponly=True, samesite="strict", secure=secure, path="/")


def is_csrf(request: HTTPConnection, given: str | None) -> bool:
    """Tell whether a request carries the token of its browser, signed by this process."""
    held = request.cookies.get(CSRF_COOKIE, "")
    return bool(given) and _same(given or "", held) and _is_signed("csrf", held)


def start_session(response: Response, *, secure: bool = False) -> None:
    """Let a browser in that has shown the token; until the process ends, or twelve hours."""
    value = _signed("session", f"{int(time.time()) + SESSION_SECONDS}.{secrets.token_urlsafe(12)}")
    response.set_cookie(
        SESSION_COOKIE, value, SESSION_SECONDS, httponly=True, samesite="strict", secure=secure, path="/"
    )


def has_session(request: HTTPConnection) -> bool:
    """Tell whether a browser is let in."""
    value = request.cookies.get(SESSION_COOKIE, "")
    return _is_signed("session", value) and int(value.split(".")[0]) > time.time()


def is_token(given: str, settings: Settings) -> bool:
    """Compare a token with the one of the service, in a time that does not depend on where they differ."""
    return settings.token is not None and _same(given, settings.token)


def check_token(request: HTTPConnection, settings: Settings) -> None:
    """Refuse who shows neither the token nor a session, where there is a token.

    Raises:
        Refused: 401; 403 where there is no token but the service is reached from elsewhere.
    """
    if settings.token is None:
        server = (request.scope.get("server") or ("127.0.0.1",))[0]
        if not (server.startswith("/") or is_loopback(server)):  # another server than `kembar serve` runs this
            raise Refused(
                403, "a service without a token at a public address", "a token", "Start it with KEMBAR_TOKEN set."
            )
        return
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if not (scheme.lower() == "bearer" and is_token(given.strip(), settings)) and not has_session(request):
        raise Refused(
            401,
            "another token than the service's" if given else "no token",
            "the token of this service",
            "Send the header Authorization: Bearer TOKEN; in a browser, open /login.",
            {"WWW-Authenticate": "Bearer"},
        )


def check_host(headers: Headers, settings: Settings) -> None:
    """Refuse names that are not the service's: with its own name, a remote site could make a browser ask (rebinding).

    Raises:
        Refused: 403.
    """
    host = host_name(headers.get("Host", ""))
    if not _is_ours(host, settings):
        known = ", ".join(dict.fromkeys(("localhost", settings.host, *settings.hosts)))
        raise Refused(
            403, f"Host {quoted(host)}", f"one of {known}", "Use such a name, or allow this one at the start."
        )


def check_site(request: HTTPConnection, settings: Settings) -> None:
    """Refuse what another site has a browser send.

    Raises:
        Refused: 403.
    """
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None and site not in ("same-origin", "none"):
        raise _from_elsewhere(f"a request from another site ({quoted(site)})")
    if origin is not None:
        theirs, ours = urlsplit(origin).netloc, request.headers.get("Host", "")
        if theirs != ours and not (host_name(theirs) and host_name(theirs) in settings.hosts):
            raise _from_elsewhere(f"a request from {quoted(origin)}")


def is_plain_form(headers: Headers) -> bool:
    """Tell whether a form of another site could send such a request: only its CSRF token tells it from one."""
    return content_type(headers) != JSON and not any(name in headers for name in _NOT_A_FORM)


def no_csrf() -> Refused:
    """Make the answer to a form without the token of its browser."""
    return Refused(
        403,
        "a form without the token of this session",
        f"application/json, a header {' or '.join(_NOT_A_FORM)}, or the token in {CSRF_HEADER}",
        "A page: reload it. A program: send one of these headers.",
    )


def host_name(host: str) -> str:
    """Take the name from a Host header, without its port, in lower case; "" where it is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_ours(host: str, settings: Settings) -> bool:
    if is_loopback(host) or host in (settings.host.strip("[]").lower(), *settings.hosts):
        return True
    return not is_loopback(settings.host) and not settings.hosts  # behind a token any name, where none is given


def _from_elsewhere(given: str) -> Refused:
    return Refused(403, given, "one from a page of this service, or from a program", "Open the service itself.")


def _signed(purpose: str, text: str) -> str:
    """Sign a text for one purpose, so that no cookie serves for another."""
    return f"{text}.{hmac.new(_KEY, f'{purpose} {text}'.encode('utf-8', 'replace'), hashlib.sha256).hexdigest()}"


def _is_signed(purpose: str, value: str) -> bool:
    text, dot, _ = value.rpartition(".")
    return bool(dot) and _same(value, _signed(purpose, text))


def _same(left: str, right: str) -> bool:
    return hmac.compare_digest(*(hashlib.sha256(text.encode("utf-8", "replace")).digest() for text in (left, right)))
