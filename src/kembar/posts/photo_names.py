"""The names of photos, relative to a photo folder that none of them leads out of."""

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from kembar.errors import CatalogError, nearest, quoted
from kembar.posts.notes import Note
from kembar.posts.photo_cells import ADDRESS, photo_names
from kembar.posts.photo_files import PhotoFiles, leaving
from kembar.posts.post_photos import numbered
from kembar.posts.problems import problems, quoted_each
from kembar.remote import place, reaching

MOST: Final = 12
"""Photos of a post that are used."""
_MANY: Final = 0.2  # share of missing photos that is worth a warning

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Images:
    """The photos that posts name.

    Attributes:
        first: (n,) String, "" where there is none.
        further: (n, c) String, further ones, "" where there are fewer; None where no post has more than one.
        problems: names that cannot be used: absolute ones, names with a part ``..`` or a null byte, links that lead
            out, names that fit several addresses; and posts with more than twelve photos.
        notes: photos that were looked up under another name, and missing ones where they are many.
    """

    first: pl.Series
    further: pl.DataFrame | None
    problems: pl.DataFrame
    notes: tuple[Note, ...]


def photo_folder(images: Path | str | None) -> Path | None:
    """Take the photo folder as given, if any is.

    Raises:
        CatalogError: it is not a folder.
    """
    if images is None:
        return None
    folder = place(images)
    with reaching(folder):
        if folder.is_dir():
            return folder
        beside = [other.name for other in folder.parent.iterdir()] if folder.parent.is_dir() else []
    raise CatalogError(
        f"{quoted(folder)} as the photo folder, which is not a folder",
        "the folder that the names of photos are relative to",
        f"Check the spelling and the folder you run in.{nearest(folder.name, beside)}",
    )


def read_images(columns: list[pl.Series], ids: pl.Series, folder: Path | None) -> Images:
    """Take photo names as text, dropping those that lead out of the photo folder.

    A name that the folder does not have is looked up as shops write it: the last parts of a URL, without its query;
    with ``%20`` read; with other slashes; without the name of the folder; in other case, where one file fits.

    Args:
        columns: (n,) each, text or lists of text: names relative to the folder, or URLs that end in them.
        ids: (n,) ids, for the problems.
        folder: the photo folder; without one, nothing is looked up.

    Returns:
        The photos.

    Raises:
        CatalogError: cells of another type; a folder that has none of the photos.
    """
    files = PhotoFiles(folder)
    given = photo_names(columns, files.__contains__)
    found = _looked_up(given, files)
    names, owner = found["file"], ids.gather(found["post"])
    nulls, shared = names.str.contains("\x00", literal=True), found["shared"]
    out = (leaving(names) | files.outside(names.set(nulls, ""))) & ~nulls
    kept = found.filter(~(out | nulls | shared))
    notes = [] if folder is None else [*_other_names(kept), *_missing(kept, folder)]
    first, further, many = _arranged(kept.select("post", "file").unique(maintain_order=True), len(ids))
    refused = [
        problems(owner, nulls, "image", "a name with a null byte"),
        problems(owner, out, "image", quoted_each(found["name"]) + " leads out of the photo folder"),
        problems(owner, shared, "image", quoted_each(found["name"]) + " and other addresses end in one file name"),
        problems(ids, many, "image", f"more than {MOST} photos, of which the first {MOST} are used"),
    ]
    return Images(first, further, pl.concat(refused), tuple(notes))


def _looked_up(given: pl.DataFrame, files: PhotoFiles) -> pl.DataFrame:
    """Find the file of each name.

    Returns:
        The same rows with `file` (String, the name itself where there is none), `there` (Boolean), and `shared`, True
        where one file name is the end of several posts' different addresses: it cannot be the photo of all of them.
    """
    names = given["name"]
    there = files.present(names)
    odd = names.filter(~there).unique()
    found = {name: file for name in odd if (file := files.find(name)) is not None}
    same = given.with_columns(file=names, there=there, shared=pl.lit(False))
    if not found:
        return same
    table = pl.DataFrame(
        {"name": list(found), "found": list(found.values()), "path": [_address_path(name) for name in found]}
    )
    joined = same.join(table, on="name", how="left", maintain_order="left")
    several = (pl.col("path").n_unique().over("found") > 1) & (pl.col("post").n_unique().over("found") > 1)
    return joined.select(
        "post",
        "name",
        pl.coalesce("found", "file").alias("file"),
        pl.col("there") | pl.col("found").is_not_null(),
        (pl.col("path").is_not_null() & several).fill_null(False).alias("shared"),
    )


def _address_path(name: str) -> str | None:
    """Take the path of a URL, None for other names."""
    found = ADDRESS.fullmatch(name.strip())
    return re.sub(r"[?#].*", "", found[2], flags=re.DOTALL) if found else None


def _other_names(found: pl.DataFrame) -> list[Note]:
    other = found.filter(pl.col("name") != pl.col("file"))
    if not len(other):
        return []
    name, file = other.row(0)[1:3]
    detail = f"photos looked up under another name, such as {quoted(name)} as {quoted(file)}"
    return [Note("photos", detail, len(other))]


def _missing(found: pl.DataFrame, folder: Path) -> list[Note]:
    """Refuse a folder that has none of the photos; warn where it lacks many."""
    gone = found.filter(~pl.col("there"))["name"]
    if not len(gone) or len(gone) < _MANY * len(found):
        return []
    example = f"such as {quoted(gone[0])}"
    if len(gone) == len(found):
        raise CatalogError(
            f"{quoted(folder)}, which holds none of the {len(gone):,} photos that the posts name, {example}",
            "the folder that the names of photos are relative to",
            "Check images=... and the column of photos: Columns(image=...). Photos are not "
            "downloaded: where the column has addresses, fetch the photos first.",
        )
    log.warning("%d of %d photos are not in %s, %s", len(gone), len(found), quoted(folder), example)
    return [Note("photos", f"photos of {len(found):,} that are missing, {example}", len(gone))]


def _arranged(names: pl.DataFrame, n: int) -> tuple[pl.Series, pl.DataFrame | None, pl.Series]:
    """Put names into columns by their place: the first ones, further ones, and which of n posts have too many."""
    empty = pl.repeat("", n, dtype=pl.String, eager=True)
    place = names.select(pl.int_range(pl.len()).over("post")).to_series()
    first = names.filter(place == 0)
    images = empty.scatter(first["post"], first["file"])
    many = pl.repeat(False, n, dtype=pl.Boolean, eager=True).scatter(names.filter(place == MOST)["post"], True)
    width = min(int(place.max() or 0), MOST - 1)  # type: ignore[arg-type]
    if not width:
        return images, None, many
    more, at = names.filter((place > 0) & (place <= width)), place.filter((place > 0) & (place <= width))
    cells = pl.repeat("", n * width, dtype=pl.String, eager=True).scatter((at - 1) * n + more["post"], more["file"])
    return images, numbered(cells, n), many
