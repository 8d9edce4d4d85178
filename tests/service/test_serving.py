"""`kembar serve` as a process: start, stop, the store it holds, what it logs; and under other servers."""

import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from conftest import Cli
from kembar.errors import ConfigError, StoreError
from kembar.service.factory import from_environment
from kembar.store import Live
from services import HERE, TOKEN, Served, form, many_scans, photo, post


@pytest.fixture
def store(tmp_path: Path) -> Path:
    Live.create(tmp_path / "store").close()
    return tmp_path / "store"


def kembar(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kembar", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, **environment})


def test_it_serves_and_ends_and_keeps_all(store: Path) -> None:
    with Served(store) as served, served.client() as client:
        assert client.post("/v1/posts", json={"posts": [post("a")]}).status_code == 200
        served.process.send_signal(signal.SIGINT)  # Ctrl-C; the other tests end with SIGTERM
        assert served.process.wait(30) == 0
        assert "Traceback" not in served.log.read_text()
    with Live.open(store) as live:
        assert live.post("a").id == "a"


def test_what_was_accepted_is_finished_when_it_is_stopped(store: Path) -> None:
    slow = form(post("slow"), many_scans(2000, 150))  # a second or more
    with Served(store) as served, served.client() as client, ThreadPoolExecutor(1) as threads:
        client.post("/v1/lookup/with-photo", **form({}, photo()))  # the decoder is there
        adding = threads.submit(client.post, "/v1/posts/with-photo", **slow)
        while "kembar_running 1.0" not in httpx.get(f"{served.url}/metrics").text:
            time.sleep(0.01)
        assert served.stop() == 0
        assert adding.result().status_code == 200
    with Live.open(store) as live:
        assert live.post("slow").image


def test_no_decoder_outlives_a_service_that_was_killed(store: Path) -> None:
    served = Served(store)
    served.__enter__()
    with served.client() as client:
        client.post("/v1/lookup/with-photo", **form({}, photo()))
    children = Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children")
    started = [int(child) for child in children.read_text().split()] if children.exists() else []
    served.process.kill()
    served.process.wait(30)
    served.process.stdout.close()
    end = time.monotonic() + 20
    while any(alive(child) for child in started):
        assert time.monotonic() < end
        time.sleep(0.02)


def alive(process: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


def test_a_port_that_is_taken(store: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = kembar("serve", store, "--port", port)
    assert done.returncode == 2
    assert f"127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--host", "0.0.0.0"), "without a token"),
        (("--allow-host", "shop.example"), "without a token"),
        (("--token-file", "missing"), "token file 'missing'"),
        (("--port", "99999"), "--port"),
        (("--workers", "0"), "--workers"),
    ],
)
def test_options_that_are_refused(cli: Cli, store: Path, words: tuple[str, ...], told: str) -> None:
    done = cli("serve", store, *words)
    assert done.exit_code == 2
    assert told in done.stderr
    assert "Traceback" not in done.output


def test_a_folder_that_is_no_store(cli: Cli, tmp_path: Path) -> None:
    done = cli("serve", tmp_path / "nothing", "--port", 0)
    assert done.exit_code == 2
    assert "which holds no store.sqlite" in done.stderr


def test_a_token_from_a_file_and_what_is_logged(store: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    with Served(store, "--host", "0.0.0.0", "--token-file", tmp_path / "token") as served:
        place = f"http://127.0.0.1:{served.port}/v1"
        assert httpx.get(f"{place}/events").status_code == 401
        assert httpx.get(f"{place}/events", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
        assert httpx.get(f"{place}/posts/%1b[2J%0a🙂").status_code == 401
    log = served.log.read_text()
    assert "GET /v1/events 401" in log
    assert "GET /v1/events 200" in log
    assert TOKEN not in log
    assert "\x1b" not in log
    assert "\\u001b" in log


# --- other servers


def test_the_factory_opens_the_store_where_it_serves(store: Path) -> None:
    app = from_environment({"KEMBAR_STORE": str(store)})
    with Live.open(store):  # nobody holds it yet
        pass
    with TestClient(app, base_url=HERE) as client:
        assert client.get("/ready").status_code == 200
        assert client.post("/v1/posts", json={"posts": [post("a")]}).status_code == 200
        with pytest.raises(StoreError), TestClient(from_environment({"KEMBAR_STORE": str(store)}), base_url=HERE):
            raise AssertionError("a second worker")
    with Live.open(store) as live:  # it was closed
        assert live.post("a").id == "a"


SERVING = """
import sys
from starlette.testclient import TestClient
from threadpoolctl import threadpool_info
from kembar.service.factory import from_environment

def threads():
    return {found["num_threads"] for found in threadpool_info() if found["user_api"] == "blas"}

before = threads()
with TestClient(from_environment({"KEMBAR_STORE": sys.argv[1]})):
    print(before, threads())
print(threads())
"""


def test_matrix_products_have_one_thread_while_it_serves(store: Path) -> None:
    """Requests have threads of their own; several for one small product only wait for each other."""
    command = [sys.executable, "-c", SERVING, str(store)]
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env=environment)
    before, meanwhile, after = done.stdout.split()
    assert (meanwhile, before) == ("{1}", after)
    assert before == "{2}" or os.cpu_count() == 1


def test_before_it_has_opened_the_store_it_is_not_ready(store: Path) -> None:
    client = TestClient(from_environment({"KEMBAR_STORE": str(store)}), base_url=HERE)
    assert client.get("/health").status_code == 200
    assert client.get("/ready").status_code == client.get("/v1/events").status_code == 503


def test_the_factory_needs_a_store() -> None:
    with pytest.raises(ConfigError, match="KEMBAR_STORE"):
        from_environment({})
    with pytest.raises(ConfigError, match="without a token"):
        from_environment({"KEMBAR_STORE": "x", "KEMBAR_HOSTS": "shop.example"})


def test_a_second_worker_of_uvicorn_ends_and_says_why(store: Path) -> None:
    command = [sys.executable, "-m", "uvicorn", "--factory", "kembar.service.factory:from_environment", "--port", "0"]
    with Live.open(store):
        done = subprocess.run(
            command, env={**os.environ, "KEMBAR_STORE": str(store)}, capture_output=True, text=True, timeout=60
        )
    assert done.returncode == 3
    assert "StoreError" in done.stderr
    assert str(store) in done.stderr
