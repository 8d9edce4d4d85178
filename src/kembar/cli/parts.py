"""The options of `kembar match` for catalogues that are large for one memory, or for one machine."""

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kembar.errors import ConfigError
from kembar.remote import is_remote, place

if TYPE_CHECKING:
    from kembar.cluster.match import Running
    from kembar.encoders.resources import Resources

log = logging.getLogger(__name__)
_PANEL = "Large catalogues"
_POSTS = 50_000  # of a part on a cluster, where no memory is given
_TASKS = 2  # parts for each worker at least, so that none waits for long

Memory = Annotated[
    str | None,
    typer.Option(
        "--memory",
        help="Memory to stay within, such as `4GiB`: the work is done in parts, and a run that was stopped goes on.",
        rich_help_panel=_PANEL,
    ),
]
On = Annotated[
    str | None,
    typer.Option(
        "--on",
        help="`ray`: on all cores, by Ray; `ray:ADDRESS`: on a cluster, such as `ray:auto` or `ray:10.0.0.1:6379`.",
        rich_help_panel=_PANEL,
    ),
]
Workers = Annotated[
    int | None, typer.Option("--workers", help="With `--on ray`: tasks at once.", min=1, rich_help_panel=_PANEL)
]


@dataclass(frozen=True, slots=True)
class Large:
    """What was asked for.

    Attributes:
        memory: an amount, or None.
        on: where, or None.
        workers: tasks at once, or None.
    """

    memory: str | None
    on: str | None
    workers: int | None

    @property
    def asked(self) -> bool:
        """Whether the work is to be done in parts."""
        return self.memory is not None or self.on is not None

    def check(self) -> None:
        """Refuse what cannot be read, before any work; raises ConfigError."""
        from kembar.cluster.parts import memory_of

        if self.memory is not None:
            memory_of(self.memory)
        if self.on is not None and self.on.partition(":")[0] != "ray":
            raise ConfigError(f"--on {self.on!r}", "ray or ray:ADDRESS", "Leave it out to work in this process.")
        if self.workers is not None and self.on != "ray":
            raise ConfigError("--workers without --on ray", "both, or neither", "Add --on ray.")

    def running(self, posts: int, means: "Resources") -> "Running":
        """Say how a run of so many posts is done; raises ConfigError where the memory is too small."""
        from kembar.arrays import default_threads
        from kembar.cluster.executors import Local, OnRay
        from kembar.cluster.match import Running
        from kembar.cluster.parts import memory_of, parts_within, tasks_at_once

        cache = None if means.store is None else means.store.folder
        at_once = tasks_at_once() if self.on is None else 1
        least = 1 if self.memory is None else parts_within(memory_of(self.memory), posts, at_once)
        if self.on is None:
            return Running(least, Local(at_once), means.device, cache)
        workers = self.workers or default_threads()
        parts = max(least, _TASKS * workers, -(-posts // _POSTS))
        gpus = means.device.partition(":")[0] == "cuda"  # each worker sees its own alone, as the first
        executor = OnRay(self.on.partition(":")[2], self.workers, gpus=gpus)
        return Running(min(parts, posts), executor, "cuda" if gpus else means.device, cache)

    def warn(self, posts: int) -> None:
        """Say so, in the log, where so many posts may be too many for the memory that is free, matched at once."""
        from kembar.cluster.parts import AT_ONCE, START, least_memory, tasks_at_once
        from kembar.memory import free_memory

        free, needed = free_memory(), START + posts * AT_ONCE
        if free is not None and needed > free:
            log.warning(
                "%s posts take some %.1f GiB of memory, and %.1f GiB are free; with `--memory %dMiB` they take no more",
                f"{posts:,}",
                needed / 2**30,
                free / 2**30,
                -(-max(free * 3 // 4, least_memory(posts, tasks_at_once())) >> 20),
            )

    @contextmanager
    def going_on(self, output: Path) -> Iterator[None]:
        """Say, at Ctrl-C, what is kept of a run."""
        try:
            yield
        except KeyboardInterrupt:
            work = work_beside(output)
            if not self._keeps(work):
                raise
            raise KeyboardInterrupt(f"{work} keeps what is done, and the same command goes on from there") from None

    def clean(self, output: Path) -> None:
        """Remove the work folder of a run that is there."""
        work = work_beside(output)
        if self._keeps(work):
            shutil.rmtree(work, ignore_errors=True)

    def _keeps(self, work: Path) -> bool:
        """Tell whether a work folder is that of a run."""
        from kembar.cluster.work import MANIFEST

        return self.asked and (work / MANIFEST).is_file()


def work_beside(output: Path | str) -> Path:
    """Name the work folder of a run: here, where the run goes elsewhere, for its files are mapped."""
    output = place(output)
    name = f"{output.name}.work"
    return Path(name) if is_remote(output) else output.with_name(name)
