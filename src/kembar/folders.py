"""Output folders and files that are either complete or absent.

While it is written, the folder `run` is called `.run.partial`, and for a moment an older one that it replaces is called
`.run.old`; the file `x.csv` is called `.x.csv.1a2b3c4d.partial`. Whoever writes holds a lock on what is partial, which
ends with the process, however it ends. So a second run into the same folder is refused, and what a killed run left is
known by its free lock: the next run removes it, or restores an older folder that it had set aside.
"""

import errno
import logging
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from kembar.errors import FolderError, quoted
from kembar.remote import check_writable, is_remote, place, reaching, sent
from kembar.threads import undisturbed

try:
    import fcntl
except ImportError:  # Windows: two runs into one folder are only told apart when they end
    fcntl: Any = None  # type: ignore[no-redef]

_UNWRITTEN: Final = (OSError, pl.exceptions.ComputeError)  # the second is how polars reports an error of the disk
_LEAST_FREE: Final = 1 << 16  # bytes free below which a disk counts as full
_LONGEST: Final = 255 - len("..12345678.partial")  # bytes of a name that leave room for those while it is written
_PARTIAL: Final = re.compile(r"\.(.+)\.[0-9a-f]{8}\.partial", re.DOTALL)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Claim:
    """A folder that this process alone may make.

    Attributes:
        target: its path when it is complete.
        lock: descriptor of the partial folder, locked; -1 where there are no locks.
        missing: parents that were not there.
    """

    target: Path
    lock: int
    missing: tuple[Path, ...]

    @property
    def partial(self) -> Path:
        """The folder while it is written."""
        return _beside(self.target, "partial")

    @property
    def old(self) -> Path:
        """What it replaces, while it does so."""
        return _beside(self.target, "old")

    @undisturbed()
    def put(self, *, overwrite: bool, mark: str) -> None:
        """Give the complete folder its name; what was made there meanwhile is not touched."""
        check_free(self.target, overwrite=overwrite, mark=mark)
        if overwrite and self.target.exists():
            self.target.rename(self.old)
        self.partial.rename(self.target)  # fails where the target is a folder that is not empty

    def recover(self) -> None:
        """Undo what a killed process, or an error, left half done."""
        if self.old.exists() and not self.target.exists():
            self.old.rename(self.target)
            _log.warning("%s is there again: the run that was to replace it was stopped", quoted(self.target))
        shutil.rmtree(self.old, ignore_errors=True)

    @undisturbed()
    def release(self, *, done: bool) -> None:
        """Let others have the name, and leave nothing behind that is not complete."""
        if not done:
            shutil.rmtree(self.partial, ignore_errors=True)
        self.recover()
        _unlock(self.lock)
        with suppress(OSError):
            for folder in self.missing if not self.target.exists() else ():
                folder.rmdir()


_reserved: dict[Path, _Claim] = {}


@contextmanager
def reserved(target: Path | str, *, overwrite: bool = False, mark: str = "pairs.parquet") -> Iterator[None]:
    """Keep the name of a folder that `new_folder` makes after hours of work: another run into it is refused at once.

    Args:
        target: the folder to make.
        overwrite: replace an existing folder, if kembar wrote it.
        mark: the file by which an earlier folder of the same kind is known.

    Raises:
        FolderError: the target exists, holds something else, cannot be written, or another process is writing it.
    """
    target = place(target)
    if is_remote(target):
        check_free(target, overwrite=overwrite, mark=mark)
        check_writable(target)
        yield
        return
    target = target.absolute()
    _reserved[target] = _claimed(target, overwrite, mark)
    try:
        yield
    finally:
        unused = _reserved.pop(target, None)
        if unused is not None:
            unused.release(done=False)


@contextmanager
def new_folder(target: Path | str, *, overwrite: bool = False, mark: str = "pairs.parquet") -> Iterator[Path]:
    """Write a folder under a temporary name and rename it when it is complete.

    After a failure, Ctrl-C or a full disk there is no half-written folder and no new parent, and an older one is kept;
    after a process was killed, the next one sees to that.

    Args:
        target: the folder to make.
        overwrite: replace an existing folder, if kembar wrote it.
        mark: the file by which an earlier folder of the same kind is known.

    Yields:
        The folder to write into.

    Raises:
        FolderError: the target exists, holds something else, cannot be written, or another process is writing it.
    """
    target = place(target)
    if is_remote(target):
        check_free(target, overwrite=overwrite, mark=mark)
        with sent(target, mark) as folder:
            yield folder
        return
    target = target.absolute()
    claim = _reserved.pop(target, None) or _claimed(target, overwrite, mark)
    done = False
    try:
        yield claim.partial
        claim.put(overwrite=overwrite, mark=mark)
        done = True
    except _UNWRITTEN as error:
        raise _unwritten(target, error) from error
    finally:
        claim.release(done=done)


def _claimed(target: Path, overwrite: bool, mark: str) -> _Claim:
    """Claim a folder; interrupted meanwhile, let it go again."""
    held: list[_Claim] = []
    try:
        with undisturbed():
            held.append(_taken(target, overwrite, mark))
    except KeyboardInterrupt:
        for claim in held:
            claim.release(done=False)
        raise
    return held[0]


def _taken(target: Path, overwrite: bool, mark: str) -> _Claim:
    check_free(target, overwrite=overwrite, mark=mark)
    missing = tuple(folder for folder in target.parents if not folder.exists())
    partial = _beside(target, "partial")
    try:
        partial.mkdir(parents=True, exist_ok=True)
        lock = _lock(partial)
    except OSError as error:
        raise _unwritten(target, error) from error
    if lock is None:
        raise FolderError(
            f"{str(target)!r}, which another process is writing", "a folder of its own for each run", "Choose another."
        )
    claim = _Claim(target, lock, missing)
    if not _holds(lock, partial):  # the other has just ended
        _unlock(lock)
        return _taken(target, overwrite, mark)
    try:
        claim.recover()
        _empty(partial)
        check_free(target, overwrite=overwrite, mark=mark)
    except BaseException:
        claim.release(done=False)
        raise
    return claim


def check_free(target: Path | str, *, overwrite: bool, mark: str = "pairs.parquet") -> None:
    """Refuse a target that may not be written; call it before hours of work.

    Args:
        target: the folder to make.
        overwrite: whether an earlier folder of the same kind may be replaced.
        mark: the file by which such a folder is known.

    Raises:
        FolderError: the target exists, holds something else, or its parent cannot be written.
    """
    target = place(target)
    if not is_remote(target):
        target = target.absolute()
        _check_parent(target)
    with reaching(target):
        if not target.exists() or (target.is_dir() and not any(target.iterdir())):
            return
        if not overwrite:
            raise FolderError(
                f"{str(target)!r}, which exists",
                "a new folder",
                "Choose another name, or replace it: overwrite=True.",
            )
        if not (target / mark).is_file():
            raise FolderError(
                f"{str(target)!r}, which holds no {mark}",
                "an earlier folder of the same kind to overwrite",
                "Choose another name, or remove it yourself.",
            )


def _check_parent(target: Path) -> None:
    _check_name(target)
    parent = next((folder for folder in target.parents if folder.exists()), target)
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise FolderError(
            f"{str(target)!r}, inside {str(parent)!r} which cannot be written",
            "a place where a new folder can be made",
            "Choose another folder.",
        )


@contextmanager
def new_file(target: Path | str) -> Iterator[Path]:
    """Write a file under a temporary name and rename it when it is complete.

    Args:
        target: the file to make or replace.

    Yields:
        The path to write to: an empty file.

    Raises:
        FolderError: the file cannot be written, or is a folder, a link or a device.
    """
    target = Path(target)
    check_file(target)
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    lock = -1
    try:
        remove_litter(target.parent, target.name)
        partial.touch(exist_ok=False)
        lock = _lock(partial) or lock
        yield partial
        partial.replace(target)
    except _UNWRITTEN as error:
        raise _unwritten(target, error, "a file name in a folder") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        _unlock(lock)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder that is there, as long as all of them ask here.

    Args:
        folder: in which one process at a time is to work.

    Raises:
        FolderError: another process has it.
    """
    lock = _lock(folder)
    if lock is None:
        raise FolderError(
            f"{str(folder)!r}, in which another process works", "a folder of its own for each run", "Wait."
        )
    try:
        yield
    finally:
        _unlock(lock)


def keep(path: Path) -> None:
    """Have a file, or the names in a folder, on disk: what is acknowledged outlives a power cut."""
    if os.name == "nt" and path.is_dir():  # Windows cannot open folders, and keeps their names safe itself
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def check_file(target: Path | str) -> None:
    """Refuse to replace what is not a regular file, such as a folder or /dev/null.

    Args:
        target: the file to make or replace.

    Raises:
        FolderError: the target is a folder, a link or a device, or its name is too long.
    """
    target = Path(target)
    _check_name(target)
    with suppress(OSError):  # of a parent that is not there: told when it is written
        if target.exists() and not target.is_file():
            given = f"{str(target)!r}, which cannot be written: it is a folder or a device"
            raise FolderError(given, "a file", "Choose another name.")


def remove_litter(folder: Path, name: str = "") -> None:
    """Remove the partial files that killed processes left.

    Args:
        folder: where they are.
        name: of the file that they were to become; "": of any.
    """
    with suppress(OSError):  # of others' files, or of a folder that is not there: nothing that stops a run
        for path in folder.iterdir():
            ours = _PARTIAL.fullmatch(path.name)
            lock = _lock(path) if ours and name in ("", ours[1]) and path.is_file() else None
            if lock is not None:
                path.unlink(missing_ok=True)
                _unlock(lock)


def _beside(target: Path, what: str) -> Path:
    return target.with_name(f".{target.name}.{what}")


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _check_name(target: Path) -> None:
    if target.is_symlink():
        given = f"{str(target)!r}, a symbolic link, which cannot be written"
        raise FolderError(given, "a path of its own", "Give the path that the link leads to.")
    if len(os.fsencode(target.name)) > _LONGEST:
        given = f"a name of {len(os.fsencode(target.name))} bytes, {quoted(target)}"
        raise FolderError(given, f"at most {_LONGEST}", "Choose a shorter name.")


def _lock(path: Path) -> int | None:
    """Lock a file or folder until the descriptor is closed or the process ends; None: another process holds it."""
    if fcntl is None:
        return -1
    lock = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    except OSError as error:  # a file system without locks
        _log.debug("no lock on %s: %s", path, error)
    return lock


def _holds(lock: int, path: Path) -> bool:
    """Say whether a locked folder still has its name."""
    with suppress(OSError):
        return lock < 0 or os.path.samestat(os.fstat(lock), path.stat())
    return False


def _unlock(lock: int) -> None:
    if lock >= 0:
        os.close(lock)


def _unwritten(target: Path, error: Exception, place: str = "a folder") -> FolderError:
    return FolderError(
        f"{str(target)!r}, which cannot be written ({_reason(error, target.parent)})",
        f"{place} that can be written, on a disk with free space",
        "Choose another name with -o, or free some space.",
    )


def _reason(error: Exception, place: Path) -> str:
    """Say why nothing was written: polars hides a full disk behind errors of its formats."""
    with suppress(OSError):
        if shutil.disk_usage(place).free < _LEAST_FREE:
            return os.strerror(errno.ENOSPC)
    return str(getattr(error, "strerror", None) or error)
