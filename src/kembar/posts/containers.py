"""What holds a table: a file, standard input, a gzip file or a zip archive with one table in it."""

import io
import sys
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from gzip import BadGzipFile, GzipFile
from pathlib import Path, PurePosixPath
from typing import IO, Final

from kembar.errors import CatalogError, nearest, quoted
from kembar.posts.notes import Note
from kembar.remote import file_name, is_remote, reaching

STANDARD_INPUT: Final = "-"

_GZIP: Final = b"\x1f\x8b"
_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")  # the second: with nothing inside
_BLOCK: Final = 1 << 20
_FREE: Final = 64 << 20  # bytes that anything may unpack to
_RATIO: Final = 200  # times its packed size beyond these; tables of text shrink to a third or a twentieth
_MOST: Final = 32 << 30  # bytes, whatever the ratio


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of a table.

    Args:
        name: what it is called in messages.
        suffix: of its own name, in small letters, "" where it has none.
        path: the file, where the table lies in it as it is.
        unpacked: its bytes, where it does not.
        notes: what it was packed in.
    """

    name: str
    suffix: str
    path: Path | None = None
    unpacked: bytes = b""
    notes: tuple[Note, ...] = ()

    @property
    def data(self) -> bytes:
        """All bytes."""
        return self.unpacked if self.path is None else self.path.read_bytes()

    def start(self, size: int = 4096) -> bytes:
        """The first bytes."""
        if self.path is None:
            return self.unpacked[:size]
        with self.path.open("rb") as file:
            return file.read(size)

    def file(self) -> IO[bytes]:
        """Open it."""
        return io.BytesIO(self.unpacked) if self.path is None else self.path.open("rb")


def open_content(path: Path) -> Content:
    """Open a file, or what is packed in it.

    Args:
        path: a file, here or elsewhere (see `kembar.remote`); `-` is standard input.

    Returns:
        The table that it holds, of whatever kind.

    Raises:
        CatalogError: there is no such file, it is empty, cut short, or holds several tables or far too many bytes.
    """
    if str(path) == STANDARD_INPUT:
        content = Content("standard input", "", unpacked=sys.stdin.buffer.read())
    else:
        with reaching(path):
            _check_file(path)
            name = file_name(path)
            lies = {"unpacked": path.read_bytes()} if is_remote(path) else {"path": path}
        content = Content(name, PurePosixPath(name).suffix.lower(), **lies)
    start = content.start(4)
    if not start:
        shown = quoted(path) if content.path else content.name
        raise CatalogError(f"{shown}, an empty file", "a table of posts", "Export the posts again.")
    if start.startswith(_GZIP):
        return _inner(_from_gzip(content), content)
    if start.startswith(_ZIP) and not is_workbook(content):
        return _inner(_from_zip(content), content)
    return content


def is_workbook(content: Content) -> bool:
    """Whether a zip archive is a workbook: of Excel, or in the OpenDocument format."""
    try:
        with content.file() as file, zipfile.ZipFile(file) as archive:
            names = set(archive.namelist())
            return bool(names & {"xl/workbook.xml", "xl/workbook.bin"}) or (
                "mimetype" in names and b"opendocument.spreadsheet" in archive.read("mimetype")[:80]
            )
    except (zipfile.BadZipFile, OSError, KeyError, RuntimeError):
        return content.suffix in (".xlsx", ".xlsm", ".xlsb", ".ods")


def check_size(unpacked: int, packed: int, name: str) -> None:
    """Refuse what unpacks to far more than a table would.

    Args:
        unpacked: bytes.
        packed: bytes.
        name: for the message.

    Raises:
        CatalogError: it is more than 64 MiB and 200 times its packed size, or more than 32 GiB.
    """
    if unpacked > _MOST or unpacked > max(_FREE, _RATIO * packed):
        raise CatalogError(
            f"{quoted(name)}, which unpacks to more than {_RATIO} times its {packed:,} bytes",
            "a table of posts; this looks like a bomb",
            "Unpack it yourself if you trust it, and name the file inside.",
        )


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise CatalogError(f"{quoted(path)}, a folder", "a file of posts", "Name the CSV or Parquet file inside it.")
    if path.exists():  # also a pipe
        return
    beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    raise CatalogError(
        f"{quoted(path)}, which does not exist",
        "a file of posts",
        f"Check the spelling and the folder you run in.{nearest(path.name, beside)}",
    )


def _inner(inner: Content, outer: Content) -> Content:
    """Note what a table was packed in; once only."""
    start = inner.unpacked[:300]
    if not start:
        raise CatalogError(f"{quoted(outer.name)} with an empty file inside", "a table of posts", "Export them again.")
    if start.startswith(_GZIP) or (start.startswith(_ZIP) and not is_workbook(inner)) or start[257:262] == b"ustar":
        raise CatalogError(
            f"{quoted(outer.name)} with another archive inside", "one table in it", "Unpack it, and name the table."
        )
    return replace(inner, notes=(Note("container", f"unpacked {inner.name}"),))


def _from_gzip(content: Content) -> Content:
    with content.file() as file:
        packed = file.seek(0, io.SEEK_END)
        file.seek(0)
        data = _unpacked(GzipFile(fileobj=file).read, packed, content.name)
    inner = PurePosixPath(content.name).stem if content.suffix in (".gz", ".gzip") else content.name
    return Content(content.name, PurePosixPath(inner).suffix.lower(), unpacked=data)


def _from_zip(content: Content) -> Content:
    try:
        with content.file() as file, zipfile.ZipFile(file) as archive:
            entry = _only(archive, content.name)
            if entry.flag_bits & 1:
                raise CatalogError(f"{quoted(content.name)}, which needs a password", "an open archive", "Unpack it.")
            check_size(entry.file_size, entry.compress_size, content.name)
            with archive.open(entry) as inner:
                data = _unpacked(inner.read, entry.compress_size, content.name)
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise _damaged(content.name, error) from error
    name = f"{content.name}/{entry.filename}"
    return Content(name, PurePosixPath(entry.filename).suffix.lower(), unpacked=data)


def _only(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """Find the one table in an archive, beside which there may be hidden files."""
    entries = [
        entry
        for entry in archive.infolist()
        if not entry.is_dir() and not any(part.startswith((".", "__MACOSX")) for part in entry.filename.split("/"))
    ]
    if len(entries) == 1:
        return entries[0]
    shown = ", ".join(quoted(entry.filename) for entry in entries[:5]) + (", ..." if len(entries) > 5 else "")
    raise CatalogError(
        f"{quoted(name)} with {len(entries)} files inside{': ' if entries else ''}{shown}",
        "one table in an archive",
        "Unpack it, and name the table.",
    )


def _unpacked(read: Callable[[int], bytes], packed: int, name: str) -> bytes:
    """Read to the end, in blocks, so that nothing unpacks without bounds."""
    out = bytearray()
    try:
        while block := read(_BLOCK):
            out += block
            check_size(len(out), packed, name)
    except (EOFError, BadGzipFile, zlib.error, zipfile.BadZipFile) as error:
        raise _damaged(name, error) from error
    return bytes(out)


def _damaged(name: str, error: Exception) -> CatalogError:
    return CatalogError(
        f"{quoted(name)}, which does not unpack ({error})",
        "a whole archive",
        "Copy or export it again; it is cut short or damaged.",
    )
