"""A folder of photos as a catalogue: a post per photo, its id the file's name."""

import logging
import os
from pathlib import Path
from typing import Final

import polars as pl

from kembar.errors import CatalogError, quoted
from kembar.posts.notes import Note
from kembar.posts.photo_cells import SUFFIXES
from kembar.remote import is_remote, names_below, reaching

_log = logging.getLogger(__name__)
_TABLES: Final = (".csv", ".tsv", ".tab", ".txt", ".parquet", ".pq", ".arrow", ".feather", ".xlsx", ".json", ".jsonl")


def is_photo_folder(path: Path) -> bool:
    """Tell a folder of photos from a folder of the parts of one Parquet table."""
    with reaching(path):
        return path.suffix.lower() not in (".parquet", ".pq") and path.is_dir()


def read_photo_folder(folder: Path) -> tuple[pl.DataFrame, tuple[Note, ...]]:
    """List the photos of a folder and its sub-folders; links to folders are not followed.

    Args:
        folder: an existing folder.

    Returns:
        Columns posting_id and image, both the path relative to the folder, in the order of these; and how many other
        files there are. Hidden files are neither.

    Raises:
        CatalogError: there is no photo in it, or one whose name is not text.
    """
    names = sorted(_elsewhere(folder) if is_remote(folder) else _files(folder))
    photos = [name for name in names if name.lower().endswith(SUFFIXES)]
    if not photos:
        raise _no_photo(folder, names)
    other = len(names) - len(photos)
    table = _table([name for name in names if not name.lower().endswith(".txt")])  # those are notes, mostly
    if table is not None:
        _log.warning(
            "%s holds %s beside photos; the photos are matched alone. To match its posts, name that file, and the "
            "folder as that of its photos",
            quoted(folder),
            quoted(table),
        )
    notes = (Note("files", "files that are no photos, ignored", other),) if other else ()
    return pl.DataFrame(
        {"posting_id": photos, "image": photos}, schema={"posting_id": pl.String, "image": pl.String}
    ), notes


def _files(folder: Path) -> list[str]:
    found = []
    for parent, below, names in os.walk(folder):
        below[:] = [name for name in below if not name.startswith(".")]
        place = Path(parent).relative_to(folder)
        found += [(place / name).as_posix() for name in names if not name.startswith(".")]
    for name in found:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise CatalogError(
                f"a file {quoted(name)} in {quoted(folder)}, whose name is not text in UTF-8",
                "file names that can be ids",
                "Rename it.",
            ) from None
    return found


def _elsewhere(folder: Path) -> list[str]:
    with reaching(folder):
        names = names_below(folder)
    return [name for name in names if not any(part.startswith(".") for part in name.split("/"))]


def _table(names: list[str]) -> str | None:
    """Find a table among files."""
    return next((name for name in names if name.lower().endswith(_TABLES)), None)


def _no_photo(folder: Path, names: list[str]) -> CatalogError:
    table = _table(names)
    held = f"without photos; it holds {quoted(table or names[0])}" if names else "which is empty"
    fix = (
        f"Name the file of posts: {quoted(folder / table)}."
        if table
        else "Name a folder of photos, or a file of posts."
    )
    return CatalogError(f"{quoted(folder)}, a folder {held}", "a folder of photos, or a file of posts", fix)
