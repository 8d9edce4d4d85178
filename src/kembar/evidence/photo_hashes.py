"""The perceptual hashes of photos that a catalogue names: computed where it does not bring them."""

from dataclasses import replace
from pathlib import Path

import polars as pl

from kembar.arrays import Progress, Rows, members
from kembar.config import Config
from kembar.posts.buckets import Buckets
from kembar.posts.catalog import Catalog
from kembar.posts.hashing import hash_photos
from kembar.posts.post_photos import Photos
from kembar.remote import within


def with_photo_hashes(
    catalog: Catalog, config: Config, progress: Progress | None = None, *, buckets: Buckets | None = None
) -> Catalog:
    """Compute the perceptual hashes that a catalogue lacks and whose photos are at hand.

    Args:
        catalog: the posts.
        config: nothing is done where the hash view is not in use.
        progress: called with (stage, done, total).
        buckets: in which the work is done; None: all posts at once.

    Returns:
        The catalogue with more hashes, and with a problem row for each photo that could not be used.
    """
    if not config.hash or catalog.folder is None:
        return catalog
    for rows in buckets or Buckets.whole(len(catalog)):
        photos = catalog.photos()
        own = rows if photos.offsets is None else members(photos.offsets, rows)[0]
        wanted = own[((photos.images != "").to_numpy() & ~photos.hashed)[own]]
        if len(wanted):
            catalog = _hashed_photos(catalog, photos, wanted, progress)
    return catalog


def _hashed_photos(catalog: Catalog, photos: Photos, wanted: Rows, progress: Progress | None) -> Catalog:
    folder = catalog.folder or Path()
    found = hash_photos([within(folder, name) for name in photos.images.gather(wanted)], progress=progress)
    hashes, hashed = photos.hashes.copy(), photos.hashed.copy()
    hashes[wanted], hashed[wanted] = found.hashes, found.hashed
    problems = found.problems.select(
        catalog.ids.gather(photos.posts()[wanted[found.problems["row"].to_numpy()]]).alias("posting_id"),
        pl.lit("image").alias("part"),
        pl.col("problem"),
    )
    return catalog.with_photos(replace(photos, hashes=hashes, hashed=hashed), problems)
