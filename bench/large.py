"""A catalogue too large for the memory, matched in parts: seconds, CPU seconds and memory of each stage.

    python bench/large.py --posts 1000000 --memory 4GiB -o docs/figures/large.md
    python bench/large.py --posts 300000 --memory 1600MiB -o docs/figures/large-300000.md

Drawn titles and hashes, as `kembar match --memory` matches them, in this process and with all of its threads. Memory is
what is not a mapped file, looked at ten times a second; mapped files are the system's to take back.
"""

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from kembar import Catalog, Local, Running, match_in_parts
from kembar.arrays import Progress, default_threads
from kembar.cluster.parts import memory_of, parts_within, tasks_at_once
from kembar.cluster.work import Task
from kembar.synthesis import write_shop


@dataclass
class Spent:
    """What a stage took: seconds, CPU seconds, and the most bytes it held."""

    seconds: float = 0.0
    cpu: float = 0.0
    peak: int = 0


class Watched(Local):
    """Notes what each stage takes."""

    def __init__(self) -> None:
        super().__init__()
        self.stages: dict[str, Spent] = {}

    def run(self, folder: Path, tasks: Sequence[Task], progress: Progress | None) -> None:
        """Do tasks, and note what they took."""
        with self.watching(" ".join(filter(None, (tasks[0].stage, "blended" * bool(tasks[0].step))))):
            super().run(folder, tasks, progress)

    @contextmanager
    def watching(self, name: str) -> Iterator[None]:
        """Note what is done meanwhile under a name."""
        spent, ended = self.stages.setdefault(name, Spent()), Event()
        watcher = Thread(target=self._look, args=(spent, ended))
        seconds, cpu = time.monotonic(), time.process_time()
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()
            spent.seconds += time.monotonic() - seconds
            spent.cpu += time.process_time() - cpu
            print(row(name, spent), file=sys.stderr, flush=True)

    @staticmethod
    def _look(spent: Spent, ended: Event) -> None:
        while True:
            spent.peak = max(spent.peak, held())
            if ended.wait(0.1):
                return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--posts", type=int, default=1_000_000)
    parser.add_argument("--memory", default="12GiB")
    parser.add_argument("--scratch", type=Path, help="where the posts and the work folder go")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    parts = parts_within(memory_of(arguments.memory), arguments.posts, tasks_at_once())
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as place:
        text = "\n".join(measured(Path(place), arguments.posts, parts, arguments.memory))
    print(text)
    if arguments.output:
        arguments.output.write_text(text + "\n", encoding="utf-8")


def measured(folder: Path, posts: int, parts: int, memory: str) -> Iterator[str]:
    write_shop(folder / "shop", posts, photos=False)
    watched = Watched()
    with watched.watching("reading"):
        catalog = Catalog.read(folder / "shop" / "posts.csv")
    result = match_in_parts(catalog, folder / "work", running=Running(parts, watched))
    with watched.watching("writing"):
        result.save(folder / "run")
    disk = sum(path.stat().st_size for path in (folder / "work").iterdir())
    yield (
        f"{posts:,} posts of titles and hashes in {parts} parts (`--memory {memory}`), {platform.machine()}, "
        f"{default_threads()} threads at most, one run: F1 {result.scores()['f1']:.4f}, work folder {disk >> 20:,} MiB."
    )
    yield ""
    yield "| stage | seconds | CPU seconds | memory, MiB |"
    yield "| --- | ---: | ---: | ---: |"
    yield from (row(name, spent) for name, spent in watched.stages.items() if spent.seconds >= 1)
    every = watched.stages.values()
    yield row("all", Spent(sum(s.seconds for s in every), sum(s.cpu for s in every), max(s.peak for s in every)))


def row(name: str, spent: Spent) -> str:
    return f"| {name} | {spent.seconds:,.0f} | {spent.cpu:,.0f} | {spent.peak >> 20:,} |"


def held() -> int:
    """Tell how many bytes of this process are no mapped files."""
    lines = Path(f"/proc/{os.getpid()}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon:"))


if __name__ == "__main__":
    main()
