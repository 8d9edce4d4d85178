"""The photos of a store: all in its own folder, under names that say nothing of where they came from."""

import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl

from kembar.folders import keep, new_file
from kembar.posts.catalog import Catalog
from kembar.remote import is_remote, reaching, read_photo, within


def taken_in(posts: Catalog, target: Path) -> Catalog:
    """Link the photos of posts into the folder of a store, or copy them where they lie on another disk.

    A photo keeps its name, unless another one has it there. One that is missing, or whose name leads out of the folder,
    keeps its name too: what is said about it is that it cannot be used.

    Args:
        posts: as they were given.
        target: the folder of the store's photos.

    Returns:
        The same posts with their photos there.
    """
    if posts.folder is None or posts.folder.resolve() == target.resolve():
        return replace(posts, folder=target)
    photos = posts.photos()
    names = photos.images.unique().sort().to_list()
    named = {name: _taken(within(posts.folder, name), name, target) for name in names if name}
    images = pl.Series([named.get(name, name) for name in photos.images], dtype=pl.String)
    none = posts.problems.clear()
    return replace(posts.with_photos(replace(photos, images=images), none), folder=target)


def _taken(source: Path, name: str, target: Path) -> str:
    """Take one photo in, and tell its name there."""
    with reaching(source):
        there = source.is_file()
    place = target / name
    if not there or not place.resolve().is_relative_to(target.resolve()):
        return name
    if place.exists() and not _same(source, place):
        name = f"{_digest(source)[:32]}{source.suffix.lower()}"
        place = target / name
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        _brought(source, place)
        keep(place)
        keep(place.parent)
    return name


def _brought(source: Path, place: Path) -> None:
    if is_remote(source):
        with reaching(source), new_file(place) as path:
            path.write_bytes(read_photo(source).read())
        return
    try:
        os.link(source.resolve(), place)
    except OSError:
        with new_file(place) as path:
            shutil.copyfile(source, path)


def _same(one: Path, other: Path) -> bool:
    return (not is_remote(one) and one.samefile(other)) or (
        one.stat().st_size == other.stat().st_size and _digest(one) == _digest(other)
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
