"""Cells of image columns as shops export them: one name of a photo, or several in one cell."""

import ast
import json
import re
from collections.abc import Callable
from typing import Any, Final

import polars as pl

from kembar.posts.text import as_text

SUFFIXES: Final = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".webp", ".avif", ".heic", ".heif", ".bmp", ".tif", ".tiff"),
    *(".jp2", ".ppm", ".pgm"),
)
"""The names of photos end so; a photo with another name is read all the same where a post names it."""
ADDRESS: Final = re.compile(r"(?i)(?:[a-z][a-z0-9+.-]+:)?//([^/?#]*)/*(.*)", re.DOTALL)
"""A URL: its host, and what follows."""

_SEVERAL: Final = r"^\s*\[|[,;|\r\n]"
_MARKS: Final = tuple(re.compile(rf"\s*{mark}\s*") for mark in (r"[\r\n]+", r"\|", ";", ","))
_SUFFIX: Final = re.compile(rf"(?i)(?:{'|'.join(map(re.escape, SUFFIXES))})(?:[?#].*)?$")
_KEYS: Final = ("url", "src", "link", "image", "path")  # of objects in a JSON list


def photo_names(columns: list[pl.Series], is_file: Callable[[str], bool]) -> pl.DataFrame:
    """Take the names of photos from their columns.

    A cell with commas, semicolons, bars or line ends holds several names where each part looks like one, and the whole
    is not the name of a file itself; so does a JSON list.

    Args:
        columns: (n,) each, text or lists of text.
        is_file: tells whether the photo folder has a file of a name.

    Returns:
        `post` (Int64, rising) and `name` (String), a post's names in their order; no name for empty cells.

    Raises:
        CatalogError: cells of another type.
    """
    parts = []
    for place, cells in enumerate(columns):
        names = _texts(cells)
        odd = names.str.contains(_SEVERAL).fill_null(False)
        frame = pl.DataFrame({"post": pl.int_range(len(names), eager=True), "place": place, "name": names})
        parts.append(frame.filter(~odd))
        if odd.any():
            split = {cell: several(cell, is_file) for cell in names.filter(odd).unique()}
            lists = pl.Series("name", [split[cell] for cell in names.filter(odd)], dtype=pl.List(pl.String))
            parts.append(frame.filter(odd).with_columns(lists).explode("name"))
    frame = pl.concat(parts).filter(pl.col("name").fill_null("") != "")
    ordered = frame.sort("post", "place", maintain_order=True) if len(parts) > 1 else frame
    return ordered.select("post", "name")


def _texts(cells: pl.Series) -> pl.Series:
    if isinstance(cells.dtype, pl.List | pl.Array) and cells.dtype.inner == pl.String:
        return pl.Series(cells.name, [None if row is None else json.dumps(list(row)) for row in cells], dtype=pl.String)
    return as_text(cells, "image")


def several(cell: str, is_file: Callable[[str], bool]) -> list[str]:
    """Take the names of photos from one cell; a cell that holds no list is one name."""
    text = cell.strip()
    if is_file(cell):
        return [cell]
    if text.startswith("["):
        listed = _listed(text)
        if listed is not None:
            return listed
    for mark in _MARKS:
        names = [name.strip("\"'") for name in mark.split(text) if name]
        if mark.search(text) and names and _photos(names, is_file):
            return names
    return [cell]


def _listed(text: str) -> list[str] | None:
    """Read a list as JSON or Python writes it."""
    try:
        found: Any = json.loads(text)
    except ValueError:
        try:
            found = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None
    names = [_named(each) for each in found] if isinstance(found, list) else [None]
    return None if None in names else [name for name in names if name]


def _named(entry: Any) -> str | None:
    if isinstance(entry, dict):
        entry = next((entry[key] for key in _KEYS if key in entry), entry)
    return "" if entry is None else entry if isinstance(entry, str) else None


def _photos(names: list[str], is_file: Callable[[str], bool]) -> bool:
    """Tell whether all of them are names of photos; beside a URL, which may hold any sign, only URLs."""
    addresses = [bool(ADDRESS.fullmatch(name)) for name in names]
    return all(addresses) if any(addresses) else all(_SUFFIX.search(name) or is_file(name) for name in names)
