"""Evidence that says nothing, because many unlike posts share it: photos of nothing, generic titles, wrong codes.

A photo that posts of unlike titles share is the shop system's placeholder; a title that posts of unlike photos share
("Baju wanita murah") names a kind of thing, not a product; an identifier that posts of unlike titles share is the
example of a template. All are set aside before anything is compared, and listed among the problems of the run.
"""

from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy.sparse as sp

from kembar.arrays import Bools, Doubles, Rows
from kembar.encoders.tfidf import Tfidf
from kembar.evidence.variants import without_variants
from kembar.posts.catalog import Catalog
from kembar.posts.further import BRAND
from kembar.posts.hashes import format_hashes
from kembar.posts.post_photos import Photos
from kembar.posts.problems import PROBLEMS, ordered
from kembar.posts.titles import normalize

BLANK: Final = (0x8000000000000000, 0)
"""The perceptual hashes of images of one colour."""

_SHARED: Final = 5  # posts with a title that share a photo: so many can be unlike
_UNLIKE: Final = 0.08  # mean cosine of their titles; of 196 photos shared by 5 or more Shopee posts none is below .1
_GENERIC: Final = 10  # posts with a photo that share a title
_FAR: Final = 0.05  # mean agreement of their hashes, from -1 to 1; photos of different things have 0


def as_compared(catalog: Catalog, variants: str) -> Catalog:
    """Give posts as a run compares them: without what says nothing, nor, if wanted, what names a variant.

    Args:
        catalog: n posts, their photos hashed.
        variants: "apart" or "together", as `Config.variants`.

    Returns:
        The same posts, with a problem row for each that something was taken from because it says nothing.
    """
    found = set_aside(catalog)
    if variants == "apart":
        return found
    further = found.further
    if further is not None:
        further = further.with_columns(without_variants(texts) for texts in further if texts.name != BRAND)
    return replace(found, titles=without_variants(found.titles), further=further)


def set_aside(catalog: Catalog) -> Catalog:
    """Take evidence that says nothing from the posts that have it.

    Args:
        catalog: n posts, their photos hashed.

    Returns:
        The same posts, some without their photo or their title, with a problem row for each.
    """
    photos = catalog.photos()
    blank = photos.hashed & np.isin(photos.hashes, np.array(BLANK, dtype=np.uint64))
    if len(catalog) < _SHARED and not blank.any():  # nothing can be shared by many
        return catalog
    titles, posts = normalize(catalog.titles), photos.posts()
    catalog = _without_shared_codes(catalog, titles)
    shared = _placeholders(photos.hashes, posts, photos.hashed & ~blank, titles)
    gone = blank | (shared > 0)
    kept = replace(
        photos,
        images=photos.images.set(pl.Series(gone), ""),
        hashes=np.where(gone, np.uint64(0), photos.hashes),
        hashed=photos.hashed & ~gone,
    )
    generic = _generic(catalog, titles, kept.hashed if kept.offsets is None else kept.hashed[kept.offsets[:-1]])
    if not (gone.any() or generic.any()):
        return catalog
    ids = catalog.ids.gather(posts)
    found = [
        _listed(ids, blank, "image", pl.repeat("a photo of one colour, set aside", len(ids), eager=True)),
        _listed(ids, shared > 0, "image", _told(photos, shared)),
        _listed(catalog.ids, generic > 0, "title", _told_generic(titles, generic)),
    ]
    untitled = replace(catalog, titles=catalog.titles.set(pl.Series(generic > 0), ""))
    return untitled.with_photos(kept, pl.concat(found))


def _placeholders(values: npt.NDArray[np.integer], posts: Rows, known: Bools, titles: pl.Series) -> Rows:
    """Tell how many posts share a value that says nothing; a post that repeats it counts once.

    The mean cosine of the m unit vectors v of a crowd is (|sum v|^2 - m) / (m (m - 1)).

    Args:
        values: (p,) of any posts.
        posts: (p,) the post that has each.
        known: (p,) bool, others are not looked at.
        titles: (n,) String in normal form.

    Returns:
        (p,) int64, 0 for all other values.
    """
    rows = np.flatnonzero(known)
    crowd, size = _crowds(values[rows])
    owners, once = posts[rows], np.zeros(len(rows), dtype=bool)
    once[np.unique(crowd * len(titles) + owners, return_index=True)[1]] = True
    size = np.bincount(crowd[once], minlength=len(size))
    has = once & (titles.gather(owners) != "").to_numpy()
    titled, named = owners[has], crowd[has]
    count = np.bincount(named, minlength=len(size))
    some = count >= _SHARED
    unlike = np.zeros(len(size), dtype=bool)
    if some.any():
        looked = titled[some[named]]
        vectors = Tfidf("word", (1, 1), 1.0).encode(titles)[looked]
        unlike = some & (_mean_cosine(vectors, named[some[named]], count) < _UNLIKE)
    found = np.zeros(len(values), dtype=np.int64)
    found[rows] = np.where(unlike, size, 0)[crowd]
    return found


def _without_shared_codes(catalog: Catalog, titles: pl.Series) -> Catalog:
    """Take identifiers that posts of unlike titles share: a template's example, another product's code copied."""
    if catalog.identifiers is None:
        return catalog
    found, kept, everyone = [catalog.problems], {}, np.arange(len(catalog))
    for codes in catalog.identifiers:
        shared = _placeholders(codes.rank("dense").to_numpy(), everyone, (codes != "").to_numpy(), titles)
        text = pl.format("the {} '{}', which {} posts of unlike titles share, set aside", *_thrice(codes, shared))
        found.append(_listed(catalog.ids, shared > 0, "identifier", pl.select(text).to_series()))
        kept[codes.name] = codes.set(pl.Series(shared > 0), "")
    return replace(catalog, identifiers=pl.DataFrame(kept), problems=ordered(pl.concat(found), catalog.ids))


def _thrice(codes: pl.Series, shared: Rows) -> tuple[pl.Expr, pl.Series, pl.Series]:
    return pl.lit(codes.name), codes, pl.Series(shared)


def _mean_cosine(vectors: sp.csr_matrix, crowd: Rows, count: Rows) -> Doubles:
    """Mean cosine of each crowd's pairs of unit rows; 1 where there are none."""
    member = sp.csr_matrix((np.ones(len(crowd)), (crowd, np.arange(len(crowd)))), shape=(len(count), len(crowd)))
    total = member @ vectors
    length = np.asarray(total.multiply(total).sum(axis=1)).ravel()
    return _mean_pair(length, count, 1.0)


def _mean_pair(length: Doubles, count: Rows, own: float) -> Doubles:
    pairs = count * (count - 1.0)
    mean: Doubles = np.divide(length / own - count, pairs, out=np.ones(len(count)), where=pairs > 0)
    return mean


def _generic(catalog: Catalog, titles: pl.Series, hashed: Bools) -> Rows:
    """(n,) how many posts share a title that says nothing, 0 for all other posts."""
    rows = np.flatnonzero(hashed & (titles != "").to_numpy())
    crowd, size = _crowds(titles.gather(rows).rank("dense").to_numpy()) if len(rows) else (rows, rows)
    found = np.zeros(len(catalog), dtype=np.int64)
    some = np.flatnonzero((size >= _GENERIC)[crowd]) if len(rows) else rows
    if not len(some):
        return found
    bits = np.unpackbits(catalog.hashes[rows[some]].astype(">u8").view(np.uint8).reshape(-1, 8), axis=1)
    total = np.zeros((len(size), 64))
    np.add.at(total, crowd[some], bits * 2.0 - 1)
    far = (size >= _GENERIC) & (_mean_pair((total**2).sum(axis=1), size, 64.0) < _FAR)
    found[rows] = np.where(far, size, 0)[crowd]
    # Of posts with the same title but no photo nothing is known either.
    said = pl.DataFrame({"title": titles.gather(rows), "posts": found[rows]}).group_by("title").agg(pl.max("posts"))
    joined = pl.DataFrame({"title": titles}).join(said, on="title", how="left", maintain_order="left")
    return np.asarray(joined["posts"].fill_null(0).to_numpy(), dtype=np.int64)


def _crowds(values: npt.NDArray[np.integer]) -> tuple[Rows, Rows]:
    """Number equal values: (m,) crowds, and how many share each."""
    _, crowd, size = np.unique(values, return_inverse=True, return_counts=True)
    return crowd.astype(np.int64), size.astype(np.int64)


def _listed(ids: pl.Series, which: Bools, part: str, text: pl.Series) -> pl.DataFrame:
    found = {"posting_id": ids.filter(pl.Series(which)), "problem": text.filter(pl.Series(which))}
    return pl.DataFrame(found).with_columns(part=pl.lit(part)).select(*PROBLEMS)


def _told(photos: Photos, shared: Rows) -> pl.Series:
    frame = pl.DataFrame({"hash": format_hashes(photos.hashes), "posts": shared})
    text = pl.format("a photo (hash {}) that {} posts of unlike titles share, set aside", "hash", "posts")
    return frame.select(text).to_series()


def _told_generic(titles: pl.Series, generic: Rows) -> pl.Series:
    frame = pl.DataFrame({"title": titles.str.head(60), "posts": generic})
    return frame.select(
        pl.format("the title '{}', which {} posts with unlike photos share, set aside", "title", "posts")
    ).to_series()
