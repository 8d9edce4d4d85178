"""The perceptual hashes of photos that a catalogue names: computed where it does not bring them."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from kembar.arrays import Progress, Rows, members
from kembar.config import Config
from kembar.encoders.photo_hashes import PhotoHasher, hashes_of
from kembar.encoders.resources import Resources
from kembar.encoders.store import VectorStore, encode
from kembar.posts.buckets import Buckets
from kembar.posts.catalog import Catalog
from kembar.posts.post_photos import Photos
from kembar.remote import within


def with_photo_hashes(
    catalog: Catalog,
    config: Config,
    progress: Progress | None = None,
    *,
    buckets: Buckets | None = None,
    store: VectorStore | None = None,
) -> Catalog:
    """Compute the perceptual hashes that a catalogue lacks and whose photos are at hand.

    Args:
        catalog: the posts.
        config: nothing is done where the hash view is not in use.
        progress: called with (stage, done, total).
        buckets: in which the work is done; None: all posts at once.
        store: has the hashes of earlier runs, and keeps new ones; None: none.

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
            catalog = _hashed_photos(catalog, photos, wanted, Resources(store=store, progress=progress))
    return catalog


def _hashed_photos(catalog: Catalog, photos: Photos, wanted: Rows, means: Resources) -> Catalog:
    folder, told = catalog.folder or Path(), dict[int, str]()
    paths = [within(folder, name) for name in photos.images.gather(wanted)]
    progress = None if means.progress is None else partial(_of_hashing, means.progress)
    found = encode(PhotoHasher(), paths, means.store, progress=progress, problem=told.__setitem__)
    hashes, hashed = photos.hashes.copy(), photos.hashed.copy()
    hashes[wanted], hashed[wanted] = hashes_of(found)
    rows = np.array(sorted(told), dtype=np.int64)
    problems = pl.DataFrame(
        {
            "posting_id": catalog.ids.gather(photos.posts()[wanted[rows]]),
            "part": pl.repeat("image", len(rows), dtype=pl.String, eager=True),
            "problem": pl.Series([told[row] for row in rows.tolist()], dtype=pl.String),
        }
    )
    return catalog.with_photos(replace(photos, hashes=hashes, hashed=hashed), problems)


def _of_hashing(progress: Progress, _stage: str, done: int, total: int) -> None:
    progress("hash photos", done, total)
