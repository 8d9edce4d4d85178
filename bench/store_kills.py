"""A store killed at random moments while others add, decide and remove: nothing acknowledged is lost.

    python bench/store_kills.py [--kills 200] [--seed 0] [-o docs/figures/store-kills.md]

A process opens the store and works on it from six threads; each operation that has returned is written to a pipe. It is
killed (SIGKILL) at a moment drawn at random: mostly while it works, each eighth time while it starts. After every kill
the store is opened again. It must hold every operation that any process had written to the pipe; its tables must be
what its log tells, with no fault that `kembar store check` finds; and two processes that open it must say the same of
twelve posts that are looked up: the same posts, groups and probabilities. Each tenth process is killed when it has
stopped working and has looked the posts up itself: what the index said in memory must be what it says after the replay.
The last eighth of the kills is of a store of 5,000 posts, whose words are counted anew by a thread meanwhile.

The processes are forked from one that has imported kembar and never used it: so each has its own threads and files, and
starts at once.
"""

import argparse
import json
import os
import platform
import random
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from kembar import Catalog
from kembar.errors import KembarError
from kembar.store import Live
from kembar.store.checking import checked, looked_at
from kembar.synthesis import synthesize

POSTS = 40_000
LOOKED_UP = range(7, 20_000, 1_700)
LONGEST = 2.5
"""Seconds after which a process that works is killed at the latest."""
Told = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve)
        return
    lines = killed(arguments.kills, arguments.seed)
    print("\n".join(lines))
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


# The process that is killed


def serve(posts: Path) -> None:
    """Fork a process for each line that comes in; it tells what it does through a pipe that the line names."""
    import lightgbm  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead are not waited for
    for line in sys.stdin:
        told = json.loads(line)
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.dup2(os.open(told["pipe"], os.O_WRONLY), 1)
            work(Path(told["store"]), posts, told["begin"], quiet=told["quiet"])
            os._exit(0)


def work(store: Path, posts: Path, begin: int, *, quiet: bool) -> None:
    """Open a store and work on it until killed; tell of each operation that has returned."""
    table = pl.read_parquet(posts)
    tell({"op": "started", "pid": os.getpid()})
    with Live.open(store) as live:
        tell({"op": "opened", "seen": looked_up(live, table)})
        worker = Worker(live, table, begin, rounds=4 if quiet else 1_000_000)
        threads = [threading.Thread(target=worker.adds, args=(lane,)) for lane in range(3)]
        threads += [threading.Thread(target=worker.decides), threading.Thread(target=worker.removes)]
        threads += [threading.Thread(target=worker.asks)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        while live._sealing is not None and live._sealing.is_alive():
            time.sleep(0.01)
        tell({"op": "quiet", "seen": looked_up(live, table)})
        time.sleep(3600)


def tell(what: Told) -> None:
    """Write a line at once, as a whole."""
    os.write(1, json.dumps(what).encode() + b"\n")


def looked_up(live: Live, table: pl.DataFrame) -> Told:
    """What a store says of twelve posts, and the number of its last event."""
    found = live.lookup(Catalog.read(table[list(LOOKED_UP)]))
    said = [
        [each.id, each.group, [[other.id, other.group, round(other.probability, 6)] for other in each.candidates]]
        for each in found
    ]
    return {"found": said, "last": live.reading().execute("SELECT max(number) FROM events").fetchone()[0]}


@dataclass
class Worker:
    """Threads that work on one store."""

    live: Live
    table: pl.DataFrame
    begin: int
    rounds: int
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.ids = self.live.catalog().ids.to_list()
        self.rng = random.Random(self.begin)

    def adds(self, lane: int) -> None:
        """Add one to three posts at a time."""
        at = self.begin + 1000 * lane
        for round_ in range(self.rounds):
            size = 1 + round_ % 3
            some = Catalog.read(self.table[at : at + size])
            at += size
            key = f"{self.begin}-{lane}-{round_}"
            self.live.add(some, by="kills", key=key)
            tell({"op": "add", "key": key, "ids": some.ids.to_list()})
            with self.lock:
                self.ids += some.ids.to_list()

    def decides(self) -> None:
        """Say something of pairs of posts."""
        for _ in range(self.rounds):
            with self.lock:
                a, b = self.rng.sample(self.ids, 2)
            verdict = self.rng.choice(["same", "different", "variant", "skip"])
            try:
                event = self.live.decide(a, b, verdict, by="kills")
            except KembarError:  # one of them was removed meanwhile
                continue
            tell({"op": "decide", "event": event.number, "a": a, "b": b, "verdict": verdict})
            time.sleep(0.002)

    def removes(self) -> None:
        """Remove posts."""
        for _ in range(self.rounds):
            with self.lock:
                post = self.ids.pop(self.rng.randrange(len(self.ids)))
            event = self.live.remove([post], by="kills")
            tell({"op": "remove", "event": event.number, "ids": [post]})
            time.sleep(0.02)

    def asks(self) -> None:
        """Look posts up."""
        for _ in range(self.rounds):
            at = self.rng.randrange(len(self.table))
            self.live.lookup(Catalog.read(self.table[at : at + 1]))
            time.sleep(0.05)


# The process that kills


@dataclass
class Course:
    """What was done and found so far."""

    told: list[Told] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    seen: Told | None = None


def killed(kills: int, seed: int) -> list[str]:
    """Kill so many processes; stops at the first thing that is wrong."""
    rng = random.Random(seed)
    began, course = time.monotonic(), Course()
    large = kills - max(1, kills // 8)
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        table = synthesize(POSTS, seed=seed, hashes=True).posts.drop("label_group")
        table.write_parquet(place / "posts.parquet")
        command = [sys.executable, __file__, "--serve", str(place / "posts.parquet")]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as server:
            for kill in range(kills):
                if kill in (0, large // 2, large):
                    course.seen, course.told = None, []
                    begun(place / f"store{kill}", table[: 5000 if kill == large else 300])
                store = place / f"store{max(at for at in (0, large // 2, large) if at <= kill)}"
                task = {"store": str(store), "begin": 6000 + 120 * kill, "quiet": kill % 10 == 9}
                one_killed(server, task, place / f"pipe{kill}", rng, course)
                after(store, table, course)
                if kill % 10 == 9:
                    print(kill + 1, dict(course.done), f"{time.monotonic() - began:.0f} s", flush=True)
            server.kill()
    return report(kills, seed, course, time.monotonic() - began)


def begun(store: Path, posts: pl.DataFrame) -> None:
    """Make a store with some posts."""
    with Live.create(store) as live:
        live.add(Catalog.read(posts))


def one_killed(server: "subprocess.Popen[bytes]", task: Told, pipe: Path, rng: random.Random, course: Course) -> None:
    """Have a process started, and kill it; note what it told."""
    starting = not task["quiet"] and rng.random() < 1 / 8
    wait = 0.01 if task["quiet"] else rng.uniform(0, LONGEST)
    until = "quiet" if task["quiet"] else "started" if starting else "opened"
    os.mkfifo(pipe)
    if server.stdin is not None:
        server.stdin.write(json.dumps({**task, "pipe": str(pipe)}).encode() + b"\n")
        server.stdin.flush()
    lines: list[bytes] = []
    awaited = threading.Event()

    def read() -> None:
        with pipe.open("rb") as source:
            for line in source:
                lines.append(line)
                if f'"op": "{until}"'.encode() in line:
                    awaited.set()
        awaited.set()

    reader = threading.Thread(target=read)
    reader.start()
    awaited.wait(600)
    time.sleep(wait)
    expect(reader.is_alive(), "a process ended by itself", course)
    ended(json.loads(lines[0])["pid"])
    reader.join()
    pipe.unlink()
    course.done["killed while starting" if starting else "killed at rest" if task["quiet"] else "killed at work"] += 1
    for line in lines:
        if line.endswith(b"\n"):
            note(json.loads(line), course)


def ended(pid: int) -> None:
    """Kill a process, and wait until nothing is left of it."""
    os.kill(pid, signal.SIGKILL)
    with suppress(ProcessLookupError):
        while True:
            os.kill(pid, 0)
            time.sleep(0.005)


def note(told: Told, course: Course) -> None:
    """Take in what a process told."""
    course.done[told["op"]] += 1
    if told["op"] == "opened":
        same_seen("opens compared", told["seen"], course)
    if told["op"] == "quiet":
        course.seen = told["seen"]
    elif told["op"] in ("add", "decide", "remove"):
        course.told.append(told)


def same_seen(what: str, seen: Told, course: Course) -> None:
    """Compare what is found with what was found before, if nothing was done since."""
    if course.seen is not None and course.seen["last"] == seen["last"]:
        course.done[what] += 1
        expect(json.loads(json.dumps(seen)) == course.seen, f"{what}: not the same is found as before", course)


def after(store: Path, table: pl.DataFrame, course: Course) -> None:
    """Open the store again, and look for anything that is wrong."""
    whole = checked(store)
    expect(whole.whole, f"the store is not whole: {whole}", course)
    with looked_at(store) as read:
        lost = [told for told in course.told if not there(read, told)]
    expect(not lost, f"acknowledged and lost: {lost}", course)
    began = time.monotonic()
    with Live.open(store) as live:
        course.seconds.append(time.monotonic() - began)
        seen = looked_up(live, table)
    same_seen("indexes compared", seen, course)
    course.seen = json.loads(json.dumps(seen))


def there(read: sqlite3.Connection, told: Told) -> bool:
    """Tell whether a store holds an operation, with all that it did."""
    if told["op"] == "add":
        row = read.execute("SELECT body FROM events WHERE key = ? AND kind = 'add'", (told["key"],)).fetchone()
        marks = ", ".join("?" * len(told["ids"]))
        count = read.execute(f"SELECT count(*) FROM posts WHERE id IN ({marks})", told["ids"]).fetchone()[0]
        return (
            row is not None
            and [record["id"] for record in json.loads(row[0])["posts"]] == told["ids"]
            and count == len(told["ids"])
        )
    row = read.execute("SELECT body FROM events WHERE number = ? AND kind = ?", (told["event"], told["op"])).fetchone()
    body = {} if row is None else json.loads(row[0])
    if told["op"] == "remove":
        gone = read.execute("SELECT removed FROM posts WHERE id = ?", told["ids"]).fetchone()
        return list(body.get("removed", ())) == told["ids"] and gone == (told["event"],)
    asked = "SELECT verdict FROM decisions WHERE event = ?"
    return [body.get(name) for name in ("a", "b", "verdict")] == [told["a"], told["b"], told["verdict"]] and (
        read.execute(asked, (told["event"],)).fetchall() == [(told["verdict"],)]
    )


def expect(right: bool, wrong: str, course: Course) -> None:
    """Stop where something is wrong."""
    if not right:
        raise SystemExit(f"after {sum(course.done[name] for name in course.done if 'killed' in name)} kills: {wrong}")


def report(kills: int, seed: int, course: Course, seconds: float) -> list[str]:
    """Lay out what was found."""
    done = course.done
    moments = ", ".join(
        f"{done[name]} {name}" for name in ("killed at work", "killed at rest", "killed while starting")
    )
    median = statistics.median(course.seconds)
    return [
        f"`python bench/store_kills.py --kills {kills} --seed {seed}`: Python {platform.python_version()}, SQLite "
        f"{sqlite3.sqlite_version}, {os.cpu_count()} cores, {platform.system()}; {seconds / 60:.0f} minutes.",
        "",
        "| what | count |",
        "| --- | ---: |",
        f"| processes killed with SIGKILL ({moments}) | {kills} |",
        f"| adds acknowledged (of 1 to 3 posts, by three threads) | {done['add']:,} |",
        f"| decisions acknowledged | {done['decide']:,} |",
        f"| removals acknowledged | {done['remove']:,} |",
        "| acknowledged operations lost | 0 |",
        "| stores with a fault that `kembar store check` finds | 0 |",
        f"| second opens that found anything else than the first, of {done['opens compared']} | 0 |",
        f"| indexes in memory that found anything else than after the replay, of {done['indexes compared']} | 0 |",
        "",
        f"Seconds to open a store after a kill, 300 to {5000:,} posts and more: median {median:.2f}, longest "
        f"{max(course.seconds):.2f}.",
    ]


if __name__ == "__main__":
    main()
