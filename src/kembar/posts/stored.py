"""The two files of a stored catalogue: posts, and a manifest that marks them as complete."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from kembar.errors import FolderError, quoted
from kembar.folders import new_file
from kembar.posts.notes import Note
from kembar.posts.problems import PROBLEMS
from kembar.remote import place

if TYPE_CHECKING:
    from kembar.posts.catalog import Catalog

VERSION: Final = 1
POSTS: Final = "catalog.parquet"
MANIFEST: Final = "catalog.json"
TABLES: Final = ("further", "identifiers", "shown", "further_images", "further_hashes")
"""The fields of a catalogue that are tables of texts; the names of their columns in catalog.parquet begin so."""
TEXTS: Final = ("sources", "within")
"""The fields that are texts and may be absent."""
_PROBLEMS: Final = pl.List(pl.Struct({name: kind for name, kind in PROBLEMS.items() if name != "posting_id"}))


def write(catalog: "Catalog", target: Path) -> None:
    """Write both files, the manifest last, replacing older ones.

    Args:
        catalog: the posts.
        target: the folder; made if missing.

    Raises:
        FolderError: the folder cannot be written.
    """
    posts, manifest = rows_of(catalog), _manifest(catalog)
    try:
        target.mkdir(parents=True, exist_ok=True)
        with new_file(target / POSTS) as path:
            posts.write_parquet(path)
        with new_file(target / MANIFEST) as path:
            path.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise FolderError(
            f"{quoted(Path(target))}, which cannot be written ({error.strerror})",
            "a folder that can be written, on a disk with free space",
            "Choose another folder, or free some space.",
        ) from error


def read_manifest(target: Path) -> dict[str, Any]:
    """Read what a folder says of its catalogue.

    Args:
        target: the folder.

    Returns:
        What `write` was given.

    Raises:
        FolderError: there is no complete catalogue, or one of another version.
    """
    try:
        manifest = json.loads((target / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise incomplete(target, f"no readable {MANIFEST}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != "kembar catalog":
        raise incomplete(target, f"another kind of {MANIFEST}")
    if manifest.get("version") != VERSION:
        raise FolderError(
            f"{quoted(Path(target))}, a catalogue of version {quoted(manifest.get('version'))}",
            f"version {VERSION}",
            "Read the posts again and save them with this version of kembar.",
        )
    return manifest


def incomplete(target: Path, found: str) -> FolderError:
    """Say that a folder holds no whole catalogue."""
    return FolderError(
        f"{quoted(Path(target))} with {found}",
        f"a folder with {POSTS} and {MANIFEST}, as Catalog.save writes them",
        "Save the catalogue again, or name the folder it is in.",
    )


def _manifest(catalog: "Catalog") -> dict[str, Any]:
    """Tell what is to be known before the posts are read."""
    return {
        "format": "kembar catalog",
        "version": VERSION,
        "posts": len(catalog),
        "labels": catalog.labels is not None,
        "folder": None if catalog.folder is None else str(catalog.folder.absolute()),
        "fingerprint": catalog.fingerprint(),
        "notes": [asdict(note) for note in catalog.notes],
    }


def rows_of(catalog: "Catalog") -> pl.DataFrame:
    """Lay out a catalogue, one row per post; `fields_of` reads it."""
    columns = {
        "id": catalog.ids,
        "title": catalog.titles,
        "image": catalog.images,
        "hash": catalog.hashes,
        "hashed": catalog.hashed,
        "label": catalog.labels if catalog.labels is not None else np.full(len(catalog), -1, np.int64),
        **({} if catalog.prices is None else {"price": catalog.prices}),
        **dict(catalog.texts()),
    }
    if not len(catalog.problems):
        return pl.DataFrame({**columns, "problems": pl.Series([None] * len(catalog), dtype=_PROBLEMS)})
    found = catalog.problems.group_by("posting_id", maintain_order=True).agg(
        pl.struct("part", "problem").alias("problems")
    )
    return pl.DataFrame(columns).join(found, left_on="id", right_on="posting_id", how="left", maintain_order="left")


def fields_of(posts: pl.DataFrame, manifest: dict[str, Any], images: Path | None) -> dict[str, Any]:
    """Read the fields of a catalogue.

    Args:
        posts: the rows of catalog.parquet.
        manifest: what `read_manifest` read.
        images: where the photo folder is now, if it has moved.

    Returns:
        The arguments of `Catalog`.
    """
    damaged = posts.select(pl.col("id").alias("posting_id"), "problems").drop_nulls("problems")
    return {
        "ids": posts["id"],
        "titles": posts["title"],
        "images": posts["image"],
        "hashes": posts["hash"].to_numpy(),
        "hashed": posts["hashed"].to_numpy(),
        "labels": posts["label"].to_numpy() if manifest["labels"] else None,
        "folder": images or (place(manifest["folder"]) if manifest["folder"] else None),
        "problems": damaged.explode("problems").unnest("problems").cast(PROBLEMS),  # type: ignore[arg-type]
        "prices": posts["price"].to_numpy() if "price" in posts.columns else None,
        **{field: _table(posts, f"{field} ") for field in TABLES},
        **{field: posts[field] if field in posts.columns else None for field in TEXTS},
        "notes": tuple(Note(**note) for note in manifest.get("notes", ())),
    }


def _table(posts: pl.DataFrame, start: str) -> pl.DataFrame | None:
    """Take the columns whose names begin so, without that beginning."""
    names = [name for name in posts.columns if name.startswith(start)]
    return posts.select(pl.col(name).alias(name.removeprefix(start)) for name in names) if names else None
