"""kembar finds the posts of a marketplace that sell the same product, from their photos and titles.

    >>> import kembar
    >>> catalog = kembar.Catalog.read("posts.csv", images="photos")  # doctest: +SKIP
    >>> result = kembar.Matcher().match(catalog)  # doctest: +SKIP
    >>> result.explain("post_17", "post_42")  # doctest: +SKIP

Each stage is a plain function of arrays in a module of its own: see docs/how-it-works.md.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kembar.blending import blend, neighborhood, query_expansion
    from kembar.catalog import Catalog
    from kembar.columns import Columns
    from kembar.config import Config
    from kembar.decisions import Matches
    from kembar.embeddings import Embeddings
    from kembar.encoders.tfidf import Tfidf
    from kembar.errors import (
        CatalogError,
        ConfigError,
        EncoderError,
        EvidenceError,
        FolderError,
        InputError,
        KembarError,
        MissingExtraError,
        PhotoError,
        TrainingError,
    )
    from kembar.explanation import Explanation
    from kembar.features import Features
    from kembar.fuser import Fuser
    from kembar.fusion import fuse
    from kembar.groups import Groups, average_link
    from kembar.hashing import hash_photos
    from kembar.learning import Learned, learn
    from kembar.matcher import Matcher
    from kembar.neighbors import Neighbors, dense_neighbors, hash_neighbors, sparse_neighbors
    from kembar.pairs import Pairs
    from kembar.photos import open_photo, perceptual_hash
    from kembar.result import Result
    from kembar.synthesis import synthesize, write_shop
    from kembar.titles import normalize
    from kembar.tuning import Tuned, tune
    from kembar.units import Quantities

# A name is imported when it is first asked for: `import kembar` stays quick, and a process that only hashes photos
# never loads faiss.
_ROOMS = {
    "blending": ("blend", "neighborhood", "query_expansion"),
    "catalog": ("Catalog",),
    "columns": ("Columns",),
    "config": ("Config",),
    "decisions": ("Matches",),
    "embeddings": ("Embeddings",),
    "encoders.tfidf": ("Tfidf",),
    "errors": (
        "CatalogError",
        "ConfigError",
        "EncoderError",
        "EvidenceError",
        "FolderError",
        "InputError",
        "KembarError",
        "MissingExtraError",
        "PhotoError",
        "TrainingError",
    ),
    "explanation": ("Explanation",),
    "features": ("Features",),
    "fuser": ("Fuser",),
    "fusion": ("fuse",),
    "groups": ("Groups", "average_link"),
    "hashing": ("hash_photos",),
    "learning": ("Learned", "learn"),
    "matcher": ("Matcher",),
    "neighbors": ("Neighbors", "dense_neighbors", "hash_neighbors", "sparse_neighbors"),
    "pairs": ("Pairs",),
    "photos": ("open_photo", "perceptual_hash"),
    "result": ("Result",),
    "synthesis": ("synthesize", "write_shop"),
    "titles": ("normalize",),
    "tuning": ("Tuned", "tune"),
    "units": ("Quantities",),
}
_HOME = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "Catalog",
    "CatalogError",
    "Columns",
    "Config",
    "ConfigError",
    "Embeddings",
    "EncoderError",
    "EvidenceError",
    "Explanation",
    "Features",
    "FolderError",
    "Fuser",
    "Groups",
    "InputError",
    "KembarError",
    "Learned",
    "Matcher",
    "Matches",
    "MissingExtraError",
    "Neighbors",
    "Pairs",
    "PhotoError",
    "Quantities",
    "Result",
    "Tfidf",
    "TrainingError",
    "Tuned",
    "average_link",
    "blend",
    "dense_neighbors",
    "fuse",
    "hash_neighbors",
    "hash_photos",
    "learn",
    "neighborhood",
    "normalize",
    "open_photo",
    "perceptual_hash",
    "query_expansion",
    "sparse_neighbors",
    "synthesize",
    "tune",
    "write_shop",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'kembar' has no attribute {name!r}")
    return getattr(import_module(f"kembar.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
