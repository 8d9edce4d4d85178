"""Where tasks run: in this process, or on a Ray cluster."""

import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, Final, Protocol

from kembar.arrays import Progress
from kembar.cluster.parts import tasks_at_once
from kembar.cluster.stages import forget, perform
from kembar.cluster.work import Task, Work
from kembar.errors import ConfigError, KembarError, MissingExtraError, quoted
from kembar.threads import in_order

_PATIENCE: Final = 10.0  # seconds
_ENCODING: Final = "encoded"  # the stage whose tasks have use for a GPU
_IDLE: Final = frozenset({"near", "ranks", "judgements"})  # stages whose tasks leave cores idle


class Executor(Protocol):
    """Does tasks that do not depend on each other."""

    def run(self, folder: Path, tasks: Sequence[Task], progress: Progress | None) -> None:
        """Do tasks; those that have been done before are passed over.

        Args:
            folder: the work folder.
            tasks: of one stage.
            progress: called with (stage, done, total).
        """
        ...


class Local:
    """Does tasks in this process: one after the other, each with all threads, or side by side where that is quicker.

    Args:
        at_once: tasks side by side at most; None: one per thread, four at most.
    """

    def __init__(self, at_once: int | None = None) -> None:
        self.at_once = at_once or tasks_at_once()

    def run(self, folder: Path, tasks: Sequence[Task], progress: Progress | None) -> None:
        """Do tasks."""
        for done, _ in enumerate(self._done(folder, tasks)):
            if progress:
                progress(tasks[0].stage, done, len(tasks))
        forget()

    def _done(self, folder: Path, tasks: Sequence[Task]) -> Iterator[None]:
        """Do tasks; comes back before each is done or, side by side, waited for."""
        at_once = self.at_once if tasks[0].stage in _IDLE else 1
        for _, some in groupby(tasks, key=lambda task: task.view):  # what they share is that of one view
            first, *others = some
            yield
            perform(folder, first)  # makes what the others share
            with _each(partial(perform, folder), others, at_once) as ends:
                for _ in others:
                    yield
                    next(ends)


def _each(work: Callable[[Task], None], tasks: Sequence[Task], at_once: int) -> AbstractContextManager[Iterator[None]]:
    """Do tasks as their ends are asked for; in this thread, which Ctrl-C stops at once, where none are side by side."""
    if at_once == 1:
        return nullcontext(map(work, tasks))
    return in_order(work, tasks, threads=at_once, ahead=at_once)


class OnRay:
    """Does tasks on a Ray cluster; a task whose worker or node is lost is done again by another.

    Args:
        address: of a running cluster, "auto" for the one of this machine; "": one is started here.
        workers: tasks at once, where a cluster is started here.
        gpus: tasks that encode ask for a GPU each. Others, and all where this is not said, see none: that is how Ray
            deals them out.

    Raises:
        MissingExtraError: Ray is not installed.
        ConfigError: no cluster answers there, or it has no GPU and one is asked for.
    """

    def __init__(self, address: str = "", workers: int | None = None, *, gpus: bool = False) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # Ray would report its use to its makers
        try:
            import ray
        except ModuleNotFoundError as error:
            raise MissingExtraError("ray", "ray") from error
        self._ray: Any = ray
        own: dict[str, Any] = {"num_cpus": workers, "include_dashboard": False} if not address else {"address": address}
        try:
            _knock(address)
            ray.init(log_to_driver=False, logging_level=logging.ERROR, ignore_reinit_error=True, **own)
        except (OSError, ValueError, RuntimeError) as error:
            told = str(error).splitlines()[0]
            raise ConfigError(
                f"the Ray address {quoted(address)} ({told})",
                "a running cluster, such as auto or 10.0.0.1:6379",
                "Start one with `ray start --head`, or leave the address out.",
            ) from error
        self.gpus = gpus
        if gpus and not self._ray.cluster_resources().get("GPU"):
            raise ConfigError(
                "a GPU for encoders, on a Ray cluster that has none", "nodes with GPUs", "Leave device='cuda' out."
            )

    def run(self, folder: Path, tasks: Sequence[Task], progress: Progress | None) -> None:
        """Do tasks side by side."""
        work, ray = Work(folder), self._ray
        wanted = [task for task in tasks if not work.done(task)]
        gpus = int(self.gpus and tasks[0].stage == _ENCODING)
        remote = ray.remote(max_retries=5, num_gpus=gpus)(perform)
        waiting = [remote.remote(folder, task) for task in wanted]
        while waiting:
            if progress:
                progress(tasks[0].stage, len(tasks) - len(waiting), len(tasks))
            ready, waiting = ray.wait(waiting)
            self._taken(ready)

    def _taken(self, ready: list[Any]) -> None:
        """Raise what a task raised."""
        try:
            self._ray.get(ready)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, KembarError):
                raise error.cause from error
            raise


def _knock(address: str) -> None:
    """See whether anybody answers at host:port: Ray itself would go on trying for minutes; raises OSError."""
    host, mark, port = address.rpartition(":")
    if mark and port.isdigit():
        socket.create_connection((host, int(port)), timeout=_PATIENCE).close()
