"""Views: one kind of evidence each, behind the same three questions.

A view finds each post's neighbours, tells the similarity of given pairs, and may be blended. What a pair lacks is NaN.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from kembar.arrays import Bools, Floats, Rows, Sparse
from kembar.config import Config, Vectors
from kembar.config.advanced import Characters, Cosines, Words
from kembar.encoders.embeddings import Embeddings
from kembar.encoders.tfidf import Tfidf, prune
from kembar.evidence.blending import blend, query_expansion
from kembar.evidence.neighbors import Neighbors, dense_neighbors, hash_neighbors, sparse_neighbors
from kembar.evidence.pairs import dense_similarity, hash_similarity, sparse_similarity
from kembar.posts.catalog import Catalog

Modality = Literal["title", "photo"]


class View(Protocol):
    """One kind of evidence about n posts."""

    @property
    def name(self) -> str:
        """The evidence column."""

    @property
    def modality(self) -> Modality:
        """What it looks at."""

    @property
    def floor(self) -> float:
        """The similarity that means nothing in common."""

    @property
    def weight(self) -> float:
        """Its weight among the views of its modality."""

    def neighbors(self) -> Neighbors:
        """Find the nearest posts of every post."""
        ...

    def similarity(self, left: Rows, right: Rows) -> Floats:
        """Compare pairs: (m,) float32 in [-1, 1], NaN where either post lacks this evidence."""
        ...

    def hidden(self, posts: Bools) -> "View":
        """Take this evidence from some posts: (n,) bool."""
        ...

    def blended(self, weights: Sparse) -> "View":
        """Blend the vectors by (n, n) weights; a view that has none to blend stays as it is."""
        ...

    def expanded(self, neighbors: Neighbors, k: int, alpha: float) -> "View":
        """Expand the vectors by their k nearest; a view that has none stays as it is."""
        ...


@dataclass(frozen=True, slots=True)
class SparseView:
    """TF-IDF vectors: (n, d) CSR float32 unit rows."""

    name: str
    vectors: Sparse
    k: int = 51
    modality: Modality = "title"
    floor: float = 0.0
    weight: float = 1.0
    least: float = 0.2

    def neighbors(self) -> Neighbors:
        """Find the nearest posts by cosine, terms of more than 1,000 titles left out as far as `prune` allows."""
        return sparse_neighbors(prune(self.vectors), self.k, floor=self.least)

    def similarity(self, left: Rows, right: Rows) -> Floats:
        """Compare pairs by cosine."""
        return sparse_similarity(self.vectors, left, right)

    def hidden(self, posts: Bools) -> "SparseView":
        """Empty their rows."""
        kept = self.vectors.copy()
        kept.data = kept.data * np.repeat(~posts, np.diff(kept.indptr))
        kept.eliminate_zeros()
        return replace(self, vectors=kept)

    def blended(self, weights: Sparse) -> "SparseView":
        """Blend the sparse rows as sparse rows."""
        return replace(self, vectors=blend(self.vectors, weights))

    def expanded(self, neighbors: Neighbors, k: int, alpha: float) -> "SparseView":
        """Concatenate each row with its expansion."""
        return replace(self, vectors=query_expansion(self.vectors, neighbors, k=k, alpha=alpha))


@dataclass(frozen=True, slots=True)
class DenseView:
    """Vectors of any encoder: (n, d) float32 unit rows, all zero where a post has none."""

    name: str
    vectors: Floats
    k: int = 51
    modality: Modality = "photo"
    floor: float = 0.0
    weight: float = 1.0
    least: float = 0.0

    def neighbors(self) -> Neighbors:
        """Find the nearest posts by cosine."""
        return dense_neighbors(self.vectors, self.k, floor=self.least)

    def similarity(self, left: Rows, right: Rows) -> Floats:
        """Compare pairs by cosine."""
        return dense_similarity(self.vectors, left, right)

    def hidden(self, posts: Bools) -> "DenseView":
        """Make their rows zero."""
        return replace(self, vectors=np.where(posts[:, None], np.float32(0), self.vectors))

    def blended(self, weights: Sparse) -> "DenseView":
        """Blend the rows."""
        return replace(self, vectors=blend(self.vectors, weights))

    def expanded(self, neighbors: Neighbors, k: int, alpha: float) -> "DenseView":
        """Concatenate each row with its expansion."""
        return replace(self, vectors=query_expansion(self.vectors, neighbors, k=k, alpha=alpha))


@dataclass(frozen=True, slots=True)
class HashView:
    """Perceptual hashes: (n,) uint64, and (n,) bool telling which are known."""

    name: str
    hashes: npt.NDArray[np.uint64]
    hashed: Bools
    k: int = 51
    radius: int = 7
    modality: Modality = "photo"
    floor: float = 1 - 20 / 64
    weight: float = 1.0

    def neighbors(self) -> Neighbors:
        """Find the nearest posts by differing bits."""
        return hash_neighbors(self.hashes, self.hashed, self.k, radius=self.radius)

    def similarity(self, left: Rows, right: Rows) -> Floats:
        """Compare pairs by their share of equal bits."""
        return hash_similarity(self.hashes, self.hashed, left, right)

    def hidden(self, posts: Bools) -> "HashView":
        """Forget that their hashes are known."""
        return replace(self, hashed=self.hashed & ~posts)

    def blended(self, weights: Sparse) -> "HashView":
        """Stay: a mean of hashes is not a hash."""
        return self

    def expanded(self, neighbors: Neighbors, k: int, alpha: float) -> "HashView":
        """Stay: a hash has nothing to concatenate."""
        return self


def build_views(
    catalog: Catalog, titles: pl.Series, config: Config, embeddings: Mapping[str, Embeddings]
) -> tuple[View, ...]:
    """Turn posts into the views that the configuration asks for and the catalogue can give.

    Args:
        catalog: the posts.
        titles: (n,) String in normal form.
        config: which views, and how.
        embeddings: vectors by name.

    Returns:
        The views, titles before photos; those without any evidence are left out.
    """
    views: list[View] = []
    if (titles != "").any():
        for encoder, name, part in _title_encoders(config):
            views.append(SparseView(name, encoder.encode(titles), part.k, "title", part.floor, part.weight, part.least))
    for name, given in embeddings.items():
        use, how, modality = vectors_section(config, name)
        if use and given.vectors.any():
            views.append(DenseView(name, given.vectors, how.k, modality, how.floor, how.weight, how.least))
    if config.hash and catalog.hashed.any():
        how_hash = config.advanced.hash
        hashes = HashView("hash", catalog.hashes, catalog.hashed, how_hash.k, how_hash.radius)
        views.append(replace(hashes, floor=how_hash.floor, weight=how_hash.weight))
    return tuple(sorted(views, key=lambda view: view.modality == "photo"))


def vectors_section(config: Config, name: str) -> tuple[bool, Cosines, Modality]:
    """Tell whether and how vectors of a name are used, and what they look at; those without a section as photos."""
    if name == "title":
        return config.title, config.advanced.title, "title"
    if name == "photo":
        return config.photo, config.advanced.photo, "photo"
    section = config.vectors.get(name, Vectors())
    return section.use, section, section.modality


def _title_encoders(config: Config) -> Iterator[tuple[Tfidf, str, Words | Characters]]:
    words, chars = config.advanced.word, config.advanced.char
    if config.word:
        yield Tfidf("word", words.n_gram, words.max_df), "word", words
    if config.char:
        yield Tfidf("char", chars.n_gram, chars.max_df), "char", chars
