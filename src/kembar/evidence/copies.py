"""Posts with the same texts, photo and vectors, when there are many of them: the first stands for all.

A post's nearest neighbours are a fixed number. Of ten thousand copies each would see the same few and none of the rest,
so nothing could tell that they belong together, nor find anything else that does.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from kembar.arrays import Hashes, Rows, mixed, offsets_of, ragged
from kembar.encoders.embeddings import Embeddings
from kembar.evidence.distinct import row_keys
from kembar.evidence.edges import Edges, capped
from kembar.posts.catalog import Catalog

MOST: Final = 25  # half of the neighbours that a view finds: so many copies are matched one by one


@dataclass(frozen=True, slots=True)
class Copies:
    """Which posts are matched, and which stand behind them.

    Attributes:
        kept: (m,) rows of the posts that are matched, rising.
        place: (n,) for every post, the place in `kept` of the post that stands for it: its own where it is kept.
        keys: (m,) uint64 of what the kept posts hold; 0 where a post has no evidence.
    """

    kept: Rows
    place: Rows
    keys: Hashes = field(default_factory=lambda: np.zeros(0, dtype=np.uint64), repr=False)

    @classmethod
    def find(
        cls, catalog: Catalog, titles: pl.Series, embeddings: Iterable[Embeddings], *, most: int = MOST
    ) -> "Copies":
        """Find the posts of which there are more than `most` copies.

        Args:
            catalog: n posts.
            titles: (n,) String in normal form.
            embeddings: all vectors in use.
            most: so many copies are kept; posts without any evidence are never copies.

        Returns:
            The copies; where there are few of each post, all rows are kept.
        """
        vectors = list(embeddings)
        keys = content_keys(catalog, titles, vectors)
        bare = keys == 0
        columns: dict[str, Any] = {f"vector {i}": _vector_keys(given) for i, given in enumerate(vectors)}
        columns |= {f"texts {i}": texts for i, texts in enumerate(_joined(catalog))}
        if catalog.sources is not None:  # no two posts of one source are one product, however alike
            columns["source"] = catalog.ids.set(catalog.sources == "", "")
        if catalog.within is not None:
            columns["within"] = catalog.within
        if catalog.further_images is not None:
            columns["photos"] = _photo_keys(catalog)
        alike = pl.DataFrame({"title": titles, "hash": catalog.hashes, "hashed": catalog.hashed, **columns})
        same = alike.columns
        counts = alike.with_row_index("row").select(
            pl.col("row").min().over(same).alias("first"), pl.len().over(same).alias("count")
        )
        row = np.arange(len(catalog))
        many = (counts["count"].to_numpy() > most) & ~bare
        stands = np.where(many, counts["first"].to_numpy().astype(np.int64), row)
        kept = row[stands == row]
        return cls(kept, np.searchsorted(kept, stands), keys[kept])

    def known(self, keys: Hashes) -> Rows:
        """Find the kept posts that hold the same as others: (q,) places in `kept`, -1 where there is none.

        Args:
            keys: (q,) of the other posts, see `content_keys`.
        """
        order = np.argsort(self.keys, kind="stable")
        at = np.minimum(np.searchsorted(self.keys[order], keys), max(len(order) - 1, 0))
        if not len(order):
            return np.full(len(keys), -1, dtype=np.int64)
        return np.where((self.keys[order][at] == keys) & (keys != 0), order[at], -1)

    def save(self, path: Path) -> None:
        """Write an .npz file."""
        np.savez(path, kept=self.kept, place=self.place, keys=self.keys)

    @classmethod
    def load(cls, path: Path) -> "Copies":
        """Read what `save` wrote; raises OSError or ValueError where it is damaged or missing."""
        with np.load(path, allow_pickle=False) as found:
            return cls(found["kept"], found["place"], found["keys"])

    def edges(self, edges: Edges, cap: int) -> Edges:
        """Bring the matches of the kept posts to all posts.

        Args:
            edges: source, target and score between places in `kept`, ordered by source, best first.
            cap: longest list, the post itself counted.

        Returns:
            The same between rows of all posts: copies match their copies (score 1) and what the kept post matches.
        """
        if len(self.kept) == len(self.place):
            return edges
        members = np.argsort(self.place, kind="stable")
        count = np.bincount(self.place, minlength=len(self.kept))
        begin = offsets_of(count)[:-1]
        crowd = np.flatnonzero(count > 1)
        source, target = np.concatenate([crowd, edges[0]]), np.concatenate([crowd, edges[1]])
        score = np.concatenate([np.ones(len(crowd), dtype=np.float32), edges[2]])
        # One more than the cap: a copy finds itself among the copies and is taken out below.
        edge, place = ragged(np.minimum(count, cap + 1)[target])
        source, score = source[edge], score[edge]
        target = members[begin[target[edge]] + place]
        order = np.lexsort((target, -score, source))
        source, target, score = capped((source[order], target[order], score[order]), cap + 2)
        start = np.searchsorted(source, np.arange(len(self.kept) + 1))
        rows, place = ragged(np.diff(start)[self.place])
        at = start[self.place[rows]] + place
        other = rows != target[at]
        return capped((rows[other], target[at][other], score[at][other]), cap)


def content_keys(catalog: Catalog, titles: pl.Series, vectors: Sequence[Embeddings]) -> Hashes:
    """Give posts that hold the same the same key, whatever catalogue they are in.

    Args:
        catalog: n posts.
        titles: (n,) String in normal form.
        vectors: of the posts, in a fixed order.

    Returns:
        (n,) uint64: of the title, the hash, further texts, identifiers and all vectors; 0 where a post has no evidence.
    """
    texts = reduce(lambda title, more: title + "\n" + more, _joined(catalog), titles)
    digests = (int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") for text in texts)
    key = np.fromiter(digests, dtype=np.uint64, count=len(catalog))
    bare = (titles == "").to_numpy() & ~catalog.hashed
    parts = [catalog.hashes, catalog.hashed.astype(np.uint64), *(_vector_keys(given) for given in vectors)]
    if catalog.further_images is not None:
        photos = catalog.photos()
        bare &= ~photos.known()
        parts.append(_photo_keys(catalog))
    for part in parts:
        key = mixed(key + part + np.uint64(0x9E3779B97F4A7C15))
    for given in vectors:
        bare &= ~given.known()
    return np.where(bare, np.uint64(0), np.maximum(key, np.uint64(1)))


def _joined(catalog: Catalog) -> list[pl.Series]:
    """All further texts and identifiers of a post as one; nothing where there are none."""
    texts = [text for table in (catalog.further, catalog.identifiers) if table is not None for text in table]
    return [pl.select(pl.concat_str(texts, separator="\n")).to_series()] if texts else []


def _photo_keys(catalog: Catalog) -> Hashes:
    """Give posts with the same hashes of their photos the same key: (n,) uint64."""
    photos = catalog.photos()
    return _summed(mixed(photos.hashes + np.uint64(1)) * photos.hashed, photos.offsets)


def _vector_keys(given: Embeddings) -> Hashes:
    """Give posts with the same vectors the same key: (n,) uint64."""
    keys = row_keys(given.vectors)
    return keys if given.offsets is None else _summed(keys, given.offsets)


def _summed(keys: Hashes, offsets: Rows | None) -> Hashes:
    """Make one key per post, whatever the order of its photos."""
    return keys if offsets is None else np.add.reduceat(keys, offsets[:-1])
