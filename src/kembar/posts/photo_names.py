"""The names of photos, relative to a photo folder that none of them leads out of."""

import os
from pathlib import Path

import polars as pl

from kembar.errors import CatalogError, nearest, quoted
from kembar.posts.problems import problems, quoted_each
from kembar.posts.text import as_text


def photo_folder(images: Path | str | None) -> Path | None:
    """Take the photo folder as given, if any is.

    Raises:
        CatalogError: it is not a folder.
    """
    if images is None:
        return None
    folder = Path(images)
    if folder.is_dir():
        return folder
    beside = [other.name for other in folder.parent.iterdir()] if folder.parent.is_dir() else []
    raise CatalogError(
        f"{quoted(Path(folder))} as the photo folder, which is not a folder",
        "the folder that the names of photos are relative to",
        f"Check the spelling and the folder you run in.{nearest(folder.name, beside)}",
    )


def read_images(cells: pl.Series, ids: pl.Series, folder: Path | None) -> tuple[pl.Series, pl.DataFrame]:
    """Take photo names as text, dropping those that lead out of the photo folder.

    Args:
        cells: (n,) text, names relative to the folder.
        ids: (n,) ids, for the problems.
        folder: the photo folder; without one, links are not looked at.

    Returns:
        (n,) String, "" where missing or dropped; and the problems: absolute names, names with a part ``..``, links
        that lead out, names with a null byte.

    Raises:
        CatalogError: cells of another type.
    """
    names = as_text(cells, "image").fill_null("")
    nulls = names.str.contains("\x00", literal=True)
    leaving = names.str.contains(r"^(?:[/\\]|[A-Za-z]:)|(?:^|[/\\])\.\.(?:[/\\]|$)")
    if folder is not None:
        leaving |= _linked_out(names.set(nulls, ""), folder)
    found = [
        problems(ids, nulls, "image", "a name with a null byte"),
        problems(ids, leaving & ~nulls, "image", quoted_each(names) + " leads out of the photo folder"),
    ]
    return names.set(leaving | nulls, ""), pl.concat(found)


def _linked_out(names: pl.Series, folder: Path) -> pl.Series:
    """Mark the names that a symbolic link takes out of the folder: one listing per folder, no system call per photo."""
    root = os.path.realpath(folder)
    parents = names.str.extract(r"(?s)^(.*)/[^/]*$").fill_null("")
    outside: list[str] = []
    outside_parents: list[str] = []
    for parent in parents.unique().sort():
        real = os.path.realpath(os.path.join(root, parent))  # noqa: PTH118 - the name exactly as given
        if not _is_inside(real, root):
            outside_parents.append(parent)
            continue
        links = [name for name, path in _links(real) if not _is_inside(path, root)]
        outside += [f"{parent}/{name}" if parent else name for name in links]
    return parents.is_in(outside_parents) | names.is_in(outside)


def _links(folder: str) -> list[tuple[str, str]]:
    try:
        with os.scandir(folder) as entries:
            return [(entry.name, entry.path) for entry in entries if entry.is_symlink()]
    except OSError:  # no such folder, or not readable: its photos are found missing later
        return []


def _is_inside(path: str, root: str) -> bool:
    return os.path.commonpath([root, os.path.realpath(path)]) == root
