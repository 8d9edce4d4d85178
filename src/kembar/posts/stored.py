"""The two files of a stored catalogue: posts, and a manifest that marks them as complete."""

import json
from pathlib import Path
from typing import Any, Final

import polars as pl

from kembar.errors import FolderError, quoted
from kembar.folders import new_file

VERSION: Final = 1
POSTS: Final = "catalog.parquet"
MANIFEST: Final = "catalog.json"


def write(target: Path, posts: pl.DataFrame, manifest: dict[str, Any]) -> None:
    """Write both files, the manifest last, replacing older ones.

    Args:
        target: the folder; made if missing.
        posts: one row per post.
        manifest: what is to be known before the posts are read.

    Raises:
        FolderError: the folder cannot be written.
    """
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
