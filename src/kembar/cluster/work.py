"""The work folder of a run in parts: what a task has made is a file there, and is not made again.

A file has its name from the moment it is whole. So a run that was killed goes on after the last whole file, and ends
with the same bytes as one that was not. Arrays are mapped, not read: what a task does not look at costs no memory.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any, Final

import joblib
import numpy as np
import numpy.typing as npt

from kembar.errors import FolderError
from kembar.folders import locked, new_file

MANIFEST: Final = "work.json"
_FORMAT: Final = {"format": "kembar work", "version": 3}


@dataclass(frozen=True, slots=True)
class Task:
    """A piece of work that makes one file.

    Attributes:
        stage: its name.
        part: of the posts; None: all of them at once.
        view: the view it is about; "": none.
        step: of blending, from 1; 0: before any.
    """

    stage: str
    part: int | None = None
    view: str = ""
    step: int = 0

    @property
    def name(self) -> str:
        """The name of the file, without its suffix: views may have any name."""
        view = sha256(self.view.encode()).hexdigest()[:12] if self.view else ""
        part = "" if self.part is None else f"{self.part:05}"
        return "-".join(filter(None, (self.stage, str(self.step or ""), view, part)))


@dataclass(frozen=True, slots=True)
class Work:
    """A folder of what tasks have made.

    Attributes:
        folder: where; every process that works on the run sees it under this path.
    """

    folder: Path

    def path(self, task: Task) -> Path:
        """Tell which file a task makes."""
        return self.folder / f"{task.name}.joblib"

    def done(self, task: Task) -> bool:
        """Tell whether a task has been done."""
        return self.path(task).is_file()

    def write(self, task: Task, made: Any) -> None:
        """Write what a task made: all of it or, on any failure, nothing."""
        with new_file(self.path(task)) as target:
            joblib.dump(made, target)

    def read(self, stage: str, part: int | None = None, view: str = "", step: int = 0) -> Any:
        """Read what a task made; arrays are mapped.

        Raises:
            FolderError: the file is damaged.
        """
        path = self.path(Task(stage, part, view, step))
        try:
            return joblib.load(path, mmap_mode="r")
        except Exception as error:  # a damaged pickle raises anything
            raise FolderError(
                f"{str(path)!r}, which is missing or damaged ({type(error).__name__})",
                "what an earlier stage wrote",
                "Remove this file and run the same command again: it is made anew.",
            ) from error

    def stack(self, name: str, parts: Iterator[npt.NDArray[Any]], rows: int) -> str:
        """Put arrays one behind the other in a file of their own, one in memory at a time.

        Args:
            name: of the file, without its suffix.
            parts: (r, ...) each, of one type.
            rows: all of them together.

        Returns:
            The name for `mapped`.
        """
        first = next(parts)
        with self.array(name, first.dtype, (rows, *first.shape[1:])) as append:
            for part in chain([first], parts):
                append(part)
        return f"{name}.npy"

    @contextmanager
    def array(
        self, name: str, dtype: npt.DTypeLike, shape: tuple[int, ...]
    ) -> Iterator[Callable[[npt.NDArray[Any]], object]]:
        """Make an array in a file of its own, NAME.npy, by appending rows; `mapped` reads it when it is whole.

        It is not mapped while it is written: what was written of a mapped file fills the memory until it is closed, and
        a disk that fills up meanwhile ends the process.

        Raises:
            FolderError: the file cannot be written, or there is no room for it on the disk.
        """
        descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
        with new_file(self.folder / f"{name}.npy") as path, path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
            yield lambda rows: file.write(np.ascontiguousarray(rows, dtype=dtype).data)

    def mapped(self, name: str) -> npt.NDArray[Any]:
        """Map what `stack` or `array` wrote."""
        return np.asarray(np.load(self.folder / name, mmap_mode="r"))


@contextmanager
def work_folder(folder: Path, identity: str) -> Iterator[Work]:
    """Open the work folder of a run, or make it; no other process may work there meanwhile.

    Args:
        folder: where.
        identity: the same for the same posts, vectors, options and parts.

    Yields:
        The folder.

    Raises:
        FolderError: another process works there, it is of another run, or it cannot be written.
    """
    wanted = {**_FORMAT, "kembar": version("kembar"), "identity": identity}
    mark = folder / MANIFEST
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            if mark.is_file():
                _check(mark, wanted)
            elif any(folder.iterdir()):
                raise FolderError(
                    f"{str(folder)!r}, which holds other files", "a new folder", "Choose another, or remove it."
                )
            else:
                with new_file(mark) as target:
                    target.write_text(json.dumps(wanted) + "\n", encoding="utf-8")
            yield Work(folder.absolute())
    except OSError as error:
        raise FolderError(
            f"{str(folder)!r}, which cannot be written ({os.strerror(error.errno or 0)})",
            "a folder on a disk with free space",
            "Free some space and run the same command again: it goes on where it stopped.",
        ) from error


def _check(mark: Path, wanted: dict[str, Any]) -> None:
    try:
        found = json.loads(mark.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if found != wanted:
        raise FolderError(
            f"{str(mark.parent)!r}, the work of another run: other posts, options, memory or version",
            "the work of this run, or no such folder",
            "Run the command that began it, or remove the folder.",
        )
