"""What a service answers to bad input, attacks and faults: one table.

    python bench/attacks.py [-o docs/figures/attacks.md]

A service of its own is started on a new store. Each attack says which answers are right; after each the service must
answer /health. tests/service/test_attacks.py runs the same.
"""

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from kembar.store import Live
from services import Served, bomb, everything, form, many_scans, photo, polyglot, post

OPTIONS = ("--head-seconds", 0.5, "--body-seconds", 1, "--photo-seconds", 1)
JSON = {"Content-Type": "application/json"}
ODD = """a/b "quoted" it's 100% ?&#;=+ 💄 ..\\ é"""
SQL = "'; DROP TABLE posts; -- \" OR 1=1"
HTML = "<script>alert(1)</script><img src=x onerror=alert(1)>"
ESCAPES = "\x1b[2J\x1b]0;title\x07 \u202egnp.exe \u2028 \r\n"


@dataclass(frozen=True)
class Attack:
    """One attack.

    Args:
        what: in words.
        send: does it, and gives what came back: the status with what the answer says.
        right: how a right answer begins, or several.
    """

    what: str
    send: Callable[[Served, httpx.Client], str]
    right: str | tuple[str, ...]


def told(answer: httpx.Response) -> str:
    """The status, and what the error says was given."""
    error = answer.json().get("error") if answer.headers.get("content-type") == "application/json" else None
    return f"{answer.status_code} {error['given']}" if error else f"{answer.status_code}"


def raw(sent: bytes) -> Callable[[Served, httpx.Client], str]:
    """Send bytes as they are, and read until the service closes."""

    def send(served: Served, client: httpx.Client) -> str:
        with served.raw() as connection:
            connection.sendall(sent)
            head, _, body = everything(connection).partition(b"\r\n\r\n")  # of the first answer
        return told(httpx.Response(int(head.split()[1]), json=json.loads(body))) if head else "closed"

    return send


def adds(content: bytes | Iterator[bytes] | dict | list, **headers: str) -> Callable[[Served, httpx.Client], str]:
    """Add posts with such a body."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return lambda served, client: told(client.post("/v1/posts", content=body, headers={**JSON, **headers}))


def uploads(data: Callable[[], bytes], name: str = "photo.jpg") -> Callable[[Served, httpx.Client], str]:
    """Add a post with such a photo."""
    return lambda served, client: told(client.post("/v1/posts/with-photo", **form(post(f"of {name}"), data(), name)))


def gets(path: str, **headers: str) -> Callable[[Served, httpx.Client], str]:
    return lambda served, client: told(client.get(path, headers=headers))


def chunked(served: Served, client: httpx.Client) -> str:
    pieces = (b"x" * 10_000 for _ in range(5000))
    return told(client.post("/v1/posts", content=pieces, headers=JSON))


def served_polyglot(served: Served, client: httpx.Client) -> str:
    client.post("/v1/posts/with-photo", **form(post("polyglot"), polyglot(), "page.html")).raise_for_status()
    answer = client.get(f"/photos/{client.get('/v1/posts/polyglot').json()['image']}")
    headers = (answer.headers[name] for name in ("content-type", "x-content-type-options", "content-security-policy"))
    return f"{answer.status_code} {', '.join(headers)}"


def odd_id(served: Served, client: httpx.Client) -> str:
    client.post("/v1/posts", json={"posts": [post(ODD)]}).raise_for_status()
    answer = client.get(f"/v1/posts/{quote(ODD, safe='')}")
    return f"{answer.status_code}, found at its path: {answer.json()['id'] == ODD}"


def title(text: str) -> Callable[[Served, httpx.Client], str]:
    """A title is kept as it is, and told as text."""

    def send(served: Served, client: httpx.Client) -> str:
        name = f"title {zlib.crc32(text.encode())}"
        client.post("/v1/posts", json={"posts": [post(name, text)]}).raise_for_status()
        answer = client.get(f"/v1/posts/{name}")
        return f"{answer.status_code} {answer.headers['content-type']}, kept: {answer.json()['title'] == text}"

    return send


def formula(served: Served, client: httpx.Client) -> str:
    client.post("/v1/posts", json={"posts": [post("formula", '=HYPERLINK("http://x","y")')]}).raise_for_status()
    lines = [line for line in client.get("/v1/export").text.splitlines() if line.startswith("formula,")]
    return "200 '=HYPERLINK" if lines and "\"'=HYPERLINK" in lines[0] else f"unguarded {lines}"


def twice(served: Served, client: httpx.Client) -> str:
    answers = [client.post("/v1/posts", json={"posts": [post("twice")]}) for _ in range(2)]
    return ", ".join(f"{answer.status_code} {answer.json()['placed'][0]['how']}" for answer in answers)


def at_once(titles: int) -> Callable[[Served, httpx.Client], str]:
    """Sixteen adds of one id at once."""

    def send(served: Served, client: httpx.Client) -> str:
        def add(n: int) -> httpx.Response:
            given = post(f"at once {titles}", f"Title {n % titles}")
            return client.post("/v1/posts", json={"posts": [given]})

        with ThreadPoolExecutor(16) as threads:
            answers = list(threads.map(add, range(16)))
        codes = sorted(answer.status_code for answer in answers)
        hows = [answer.json()["placed"][0]["how"] for answer in answers if answer.status_code == 200]
        new = sum(how != "known" for how in hows)
        return f"{codes.count(200)} x 200, of these {new} added; {codes.count(409)} x 409"

    return send


def hang_up(sent: int | None) -> Callable[[Served, httpx.Client], str]:
    """Send a part of an add, or all of it, and go."""

    def send(served: Served, client: httpx.Client) -> str:
        body = json.dumps({"posts": [post(f"hang up {sent}")]}).encode()
        lines = "POST /v1/posts HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {value}" for name, value in JSON.items())
        head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""])
        with served.raw() as connection:
            connection.sendall(head.encode() + body[:sent])
            if sent is not None:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        time.sleep(0.5)
        found = client.get(f"/v1/posts/hang up {sent}").status_code
        return {200: "added whole", 404: "nothing begun"}.get(found, str(found))

    return send


def second(served: Served, client: httpx.Client) -> str:
    """Another service on the same store."""
    command = [sys.executable, "-m", "kembar", "serve", str(served.store), "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return f"exit {done.returncode} {done.stderr.strip().splitlines()[-1].replace(str(served.store), 'STORE')}"


def public(served: Served, client: httpx.Client) -> str:
    """A service that others reach, without a token."""
    command = [sys.executable, "-m", "kembar", "serve", str(served.store), "--host", "0.0.0.0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return f"exit {done.returncode} {done.stderr.strip().splitlines()[-1]}"


def form_of_another_site(served: Served, client: httpx.Client) -> str:
    given = form(post("form"), photo())
    return told(client.post("/v1/posts/with-photo", data=given["data"], files=given["files"]))


def key_again(served: Served, client: httpx.Client) -> str:
    answers = [adds({"posts": [post(id)]}, **{"Idempotency-Key": "k"})(served, client) for id in ("key 1", "key 2")]
    return ", ".join(answers)


def reset(served: Served, client: httpx.Client) -> str:
    return told(client.delete("/v1/posts/nobody"))


def image(name: str) -> Callable[[Served, httpx.Client], str]:
    """A post whose photo has such a name: refused; never read or fetched."""

    def send(served: Served, client: httpx.Client) -> str:
        answer = client.post("/v1/posts", json={"posts": [post(f"image {name}"[:60], image=name)]})
        return told(answer)

    return send


BOTH = (
    b"POST /v1/posts HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET"
)
SLOW = b"POST /v1/posts HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
EVIL = {"Host": "evil.example"}

ATTACKS = [
    Attack("JSON that ends early", adds(b'{"posts": ['), "422"),
    Attack("JSON nested 100,000 deep", adds(b"[" * 100_000), "422"),
    Attack("a number of 10,000 digits", adds(b'{"posts": [{"id": "a", "price": ' + b"9" * 10_000 + b"}]}"), "4"),
    Attack("NaN as a price", adds(b'{"posts": [{"id": "a", "price": NaN}]}'), "422"),
    Attack("bytes that are not UTF-8", adds(b'{"posts": [{"id": "\xff"}]}'), "4"),
    Attack("half a character", adds(b'{"posts": [{"id": "a", "title": "\\ud800"}]}'), "422"),
    Attack("a list in place of an object", adds([]), "422"),
    Attack("a number as id", adds({"posts": [{"id": 5}]}), "422"),
    Attack("text as price", adds({"posts": [{"id": "a", "price": "12"}]}), "422"),
    Attack("an unknown field", adds({"posts": [{"id": "a", "titel": "x"}]}), "422"),
    Attack("no posts", adds({"posts": []}), "422"),
    Attack("1,001 posts", adds({"posts": [post(str(n)) for n in range(1001)]}), "422"),
    Attack("body of 50 MB", adds(b"x" * 50_000_000), "413"),
    Attack("body of 50 MB without Content-Length", chunked, "413"),
    Attack("gzip bomb as body", adds(zlib.compress(bytes(9_000_000)), **{"Content-Encoding": "gzip"}), "4"),
    Attack("Content-Length and chunked at once", raw(BOTH), "4"),
    Attack("no HTTP", raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n"), "400"),
    Attack("head that does not end", raw(b"GET /health HTTP/1.1\r\nHost: 127."), "408"),
    Attack("body that does not end", raw(SLOW), "408"),
    Attack("hang-up within a body", hang_up(20), "nothing begun"),
    Attack("hang-up right after the body", hang_up(None), ("added whole", "nothing begun")),
    Attack("zip bomb: PNG of 900 megapixels in 110 kB", uploads(lambda: bomb(30_000), "bomb.png"), "422"),
    Attack("JPEG of 3,000 scans of 4 megapixels", uploads(lambda: many_scans(2000, 3000), "scans.jpg"), "422"),
    Attack("JPEG whose 440 scans take seconds", uploads(lambda: many_scans(2000, 440), "slow.jpg"), "422"),
    Attack("photo that is a page with a script as well", served_polyglot, "200 image/jpeg, nosniff"),
    Attack("SVG with a script as photo", uploads(lambda: b"<svg><script>alert(1)</script></svg>", "a.svg"), "422"),
    Attack("half a photo", uploads(lambda: photo()[:200], "half.jpg"), "422"),
    Attack("empty photo", uploads(lambda: b"", "empty.jpg"), "422"),
    Attack("photo named ../../x.php", uploads(photo, "../../x.php"), "200"),
    Attack(
        "form with no boundary",
        lambda served, client: told(
            client.post(
                "/v1/posts/with-photo",
                content=b"x",
                headers={"Content-Type": "multipart/form-data", "Idempotency-Key": "0"},
            )
        ),
        "4",
    ),
    Attack(f"id {ODD}", odd_id, "200, found at its path: True"),
    Attack("id of 10 kB", adds({"posts": [post("x" * 10_000)]}), "422"),
    Attack("path with an id of 10 kB", gets("/v1/posts/" + "x" * 10_000), "404"),
    Attack("id with a line feed", adds({"posts": [post("a\nb")]}), "422"),
    Attack("empty id", adds({"posts": [post("")]}), "422"),
    Attack("SQL in a title", title(SQL), "200 application/json, kept: True"),
    Attack("HTML in a title", title(HTML), "200 application/json, kept: True"),
    Attack("escape codes and turned text in a title", title(ESCAPES), "200 application/json, kept: True"),
    Attack("formula in a title, exported as CSV", formula, "200 '=HYPERLINK"),
    Attack("NUL in a title", adds({"posts": [post("nul", "a\x00b")]}), "422"),
    Attack("the same post twice", twice, ("200 founded, 200 known", "200 attached, 200 known")),
    Attack("the same id twice in a request", adds({"posts": [post("double"), post("double")]}), "422"),
    Attack("removal of an unknown id", reset, "404"),
    Attack("16 adds of one post at once", at_once(1), "16 x 200, of these 1 added; 0 x 409"),
    Attack("16 adds of one id with 16 titles at once", at_once(16), "1 x 200, of these 1 added; 15 x 409"),
    Attack("an Idempotency-Key with another request", key_again, "200, 409"),
    Attack("photo of a post: ../store.sqlite", image("../store.sqlite"), "4"),
    Attack("photo of a post: /etc/passwd", image("/etc/passwd"), "4"),
    Attack("photo of a post: an address", image("http://169.254.169.254/latest/meta-data/a.jpg"), "422"),
    Attack(
        "/photos/../store.sqlite",
        raw(b"GET /photos/../store.sqlite HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"),
        "404",
    ),
    Attack("/photos/..%2fstore.sqlite", gets("/photos/..%2fstore.sqlite"), "404"),
    Attack("/photos//etc/passwd", gets("/photos//etc/passwd"), "404"),
    Attack("a method that is none", lambda served, client: told(client.request("HACK", "/v1/posts")), "405"),
    Attack("a name bound to 127.0.0.1 by another site", gets("/v1/export", **EVIL), "403"),
    Attack("a script of another site", adds({"posts": [post("s")]}, Origin="http://evil.example"), "403"),
    Attack("a form of another site", form_of_another_site, "403"),
    Attack("a form of another site as text/plain", adds(b"{}", **{"Content-Type": "text/plain"}), "415"),
    Attack("a second service on the store", second, "exit 2"),
    Attack("a service at 0.0.0.0 without a token", public, "exit 2"),
]


def run(attack: Attack, served: Served) -> str:
    """Do an attack, and check that the service answers others then."""
    with served.client() as attacker:
        got = attack.send(served, attacker)
    with served.client() as other:
        alive = other.get("/health").json()["status"]
    return got if alive == "alive" else f"{got}; then {alive}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    lines = ["| sent | got |", "| --- | --- |"]
    with tempfile.TemporaryDirectory() as folder:
        Live.create(Path(folder) / "store").close()
        with Served(Path(folder) / "store", *OPTIONS) as served:
            for attack in ATTACKS:
                got = run(attack, served)
                assert got.startswith(attack.right), f"{attack.what}: {got}"
                lines.append(f"| {cell(attack.what)} | {cell(got)} |")
            failures = served.log.read_text().count("Traceback")
    lines += ["", f"{len(ATTACKS)} attacks on one process; it answered after each, and logged {failures} tracebacks."]
    text = "\n".join(lines) + "\n"
    print(text)
    if arguments.output:
        arguments.output.write_text(text, encoding="utf-8")


def cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    main()
