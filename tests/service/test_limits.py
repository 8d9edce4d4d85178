"""Sizes, times and numbers: what is too much is refused in words, and the others are served."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from kembar.service.answers import Refused
from kembar.service.context import refuse_if_busy
from kembar.service.limits import Bodies
from kembar.service.settings import Settings
from kembar.store import Live
from services import Served, client_of, error_of, everything, form, many_scans, photo, post

UNREAD = ("--send-seconds", 0.5)
JSON = {"Content-Type": "application/json"}
HEAD = "POST /v1/posts HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
ADD = json.dumps({"posts": [post("whole")]}).encode()


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with Live.create(tmp_path_factory.mktemp("limits") / "store") as live:
        yield live


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service with short times."""
    folder = tmp_path_factory.mktemp("served") / "store"
    Live.create(folder).close()
    with Served(folder, "--head-seconds", 0.4, "--body-seconds", 1, "--connections", 20, *UNREAD) as served:
        yield served


def request(body: bytes, length: int | None = None) -> bytes:
    return HEAD.format(len(body) if length is None else length).encode() + body


def test_a_body_may_be_as_long_as_the_limit_and_no_longer(live: Live) -> None:
    body = json.dumps({"posts": [post("a")]}).encode()
    with client_of(live, max_body=len(body)) as client:
        assert client.post("/v1/posts", content=body, headers=JSON).status_code == 200
        answer = client.post("/v1/posts", content=body + b" ", headers=JSON)
        assert answer.status_code == 413
        assert error_of(answer)["given"] == f"a body of {len(body) + 1} bytes"

        def pieces() -> Iterator[bytes]:
            """Without a Content-Length."""
            yield body
            yield b" "

        assert client.post("/v1/posts", content=pieces(), headers=JSON).status_code == 413
        lied = client.post("/v1/posts", content=pieces(), headers={**JSON, "Content-Length": "9" * 30})
        assert lied.status_code == 413


def test_posts_of_a_request_are_counted_and_titles_measured(live: Live) -> None:
    with client_of(live, max_posts=2, max_title=20) as client:
        three = [post(id) for id in "abc"]
        answer = client.post("/v1/posts", json={"posts": three})
        assert (answer.status_code, error_of(answer)["given"]) == (422, "3 posts")
        assert client.post("/v1/lookup", json={"posts": three}).status_code == 422
        assert client.post("/v1/posts/remove", json={"ids": ["a", "b", "c"]}).status_code == 422
        for long in ({"title": "x" * 21}, {"texts": {"mpn": "x" * 21}}, {"texts": {"x" * 21: "y"}}):
            answer = client.post("/v1/posts", json={"posts": [{"id": "a", "title": "x", **long}]})
            assert (answer.status_code, error_of(answer)["given"]) == (422, "a text of 21 characters in post 'a'")
        assert client.post("/v1/lookup", json={"posts": [{"title": "x" * 20}]}).status_code == 200


def test_a_queue_that_is_full_says_when_to_come_again(tmp_path: Path) -> None:
    Live.create(tmp_path / "store").close()
    slow = form({}, many_scans(2000, 60))  # half a second or more
    options = ("--workers", 1, "--queue", 1)
    with Served(tmp_path / "store", *options) as served, ThreadPoolExecutor(2) as threads, served.client() as client:
        client.post("/v1/lookup/with-photo", **form({}, photo()))  # the decoder is there
        first = threads.submit(client.post, "/v1/lookup/with-photo", **slow)
        wait_until(lambda: "kembar_running 1.0" in client.get("/metrics").text)
        second = threads.submit(client.get, "/v1/events")
        wait_until(lambda: "kembar_waiting 1.0" in client.get("/metrics").text)
        third = client.get("/v1/events")
        assert (third.status_code, third.headers["Retry-After"]) == (429, "1")
        assert "at most 2 requests at once" in error_of(third)["expected"]
        assert client.get("/health").status_code == client.get("/ready").status_code == 200
        assert (first.result().status_code, second.result().status_code) == (200, 200)
        assert client.get("/v1/events").status_code == 200


def wait_until(holds: "object", seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_bodies_at_once_are_bounded(live: Live) -> None:
    """Slow clients whose bodies are not whole hold memory: no more than 16 of the largest size."""
    bodies = Bodies(lambda *rest: asyncio.sleep(0), Settings(max_body=100))
    held = [bytearray() for _ in range(16)]
    for body in held:
        bodies._take(b"x" * 100, body)
    with pytest.raises(Refused, match="more requests at once than fit in memory") as error:
        bodies._take(b"x", bytearray())
    assert error.value.status == 429


def test_a_slow_head_is_not_waited_for(served: Served) -> None:
    with served.raw() as silent, served.raw() as begun:
        begun.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-")
        began = time.monotonic()
        told = everything(begun)
        assert told.startswith(b"HTTP/1.1 408 ")
        assert b"a request that had not begun after 0.4 seconds" in told
        assert everything(silent) == b""
        assert 0.2 < time.monotonic() - began < 3


def test_a_head_that_trickles_is_not_either(served: Served) -> None:
    with served.raw() as connection:
        began = time.monotonic()
        connection.settimeout(0.05)
        told = b""
        connection.sendall(b"GET /health HTTP/1.1\r\n")
        while time.monotonic() - began < 3 and not told:
            try:
                connection.sendall(b"X: 1\r\n")
                told = connection.recv(1000)
            except TimeoutError:
                pass
        assert told.startswith(b"HTTP/1.1 408 ")


def test_a_slow_body_is_not_waited_for(served: Served) -> None:
    with served.raw() as connection:
        connection.sendall(request(ADD[:9], len(ADD)))
        told = everything(connection)
        assert told.startswith(b"HTTP/1.1 408 ")
        assert b"a body that had not come after 1 seconds" in told


def test_a_client_that_hangs_up_before_the_end_has_begun_nothing(served: Served) -> None:
    with served.client() as client:
        before = client.get("/v1/events").json()
        for end in (0, 1, len(ADD) - 1):
            with served.raw() as connection:
                connection.sendall(request(ADD[:end], len(ADD)))
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # a reset
        assert client.get("/v1/events").json() == before
        assert client.get("/v1/posts/whole").status_code == 404


def test_what_has_begun_is_finished_when_the_client_hangs_up(served: Served) -> None:
    sent = httpx.Request("POST", served.url, **form(post("slow"), many_scans(2000, 100)))
    head = "".join(f"{name}: {value}\r\n" for name, value in sent.headers.items())
    with served.client() as client:
        client.post("/v1/lookup/with-photo", **form({}, photo()))  # the decoder is there
        with served.raw() as connection:
            connection.sendall(f"POST /v1/posts/with-photo HTTP/1.1\r\n{head}\r\n".encode() + sent.read())
            wait_until(lambda: "kembar_running 1.0" in client.get("/metrics").text)
        assert client.get("/v1/posts/slow").status_code == 404
        wait_until(lambda: client.get("/v1/posts/slow").status_code == 200)


def test_exports_whose_clients_hang_up_are_closed(served: Served) -> None:
    for _ in range(6):
        with served.raw() as connection:
            connection.sendall(b"GET /v1/export HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    with served.client() as client:
        for _ in range(3):
            wait_until(lambda: client.get("/v1/export").status_code == 200)


def test_what_takes_long_is_not_begun_twice() -> None:
    async def both() -> None:
        places = asyncio.Semaphore(1)
        refuse_if_busy(places, "re-match")
        async with places:
            with pytest.raises(Refused, match="one more re-match while others are under way") as error:
                refuse_if_busy(places, "re-match")
            assert (error.value.status, error.value.headers) == (429, {"Retry-After": "1"})
        refuse_if_busy(places, "re-match")

    asyncio.run(both())


def test_photos_leave_places_for_others(tmp_path: Path) -> None:
    """Four slow photos, two places: look-ups without photos are still answered at once."""
    Live.create(tmp_path / "store").close()
    slow = many_scans(2000, 40)  # some tenths of a second
    options = ("--workers", 2, "--queue", 8)
    with Served(tmp_path / "store", *options) as served, ThreadPoolExecutor(4) as threads, served.client() as client:
        client.post("/v1/lookup/with-photo", **form({}, photo()))  # the decoder is there
        photos = [threads.submit(client.post, "/v1/lookup/with-photo", **form({}, slow)) for _ in range(4)]
        wait_until(lambda: "kembar_waiting 3.0" in client.get("/metrics").text)
        assert client.get("/v1/events").status_code == 200
        assert not any(each.done() for each in photos[1:])
        assert {each.result().status_code for each in photos} == {200}


def test_connections_are_bounded(served: Served) -> None:
    opened: list[socket.socket] = []
    try:
        opened += [served.raw() for _ in range(20)]
        with served.raw() as one_more:
            told = everything(one_more)
        assert told.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After" in told
    finally:
        for connection in opened:
            connection.close()
    with served.client() as client:
        wait_until(lambda: client.get("/health").status_code == 200)


@pytest.mark.parametrize(
    "sent", [b"\r\n\r\n", b"BLAH\r\n\r\n", b"GET / HTTP/9\r\n\r\n", b"\x16\x03\x01\x02\x00", b"GET /health\r\n\r\n"]
)
def test_what_is_no_http(served: Served, sent: bytes) -> None:
    with served.raw() as connection:
        connection.sendall(sent)
        told = everything(connection)
    assert not told or told.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 408 "))


def test_a_head_of_megabytes(served: Served) -> None:
    with served.raw() as connection:
        with suppress(OSError):  # it hung up
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"y" * 2_000_000)
        assert everything(connection)[:13] in (b"HTTP/1.1 400 ", b"")


def test_a_client_that_does_not_read_is_dropped(served: Served) -> None:
    with served.client() as client, socket.socket() as connection:
        added = client.post("/v1/posts/with-photo", **form(post("large"), photo() + bytes(9_900_000)))
        assert added.status_code == 200, added.text
        name = client.get("/v1/posts/large").json()["image"]
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", served.port))
        connection.sendall(f"GET /photos/{name} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        wait_until(lambda: "GET /photos" in served.log.read_text(), 10)  # written when the answer ends


def test_many_at_once_are_all_answered(served: Served) -> None:
    with served.client() as client, ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda _: client.get("/v1/events").status_code, range(200)))
    assert set(answers) <= {200, 429}
    assert answers.count(200) > 100
    assert threading.active_count() < 50
