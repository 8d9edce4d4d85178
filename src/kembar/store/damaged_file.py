"""A damaged file of a store made such that SQLite opens it: it is cut off, or damaged where it tells of its tables."""

import sqlite3
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from kembar.errors import StoreError
from kembar.store.connection import connected
from kembar.store.database import FILE, Database

_PAGE: Final = 4096
_MAGIC: Final = b"SQLite format 3\0"


def readable(copy: Path) -> sqlite3.Connection:
    """Open a copy of a damaged file, changing it until SQLite does so.

    Args:
        copy: of the file; what was written last may lie beside it (-wal).

    Returns:
        A connection; single pages may still be damaged.

    Raises:
        StoreError: it cannot be opened.
    """
    ways: list[Callable[[Path], None]] = [_lengthened, _with_tables_of_a_new_one, _without_the_last_writes]
    while True:
        try:
            read = connected(copy)
        except StoreError:
            if not ways:
                raise
            ways.pop(0)(copy)
            continue
        try:
            read.execute("SELECT 1 FROM about LIMIT 0")
        except StoreError:
            read.close()
            if not ways:
                raise
            ways.pop(0)(copy)
            continue
        return read


def _lengthened(copy: Path) -> None:
    """Add empty pages to a file that was cut off, as many as it says that it had."""
    head = copy.read_bytes()[:100]
    pages = struct.unpack(">I", head[28:32])[0] if head[:16] == _MAGIC else 0
    size = copy.stat().st_size
    wanted = max(-(-size // _PAGE), pages if pages * _PAGE < 100 * max(size, _PAGE) else 0) * _PAGE
    with copy.open("ab") as file:
        file.write(bytes(wanted - size))


def _with_tables_of_a_new_one(copy: Path) -> None:
    """Take the pages that tell of the tables from a new store: all of a version have their tables in the same pages."""
    with tempfile.TemporaryDirectory(dir=copy.parent) as folder:
        new = Database.create(Path(folder), {})
        roots = {page for (page,) in new.reading().execute("SELECT rootpage FROM sqlite_master WHERE rootpage > 0")}
        new.close()
        whole = (Path(folder) / FILE).read_bytes()
    damaged = bytearray(copy.read_bytes())
    damaged += bytes(max(0, len(whole) - len(damaged)))
    for page in range(1, len(whole) // _PAGE + 1):
        if page not in roots:
            damaged[(page - 1) * _PAGE : page * _PAGE] = whole[(page - 1) * _PAGE : page * _PAGE]
    damaged[28:32] = struct.pack(">I", len(damaged) // _PAGE)
    damaged[32:40] = bytes(8)  # no free pages
    copy.write_bytes(damaged)


def _without_the_last_writes(copy: Path) -> None:
    """Do without the log of SQLite, where it is what is damaged."""
    for path in copy.parent.glob(f"{copy.name}-*"):
        path.unlink()
