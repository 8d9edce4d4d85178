"""Two catalogues as one; each post may be under the name of its catalogue, which is its source."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from kembar.arrays import Doubles
from kembar.errors import CatalogError, quoted
from kembar.posts.catalog import Catalog
from kembar.posts.stored import TABLES
from kembar.remote import is_remote
from kembar.threads import unforked

MARK: Final = "/"  # between the name of a catalogue and the id that a post has there


@unforked
def united(catalogs: Mapping[str, Catalog]) -> Catalog:
    """Put the posts of catalogues below one another, under the names of these.

    Args:
        catalogs: by name; the id "17" becomes "name/17".

    Returns:
        A catalogue whose sources are the names; see `stacked`.

    Raises:
        CatalogError: photo folders on different drives.
    """
    return stacked([_named(catalog, name) for name, catalog in catalogs.items()])


def stacked(parts: Sequence[Catalog]) -> Catalog:
    """Put the posts of catalogues below one another.

    Args:
        parts: catalogues without an id in common.

    Returns:
        All posts. What only some of the catalogues know is missing in the others; known groups are left out, for those
        of different catalogues say nothing of each other.

    Raises:
        CatalogError: an id that two catalogues have, or photo folders on different drives.
    """
    folder = _common([part.folder for part in parts if part.folder is not None])
    tables = {name: [getattr(part, name) for part in parts] for name in TABLES}
    tables["further_images"] = [_further(part, folder) for part in parts]
    return Catalog(
        ids=pl.concat([part.ids for part in parts]),
        titles=pl.concat([part.titles for part in parts]),
        images=pl.concat([_below(part.images, part, folder) for part in parts]),
        hashes=np.concatenate([part.hashes for part in parts]),
        hashed=np.concatenate([part.hashed for part in parts]),
        labels=None,
        folder=folder,
        problems=pl.concat([part.problems for part in parts]),
        prices=_prices(parts),
        sources=_texts([part.sources for part in parts], parts),
        within=_texts([part.within for part in parts], parts),
        notes=tuple(note for part in parts for note in part.notes),
        **{name: _tables(given, parts) for name, given in tables.items()},
    )


def _named(catalog: Catalog, name: str) -> Catalog:
    """Put the name of a catalogue before the ids of its posts, and make it their source."""
    problems = catalog.problems.with_columns(posting_id=pl.lit(name + MARK) + pl.col("posting_id"))
    source = pl.repeat(name, len(catalog), eager=True)
    return replace(catalog, ids=source + MARK + catalog.ids, problems=problems, sources=source)


def _common(folders: Sequence[Path]) -> Path | None:
    """Find the folder that all photo folders lie in; None where there are none."""
    if any(map(is_remote, folders)):
        return _common_elsewhere(folders)
    try:
        return Path(os.path.commonpath([folder.absolute() for folder in folders])) if folders else None
    except ValueError as error:
        raise CatalogError(
            f"photo folders {' and '.join(quoted(folder) for folder in folders)}, on different drives",
            "one drive",
            "Copy the photos of one of them.",
        ) from error


def _common_elsewhere(folders: Sequence[Path]) -> Path:
    ways = [[folder, *folder.parents] for folder in folders]
    for folder in ways[0]:
        if all(folder in way for way in ways):
            return folder
    given = " and ".join(quoted(folder) for folder in folders)
    raise CatalogError(f"photo folders {given}, in different places", "one place", "Copy the photos of one of them.")


def _below(images: pl.Series, catalog: Catalog, folder: Path | None) -> pl.Series:
    """Name photos of a catalogue from a folder that its own lies in; without its folder it has no photos."""
    if catalog.folder is None or folder is None:
        return pl.Series(images.name, [""] * len(images), dtype=pl.String)
    path = catalog.folder.absolute().relative_to(folder).as_posix()
    return images if path == "." else (path + "/" + images).set(images == "", "").alias(images.name)


def _further(catalog: Catalog, folder: Path | None) -> pl.DataFrame | None:
    """Name the further photos of a catalogue likewise."""
    given = catalog.further_images
    return None if given is None else pl.DataFrame([_below(images, catalog, folder) for images in given])


def _prices(parts: Sequence[Catalog]) -> Doubles | None:
    if all(part.prices is None for part in parts):
        return None
    return np.concatenate([np.full(len(part), np.nan) if part.prices is None else part.prices for part in parts])


def _texts(given: Sequence[pl.Series | None], parts: Sequence[Catalog]) -> pl.Series | None:
    """Put texts below one another, "" for those of catalogues that have none."""
    if all(texts is None for texts in given):
        return None
    missing = [pl.repeat("", len(part), eager=True) for part in parts]
    return pl.concat([there if texts is None else texts for texts, there in zip(given, missing, strict=True)])


def _tables(given: Sequence[pl.DataFrame | None], parts: Sequence[Catalog]) -> pl.DataFrame | None:
    """Put tables of texts below one another, "" where a catalogue lacks a column."""
    names = dict.fromkeys(name for table in given if table is not None for name in table.columns)
    columns = {name: _texts([None if t is None or name not in t else t[name] for t in given], parts) for name in names}
    return pl.DataFrame(columns) if columns else None
