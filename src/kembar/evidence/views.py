"""Views: kinds of evidence that find neighbours.

A view holds what it knows of n posts: their vectors. It makes an index to search, finds the neighbours of queries, and
scores given pairs, both among its own posts and against those of another view of the same kind.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np
import polars as pl

from kembar.arrays import Bools, Floats, Hashes, Rows, Sparse
from kembar.config import Config, Vectors
from kembar.config.advanced import Cosines
from kembar.encoders.embeddings import Embeddings
from kembar.encoders.tfidf import MOST, Pruning, Terms, Tfidf
from kembar.evidence.blending import blend, query_expansion
from kembar.evidence.neighbors import Neighbors
from kembar.evidence.pairs import dense_similarity, hash_similarity, sparse_similarity
from kembar.evidence.search import DenseIndex, HashIndex, SparseIndex
from kembar.evidence.several import Search, SearchRows, SeveralRows, row_weights
from kembar.evidence.view_kinds import CHAR, HASH, KINDS, WORD, Modality
from kembar.evidence.vocabulary import narrowed
from kembar.posts.catalog import Catalog
from kembar.posts.patterns import extracted, one_by_one
from kembar.posts.scripts import SPACELESS

_LONGER, _LOWER = 3, 0.25
"""Where a title is read by signs, its list has so many times the places, and begins at this share of the least cosine.

Signs are few and shared by many titles: those of one product are less alike than with words, with others between them.
"""


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

    @property
    def blends(self) -> bool:
        """Whether its vectors can learn from those of neighbours."""

    def __len__(self) -> int: ...

    def places(self) -> Rows:
        """Tell how long the list of each post can be, the post itself counted: (n,)."""
        ...

    def take(self, rows: Rows) -> Self:
        """Keep some posts."""
        ...

    def index(self) -> Search:
        """Make these posts the base of a search."""
        ...

    def score(self, left: Rows, right: Rows, base: Self | None = None) -> Floats:
        """Compare pairs: (m,) float32 in [-1, 1], NaN where either post lacks this evidence.

        Args:
            left: (m,) rows of this view.
            right: (m,) rows of `base`.
            base: other posts; None: these.
        """
        ...

    def hidden(self, posts: Bools) -> Self:
        """Take this evidence from some posts: (n,) bool."""
        ...

    def blended(self, weights: Sparse, base: Self | None = None) -> Self:
        """Learn from sure neighbours (see kembar.evidence.blending); the same object where that has no meaning.

        Args:
            weights: (n, b) CSR, rows for these posts over the posts of `base`.
            base: other posts; None: these.
        """
        ...

    def joined(self, parts: "Sequence[Self]", order: Rows) -> Self:
        """Put slices of such views one behind the other, and take their posts in an order: (n,) rows."""
        ...

    def expanded(self, neighbors: Neighbors, k: int, alpha: float) -> Self:
        """Expand by the nearest posts (see kembar.evidence.blending); the same object where that has no meaning."""
        ...


def search(queries: View, base: View, own: Rows | None = None) -> Neighbors:
    """Find the nearest posts of a base for the posts of a view of the same kind.

    Args:
        queries: q posts.
        base: the posts to search.
        own: (q,) the row of each query in the base, -1 where it is not there; None where none is.

    Returns:
        The neighbours of each query.
    """
    return base.index()(queries, own)


@dataclass(frozen=True, slots=True)
class SparseView:
    """TF-IDF vectors of titles: (n, d) CSR float32 unit rows; signs: (n,) bool, mostly in scripts without spaces."""

    name: str
    vectors: Sparse
    k: int = 51
    modality: Modality = "title"
    floor: float = 0.0
    weight: float = 1.0
    least: float = 0.2
    signs: Bools | None = None

    @property
    def blends(self) -> bool:
        """Means of vectors are vectors."""
        return True

    def __len__(self) -> int:
        return int(self.vectors.shape[0])

    def take(self, rows: Rows) -> "SparseView":
        """Keep some rows."""
        return replace(self, vectors=self.vectors[rows], signs=None if self.signs is None else self.signs[rows])

    def index(self) -> Search:
        """Search by cosine, terms of more than 1,000 titles left out as far as `Pruning` allows."""
        share = 0.0 if self.signs is None else float(self.signs.mean())
        pruning = Pruning.fit(self.vectors, most=round(MOST * (1 + (_LONGER - 1) * share)))
        kept = pruning.apply(self.vectors)
        base = SparseIndex.of(kept)

        def find(queries: "SparseView", own: Rows | None) -> Neighbors:
            rows = kept if queries is self else pruning.apply(queries.vectors)
            if not share:
                return base.search(rows, self.k, own=own, floor=self.least)
            long = base.search(rows, _LONGER * self.k, own=own, floor=_LOWER * self.least)
            return long.shortened(queries.places() == self.k, self.k, self.least)

        return find

    def places(self) -> Rows:
        """Tell how long the list of each post can be, the post itself counted: (n,)."""
        return np.where(False if self.signs is None else self.signs, _LONGER * self.k, np.full(len(self), self.k))

    def score(self, left: Rows, right: Rows, base: "SparseView | None" = None) -> Floats:
        """Compare pairs by cosine."""
        return sparse_similarity(self.vectors, left, right, base=None if base is None else base.vectors)

    def hidden(self, posts: Bools) -> "SparseView":
        """Empty their rows."""
        kept = self.vectors.copy()
        kept.data = kept.data * np.repeat(~posts, np.diff(kept.indptr))
        kept.eliminate_zeros()
        return replace(self, vectors=kept)

    def blended(self, weights: Sparse, base: "SparseView | None" = None) -> "SparseView":
        """Blend the sparse rows as sparse rows."""
        return replace(self, vectors=blend((base or self).vectors, weights))

    def narrowed(self) -> "SparseView":
        """Keep the columns in use alone: such rows are not to be compared with others any more."""
        return replace(self, vectors=narrowed(self.vectors)[0])

    def joined(self, parts: "Sequence[SparseView]", order: Rows) -> "SparseView":
        """Stack the rows."""
        import scipy.sparse as sp

        known = [np.zeros(len(part), dtype=bool) if part.signs is None else part.signs for part in parts]
        signs = None if all(part.signs is None for part in parts) else np.concatenate(known)[order]
        return replace(self, vectors=sp.vstack([part.vectors for part in parts], format="csr")[order], signs=signs)

    def expanded(self, neighbors: Neighbors, k: int, alpha: float) -> "SparseView":
        """Concatenate each row with its expansion."""
        return replace(self, vectors=query_expansion(self.vectors, neighbors, k=k, alpha=alpha))


@dataclass(frozen=True, slots=True)
class DenseView(SeveralRows):
    """Vectors of any encoder: (p, d) float32 unit rows, all zero where there is none; offsets: see `SeveralRows`."""

    name: str
    vectors: Floats
    k: int = 51
    modality: Modality = "photo"
    floor: float = 0.0
    weight: float = 1.0
    least: float = 0.0
    offsets: Rows | None = None

    @property
    def blends(self) -> bool:
        """Means of vectors are vectors."""
        return True

    def rows(self) -> int:
        """Count the vectors."""
        return len(self.vectors)

    def take_rows(self, rows: Rows) -> "DenseView":
        """Keep some vectors."""
        return replace(self, vectors=self.vectors[rows], offsets=None)

    def bounded(self, offsets: Rows) -> "DenseView":
        """Say which vectors are of one post."""
        return replace(self, offsets=offsets)

    def index_rows(self) -> SearchRows:
        """Search by cosine."""
        base = DenseIndex.of(self.vectors)
        return lambda queries, own, k: base.search(queries.vectors, k, own=own, floor=self.least)

    def score_rows(self, left: Rows, right: Rows, base: "DenseView") -> Floats:
        """Compare pairs by cosine."""
        return dense_similarity(self.vectors, left, right, base=base.vectors)

    def hidden_rows(self, rows: Bools) -> "DenseView":
        """Make vectors zero."""
        return replace(self, vectors=np.where(rows[:, None], np.float32(0), self.vectors))

    def blended(self, weights: Sparse, base: "DenseView | None" = None) -> "DenseView":
        """Blend the vectors."""
        other = self if base is None else base
        return replace(self, vectors=blend(other.vectors, row_weights(self, weights, other)))

    def joined_rows(self, parts: "Sequence[DenseView]", order: Rows) -> "DenseView":
        """Stack the vectors."""
        return replace(self, vectors=np.concatenate([part.vectors for part in parts])[order])

    def expanded(self, neighbors: Neighbors, k: int, alpha: float) -> "DenseView":
        """Concatenate each vector with its expansion; stay where posts have several."""
        if self.offsets is not None:
            return self
        return replace(self, vectors=query_expansion(self.vectors, neighbors, k=k, alpha=alpha))


@dataclass(frozen=True, slots=True)
class HashView(SeveralRows):
    """Perceptual hashes: (p,) uint64, and (p,) bool telling which are known; offsets: see `SeveralRows`."""

    name: str
    hashes: Hashes
    hashed: Bools
    k: int = 51
    radius: int = 7
    modality: Modality = "photo"
    floor: float = 1 - 20 / 64
    weight: float = 1.0
    offsets: Rows | None = None

    @property
    def blends(self) -> bool:
        """A mean of hashes is not a hash."""
        return False

    def rows(self) -> int:
        """Count the hashes."""
        return len(self.hashes)

    def take_rows(self, rows: Rows) -> "HashView":
        """Keep some hashes."""
        return replace(self, hashes=self.hashes[rows], hashed=self.hashed[rows], offsets=None)

    def bounded(self, offsets: Rows) -> "HashView":
        """Say which hashes are of one post."""
        return replace(self, offsets=offsets)

    def index_rows(self) -> SearchRows:
        """Search by differing bits."""
        base = HashIndex.of(self.hashes, self.hashed)
        return lambda queries, own, k: base.search(queries.hashes, queries.hashed, k, own=own, radius=self.radius)

    def score_rows(self, left: Rows, right: Rows, base: "HashView") -> Floats:
        """Compare pairs by their share of equal bits."""
        return hash_similarity((self.hashes, self.hashed), (base.hashes, base.hashed), left, right)

    def hidden_rows(self, rows: Bools) -> "HashView":
        """Forget that hashes are known."""
        return replace(self, hashed=self.hashed & ~rows)

    def blended(self, weights: Sparse, base: "HashView | None" = None) -> "HashView":
        """Stay: a mean of hashes is not a hash."""
        return self

    def joined_rows(self, parts: "Sequence[HashView]", order: Rows) -> "HashView":
        """Stack the hashes."""
        hashes, hashed = np.concatenate([part.hashes for part in parts]), np.concatenate([p.hashed for p in parts])
        return replace(self, hashes=hashes[order], hashed=hashed[order])

    def expanded(self, neighbors: Neighbors, k: int, alpha: float) -> "HashView":
        """Stay: a hash has nothing to concatenate."""
        return self


def term_encoders(config: Config) -> dict[str, Tfidf]:
    """Name the views of terms that a configuration uses, and how each reads titles."""
    words, chars = config.advanced.word, config.advanced.char
    read = {WORD.name: Tfidf("word", words.n_gram, words.max_df), CHAR.name: Tfidf("char", chars.n_gram, chars.max_df)}
    return {name: tfidf for name, tfidf in read.items() if getattr(config, name)}


def fit_terms(titles: pl.Series, config: Config) -> dict[str, Terms]:
    """Fit the terms of a catalogue, for each view of terms: (n,) String in normal form."""
    return {name: tfidf.fit([tfidf.count(titles)]) for name, tfidf in term_encoders(config).items()}


def build_views(
    catalog: Catalog, titles: pl.Series, config: Config, embeddings: Mapping[str, Embeddings]
) -> tuple[View, ...]:
    """Turn the posts of a catalogue into the views that the configuration asks for and the catalogue can give.

    Args:
        catalog: the posts.
        titles: (n,) String in normal form.
        config: which views, and how.
        embeddings: vectors by name.

    Returns:
        The views, titles before photos; those without any evidence are left out.
    """
    vectors = {name: tfidf.encode(titles) for name, tfidf in term_encoders(config).items() if (titles != "").any()}
    return views_of(vectors, catalog, config, embeddings)


def views_of(
    terms: Mapping[str, Sparse], catalog: Catalog, config: Config, embeddings: Mapping[str, Embeddings]
) -> tuple[View, ...]:
    """Make views of what is known of posts: as `build_views`, from the rows of their terms by name."""
    views: list[View] = []
    signs = _by_signs(catalog.titles)
    for name, rows in terms.items():
        part = getattr(config.advanced, name)
        own = part.k, KINDS[name].modality, part.floor, part.weight, part.least
        views.append(SparseView(name, rows, *own, signs if signs.any() else None))
    for name, given in embeddings.items():
        use, how, modality = vectors_section(config, name)
        if use and given.vectors.any():
            numbers = how.floor, how.weight, how.least
            views.append(DenseView(name, given.vectors, how.k, modality, *numbers, given.offsets))
    photos = catalog.photos()
    if getattr(config, HASH.name) and photos.hashed.any():
        part = config.advanced.hash
        hashes = HashView(HASH.name, photos.hashes, photos.hashed, part.k, part.radius, offsets=photos.offsets)
        views.append(replace(hashes, floor=part.floor, weight=part.weight))
    return tuple(sorted(views, key=lambda view: view.modality == "photo"))


def _by_signs(titles: pl.Series) -> Bools:
    """Tell which titles are mostly in scripts without spaces: (n,) bool."""
    few = one_by_one(titles)
    if few is not None:
        return np.array([2 * len(extracted(f"[{SPACELESS}]", title)) > len(title) for title in few], dtype=bool)
    whole = titles.fill_null("")
    return (2 * whole.str.count_matches(f"[{SPACELESS}]") > whole.str.len_chars()).to_numpy()


def available(catalog: Catalog, config: Config, embeddings: Mapping[str, Embeddings]) -> set[str]:
    """Name the views that the posts give and the configuration uses."""
    terms = set(term_encoders(config)) if catalog.has_titles.any() else set()
    dense = {name for name, given in embeddings.items() if vectors_section(config, name)[0] and given.vectors.any()}
    return terms | dense | ({HASH.name} if getattr(config, HASH.name) and catalog.photos().hashed.any() else set())


def vectors_section(config: Config, name: str) -> tuple[bool, Cosines, Modality]:
    """Tell whether and how vectors of a name are used, and what they look at; those without a section as photos."""
    if name in KINDS and KINDS[name].family == "vectors":
        return getattr(config, name), getattr(config.advanced, name), KINDS[name].modality
    section = config.vectors.get(name, Vectors())
    return section.use, section, section.modality
