"""What a store costs as it grows: look-ups and durable adds per second, seconds to open, memory; and pgvector.

    python bench/live_load.py [--sizes 10000 100000] [--asks 300] [--adds 150] [--stores FOLDER]
        [-o docs/figures/live-load.md]

A drawn shop of titles and made-up hashes is matched as a batch and becomes a store (with --stores it is kept there, and
used again by the next run). Then, in a process of its own, a copy is opened; posts that it does not hold are looked up
one by one, then added one by one, each add on disk when it returns (SQLite, `synchronous=FULL`). What is spent in
COMMIT is what the disk costs; beside it stands what fsync of 4 KiB costs in the same folder. CPU is that of the process
that has the store, of all its threads: on a machine that does other things too, milliseconds say more of these.

Then `kembar serve` has a copy, and one client asks it over HTTP, by one connection on this machine, for the same.

Vectors: unit vectors of 256 numbers in clusters of five, found by the index that a store uses, and by pgvector (exact,
and HNSW as it is by default but with ef_search 100) in one connection over a local socket. Both are asked for 20
neighbours; recall is against the exact ones. Needs `pip install pgserver "psycopg[binary]"`; `--no-vectors` leaves it
out.
"""

import argparse
import json
import os
import platform
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from kembar import Catalog, Matcher
from kembar.evidence.search import DenseIndex
from kembar.memory import peak_memory
from kembar.store import Live
from kembar.synthesis import synthesize

WIDTH, NEAR = 256, 20
FURTHER = 600  # posts that a store does not hold, to ask for and to add
Figures = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--asks", type=int, default=300)
    parser.add_argument("--adds", type=int, default=150)
    parser.add_argument("--stores", type=Path, help="a folder for the stores, to use them again")
    parser.add_argument("--no-vectors", action="store_true")
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--one", nargs=2, metavar=("STORE", "POSTS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        store, posts = map(Path, arguments.one)
        print(json.dumps(one(store, posts, arguments.asks, arguments.adds)))
        return
    if arguments.asks + arguments.adds > FURTHER:
        parser.error(f"at most {FURTHER} look-ups and adds together")
    lines = [
        f"`python bench/live_load.py --sizes {' '.join(map(str, arguments.sizes))} --asks {arguments.asks} --adds "
        f"{arguments.adds}`: Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, numpy "
        f"{version('numpy')}, {os.cpu_count()} cores; load {os.getloadavg()[0]:.1f} at the start, LOAD at the end. "
        "Milliseconds: median (99th of 100; longest).",
        "",
        "| posts | open, s | MiB, per post KiB | look-up, ms | CPU, ms | per s, 1 and 4 threads | durable add, ms "
        "| CPU, ms | of it COMMIT | fsync alone, ms |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    served = [
        "| posts | open, s | look-up over HTTP, ms | CPU, ms | add over HTTP, ms | CPU, ms | errors |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    with tempfile.TemporaryDirectory() as scratch:
        stores = arguments.stores or Path(scratch)
        for size in arguments.sizes:
            kept = drawn_store(stores, size)
            lines.append(row(kept, size, arguments.asks, arguments.adds))
            served.append(over_http(kept, size, arguments.asks, min(arguments.adds, 100)))
            print(lines[-1], served[-1], sep="\n", flush=True)
    lines += ["", *served]
    lines[0] = lines[0].replace("LOAD", f"{os.getloadavg()[0]:.1f}")
    if not arguments.no_vectors:
        lines += ["", *vectors(arguments.sizes)]
    print("\n".join(lines))
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


# Posts


def drawn_store(stores: Path, size: int) -> Path:
    """Give a folder with a store of so many posts, and others that it does not hold; made where it is not there."""
    kept = stores / str(size)
    if (kept / "posts.parquet").exists():
        return kept
    kept.mkdir(parents=True)
    table = synthesize(size + FURTHER, seed=1, hashes=True).posts.drop("label_group")
    order = np.random.default_rng(1).permutation(len(table)).tolist()
    Live.create(kept / "store", run=Matcher().match(Catalog.read(table[order[:size]]))).close()
    table[order[size:]].write_parquet(kept / "posts.parquet")
    return kept


@contextmanager
def copied(kept: Path) -> Iterator[Path]:
    """Copy a store, for what is added to it to be forgotten."""
    with tempfile.TemporaryDirectory(dir=kept) as scratch:
        yield Path(shutil.copytree(kept / "store", Path(scratch) / "store"))


def row(kept: Path, size: int, asks: int, adds: int) -> str:
    """Measure a store in a process of its own."""
    with copied(kept) as store:
        command = [sys.executable, __file__, "--one", str(store), str(kept / "posts.parquet")]
        done = subprocess.run(
            [*command, "--asks", str(asks), "--adds", str(adds)], capture_output=True, text=True, check=True
        )
    found = json.loads(done.stdout.splitlines()[-1])
    return (
        f"| {size:,} | {found['open']:.1f} | {found['memory'] / 2**20:,.0f}, {found['memory'] / size / 1024:.1f} "
        f"| {told(found['lookups'])} | {1e3 * found['cpu of a look-up']:.1f} "
        f"| {found['per second']:.0f}, {found['per second of 4']:.0f} "
        f"| {told(found['adds'])} | {1e3 * found['cpu of an add']:.1f} "
        f"| {sum(found['commits']) / sum(found['adds']):.0%} | {told(found['fsync'])} |"
    )


def one(store: Path, posts: Path, asks: int, adds: int) -> Figures:
    """Open a store, look posts up, then add others."""
    import polars as pl

    table = pl.read_parquet(posts)
    catalogs = [Catalog.read(table[at : at + 1]) for at in range(asks + adds)]
    before, begin = resident(), time.perf_counter()
    with Live.open(store) as live:
        opened = time.perf_counter() - begin
        live.warm()
        memory = resident() - before
        clock = [time.process_time()]
        lookups = list(timed(lambda one: live.lookup(one), catalogs[:asks]))
        clock.append(time.process_time())
        four = in_threads(live, catalogs[:asks], 4)
        commits: list[float] = []
        watch(live, commits)
        clock.append(time.process_time())
        added = list(timed(lambda one: live.add(one), catalogs[asks:]))
        clock.append(time.process_time())
        if live.counts().posts < adds:
            raise SystemExit("adds were lost")
    return {
        "open": opened,
        "memory": memory,
        "peak": peak_memory(),
        "lookups": lookups,
        "per second": len(lookups) / sum(lookups),
        "per second of 4": four,
        "adds": added,
        "cpu of a look-up": (clock[1] - clock[0]) / asks,
        "cpu of an add": (clock[3] - clock[2]) / adds,
        "commits": commits,
        "fsync": list(fsyncs(store, 100)),
    }


def over_http(kept: Path, size: int, asks: int, adds: int) -> str:
    """Ask a service for look-ups and adds, one after the other."""
    import polars as pl

    posts = pl.read_parquet(kept / "posts.parquet").iter_rows(named=True)
    bodies = [
        {"id": post["posting_id"], "title": post["title"], "hash": post["image_phash"]}
        for post in islice(posts, asks + adds)
    ]
    with copied(kept) as store, serving(store) as (process, port, opened):
        connection = HTTPConnection("127.0.0.1", port, timeout=120)
        errors = 0

        def asked(path: str, body: dict[str, Any]) -> None:
            nonlocal errors
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            errors += answer.status != 200

        asked("/v1/lookup", {"posts": bodies[:1]})
        clock = [cpu_of(process)]
        lookups = list(timed(lambda body: asked("/v1/lookup", {"posts": [body]}), bodies[:asks]))
        clock.append(cpu_of(process))
        added = list(timed(lambda body: asked("/v1/posts", {"posts": [body], "by": "bench"}), bodies[asks:]))
        clock.append(cpu_of(process))
    return (
        f"| {size:,} | {opened:.1f} | {told(lookups)} | {1e3 * (clock[1] - clock[0]) / asks:.1f} "
        f"| {told(added)} | {1e3 * (clock[2] - clock[1]) / adds:.1f} | {errors} |"
    )


@contextmanager
def serving(store: Path) -> Iterator[tuple[int, int, float]]:
    """Run `kembar serve` until the end: its process, its port, and the seconds until it was ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "kembar", "serve", str(store), "--port", str(port), "--no-access-log"]
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not ready(port):
            if process.poll() is not None:
                raise SystemExit(f"the service ended with {process.returncode}")
            time.sleep(0.05)
        yield process.pid, port, time.perf_counter() - begin
    finally:
        process.terminate()
        process.wait()


def ready(port: int) -> bool:
    """Tell whether a service answers."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def cpu_of(process: int) -> float:
    """Seconds of CPU that a process has taken."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def timed(work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[float]:
    """Seconds of each."""
    for item in items:
        begin = time.perf_counter()
        work(item)
        yield time.perf_counter() - begin


def in_threads(live: Live, catalogs: list[Catalog], count: int) -> float:
    """Look-ups per second of so many threads together."""
    shares = [catalogs[at::count] for at in range(count)]
    threads = [threading.Thread(target=lambda share=share: [live.lookup(one) for one in share]) for share in shares]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(catalogs) / (time.perf_counter() - begin)


def watch(live: Live, seconds: list[float]) -> None:
    """Note the seconds of each COMMIT."""
    writer: Any = live._database._writer
    execute = writer.execute

    def noted(*asked: Any) -> Any:
        begin = time.perf_counter()
        done = execute(*asked)
        if asked[0] == "COMMIT":
            seconds.append(time.perf_counter() - begin)
        return done

    writer.execute = noted


def fsyncs(folder: Path, count: int) -> Iterator[float]:
    """Seconds of writing 4 KiB to the end of a file and waiting until they are on disk."""
    with (folder / "fsync").open("wb", buffering=0) as file:
        for _ in range(count):
            begin = time.perf_counter()
            file.write(bytes(4096))
            os.fsync(file.fileno())
            yield time.perf_counter() - begin
    (folder / "fsync").unlink()


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def told(seconds: list[float]) -> str:
    """Write the median, the 99th of 100 and the longest of some times in milliseconds."""
    return f"{1e3 * statistics.median(seconds):.1f} ({1e3 * np.percentile(seconds, 99):.1f}; {1e3 * max(seconds):.1f})"


# Vectors


def vectors(sizes: list[int]) -> list[str]:
    """Compare the index of vectors with pgvector on the same rows."""
    import pgserver
    import psycopg

    lines = [
        "| vectors | what | built, s | asked, ms | recall at 20 | durable insert, ms |",
        "| ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch).chmod(0o755)
        server = pgserver.get_server(Path(scratch) / "pg", cleanup_mode="delete")
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute("CREATE EXTENSION vector")
            what = connection.execute(
                "SELECT current_setting('server_version'), extversion FROM pg_extension WHERE extname = 'vector'"
            ).fetchone()
            for size in sizes:
                base, asked = drawn(size, 200)
                truth = np.argsort(-(asked @ base.T), axis=1, kind="stable")[:, :NEAR]
                lines += [ours(base, asked, truth), *theirs(connection, base, asked, truth)]
        server.cleanup()
    return [f"PostgreSQL {what[0]}, pgvector {what[1]} (pgserver {version('pgserver')}), defaults.", "", *lines]


def drawn(size: int, asks: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw unit vectors in clusters of five, and others near some of them."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(size // 5 + 1, WIDTH))
    rows = centres[np.arange(size) // 5] + 0.6 * rng.normal(size=(size, WIDTH))
    asked = rows[rng.integers(0, size, asks)] + 0.3 * rng.normal(size=(asks, WIDTH))
    return tuple((each / np.linalg.norm(each, axis=1, keepdims=True)).astype(np.float32) for each in (rows, asked))


def ours(base: np.ndarray, asked: np.ndarray, truth: np.ndarray) -> str:
    """Find neighbours by the index of a store."""
    begin = time.perf_counter()
    index = DenseIndex.of(base)
    built = time.perf_counter() - begin
    found: list[set[int]] = []
    seconds = list(
        timed(lambda one: found.append(set(index.search(one, NEAR + 1).edges()[1].tolist())), asked[:, None, :])
    )
    return f"| {len(base):,} | kembar | {built:.1f} | {told(seconds)} | {recall(found, truth):.3f} | |"


def theirs(connection: Any, base: np.ndarray, asked: np.ndarray, truth: np.ndarray) -> list[str]:
    """Find neighbours by pgvector, exact and by HNSW."""
    lines = []
    connection.execute("DROP TABLE IF EXISTS posts")
    connection.execute(f"CREATE TABLE posts (id bigint PRIMARY KEY, vector vector({WIDTH}))")
    begin = time.perf_counter()
    with connection.cursor().copy("COPY posts FROM STDIN") as copy:
        for at, one in enumerate(base):
            copy.write_row((at, written(one)))
    query = f"SELECT id FROM posts ORDER BY vector <#> %s::vector LIMIT {NEAR}"
    for name in ("exact", "HNSW"):
        if name == "HNSW":
            begin = time.perf_counter()
            connection.execute("CREATE INDEX ON posts USING hnsw (vector vector_ip_ops)")
            connection.execute("SET hnsw.ef_search = 100")
        built = time.perf_counter() - begin
        found: list[set[int]] = []

        def ask(one: np.ndarray) -> None:
            found.append({row[0] for row in connection.execute(query, (written(one),)).fetchall()})  # noqa: B023

        ask(asked[0])
        found.clear()
        seconds = list(timed(ask, asked))
        new = list(enumerate(asked[:100], start=10_000_000 + 1_000 * (name == "HNSW")))
        insert = "INSERT INTO posts VALUES (%s, %s::vector)"
        added = list(timed(lambda one: connection.execute(insert, (one[0], written(one[1]))), new))  # noqa: B023
        connection.execute("DELETE FROM posts WHERE id >= 10000000")
        cells = f"{built:.1f} | {told(seconds)} | {recall(found, truth):.3f} | {told(added)} |"
        lines.append(f"| {len(base):,} | pgvector, {name} | {cells}")
    return lines


def written(vector: np.ndarray) -> str:
    """Write a vector as pgvector reads it."""
    return "[" + ",".join(f"{value:.7g}" for value in vector.tolist()) + "]"


def recall(found: list[set[int]], truth: np.ndarray) -> float:
    """Mean share of the true neighbours that were found."""
    return float(np.mean([len(each & set(true.tolist())) / NEAR for each, true in zip(found, truth, strict=True)]))


if __name__ == "__main__":
    main()
