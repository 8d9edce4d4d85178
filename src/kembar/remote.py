"""Files and folders elsewhere, such as s3://bucket/posts.parquet: what fsspec reaches, by the extra `remote`.

Such a path is a `UPath`, which is asked as a `pathlib.Path` is; paths of this machine stay what they are. Runs are
written here and then copied, and are copied here to be read. Credentials, proxies and the like are those of fsspec and
of the package of the store: environment variables and their own files.
"""

import io
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import IO, Any, Final, TypeGuard
from urllib.parse import unquote, urlsplit

from kembar.errors import FolderError, InputError, KembarError, MissingExtraError

_ADDRESS: Final = re.compile(r"(?:[a-z]+::)*[A-Za-z][A-Za-z0-9+.-]+://")  # two letters at least: `C:` is a drive
_COMPLETE: Final = "manifest.json"
_PROBE: Final = ".kembar"
_LARGEST: Final = 1 << 28  # bytes of one photo


def is_path(given: object) -> TypeGuard[Path | str]:
    """Tell whether something names a file or folder, here or elsewhere."""
    return isinstance(given, str | Path) or type(given).__module__.startswith("upath.")


def is_remote(path: Path | str) -> bool:
    """Tell whether a path is elsewhere."""
    return not isinstance(path, Path) and bool(_ADDRESS.match(str(path)))


def place(given: Path | str) -> Path:
    """Take a path as it is meant.

    Args:
        given: a path of this machine, as text or not; or an address such as s3://bucket/shop.

    Returns:
        A `Path`; of an address a `UPath`, which has its methods.

    Raises:
        FolderError: an address of an unknown kind.
        MissingExtraError: what reaches such addresses is not installed.
    """
    if not is_remote(given):
        return Path(given)
    text = str(given)
    if text.startswith("file://"):
        return Path(unquote(urlsplit(text).path))
    try:
        from upath import UPath
    except ModuleNotFoundError as error:
        raise MissingExtraError("universal-pathlib", "remote") from error
    try:
        found: Any = UPath(text)
        found.fs  # noqa: B018 - opens the file system: its package must be there
    except ImportError as error:
        given, wanted = f"{text!r}, whose package is not installed ({error})", "s3fs for s3://, gcsfs for gs://"
        raise FolderError(given, f"{wanted}, adlfs for abfs://", "Install it with pip.") from error
    except ValueError as error:
        fix = "Check the spelling, or copy the file here."
        raise FolderError(f"{text!r}: {error}", "an address that fsspec reaches, such as s3://...", fix) from error
    return found  # type: ignore[no-any-return]


@contextmanager
def reaching(path: Path) -> Iterator[None]:
    """Say what is wrong where a store is not reached; paths of this machine have their own errors.

    Args:
        path: what is asked for.

    Raises:
        FolderError: it cannot be reached.
    """
    try:
        yield
    except KembarError:
        raise
    except Exception as error:  # each store has its own: of the network, of rights, of its protocol
        if not is_remote(path):
            raise
        raise FolderError(
            f"{str(path)!r}, which cannot be reached ({type(error).__name__}: {str(error).strip() or 'no reason'})",
            "a store that answers",
            "Check the address, the network and the credentials.",
        ) from error


def file_name(path: Path) -> str:
    """Name a file: of an address on the web without its query."""
    return re.sub(r"[?#].*", "", path.name) if str(path).startswith("http") else path.name


def read_photo(path: Path) -> IO[bytes]:
    """Read a photo elsewhere, in one request; raises OSError where it cannot be read, is empty or too large."""
    found: Any = path
    try:
        data = found.fs.cat_file(found.path, end=_LARGEST)
    except OSError:
        raise
    except Exception as error:  # of the network or a protocol: each store has its own
        raise OSError(f"{type(error).__name__}: {error}") from error
    if not 0 < len(data) < _LARGEST:
        raise OSError(f"more than {_LARGEST >> 20} MiB" if data else "0 bytes")
    return io.BytesIO(data)


def within(folder: Path, name: str) -> Path:
    """Name a file of a folder, which elsewhere may look like an address itself: then there is no such file."""
    try:
        return folder / name
    except ValueError:
        return folder / name.replace(":", "%3A")


def names_in(folder: Path, below: str) -> list[str]:
    """List what a folder elsewhere holds at some place below it; nothing where there is no such place."""
    found: Any = folder
    root = "/".join(filter(None, (found.path.rstrip("/"), below)))
    names = found.fs.ls(root, detail=False) if found.fs.isdir(root) else []
    return [name.rstrip("/").rpartition("/")[2] for name in names]


def names_below(folder: Path) -> list[str]:
    """List all files below a folder elsewhere, by their paths relative to it."""
    found: Any = folder
    root = found.path.rstrip("/") + "/"
    return sorted(name.removeprefix(root) for name in found.fs.find(found.path) if name.startswith(root))


def check_writable(folder: Path) -> None:
    """Write a file to a folder elsewhere, and remove it: worth knowing before hours of work.

    Raises:
        FolderError: it cannot be written.
    """
    with reaching(folder):
        if not folder.drive:  # a bucket is not made by a slip of the pen, and needs no folders
            folder.mkdir(parents=True, exist_ok=True)
        (folder / _PROBE).write_bytes(b"")
        (folder / _PROBE).unlink()


@contextmanager
def sent(target: Path, mark: str) -> Iterator[Path]:
    """Write a folder here, and copy it to where it belongs.

    The file that marks its kind goes first, the manifest last: a copy that was stopped is no whole run, and is known
    for what may be overwritten. Files of an older run there are removed.

    Args:
        target: the folder elsewhere.
        mark: the file by which a folder of this kind is known.

    Yields:
        The folder to write into.

    Raises:
        FolderError: it cannot be copied; what was written stays here, and the message says where.
    """
    scratch = Path(mkdtemp(prefix="kembar-"))
    here = scratch / (target.name or "folder")
    here.mkdir()
    kept = False
    try:
        yield here
        try:
            _send(here, target, mark)
        except InputError as error:
            kept = True
            fix = f"{error.fix} What was made is in {str(here)!r}: copy it yourself, or move it."
            raise FolderError(error.given, error.expected, fix) from error
    finally:
        if not kept:
            shutil.rmtree(scratch, ignore_errors=True)


def _send(here: Path, target: Path, mark: str) -> None:
    there: Any = target
    names = [path.relative_to(here).as_posix() for path in here.rglob("*") if path.is_file()]
    with reaching(target):
        older = [name for name in names_below(target) if name not in names]
        for name in [name for name in (_COMPLETE,) if (target / name).exists()] + older:
            (target / name).unlink()
        for some in ([mark], sorted({*names} - {mark, _COMPLETE}), [_COMPLETE]):
            own = [name for name in some if name in names]
            if own:
                there.fs.put([str(here / name) for name in own], [f"{there.path}/{name}" for name in own])


@contextmanager
def fetched(source: Path) -> Iterator[Path]:
    """Have a folder here for as long as it is read.

    Args:
        source: a folder; one of this machine is given as it is.

    Yields:
        Where it is.

    Raises:
        FolderError: there is no such folder, or it cannot be reached; errors of the reader, with its own name.
    """
    if not is_remote(source):
        yield source
        return
    scratch, there = Path(mkdtemp(prefix="kembar-")), source
    here = scratch / (source.name or "folder")
    try:
        _fetch(there, here)
        yield here
    except FolderError as error:
        raise FolderError(error.given.replace(str(here), str(source)), error.expected, error.fix) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _fetch(source: Path, here: Path) -> None:
    there: Any = source
    with reaching(source):
        names = names_below(source)
        if not names:
            raise FolderError(f"{str(source)!r}, which does not exist", "a folder with files", "Check the address.")
        for name in names:
            (here / name).parent.mkdir(parents=True, exist_ok=True)
        there.fs.get([f"{there.path}/{name}" for name in names], [str(here / name) for name in names])
