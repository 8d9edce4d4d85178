"""The vectors that a configuration asks for: encoders opened, posts encoded, what is known already looked up."""

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from kembar.arrays import Floats, Rows, members
from kembar.config import Config
from kembar.encoders.embeddings import Embeddings
from kembar.encoders.protocol import Encoder, Modality
from kembar.encoders.registry import SHIPPED
from kembar.encoders.resources import Resources
from kembar.encoders.store import VectorStore, encode
from kembar.errors import CatalogError, ConfigError
from kembar.folders import new_file
from kembar.posts.buckets import Buckets
from kembar.posts.catalog import Catalog
from kembar.posts.titles import normalize
from kembar.remote import within

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Encoded:
    """What encoding posts gave.

    Attributes:
        embeddings: vectors by name, brought ones among them.
        problems: one row per photo that cannot be used: posting_id, part, problem.
    """

    embeddings: dict[str, Embeddings]
    problems: pl.DataFrame


def encode_posts(
    catalog: Catalog,
    config: Config,
    brought: Mapping[str, Embeddings] | None = None,
    *,
    buckets: Buckets | None = None,
    resources: Resources | None = None,
) -> Encoded:
    """Encode the titles and photos of a catalogue by every encoder of a configuration.

    Args:
        catalog: n posts.
        config: its sections title, photo and vectors name the encoders.
        brought: vectors by name, in the order of the catalogue's rows; no encoder is asked for these.
        buckets: in which the work is done; None: all posts at once.
        resources: device, store and progress; vectors of the shipped title encoder are made faster than looked up.

    Returns:
        All vectors, and the photos that could not be used.

    Raises:
        EncoderError: an encoder that cannot be opened.
        ConfigError: an encoder of photos where one of titles is asked for, or the other way round.
    """
    means, embeddings = resources or Resources(), dict(brought or {})
    problems: dict[int, str] = {}
    for name, spec, modality in _wanted(catalog, config, embeddings):
        encoder = means.encoder(spec)
        _check_modality(name, spec, encoder, modality)
        kept = replace(means, store=None) if spec in SHIPPED and modality == "title" else means
        embeddings[name] = _encoded(catalog, encoder, buckets, kept, problems)
    return Encoded(embeddings, _problem_rows(catalog, problems))


def write_vectors(
    catalog: Catalog,
    spec: str,
    path: Path,
    *,
    resources: Resources | None = None,
) -> int:
    """Encode a catalogue and write its vectors as `Embeddings.read` reads them.

    Args:
        catalog: the posts.
        spec: the encoder; see `open_encoder`.
        path: the Parquet file to make: posting_id, and vector as a list of float32.
        resources: device, store and progress.

    Returns:
        The number of posts that have a vector.

    Raises:
        EncoderError: an encoder that cannot be opened.
        CatalogError: an encoder of photos, and a catalogue without a folder of them.
        FolderError: the file cannot be written.
    """
    means = resources or Resources()
    encoder = means.encoder(spec)
    if encoder.modality == "photo" and catalog.folder is None:
        raise CatalogError(f"posts without a photo folder for {spec!r}", "a folder of photos", "Name it: images=...")
    if catalog.further_images is not None:
        log.warning("of each post the first photo is encoded: a file of vectors has one per post")
        catalog = replace(catalog, further_images=None, further_hashes=None)
    vectors = _encoded(catalog, encoder, None, means, {}).vectors
    known = vectors.any(axis=1)
    with new_file(path) as target:
        pl.DataFrame({"posting_id": catalog.ids.filter(pl.Series(known)), "vector": vectors[known]}).with_columns(
            pl.col("vector").arr.to_list()
        ).write_parquet(target)
    return int(known.sum())


def default_store() -> VectorStore | None:
    """Find the place for vectors of earlier runs: $KEMBAR_CACHE, else a folder kembar in the user's cache, if any."""
    given, cache = os.environ.get("KEMBAR_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if given or cache:
        return VectorStore(given or Path(cache or "") / "kembar")
    try:
        return VectorStore(Path.home() / ".cache" / "kembar")
    except RuntimeError:  # a container's user may have no home
        return None


def _wanted(catalog: Catalog, config: Config, brought: Mapping[str, Embeddings]) -> Iterator[tuple[str, str, Modality]]:
    """List name, encoder and modality of the vectors that are to be made and have something to be made from."""
    sections: list[tuple[str, bool, str | None, Modality]] = [
        ("title", config.title, config.title_encoder, "title"),
        ("photo", config.photo, config.photo_encoder, "photo"),
        *((name, part.use, part.encoder, part.modality) for name, part in config.vectors.items()),
    ]
    photos = catalog.folder is not None and bool((catalog.photos().images != "").any())
    for name, use, spec, modality in sections:
        if use and spec is not None and name not in brought and (modality == "title" or photos):
            yield name, spec, modality


def _check_modality(name: str, spec: str, encoder: Encoder, modality: Modality) -> None:
    if encoder.modality != modality:
        raise ConfigError(
            f"encoder {spec!r} of {encoder.modality}s for {name!r}",
            f"an encoder of {modality}s",
            "Name another encoder, or correct the modality of the section.",
        )


def _encoded(
    catalog: Catalog, encoder: Encoder, buckets: Buckets | None, resources: Resources, problems: dict[int, str]
) -> Embeddings:
    """Encode posts bucket by bucket; problems take the rows of posts whose photos cannot be used."""
    parts = buckets or Buckets.whole(len(catalog))
    if encoder.modality == "title":
        titles = normalize(catalog.titles)
        return Embeddings(parts.arrays(lambda rows: _titles(titles[rows], encoder, resources)))
    photos = catalog.photos()
    if (offsets := photos.offsets) is not None:
        parts = Buckets(tuple(members(offsets, rows)[0] for rows in parts))
    posts = photos.posts()

    def work(rows: Rows) -> Floats:
        """Encode the photos of one bucket."""
        found: dict[int, str] = {}
        vectors = _photos(photos.images.gather(rows), catalog.folder, encoder, resources, found)
        problems.update((int(posts[rows[row]]), problem) for row, problem in found.items())
        return vectors

    return Embeddings(parts.arrays(work), offsets)


def _titles(titles: pl.Series, encoder: Encoder, resources: Resources) -> Floats:
    # In some encoders the last bits depend on the batch: in the titles' own order, the order of rows changes nothing.
    texts = titles.to_list()
    order = sorted(range(len(texts)), key=texts.__getitem__)
    vectors = np.empty((len(texts), encoder.dimension), dtype=np.float32)
    vectors[order] = encode(encoder, [texts[at] for at in order], resources.store, progress=resources.progress)
    return vectors


def _photos(
    images: pl.Series, folder: Path | None, encoder: Encoder, resources: Resources, problems: dict[int, str]
) -> Floats:
    rows = np.flatnonzero(images != "")
    rows = rows[images.gather(rows).arg_sort().to_numpy()]  # as titles
    paths = [within(folder, name) for name in images.gather(rows)] if folder is not None else []
    vectors = np.zeros((len(images), encoder.dimension), dtype=np.float32)

    def told(index: int, problem: str) -> None:
        problems[int(rows[index])] = problem

    vectors[rows] = encode(encoder, paths, resources.store, progress=resources.progress, problem=told)
    return vectors


def _problem_rows(catalog: Catalog, problems: Mapping[int, str]) -> pl.DataFrame:
    rows = sorted(problems)
    return pl.DataFrame(
        {
            "posting_id": catalog.ids.gather(rows) if rows else pl.Series([], dtype=pl.String),
            "part": pl.Series(["image"] * len(rows), dtype=pl.String),
            "problem": pl.Series([problems[row] for row in rows], dtype=pl.String),
        }
    )
