"""Where the labelled posts are, and their titles, which the title encoder learns from: Shopee and ten other markets."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kembar.fitting.tuning import fold_numbers
from kembar.posts.catalog import Catalog
from kembar.posts.columns import Columns
from kembar.posts.titles import normalize

FOLDS = 4
MARKETS = (
    *("abt_buy", "amazon_google", "walmart_amazon", "sigmod22_x1", "alaska_notebook", "promap_en", "ali"),
    *("wdc_cameras", "wdc_computers", "wdc_shoes"),
)
SHOPEE = tuple(f"shopee{fold}" for fold in range(FOLDS))
ALONE = 4000  # posts without a twin of one market that are enough
LARGE = 500  # groups of a market of large groups (at least LEAST posts each on average) that are enough
LEAST = 10


@dataclass(frozen=True)
class Titles:
    """Titles in normal form, and the group of each, counted from 0."""

    name: str
    texts: list[str]
    groups: np.ndarray

    def take(self, rows: np.ndarray) -> "Titles":
        """Some of them."""
        _, groups = np.unique(self.groups[rows], return_inverse=True)
        return Titles(self.name, [self.texts[row] for row in rows], groups)

    def fewer(self) -> "Titles":
        """Those that are learned from: not all of many posts without a twin, nor of many posts of one product."""
        draw, sizes = np.random.default_rng(0), np.bincount(self.groups)
        alone = sizes[self.groups] == 1
        kept = ~alone | (draw.random(len(alone)) < ALONE / max(1, int(alone.sum())))
        if sizes.mean() >= LEAST:
            kept &= np.isin(self.groups, draw.permutation(len(sizes))[:LARGE])
        return self.take(np.flatnonzero(kept))


def read(name: str) -> Titles:
    """Read the titles of a market, or ("shopee") those of all Shopee posts."""
    path = data() / "shopee" / "posts.csv" if name == "shopee" else data() / "markets" / name / "posts.csv"
    catalog = Catalog.read(path) if name == "shopee" else Catalog.read(path, columns=Columns(brand=None))
    _, groups = np.unique(catalog.labels, return_inverse=True)
    return Titles(name, normalize(catalog.titles).to_list(), groups)


def left_out(name: str) -> str:
    """What a market, or a fold of Shopee, is left out with: all wdc_* are one."""
    return "wdc" if name.startswith("wdc") else name


def to_learn_from(without: str | None = None) -> Iterator[Titles]:
    """All titles but those of a market, of all wdc_* ("wdc") or of a fold of Shopee ("shopee0")."""
    shopee = read("shopee")
    if without in SHOPEE:
        shopee = shopee.take(np.flatnonzero(fold_numbers(shopee.groups, FOLDS) != SHOPEE.index(without)))
    yield shopee
    yield from (read(name).fewer() for name in MARKETS if left_out(name) != without)


def data() -> Path:
    """Find the folder with the labelled posts."""
    beside = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    return Path(os.environ.get("KEMBAR_DATA", beside))
