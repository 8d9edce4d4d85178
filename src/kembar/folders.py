"""Output folders and files that are either complete or absent."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import polars as pl

from kembar.errors import FolderError

_UNWRITTEN: Final = (OSError, pl.exceptions.ComputeError)  # the second is how polars reports an error of the disk
_LEAST_FREE: Final = 1 << 16  # bytes free below which a disk counts as full


@contextmanager
def new_folder(target: Path | str, *, overwrite: bool = False, mark: str = "pairs.parquet") -> Iterator[Path]:
    """Write a folder under a temporary name and rename it when it is complete.

    After a failure, Ctrl-C or a full disk there is no half-written folder and no new parent, and an older one is kept.

    Args:
        target: the folder to make.
        overwrite: replace an existing folder, if kembar wrote it.
        mark: the file by which an earlier folder of the same kind is known.

    Yields:
        The folder to write into.

    Raises:
        FolderError: the target exists, holds something else, or cannot be written.
    """
    target = Path(target).absolute()
    check_free(target, overwrite=overwrite, mark=mark)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    missing = [folder for folder in target.parents if not folder.exists()]
    try:
        shutil.rmtree(partial, ignore_errors=True)  # of a killed process with the same number
        partial.mkdir(parents=True)
        yield partial
        if target.exists():
            target.rename(old)
        partial.rename(target)
    except _UNWRITTEN as error:
        raise FolderError(
            f"{str(target)!r}, which cannot be written ({_reason(error, target.parent)})",
            "a folder that can be written, on a disk with free space",
            "Choose another folder with -o, or free some space.",
        ) from error
    finally:
        if old.exists() and not target.exists():
            old.rename(target)
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
        with suppress(OSError):
            for folder in missing if not target.exists() else ():
                folder.rmdir()


def check_free(target: Path | str, *, overwrite: bool, mark: str = "pairs.parquet") -> None:
    """Refuse a target that may not be written; call it before hours of work.

    Args:
        target: the folder to make.
        overwrite: whether an earlier folder of the same kind may be replaced.
        mark: the file by which such a folder is known.

    Raises:
        FolderError: the target exists, holds something else, or its parent cannot be written.
    """
    target = Path(target).absolute()
    parent = next((folder for folder in target.parents if folder.exists()), target)
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise FolderError(
            f"{str(target)!r}, inside {str(parent)!r} which cannot be written",
            "a place where a new folder can be made",
            "Choose another folder with -o.",
        )
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not overwrite:
        raise FolderError(
            f"{str(target)!r}, which exists", "a new folder", "Choose another name, or pass --overwrite to replace it."
        )
    if not (target / mark).is_file():
        raise FolderError(
            f"{str(target)!r}, which holds no {mark}",
            "an earlier folder of the same kind to overwrite",
            "Choose another name, or remove it yourself.",
        )


@contextmanager
def new_file(target: Path | str) -> Iterator[Path]:
    """Write a file under a temporary name and rename it when it is complete.

    Args:
        target: the file to make or replace.

    Yields:
        The path to write to.

    Raises:
        FolderError: the file cannot be written.
    """
    target = Path(target)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        yield partial
        partial.replace(target)
    except _UNWRITTEN as error:
        raise FolderError(
            f"{str(target)!r}, which cannot be written ({_reason(error, target.parent)})",
            "a file name in a folder that can be written, on a disk with free space",
            "Choose another name, or free some space.",
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _reason(error: Exception, place: Path) -> str:
    """Say why nothing was written: polars hides a full disk behind errors of its formats."""
    with suppress(OSError):
        if shutil.disk_usage(place).free < _LEAST_FREE:
            return os.strerror(errno.ENOSPC)
    return str(getattr(error, "strerror", None) or error)
