"""Runs killed at random moments: nothing half-written, nothing left behind after the next run, the same bytes.

    python bench/kills.py --kills 40 --seed 0

For SIGKILL, SIGTERM and SIGINT, `kembar match` into one folder is killed at moments drawn from the length of a whole
run; then as many programs that save a result over and over are killed while they write. After each kill the run folder
is absent or complete, with the bytes of a run that nobody disturbed, and no process is left. After some kills in a row
(`--every`) a run is let through, after which nothing but its folder is there.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from kembar import Drawing, write_shop

Bytes: TypeAlias = dict[str, bytes]
MATCH = [
    "-m",
    "kembar",
    "match",
    "shop/posts.csv",
    "--images",
    "shop/photos",
    "--model",
    "rules",
    "--set",
    "photo=false",
]
MATCH += ["-o", "runs/run", "--overwrite", "--quiet"]
WRITE = """
import kembar
result = kembar.Result.load("whole")
print("writing", flush=True)
while True:
    result.save("runs/run", overwrite=True)
"""
TIMED = ("manifest.json", "report.json", "report.md")
"""Files that hold the seconds of their run."""


def contents(folder: Path) -> Bytes:
    files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: b"" if name in TIMED else path.read_bytes() for name, path in files.items()}


def litter(place: Path) -> list[str]:
    return [str(path) for path in [*place.glob("runs/.*"), *place.glob("cache/**/.*")]]


def start(place: Path, arguments: list[str]) -> "subprocess.Popen[bytes]":
    surroundings = {**os.environ, "KEMBAR_CACHE": str(place / "cache")}
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=place,
        env=surroundings,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def kill(
    place: Path, arguments: list[str], moment: Callable[["subprocess.Popen[bytes]"], None], number: signal.Signals
) -> None:
    """Start a program, kill it at a moment, and see that no process of its group lives on."""
    process = start(place, arguments)
    moment(process)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
    process.wait()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, 0)
        raise SystemExit(f"a process of group {process.pid} lives on")


def writing(rng: random.Random, seconds: float) -> Callable[["subprocess.Popen[bytes]"], None]:
    """Wait until a program says that it writes, then up to some seconds."""

    def moment(process: "subprocess.Popen[bytes]") -> None:
        """Wait."""
        if process.stdout is not None:
            process.stdout.readline()
        time.sleep(rng.uniform(0, seconds))

    return moment


def check(place: Path, whole: Bytes, number: signal.Signals) -> None:
    """Refuse a run folder that is neither absent nor whole; an interrupt leaves nothing at all."""
    found = contents(place / "runs" / "run")
    if found and found != whole:
        wrong = sorted(name for name in {*found, *whole} if found.get(name) != whole.get(name))
        raise SystemExit(f"half-written after {number.name}: {wrong}")
    if number == signal.SIGINT and litter(place):
        raise SystemExit(f"left after {number.name}: {litter(place)}")


def run_through(place: Path, whole: Bytes) -> None:
    """Let a run through: it has the same bytes, and nothing is left behind."""
    process = start(place, MATCH)
    if process.wait() or contents(place / "runs" / "run") != whole or litter(place):
        raise SystemExit(f"a run after kills ended with {process.returncode}, left {litter(place)} or has other bytes")


def main() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets what it runs behind ignore Ctrl-C
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--every", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--signals", nargs="+", default=["SIGKILL", "SIGTERM", "SIGINT"])
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` has it ignored, also by all children
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        write_shop(place / "shop", 100, seed=arguments.seed, photos=Drawing(size=64))
        began = time.monotonic()
        if start(place, MATCH).wait():
            raise SystemExit("a run that nobody disturbed failed")
        seconds = time.monotonic() - began
        (place / "runs" / "run").rename(place / "whole")
        whole = contents(place / "whole")
        for number in map(signal.Signals.__getitem__, arguments.signals):
            for what in ("random moments", "writing"):
                seen = 0
                for count in range(arguments.kills):
                    if what == "writing":
                        kill(place, ["-c", WRITE], writing(rng, 1.5), number)
                    else:
                        kill(place, MATCH, lambda _: time.sleep(rng.uniform(0, 1.1 * seconds)), number)
                    seen += bool(litter(place))
                    check(place, whole, number)
                    if (count + 1) % arguments.every == 0:
                        run_through(place, whole)
                # signal, moments, kills, of them with something left until the next run
                print(f"| {number.name} | {what} | {arguments.kills} | {seen} |", flush=True)


if __name__ == "__main__":
    main()
