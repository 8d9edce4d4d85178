"""Pools of photos alone to learn from: garments edited in the ways of sellers, drawn shops, groceries, and bare hashes.

Nothing here is what bench/photos_alone.py measures: garments are those of the training part, edited by
kembar.training.augmentation and kembar.synthesis.edits, and groceries are the even products. Every source is cut into
folds of products, and a pool is drawn from one fold, so that a classifier can be judged on products it has not seen.
`Bank.made` encodes and hashes all photos once and keeps what it found in a folder.
"""

import hashlib
import random
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, takewhile
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from edits import DATA, SHIPPED, encode, held_out
from grocery import grocery
from kembar.classifier.features import Features
from kembar.config import Config
from kembar.encoders.embeddings import Embeddings
from kembar.evidence.gathering import blended, gather
from kembar.evidence.views import build_views
from kembar.fitting.tuning import fold_numbers
from kembar.folders import new_file
from kembar.posts.catalog import Catalog
from kembar.posts.photos import perceptual_hash
from kembar.posts.problems import PROBLEMS
from kembar.synthesis import Drawing, synthesize, write_shop
from kembar.synthesis.edits import edit_photo
from kembar.training.augmentation import augment

Ints = np.ndarray | list[int]
FOLDS = 3
SIZE = 224
PART = 40  # photos of a file
VIEWS, MOST = 6, 16  # views of a garment
BARE, CROWDED = 0.5, 0.05  # share of the garments of which there is the photo alone, and of those with the most views
DRAWN = 500  # posts of the drawn shop of a fold
PARTS = {"garments": 32, "drawn": 12, "mixed": 12, "groceries": 14, "hashes": 8}  # pools of a fold


@dataclass(frozen=True)
class Photos:
    """Encoded photos: vectors, hashes, whether they are hashed, the product of each, and its fold."""

    vectors: np.ndarray
    hashes: np.ndarray
    product: np.ndarray
    fold: np.ndarray
    edited: np.ndarray  # how much: 0 for the photo itself

    def __len__(self) -> int:
        return len(self.product)

    def take(self, rows: np.ndarray) -> "Photos":
        """Some of the photos."""
        return Photos(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def joined(self, other: "Photos") -> "Photos":
        """Both, the products of the other one numbered after these."""
        pairs = [(getattr(self, name), getattr(other, name)) for name in self.__dataclass_fields__]
        pairs[2] = (self.product, other.product + 1 + self.product.max())
        return Photos(*map(np.concatenate, pairs))


# ---- photos ----------------------------------------------------------------------------------------------------------


def views_of_garment(photo: Image.Image, count: int, rng: np.random.Generator, others: list[Image.Image]) -> Iterator:
    """A photo as it is, then edited lightly, as sellers do in two ways, and twice over."""
    chance = random.Random(int(rng.integers(1 << 30)))
    yield 0, photo
    for at in range(1, count):
        kind = ("light", "seller", "shop", "twice", "seller", "seller")[(at - 1) % 6]
        if kind == "shop":
            yield 1, edit_photo(photo.resize((SIZE, SIZE), Image.Resampling.BICUBIC), chance)
            continue
        view = Image.fromarray(augment(photo, rng, "light" if kind == "light" else "seller", size=SIZE, others=others))
        if kind == "twice":
            view = edit_photo(view, chance) if rng.random() < 0.5 else Image.fromarray(augment(view, rng, size=SIZE))
        yield 2 if kind == "twice" else 1, view


def garment_paths() -> list[Path]:
    """The training part of the garments, in random order."""
    names = sorted(path.name for path in (DATA / "clothing" / "images").glob("*.jpg") if not held_out(path.name))
    return [DATA / "clothing" / "images" / names[at] for at in np.random.default_rng(5).permutation(len(names))]


def garments(part: int) -> Photos | None:
    """Some of the garments."""
    paths = garment_paths()
    rows = range(part * PART, min((part + 1) * PART, len(paths)))
    if not rows:
        return None
    rng = np.random.default_rng(part)
    opened = [Image.open(paths[row]).convert("RGB") for row in rows]
    number = rng.choice((MOST, VIEWS, 1), len(rows), p=(CROWDED, 1 - CROWDED - BARE, BARE))
    made = [
        (row, *view)
        for row, photo, views in zip(rows, opened, number, strict=True)
        for view in views_of_garment(photo, views, rng, opened)
    ]
    fold = [zlib.crc32(paths[row].name.encode()) % FOLDS for row, *_ in made]
    return encoded([image for *_, image in made], [row for row, *_ in made], fold, [e for _, e, _ in made])


def drawn(part: int) -> Photos | None:
    """The drawn shop of a fold: of siblings, whose photos show no difference, one alone."""
    if part == FOLDS:
        return None
    shop = synthesize(DRAWN, seed=900 + part)
    first = shop.products.with_row_index().unique("line", keep="first")["index"].to_numpy()
    rows = np.flatnonzero(np.isin(shop.product, first))
    with tempfile.TemporaryDirectory() as scratch:
        write_shop(Path(scratch) / "shop", DRAWN, seed=900 + part, photos=Drawing(threads=1))
        posts = Catalog.read(Path(scratch) / "shop" / "posts.csv", images=Path(scratch) / "shop" / "photos").take(rows)
        images = [Image.open(path).convert("RGB") for path in posts.photo_paths()]
    return encoded(images, shop.product[rows] + part * 1_000_000, [part] * len(images), [1] * len(images))


def groceries(part: int) -> Photos | None:
    """Some photos of the products of groceries that are not held out."""
    paths, labels = grocery(DATA / "grocery", test=False)
    rows = np.random.default_rng(5).permutation(len(paths))[part * PART : (part + 1) * PART]
    if not len(rows):
        return None
    images = [Image.open(paths[row]).convert("RGB") for row in rows]
    return encoded(images, labels[rows], labels[rows] // 2 % FOLDS, [1] * len(rows))


def hashes_alone() -> Photos:
    """The Shopee posts, of whose photos the hashes alone are known."""
    posts = Catalog.read(DATA / "shopee" / "posts.csv")
    n = len(posts)
    fold = fold_numbers(posts.labels, FOLDS)
    return Photos(np.zeros((n, 1), np.float32), posts.hashes, posts.labels, fold, np.ones(n, np.int64))


def encoded(images: list[Image.Image], product: Ints, fold: Ints, edited: Ints) -> Photos:
    """Vectors and hashes of photos."""
    hashes = np.array([perceptual_hash(image) for image in images], dtype=np.uint64)
    return Photos(encode(SHIPPED, images), hashes, np.array(product), np.array(fold), np.array(edited))


def stacked(parts: list[Photos]) -> Photos:
    """One after the other, products as they are numbered."""
    return Photos(*(np.concatenate([getattr(p, name) for p in parts]) for name in Photos.__dataclass_fields__))


def kept(make: Callable[[int], Photos | None], part: int, folder: Path) -> Photos | None:
    """A part of a source, from its file where there is one."""
    path = folder / f"{make.__name__}-{part:03}.npz"
    if not path.exists():
        photos = make(part)
        if photos is None:
            return None
        with new_file(path) as target, target.open("wb") as file:
            np.savez(file, **{name: getattr(photos, name) for name in Photos.__dataclass_fields__})
        print(f"{path.stem}: {len(photos)} photos", flush=True)
    with np.load(path) as read:
        return Photos(*(read[name] for name in Photos.__dataclass_fields__))


@dataclass(frozen=True)
class Bank:
    """All photos by their source."""

    sources: dict[str, Photos]

    @classmethod
    def made(cls, folder: Path) -> "Bank":
        """Make the photos of each source, part by part, but for those that an earlier run has left."""
        folder.mkdir(parents=True, exist_ok=True)
        found = {}
        for make in (garments, drawn, groceries):
            found[make.__name__] = stacked(list(takewhile(bool, (kept(make, at, folder) for at in count()))))
        return cls({**found, "hashes": hashes_alone()})

    def of(self, source: str, fold: int) -> Photos:
        """The photos of a fold."""
        if source == "mixed":
            return self.of("garments", fold).joined(self.of("drawn", fold))
        photos = self.sources[source]
        return photos.take(np.flatnonzero(photos.fold == fold))


# ---- pools -----------------------------------------------------------------------------------------------------------


@dataclass
class Pool:
    """Candidate pairs of some posts, described."""

    name: str
    source: str
    fold: int
    labels: np.ndarray
    left: np.ndarray
    right: np.ndarray
    table: np.ndarray
    names: tuple[str, ...]

    @property
    def truth(self) -> np.ndarray:
        """Which pairs show one product."""
        return self.labels[self.left] == self.labels[self.right]


def look_alikes(photos: Photos, rng: np.random.Generator) -> np.ndarray:
    """Products in order of their likeness to one of them: the goods of a shop of one kind."""
    products, first = np.unique(photos.product, return_index=True)
    vectors = photos.vectors[first]
    likeness = vectors @ vectors[rng.integers(len(products))]
    return products[np.argsort(-likeness, kind="stable")]


def drawn_rows(photos: Photos, rng: np.random.Generator, size: int, twins: float, *, alike: bool) -> np.ndarray:
    """Rows of about so many posts: a share of the products once, the others with as many posts as a law gives."""
    wanted = look_alikes(photos, rng) if alike else rng.permutation(np.unique(photos.product))
    wanted = wanted[: max(2, len(wanted) // 4)] if alike else wanted
    most = int(rng.choice((3, 5, 5, 60)))
    mildest = int(rng.choice((0, 0, 1)))  # whether the photo itself is among the posts
    rows: list[int] = []
    for one in wanted:
        own = np.flatnonzero(photos.product == one)
        several = rng.random() < twins
        if several and mildest and (photos.edited[own] > 0).sum() > 1:
            own = own[photos.edited[own] > 0]
        count = int(rng.integers(2, most + 1)) if several else 1
        rows.extend(rng.choice(own, min(count, len(own)), replace=False) if several or rng.random() < 0.3 else own[:1])
        if len(rows) >= size:
            break
    return np.array(rows[:size])


def pool(bank: Bank, source: str, fold: int, at: int, config: Config) -> Pool | None:
    """The pool of a number: every fourth has no twins, every fourth twins only; in every third all look alike."""
    rng = np.random.default_rng(zlib.crc32(f"{source} {fold} {at}".encode()))
    photos = bank.of(source, fold)
    size = int(np.exp(rng.uniform(np.log(30), np.log(3000))))
    twins = (0.0, rng.random(), rng.uniform(0.4, 0.9), 1.0)[at % 4]
    alike = source != "hashes" and at % 3 == 1
    posts = photos.take(np.sort(drawn_rows(photos, rng, size, twins, alike=alike)))
    without = 0.0 if source == "hashes" else (0.0, 0.0, 0.0, 1.0, rng.random())[at % 5]
    hashed = rng.random(len(posts)) >= without
    return described(f"{source} {fold} {at}", source, fold, posts, hashed, config)


def described(name: str, source: str, fold: int, posts: Photos, hashed: np.ndarray, config: Config) -> Pool | None:
    """Candidates and evidence of posts; None where there are no pairs."""
    n = len(posts)
    ids = pl.Series([hashlib.blake2b(f"{name} {row}".encode(), digest_size=6).hexdigest() for row in range(n)])
    empty = pl.Series([""] * n, dtype=pl.String)
    labels = np.unique(posts.product, return_inverse=True)[1].astype(np.int64)
    catalog = Catalog(ids, empty, empty, posts.hashes, hashed, labels, None, pl.DataFrame(schema=PROBLEMS))
    at_size = config.at_pool(n)
    views = build_views(catalog, empty, at_size, {"photo": Embeddings(posts.vectors)} if source != "hashes" else {})
    pairs = blended(gather(views, empty, at_size), at_size)
    if not len(pairs):
        return None
    features = Features.of(pairs, n, ())
    return Pool(name, source, fold, labels, pairs.left, pairs.right, features.table(), features.names)


def pools(bank: Bank, config: Config, sources: Sequence[str] = tuple(PARTS)) -> Iterator[Pool]:
    """The pools of all folds of some sources."""
    for source in sources:
        for fold in range(FOLDS):
            found = (pool(bank, source, fold, at, config) for at in range(PARTS[source]))
            yield from (each for each in found if each is not None)
        print(f"{source}: described", flush=True)
