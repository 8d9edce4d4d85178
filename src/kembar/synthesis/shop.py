"""A labelled synthetic catalogue of any size: products, seller-like titles, drawn photos or made-up hashes.

Groups have the sizes of the "Shopee - Price Match Guarantee" posts. About a third of the products come in lines of
two to five siblings that differ only in quantity or in colour, flavour or type, under different labels. A seller
may copy the usual title and photo of a product or make up others. Everything is computed for all posts at once;
only photos are drawn one by one, in threads.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from kembar.arrays import Hashes, Progress, Rows, default_threads
from kembar.errors import ConfigError, FolderError
from kembar.folders import check_free, new_folder
from kembar.synthesis.drawing import Job, Look, save_photos
from kembar.synthesis.vocabulary import FAMILIES, VARIANTS
from kembar.synthesis.wording import FORMS, Flags, Products, banks, coin_tables, write_titles
from kembar.threads import in_order, unforked

# Label groups by size on the Shopee posts; 226 groups of 11 to 50 follow a power law with their mean size, 16.8.
_HEAD = (6979, 1779, 862, 468, 282, 154, 118, 91, 48)
_TAIL, _TAIL_POWER, _LARGEST, _AT_LARGEST = 226, 3.23, 51, 7
_SIBLINGS = 0.35
_SIBLING_COUNTS, _SIBLING_SHARES = (2, 3, 4, 5), (0.45, 0.3, 0.15, 0.1)
_COPIED = 0.58
_BLOCK = 500_000
_CHUNK = 50  # photos drawn in one go: Ctrl-C waits for no more than these


@dataclass(frozen=True, slots=True, repr=False)
class Shop:
    """A synthetic catalogue.

    Attributes:
        posts: n rows: posting_id, image, image_phash, title, label_group. With photos to be drawn `image` is the
            file name and `image_phash` null; with made-up hashes it is the other way round.
        products: one row per label_group, in its order: line (siblings share one), silhouette, brand, name,
            variant, quantity, colour (0xRRGGBB), scene and seed (of its photos).
        product: (n,) row of `products` that each post sells.
        view: (n,) which original photo of the product it shows, in [0, 3).
        edit: (n,) seed of what the seller did to the photo; 0 is the original.
        quality: (n,) JPEG quality, in [40, 92].
    """

    posts: pl.DataFrame
    products: pl.DataFrame
    product: npt.NDArray[np.int32]
    view: npt.NDArray[np.uint8]
    edit: Rows
    quality: npt.NDArray[np.uint8]

    def __repr__(self) -> str:
        return f"Shop of {len(self.posts):,} posts that sell {len(self.products):,} products; see posts, a table"

    def looks(self, rows: Rows) -> list[Look]:
        """Describe products for drawing.

        Args:
            rows: (m,) rows of `products`.

        Returns:
            m looks, for `kembar.synthesis.drawing.draw_photo`.
        """
        columns = ("silhouette", "brand", "name", "variant", "quantity", "colour", "scene", "seed")
        return [
            Look(shape, brand, name, variant, quantity, (rgb >> 16, rgb >> 8 & 255, rgb & 255), scene, own)
            for shape, brand, name, variant, quantity, rgb, scene, own in self.products.select(columns)[
                rows
            ].iter_rows()
        ]


def group_sizes(rng: np.random.Generator, n: int) -> Rows:
    """Draw group sizes whose sum is n, distributed as on the Shopee posts.

    Args:
        rng: the random generator.
        n: posts, at least 1.

    Returns:
        (groups,) sizes in [2, 51], in random order; a single [1] for n = 1.
    """
    if n == 1:
        return np.ones(1, dtype=np.int64)
    tail = np.arange(11, _LARGEST) ** -_TAIL_POWER
    weights = np.concatenate([_HEAD, _TAIL * tail / tail.sum(), [_AT_LARGEST]])
    sizes = rng.choice(np.arange(2, _LARGEST + 1), size=n // 2 + 1, p=weights / weights.sum())
    ends = np.cumsum(sizes)
    whole = int(np.searchsorted(ends, n, side="right"))
    left = n - (int(ends[whole - 1]) if whole else 0)
    sizes = sizes[:whole]
    if left == 1 and sizes.min() < _LARGEST:
        sizes[sizes.argmin()] += 1
    elif left == 1:
        sizes[0] -= 1
        sizes = np.append(sizes, 2)
    elif left:
        sizes = np.append(sizes, left)
    return sizes.astype(np.int64)


def _lines(rng: np.random.Generator, count: int) -> tuple[Rows, Rows, Flags]:
    """Distribute products over lines of siblings: for each its line, its rank there, whether it has no sibling."""
    several = rng.choice(_SIBLING_COUNTS, size=count // 2 + 1, p=_SIBLING_SHARES)
    several = several[np.cumsum(several) <= round(_SIBLINGS * count)]
    sizes = np.concatenate([several, np.ones(count - several.sum(), dtype=np.int64)])
    line = np.repeat(np.arange(len(sizes)), sizes)
    rank = np.arange(count) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    order = rng.permutation(count)
    return line[order], rank[order], sizes[line[order]] == 1


def _make_products(rng: np.random.Generator, count: int, names: int) -> Products:
    line, rank, alone = _lines(rng, count)
    lines = int(line.max()) + 1
    banked = banks()
    family = rng.integers(0, len(FAMILIES), lines)
    branded = rng.random(lines) < np.array([f.branded for f in FAMILIES])[family]
    # Few brands sell much, many sell little.
    brand = np.where(branded, 1 + (names * rng.random(lines) ** 1.6).astype(np.int64), 0)
    name = np.where(branded | (rng.random(lines) < 0.85), rng.integers(1, names + 1, lines), 0)
    code = np.where(rng.random(lines) < 0.35, rng.integers(1, names + 1, lines), 0)
    by_size = rng.random(lines) < 0.45
    variant = rng.integers(0, 1 << 20, lines)[line] + np.where(by_size[line], 0, rank)
    size = rng.integers(0, 1 << 20, lines)[line] + np.where(by_size[line], rank, 0)
    owned = family[line]
    return Products(
        line=line,
        family=owned,
        brand=brand[line],
        name=name[line],
        code=code[line],
        variant=variant % banked["variant"].count[owned],
        size=size % banked["size"].count[owned],
        by_size=by_size[line],
        alone=alone,
        usual=rng.integers(0, 1 << 32, count, dtype=np.uint32),
    )


def _product_table(rng: np.random.Generator, products: Products, tables: dict[str, pl.Series]) -> pl.DataFrame:
    count, lines = len(products.line), int(products.line.max()) + 1
    scene = rng.integers(0, 1 << 62, lines)[products.line]
    shapes = [shape for family in FAMILIES for shape in family.silhouettes]
    held = np.array([len(family.silhouettes) for family in FAMILIES])
    shape = (np.cumsum(held) - held)[products.family] + scene % held[products.family]
    colours = [(r << 16) + (g << 8) + b for f in FAMILIES for r, g, b in (v.colour for v in VARIANTS[f.variants])]
    banked = banks()
    variant = banked["variant"].start[products.family] + products.variant
    size = banked["size"].start[products.family] + products.size
    return pl.DataFrame(
        {
            "label_group": np.arange(count),
            "line": products.line,
            "silhouette": pl.Series(shapes).gather(shape),
            "brand": tables["brand"].gather(_first_form(products.brand)).fill_null(""),
            "name": tables["name"].gather(_first_form(products.name)).fill_null(""),
            "variant": banked["variant"].table.gather(1 + variant * FORMS),
            "quantity": banked["size"].table.gather(1 + size * FORMS),
            "colour": np.array(colours)[variant],
            # One sibling in four is shown in a setting of its own.
            "scene": np.where(rng.random(count) < 0.25, rng.integers(0, 1 << 62, count), scene),
            "seed": rng.integers(0, 1 << 62, count),
        }
    )


def _first_form(number: Rows) -> Rows:
    return np.where(number > 0, 1 + (number - 1) * FORMS, 0)


def _photo_choices(
    rng: np.random.Generator, usual: npt.NDArray[np.uint32], copied: Flags
) -> tuple[npt.NDArray[np.uint8], Rows, npt.NDArray[np.uint8]]:
    """Choose for each post the original photo, the seed of the edits (0 for none) and the JPEG quality."""
    n = len(copied)
    views = np.array([1, 1, 2, 2, 2, 3, 3, 3], dtype=np.uint8)[(usual >> 23) % 8]
    main = rng.random(n) < np.where(copied, 0.52, 0.12)
    view = np.where(main, 0, rng.integers(0, 1 << 12, n) % views).astype(np.uint8)
    edited = rng.random(n) < np.where(copied, 0.38, 0.65)
    edit = np.where(edited, rng.integers(1, 1 << 62, n), 0)
    resaved = edited | (rng.random(n) < 0.3)
    quality = np.where(resaved, rng.integers(40, 93, n), 85).astype(np.uint8)
    return view, edit, quality


def _balanced(rng: np.random.Generator, count: int) -> Hashes:
    """Hashes such as `imagehash.phash` gives: half of the bits set, the first always."""
    words = np.arange(1 << 16, dtype=np.uint64)
    words = words[np.bitwise_count(words) == 8]
    high = words[words >= 1 << 15]
    hashes: Hashes = high[rng.integers(0, len(high), count)]
    for _ in range(3):
        hashes = (hashes << np.uint64(16)) | words[rng.integers(0, len(words), count)]
    return hashes


def _flips(rng: np.random.Generator, bits: Rows) -> Hashes:
    """Masks with up to the given numbers of bits set."""
    mask = np.zeros(len(bits), dtype=np.uint64)
    for i in range(int(bits.max(initial=0))):
        place = rng.integers(0, 63, len(bits), dtype=np.uint64)
        mask |= np.where(i < bits, np.uint64(1) << place, np.uint64(0))
    return mask


def _hashes(rng: np.random.Generator, products: Products, shop: Shop) -> pl.Series:
    """Make up perceptual hashes that repeat, drift and differ as those of the drawn photos do."""
    count = len(products.line)
    line = _balanced(rng, 3 * (int(products.line.max()) + 1)).reshape(-1, 3)[products.line]
    # Two siblings share a photo now and then; else theirs look alike.
    drift = np.where(products.alone | (rng.random(count) < 0.02), 0, rng.integers(4, 16, count))
    original = line ^ _flips(rng, np.repeat(drift, 3)).reshape(-1, 3)
    hashes = original[shop.product, shop.view]
    edited = np.flatnonzero(shop.edit)
    changed = rng.random(len(edited))
    hashes[edited] ^= _flips(rng, np.where(changed < 0.1, 0, rng.integers(2, 12, len(edited))))
    replaced = edited[changed > 0.55]
    hashes[replaced] = _balanced(rng, len(replaced))
    return pl.Series(np.frombuffer(hashes.astype(">u8").tobytes().hex().encode(), dtype="S16")).cast(pl.String)


@unforked
def synthesize(n: int, *, seed: int = 0, hashes: bool = False, singles: float = 0.0) -> Shop:
    """Make a catalogue of n posts without drawing anything.

    Args:
        n: posts, at least 1.
        seed: the same seed gives the same shop, at least 0.
        hashes: make up perceptual hashes instead of naming photos to be drawn.
        singles: share of the posts whose product nobody else sells, in [0, 1].

    Returns:
        The shop, its posts in random order.

    Raises:
        ConfigError: n, seed or singles is out of range.
    """
    _check_range("n", n, 1)
    _check_range("seed", seed, 0)
    if not 0.0 <= singles <= 1.0:
        raise ConfigError(f"singles={singles!r}", "a share from 0 to 1", "Pass for example singles=0.2.")
    rng = np.random.default_rng(seed)
    alone = round(n * singles)
    sizes = np.concatenate(
        [group_sizes(rng, n - alone) if alone < n else np.zeros(0, dtype=np.int64), np.ones(alone, dtype=np.int64)]
    )
    sizes = rng.permutation(sizes)
    names = int(np.clip(len(sizes) // 3, 60, 20_000))
    products = _make_products(rng, len(sizes), names)
    tables = coin_tables(seed, names)
    product = rng.permutation(np.repeat(np.arange(len(sizes), dtype=np.int32), sizes))
    copied = rng.random(n) < _COPIED
    view, edit, quality = _photo_choices(rng, products.usual[product], copied)
    title = pl.concat(
        [
            write_titles(rng, products, tables, product[at : at + _BLOCK].astype(np.int64), copied[at : at + _BLOCK])
            for at in range(0, n, _BLOCK)
        ]
    )
    shop = Shop(pl.DataFrame(), _product_table(rng, products, tables), product, view, edit, quality)
    number = pl.Series(np.arange(n)).cast(pl.String).str.zfill(7)
    missing = pl.repeat(None, n, dtype=pl.String, eager=True)
    posts = pl.DataFrame(
        {
            "posting_id": "post_" + number,
            "image": missing if hashes else number + ".jpg",
            "image_phash": _hashes(rng, products, shop) if hashes else missing,
            "title": title,
            "label_group": product.astype(np.int64),
        }
    )
    return replace(shop, posts=posts)


def _check_range(option: str, value: int, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{option}={value!r}", f"a whole number, {least} or more", f"Pass another {option}.")


@dataclass(frozen=True, slots=True)
class Drawing:
    """How the photos of a shop are drawn.

    Attributes:
        size: pixels per side of a photo, in [16, 2048].
        threads: photos drawn side by side; None: OMP_NUM_THREADS, or one per core.
        progress: called with ("photos", done, in all).
    """

    size: int = 256
    threads: int | None = None
    progress: Progress | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn.

        Raises:
            ConfigError: size or threads is out of range.
        """
        _check_range("size", self.size, 16)
        _check_range("threads", 1 if self.threads is None else self.threads, 1)
        if self.size > 2048:
            raise ConfigError(f"size={self.size!r}", "at most 2048 pixels", "Pass a smaller size.")


def write_shop(
    folder: Path,
    n: int,
    *,
    seed: int = 0,
    singles: float = 0.0,
    photos: bool | Drawing = True,
    overwrite: bool = False,
) -> Shop:
    """Make a catalogue of n posts and write `posts.csv` and, unless turned off, `photos/*.jpg`.

    The same n, seed, singles and size give the same bytes, whatever the number of threads.

    Args:
        folder: where to; it appears only when complete.
        n: posts, at least 1.
        seed: see `synthesize`.
        singles: see `synthesize`.
        photos: True: draw photos; a `Drawing` says how, for example `Drawing(size=64)`; False: the posts carry made-up
            perceptual hashes.
        overwrite: replace a folder that holds an earlier shop.

    Returns:
        The shop.

    Raises:
        ConfigError: an option is out of range.
        FolderError: the folder is there, cannot be written, or `overwrite` would replace something else.
    """
    drawing = Drawing() if photos is True else photos or None
    folder = Path(folder).resolve()
    _check_ours(folder, overwrite)
    check_free(folder, overwrite=overwrite, mark="posts.csv")
    shop = synthesize(n, seed=seed, hashes=drawing is None, singles=singles)
    with new_folder(folder, overwrite=overwrite, mark="posts.csv") as partial:
        shop.posts.write_csv(partial / "posts.csv")
        if drawing is not None:
            (partial / "photos").mkdir()
            draw_shop(shop, partial / "photos", drawing)
    return shop


def _check_ours(folder: Path, overwrite: bool) -> None:
    """Replace nothing but an earlier shop: other folders may hold a posts.csv too."""
    held = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    if overwrite and not held <= {"posts.csv", "photos"}:
        expected = "an earlier shop, posts.csv and photos alone, to overwrite"
        raise FolderError(
            f"{str(folder)!r} holds something else", expected, "Choose another folder, or remove this one yourself."
        )


def _jobs(shop: Shop, folder: Path, size: int) -> Iterator[Job]:
    """Cut the posts into jobs, posts of one product together so that an original is drawn once."""
    order = np.argsort(shop.product, kind="stable")
    names = shop.posts["image"]
    for at in range(0, len(order), _CHUNK):
        rows = order[at : at + _CHUNK]
        sold, look = np.unique(shop.product[rows], return_inverse=True)
        yield Job(
            looks=tuple(shop.looks(sold.astype(np.int64))),
            look=look.tolist(),
            view=shop.view[rows].tolist(),
            edit=shop.edit[rows].tolist(),
            quality=shop.quality[rows].tolist(),
            names=names.gather(rows).to_list(),
            folder=folder,
            size=size,
        )


def draw_shop(shop: Shop, folder: Path, drawing: Drawing) -> None:
    """Draw the photos of a shop into a folder that exists."""
    n, done = shop.posts.height, 0
    threads = drawing.threads or default_threads()
    with in_order(save_photos, _jobs(shop, folder, drawing.size), threads=threads, ahead=2 * threads) as saved:
        for number in saved:
            done += number
            if drawing.progress:
                drawing.progress("photos", done, n)
