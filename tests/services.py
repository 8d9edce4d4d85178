"""Services for tests: an application in this process, or the real program in its own; and what attackers send."""

import io
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import uuid
import zlib
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import numpy as np
from PIL import Image
from starlette.testclient import TestClient

from kembar.service.app import create_app
from kembar.service.settings import Settings
from kembar.store import Live

HERE = "http://127.0.0.1"
TOKEN = "a-token-for-tests-0123456789"


def client_of(live: Live, *, raising: bool = True, **settings: Any) -> TestClient:
    """A client of an application in this process; an error that nobody foresaw fails the test."""
    return TestClient(create_app(live, Settings(**settings)), base_url=HERE, raise_server_exceptions=raising)


def post(id: str, title: str = "", **more: object) -> dict[str, object]:
    return {"id": id, "title": title or f"Title of {id}", **more}


def form(post: dict[str, object], photo: bytes, name: str = "photo.jpg", **more: str) -> dict[str, Any]:
    """The arguments of httpx for a post with a photo."""
    headers = {"Idempotency-Key": uuid.uuid4().hex}  # one that no form of another site can send
    return {"data": {"post": json.dumps(post), **more}, "files": {"photo": (name, photo)}, "headers": headers}


def error_of(answer: httpx.Response) -> dict[str, str]:
    """The error in an answer, checked for its form."""
    error = answer.json()["error"]
    assert sorted(error) == ["expected", "fix", "given", "message"], answer.text
    assert error["message"] == f"{error['given']}; expected {error['expected']}. {error['fix']}"
    assert "Traceback" not in answer.text
    assert answer.headers["content-type"] == "application/json"
    return error


class Served:
    """`kembar serve` in a process of its own; leaving stops it with SIGTERM and checks that it ended well."""

    def __init__(self, store: Path, *options: object, **environment: str) -> None:
        self.store = store
        self._command = [sys.executable, "-m", "kembar", "serve", str(store), "--port", "0", *map(str, options)]
        self._environment = environment
        self.log = store.parent / "service.log"

    def __enter__(self) -> Self:
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                self._command, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **self._environment}
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"at (http://(\S+):(\d+))$", line)
        assert found, line + self.log.read_text()
        self.url, self.port = found[1], int(found[3])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            assert self.stop() == 0, self.log.read_text()
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.process.stdout.close()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=30, **options)

    def raw(self) -> socket.socket:
        """A connection of which a test writes every byte."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)


def everything(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    found = b""
    try:
        while piece := connection.recv(65536):
            found += piece
    except ConnectionResetError:
        pass
    return found


# --- photos of attackers


def photo(seed: int = 0, side: int = 48, kind: str = "JPEG") -> bytes:
    """A small honest photo."""
    rng = np.random.default_rng(seed)
    image = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize((side, side))
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


def bomb(side: int) -> bytes:
    """A PNG of some kilobytes that holds side x side pixels, all of them there."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    row = bytes(1 + (side + 7) // 8)
    packer = zlib.compressobj(9)
    body = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def many_scans(side: int, scans: int) -> bytes:
    """A progressive JPEG whose last scan is there again and again."""
    out = io.BytesIO()
    Image.new("RGB", (side, side), "red").save(out, "JPEG", progressive=True)
    data = out.getvalue()
    scan = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + scan * scans + data[-2:]


def polyglot() -> bytes:
    """A JPEG that is a page with a script as well."""
    data = photo()
    script = b"<html><script>alert(1)</script></html>"
    comment = b"\xff\xfe" + struct.pack(">H", len(script) + 2) + script
    return data[:2] + comment + data[2:] + script
