"""The files of a photo folder, and which of them a cell means that is written otherwise: a URL, `%20`, other case."""

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import polars as pl

from kembar.posts.photo_cells import ADDRESS
from kembar.remote import is_remote, names_in, reaching

_LEAVING: Final = r"^(?:[/\\]|[A-Za-z]:)|(?:^|[/\\])\.\.(?:[/\\]|$)"
_leaving: Final = re.compile(_LEAVING)


class PhotoFiles:
    """The files of a folder; each sub-folder that a name leads to is listed once.

    Args:
        folder: the photo folder; None: there are no files.
    """

    def __init__(self, folder: Path | None) -> None:
        self.elsewhere = folder if folder is not None and is_remote(folder) else None
        self.root = None if folder is None else str(folder) if self.elsewhere else os.path.realpath(folder)
        self.parts = [] if folder is None else [_folded(part) for part in Path(self.root or "").parts]
        self._names: dict[str, dict[str, str]] = {}  # by sub-folder: what it holds, and the real place of links
        self._cases: dict[str, dict[str, str | None]] = {}  # by sub-folder: names by how they read in lower case

    def names(self, parent: str) -> dict[str, str]:
        """List a sub-folder: where each of its names leads, "" for those that are no links."""
        if parent not in self._names:
            self._names[parent] = self._listed(parent)
        return self._names[parent]

    def _listed(self, parent: str) -> dict[str, str]:
        if self.root is None:
            return {}
        if self.elsewhere is None:
            return _scanned(os.path.join(self.root, parent))  # noqa: PTH118
        with reaching(self.elsewhere):
            return dict.fromkeys(names_in(self.elsewhere, parent), "")

    def __contains__(self, name: str) -> bool:
        parent, _, own = name.rpartition("/")
        return own in self.names(parent)

    def present(self, names: pl.Series) -> pl.Series:
        """Tell which names are there: (n,) String to (n,) Boolean; no system call per name."""
        parents = _parents(names)
        there = [f"{parent}/{name}" if parent else name for parent in parents.unique() for name in self.names(parent)]
        return names.is_in(pl.Series(there, dtype=pl.String).implode())

    def outside(self, names: pl.Series) -> pl.Series:
        """Tell which names a symbolic link takes out of the folder: (n,) String to (n,) Boolean."""
        if self.root is None or self.elsewhere is not None:  # where there are no links
            return pl.repeat(False, len(names), dtype=pl.Boolean, eager=True)
        parents, links, gone = _parents(names), list[str](), list[str]()
        for parent in parents.unique().sort():
            if not _is_inside(os.path.join(self.root, parent), self.root):  # noqa: PTH118
                gone.append(parent)
                continue
            found = [name for name, path in self.names(parent).items() if path and not _is_inside(path, self.root)]
            links += [f"{parent}/{name}" if parent else name for name in found]
        return parents.is_in(gone) | names.is_in(links)

    def find(self, name: str) -> str | None:
        """Find the file that a name means which is not there as it is written; None where there is none, or several."""
        ways = list(dict.fromkeys(self._ways(name)))
        exact = next((way for way in ways if way in self), None)
        return exact if exact is not None else next(filter(None, map(self._in_other_case, ways)), None)

    def _ways(self, name: str) -> Iterator[str]:
        """List how a name may be meant, the most literal first; none of them leads out of the folder."""
        address = ADDRESS.fullmatch(name.strip())
        path = address[2] if address else name.strip()
        for text in (path, re.sub(r"[?#].*", "", path, flags=re.DOTALL)):
            for plain in (text, unquote(text)):
                if not (_leaving.search(plain) or "\x00" in plain):
                    parts = [part for part in re.split(r"[/\\]+", plain) if part not in ("", ".")]
                    yield from ("/".join(parts[cut:]) for cut in self._cuts(parts, bool(address)))

    def _cuts(self, parts: list[str], address: bool) -> Iterable[int]:
        """List how many of the first parts may be left out: any of a URL, else those that name the folder itself."""
        if address:
            return range(len(parts))
        folded = [_folded(part) for part in parts[:-1]]
        return [cut for cut in range(len(parts)) if not cut or folded[:cut] == self.parts[-cut:]]

    def _in_other_case(self, name: str) -> str | None:
        parent, _, own = name.rpartition("/")
        if parent not in self._cases:
            cases: dict[str, str | None] = {}
            for each in self.names(parent):
                cases[_folded(each)] = None if _folded(each) in cases else each
            self._cases[parent] = cases
        found = self._cases[parent].get(_folded(own))
        return None if found is None else f"{parent}/{found}" if parent else found


def leaving(names: pl.Series) -> pl.Series:
    """Tell which names are absolute or have a part ``..``: (n,) String to (n,) Boolean."""
    return names.str.contains(_LEAVING)


def _scanned(folder: str) -> dict[str, str]:
    try:
        with os.scandir(folder) as entries:
            found = {entry.name: entry.path if entry.is_symlink() else "" for entry in entries}
    except (OSError, ValueError):  # no such folder, or not readable: its photos are missing
        return {}
    return {name: path for name, path in found.items() if name.isprintable() or _is_text(name)}


def _is_text(name: str) -> bool:
    """Whether a name is text: on disks of other systems some are not, and no cell can hold them."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _parents(names: pl.Series) -> pl.Series:
    return names.str.extract(r"(?s)^(.*)/[^/]*$").fill_null("")


def _folded(name: str) -> str:
    """Write a name so that case and composed letters make no difference."""
    return unicodedata.normalize("NFC", name).casefold()


def _is_inside(path: str, root: str) -> bool:
    return os.path.commonpath([root, os.path.realpath(path)]) == root
