"""Who may ask: names of the service, other sites, tokens, sessions, forms."""

import re
from collections.abc import Iterator

import httpx
import pytest
from starlette.testclient import TestClient

from kembar.service.security import CSRF_COOKIE, CSRF_FIELD, CSRF_HEADER, HEADERS, SESSION_COOKIE
from kembar.store import Live
from services import HERE, TOKEN, client_of, error_of, form, photo, post

BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with Live.create(tmp_path_factory.mktemp("security") / "store") as live:
        yield live


@pytest.fixture(scope="module")
def client(live: Live) -> Iterator[TestClient]:
    with client_of(live) as client:
        yield client


@pytest.fixture
def guarded(live: Live) -> Iterator[TestClient]:
    with client_of(live, host="0.0.0.0", token=TOKEN) as client:
        yield client


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8321", "[::1]:80", "LOCALHOST", "localhost."])
def test_names_of_loopback(client: TestClient, host: str) -> None:
    assert client.get("/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "", "[", "10.0.0.1"]
)
def test_a_name_that_was_bound_to_this_address_by_another_is_refused(client: TestClient, host: str) -> None:
    answer = client.get("/health", headers={"Host": host})
    assert answer.status_code == 403
    assert "Host" in error_of(answer)["given"]


def test_further_names_can_be_allowed(live: Live) -> None:
    with client_of(live, token=TOKEN, hosts=("Shop.example",)) as client:
        assert client.get("/health", headers={"Host": "shop.example"}).status_code == 200
        assert client.get("/health", headers={"Host": "other.example"}).status_code == 403
    with client_of(live, host="0.0.0.0", token=TOKEN) as client:
        assert client.get("/health", headers={"Host": "any.example"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": HERE, "Sec-Fetch-Site": "cross-site"},
    ],
)
def test_another_site_changes_nothing(client: TestClient, live: Live, headers: dict[str, str]) -> None:
    before = live.counts()
    answer = client.post("/v1/posts", json={"posts": [post("from-elsewhere")]}, headers=headers)
    assert answer.status_code == 403
    assert "a request from" in error_of(answer)["given"]
    assert live.counts() == before


def test_this_site_does(client: TestClient) -> None:
    headers = {"Origin": HERE, "Sec-Fetch-Site": "same-origin"}
    assert client.post("/v1/lookup", json={"posts": [{"title": "a"}]}, headers=headers).status_code == 200
    assert client.get("/v1/events", headers={"Origin": "http://evil.example"}).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
@pytest.mark.parametrize("path", ["/v1/posts", "/v1/lookup", "/v1/rematch"])
def test_a_form_is_no_json(client: TestClient, live: Live, kind: str, path: str) -> None:
    before = live.counts()
    for program in ({}, {"Authorization": "x"}):
        answer = client.post(path, content=b'{"posts": [{"id": "a"}]}', headers={"Content-Type": kind, **program})
        assert answer.status_code == (403 if kind.startswith("multi") and not program else 415)
        assert "application/json" in error_of(answer)["expected"]
    assert client.put("/v1/posts", content=b"{}", headers={"Content-Type": kind}).status_code == 415
    assert client.post(path, headers={"Content-Type": kind}).status_code in (403, 415)  # nor without a body
    assert live.counts() == before


def test_json_is_no_form(client: TestClient) -> None:
    assert client.post("/v1/posts/with-photo", json={"id": "a"}).status_code == 415


def test_a_photo_comes_with_a_header_that_no_form_has(client: TestClient, live: Live) -> None:
    given = form(post("form"), photo())
    before = live.counts()
    answer = client.post("/v1/posts/with-photo", data=given["data"], files=given["files"])
    assert answer.status_code == 403
    assert "X-CSRF-Token" in error_of(answer)["expected"]
    assert live.counts() == before
    token = csrf_of(client)
    given["headers"] = {CSRF_HEADER: token}
    assert client.post("/v1/posts/with-photo", **given).status_code == 200
    given["headers"] = {CSRF_HEADER: token[:-1] + ("0" if token[-1] != "0" else "1")}
    assert client.post("/v1/posts/with-photo", **given).status_code == 403


def csrf_of(client: TestClient) -> str:
    """Open a page with a form and take its token."""
    page = client.get("/login")
    token = re.search(f'name="{CSRF_FIELD}" value="([^"]+)"', page.text)[1]
    assert client.cookies[CSRF_COOKIE] == token
    cookie = page.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    return token


# --- tokens


@pytest.mark.parametrize("path", ["/v1/events", "/v1/export", "/openapi.json", "/metrics", "/photos/a.jpg", "/nope"])
@pytest.mark.parametrize("shown", [None, "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x"])
def test_without_the_token_nothing_is_told(guarded: TestClient, path: str, shown: str | None) -> None:
    answer = guarded.get(path, headers={} if shown is None else {"Authorization": shown})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert TOKEN not in answer.text
    assert error_of(answer)["expected"] == "the token of this service"


def test_with_the_token_all_is(guarded: TestClient) -> None:
    assert guarded.get("/v1/events", headers=BEARER).status_code == 200
    assert guarded.get("/v1/events", headers={"Authorization": f"bearer  {TOKEN}"}).status_code == 200
    assert guarded.get("/nope", headers=BEARER).status_code == 404
    assert guarded.get("/health").status_code == guarded.get("/ready").status_code == 200


def test_a_token_counts_on_loopback_too(live: Live) -> None:
    with client_of(live, token=TOKEN) as client:
        assert client.get("/v1/events").status_code == 401
        assert client.get("/v1/events", headers=BEARER).status_code == 200


def test_a_body_is_not_read_before_the_token(guarded: TestClient) -> None:
    answer = guarded.post("/v1/posts", content=b"x" * 20_000_000, headers={"Content-Type": "application/json"})
    assert answer.status_code == 401


def test_a_token_is_never_logged(guarded: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", logger="kembar.service.access")
    guarded.get("/v1/events?token=" + TOKEN, headers=BEARER)
    guarded.get("/v1/events", headers={"Authorization": f"Bearer {TOKEN}x"})
    enter(guarded, TOKEN)
    told = [record.getMessage() for record in caplog.records if record.name.startswith(("kembar", "uvicorn"))]
    assert sum("/v1/events" in line for line in told) == 2
    assert not any(TOKEN in line for line in told)


def test_a_service_at_a_public_address_without_a_token_refuses_all(live: Live) -> None:
    """As another server than `kembar serve` may have it: the address is that of the connection."""
    with TestClient(client_of(live).app, base_url="http://10.0.0.1") as client:
        assert client.get("/v1/events", headers={"Host": "localhost"}).status_code == 403
        assert client.get("/health", headers={"Host": "localhost"}).status_code == 200


# --- sessions of browsers


def enter(client: TestClient, token: str) -> httpx.Response:
    fields = {CSRF_FIELD: csrf_of(client), "token": token}
    return client.post("/login", data=fields, follow_redirects=False)


def test_a_browser_shows_the_token_once(guarded: TestClient) -> None:
    page = guarded.get("/review/x", headers={"Accept": "text/html,*/*"}, follow_redirects=False)
    assert (page.status_code, page.headers["location"]) == (303, "/login")
    assert enter(guarded, "wrong").status_code == 401
    assert guarded.get("/v1/events").status_code == 401
    entered = enter(guarded, TOKEN)
    assert entered.status_code == 303
    cookie = entered.headers["set-cookie"].lower()
    assert all(word in cookie for word in ("httponly", "samesite=strict", "max-age=43200"))
    assert TOKEN not in entered.headers["set-cookie"]
    assert guarded.get("/v1/events").status_code == 200


@pytest.mark.parametrize("value", ["", "x", "99999999999.x.y", "99999999999.x." + "0" * 64, "é"])
def test_a_session_cannot_be_made_up(guarded: TestClient, value: str) -> None:
    assert guarded.get("/v1/events", headers={"Cookie": f"{SESSION_COOKIE}={value}".encode()}).status_code == 401


def test_one_cookie_does_not_serve_for_another(guarded: TestClient) -> None:
    token = csrf_of(guarded)
    assert guarded.get("/v1/events", headers={"Cookie": f"{SESSION_COOKIE}={token}"}).status_code == 401


def test_a_session_ends(guarded: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    enter(guarded, TOKEN)
    monkeypatch.setattr("time.time", lambda: 1e11)
    cookie = {"Cookie": f"{SESSION_COOKIE}={guarded.cookies[SESSION_COOKIE]}"}
    assert guarded.get("/v1/events", headers=cookie).status_code == 401


def test_the_login_itself_needs_the_token_of_its_form(guarded: TestClient) -> None:
    assert guarded.post("/login", data={"token": TOKEN}).status_code == 403
    guarded.get("/login")
    assert guarded.post("/login", data={"token": TOKEN, CSRF_FIELD: "x"}).status_code == 403


# --- headers


@pytest.mark.parametrize("path", ["/health", "/nope", "/v1/posts/nope", "/login", "/openapi.json", "/metrics"])
def test_every_answer_has_the_headers(client: TestClient, path: str) -> None:
    answer = client.get(path)
    for name, value in HEADERS.items():
        if name != "Content-Security-Policy":
            assert answer.headers[name] == value, name
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "http" not in policy
    refused = client.get(path, headers={"Host": "evil.example"})
    assert refused.headers["X-Content-Type-Options"] == "nosniff"


def test_pages_that_load_scripts_from_elsewhere_are_off(client: TestClient) -> None:
    assert client.get("/docs").status_code == client.get("/redoc").status_code == 404
