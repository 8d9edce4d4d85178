"""A run in parts, and on Ray, beside a run at once: memory, CPU seconds and bytes; and runs that are killed and go on.

    python bench/parts.py --posts 27399 --memory 1GiB 750MiB --ray 2 -o docs/figures/parts.md
    python bench/parts.py --posts 200000 --memory 3GiB --ray 2 -o docs/figures/parts-large.md
    python bench/parts.py --posts 50000 --memory 2GiB --kills 50

Each run is `kembar match` in processes of its own on a drawn catalogue of titles and hashes. CPU seconds and memory are
of all of its processes, looked at ten times a second; memory is what is not a mapped file, and the peak of the largest
process with mapped files. With --kills one run is killed (SIGKILL, all its processes) at moments drawn from the length
of a whole run, begun again until it ends, and its files are compared with those of the undisturbed run.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from kembar import Catalog
from kembar.synthesis import write_shop

SAME = ("matches.csv", "groups.csv")
TICK = os.sysconf("SC_CLK_TCK")


@dataclass
class Use:
    """What the processes of a run used."""

    cpu: dict[int, float] = field(default_factory=dict)
    anonymous: int = 0
    peak: int = 0
    disk: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--posts", type=int, default=27_399)
    parser.add_argument("--csv", type=Path, help="real posts in place of drawn ones")
    parser.add_argument("--memory", nargs="*", default=[])
    parser.add_argument("--ray", type=int, nargs="*", default=[], help="numbers of workers")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        posts = arguments.csv or drawn(folder, arguments.posts)
        if arguments.kills:
            lines = killed(folder, posts, arguments.memory[0], arguments.kills, random.Random(arguments.seed))
        else:
            lines = list(table(folder, posts, arguments))
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


def drawn(folder: Path, posts: int) -> Path:
    write_shop(folder / "shop", posts, photos=False)
    return folder / "shop" / "posts.csv"


def table(folder: Path, posts: Path, arguments: argparse.Namespace) -> Iterator[str]:
    ways = [("at once", [])]
    ways += [(f"--memory {memory}", ["--memory", memory]) for memory in arguments.memory]
    ways += [(f"--on ray, {n} workers", ["--on", "ray", "--workers", str(n)]) for n in arguments.ray]
    head = f"{len(Catalog.read(posts)):,} posts with titles and hashes; {arguments.runs} runs of each, medians."
    rows = ["| run | CPU seconds | of at once | memory, MiB | with mapped files, MiB | work folder, MiB | same bytes |"]
    rows.append("| --- | ---: | ---: | ---: | ---: | ---: | --- |")
    for line in (head, "", *rows):
        print(line, flush=True)
        yield line
    first: tuple[float, dict[str, bytes]] | None = None
    for name, options in ways:
        uses = []
        for _ in range(arguments.runs):
            shutil.rmtree(folder / "run", ignore_errors=True)
            uses.append(watched(command(posts, folder / "run", options), folder / "run.work"))
        files = {file: (folder / "run" / file).read_bytes() for file in SAME}
        cpu, anonymous, peak, disk = (
            sorted(values)[len(uses) // 2] for values in zip(*map(figures, uses), strict=True)
        )
        first = first or (cpu, files)
        same = "yes" if files == first[1] else "NO"
        line = f"| {name} | {cpu:.1f} | {cpu / first[0]:.2f} | {anonymous:,} | {peak:,} | {disk:,} | {same} |"
        print(line, flush=True)
        yield line


def figures(use: Use) -> tuple[float, int, int, int]:
    return sum(use.cpu.values()), use.anonymous >> 20, use.peak >> 20, use.disk >> 20


def command(posts: Path, output: Path, options: list[str]) -> list[str]:
    return [sys.executable, "-m", "kembar", "match", str(posts), "-o", str(output), "--quiet", *options]


def watched(words: list[str], work: Path) -> Use:
    """Run a command and add up what it and its descendants use."""
    use = Use()
    with subprocess.Popen(words) as process:
        while process.poll() is None:
            look(process.pid, use)
            with suppress(FileNotFoundError):  # the folder goes when the run is there
                use.disk = max(use.disk, sum(path.stat().st_size for path in work.glob("[!.]*")))
            time.sleep(0.1)
    if process.returncode:
        raise SystemExit(f"{words} ended with {process.returncode}")
    return use


def look(root: int, use: Use) -> None:
    anonymous = 0
    for pid in descendants(root):
        try:
            stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        except (OSError, ValueError):
            continue
        use.cpu[pid] = (int(stat[11]) + int(stat[12])) / TICK
        anonymous += int(status.get("RssAnon", "0 kB").split()[0]) << 10
        use.peak = max(use.peak, int(status.get("VmHWM", "0 kB").split()[0]) << 10)
    use.anonymous = max(use.anonymous, anonymous)


def descendants(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, waiting = [], [root]
    while waiting:
        found.append(waiting.pop())
        waiting += children.get(found[-1], [])
    return found


def killed(folder: Path, posts: Path, memory: str, kills: int, draw: random.Random) -> list[str]:
    words = command(posts, folder / "run", ["--memory", memory])
    begin = time.monotonic()
    watched(words, folder / "run.work")
    length = time.monotonic() - begin
    whole = {file: (folder / "run" / file).read_bytes() for file in SAME}
    pairs = pl.read_parquet(folder / "run" / "pairs.parquet")
    ended = left = 0
    for number in range(kills):
        process = subprocess.Popen(words, start_new_session=True, stderr=subprocess.DEVNULL)
        try:
            process.wait(draw.random() * length)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if (folder / "run").is_dir():
            check(folder, whole, pairs)
            ended += 1
        left = max(left, len(list((folder / "run.work").glob(".*.partial"))) if (folder / "run.work").is_dir() else 0)
        shutil.rmtree(folder / "run", ignore_errors=True)
        print(f"{number + 1} kills, {ended} runs ended by themselves", flush=True)
    watched(words, folder / "run.work")
    check(folder, whole, pairs)
    litter = [path.name for path in folder.iterdir() if path.name not in ("run", "shop")]
    line = (
        f"{kills} kills, {ended + 1} runs ended, all with the bytes of the undisturbed one; left behind: {litter or 0}."
    )
    print(line)
    return [line]


def check(folder: Path, whole: dict[str, bytes], pairs: pl.DataFrame) -> None:
    for file, bytes_ in whole.items():
        if (folder / "run" / file).read_bytes() != bytes_:
            raise SystemExit(f"{file} has other bytes")
    if not pl.read_parquet(folder / "run" / "pairs.parquet").equals(pairs, null_equal=True):
        raise SystemExit("pairs.parquet holds something else")


if __name__ == "__main__":
    main()
