"""Pools of labelled posts to learn from and to be scored on: ten markets and four Shopee folds, in many forms.

    python bench/lessons.py --title FOLDER -o LESSONS [--only abt_buy shopee0 ...]

Each market, and each fold of the Shopee posts, is described whole; in part, at densities from "everybody has a twin" to
"nobody has one", in pools of 40 to 3,500 posts; with evidence hidden; and with made siblings (bench/siblings.py). A
pool is a file of pairs, their evidence and their truth. FOLDER holds what `bench/train_title.py --left-out` wrote: all
posts are described by title encoders that have not seen their market, or their fold of Shopee.

Truth is used as far as it is known: in amazon_google and walmart_amazon across the two shops alone, in wdc_* the
published pairs, and pairs whose words have little in common.
"""

import argparse
import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
import polars as pl

import siblings
from kembar.classifier.features import Features
from kembar.classifier.training_pairs import pair_weights
from kembar.config import Config
from kembar.encoders.embeddings import Embeddings
from kembar.encoders.encoding import encode_posts
from kembar.evidence.gathering import blended, gather
from kembar.evidence.scorers import scorers_of
from kembar.evidence.views import build_views
from kembar.fitting.dropout import thinned
from kembar.fitting.tuning import fold_numbers
from kembar.posts.buckets import draws_of
from kembar.posts.catalog import Catalog
from kembar.posts.columns import Columns
from kembar.posts.problems import PROBLEMS
from kembar.posts.titles import normalize
from pools import EVERYTHING, HALF, LACKING
from titles import FOLDS, MARKETS, SHOPEE, data, left_out

ACROSS = ("amazon_google", "walmart_amazon")  # twins inside one shop are not labelled
CAPS = (1500, 4000)  # true pairs and others of a small pool that are enough
ALI = 5000  # posts of ali, in whole groups
WHOLE = (6000, 18_000)
UNLIKE = 0.3  # cosine of words below which an unlabelled wdc pair counts as two products
ORDER = (
    *(EVERYTHING, "no hashes", EVERYTHING, "no title encoder", EVERYTHING, "no words, no characters"),
    *(EVERYTHING, "words and characters alone", HALF, EVERYTHING, "the title encoder alone", EVERYTHING),
)


@dataclass
class Market:
    """Labelled posts and the vectors of their titles."""

    name: str
    catalog: Catalog
    vectors: np.ndarray
    encoder: str = "kembar-title"
    source: np.ndarray | None = None
    apart: np.ndarray | None = None
    inside: np.ndarray | None = None  # posts whose pairs alone count

    @property
    def group(self) -> str:
        """What is left out together."""
        return left_out(self.name)

    @classmethod
    def read(cls, name: str, title: Path) -> "Market":
        """Read a market, or a fold of Shopee, by its name."""
        if name in SHOPEE:
            fold = int(name[-1])
            catalog = Catalog.read(data() / "shopee" / "posts.csv")
            rows = np.flatnonzero(fold_numbers(catalog.labels, FOLDS) == fold)
            vectors = np.load(title / f"title{fold}.npy", mmap_mode="r")[rows]
            return cls(name, catalog.take(rows), vectors, str(title / f"encoder{fold}"))
        folder = data() / "markets" / name
        catalog = Catalog.read(folder / "posts.csv", columns=Columns(brand=None))
        if name == "ali":  # of titles in signs each post has some 150 candidates
            catalog = catalog.take(some_groups(catalog.labels, np.random.default_rng(0), ALI))
        source = pl.read_csv(folder / "posts.csv", infer_schema_length=0)["source"] if name in ACROSS else None
        apart = None
        if name.startswith("wdc"):
            pairs = pl.read_csv(folder / "neg_pairs.csv", infer_schema_length=0)
            apart = keys(*(places(catalog, pairs[end]) for end in pairs.columns[:2]), len(catalog))
        codes = None if source is None else source.rank("dense").to_numpy().astype(np.int64)
        encoder = str(title / f"encoder_{left_out(name)}")
        return cls(name, catalog, encoded(catalog, encoder), encoder, codes, apart)

    @classmethod
    def crowded(cls, name: str, title: Path) -> "Market":
        """A fold of Shopee among all posts: its own pairs count, at the density of the whole pool."""
        fold = int(name[-1])
        catalog = Catalog.read(data() / "shopee" / "posts.csv")
        vectors = np.load(title / f"title{fold}.npy")
        return cls(name, catalog, vectors, inside=fold_numbers(catalog.labels, FOLDS) == fold)

    def take(self, rows: np.ndarray) -> "Market":
        """Some of the posts."""
        known = None if self.apart is None else np.isin(self.place_pairs(rows), self.apart)
        source = None if self.source is None else self.source[rows]
        apart = None if known is None else self.place_pairs(rows, known)
        return Market(self.name, self.catalog.take(rows), self.vectors[rows], self.encoder, source, apart)

    def place_pairs(self, rows: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
        """Keys of the published pairs among some rows: as of all posts, or, with `known`, as of these rows."""
        place = np.full(len(self.catalog), -1)
        place[rows] = np.arange(len(rows))
        low, high = np.divmod(self.apart, len(self.catalog))
        both = (place[low] >= 0) & (place[high] >= 0)
        if known is None:
            return self.apart[both]
        return keys(place[low[both]], place[high[both]], len(rows))

    def known(self, left: np.ndarray, right: np.ndarray, words: np.ndarray) -> np.ndarray:
        """Which pairs have a known truth, and count."""
        if self.inside is not None:
            return self.inside[left] & self.inside[right]
        if self.source is not None:
            return self.source[left] != self.source[right]
        if self.apart is None:
            return np.ones(len(left), bool)
        same = self.catalog.labels[left] == self.catalog.labels[right]
        return same | np.isin(keys(left, right, len(self.catalog)), self.apart) | (words < UNLIKE)


def keys(left: np.ndarray, right: np.ndarray, n: int) -> np.ndarray:
    """One number for each unordered pair."""
    return np.minimum(left, right) * n + np.maximum(left, right)


def places(catalog: Catalog, ids: pl.Series) -> np.ndarray:
    """The rows of posts."""
    place = {name: row for row, name in enumerate(catalog.ids)}
    return np.array([place[name] for name in ids], dtype=np.int64)


def encoded(catalog: Catalog, encoder: str) -> np.ndarray:
    """The vectors of the titles."""
    config = Config(title_encoder=encoder, photo=False)
    return encode_posts(catalog, config).embeddings["title"].vectors


def posts_of(ids: list[str], titles: list[str], labels: np.ndarray, hashes: np.ndarray, hashed: np.ndarray) -> Catalog:
    """A catalogue of such posts, without photos."""
    texts = [pl.Series(each, dtype=pl.String) for each in (ids, titles, [""] * len(ids))]
    return Catalog(*texts, hashes.astype(np.uint64), hashed, labels, None, pl.DataFrame(schema=PROBLEMS))


def thin(labels: np.ndarray, draw: np.random.Generator, density: float) -> np.ndarray:
    """Rows that stay when each post but the first of its group goes with probability 1 - density."""
    order = draw.permutation(len(labels))
    stays = draw.random(len(labels)) < density
    stays[order[np.unique(labels[order], return_index=True)[1]]] = True
    return np.flatnonzero(stays)


def some_groups(labels: np.ndarray, draw: np.random.Generator, size: int) -> np.ndarray:
    """Rows of whole groups, about so many."""
    groups, sizes = np.unique(labels, return_counts=True)
    order = draw.permutation(len(groups))
    count = max(1, int((np.cumsum(sizes[order]) <= size).sum()))
    return np.flatnonzero(np.isin(labels, groups[order[:count]]))


def with_siblings(market: Market, draw: np.random.Generator, share: float) -> Market:
    """The posts, and siblings of the groups of a share; half of the siblings with the same photos."""
    catalog, chance = market.catalog, random.Random(int(draw.integers(1 << 30)))
    titles, words = catalog.titles.to_list(), siblings.vocabulary(catalog.titles.to_list())
    ids, labels = catalog.ids.to_list(), catalog.labels.tolist()
    hashes, hashed, price = catalog.hashes.tolist(), catalog.hashed.tolist(), []
    top = int(catalog.labels.max())
    for group in np.unique(catalog.labels):
        rows = np.flatnonzero(catalog.labels == group)[:6]
        made = siblings.change([titles[row] for row in rows], chance, words) if chance.random() < share else None
        top, same, factor = top + 1, chance.random() < 0.5, chance.choice([1, 1, 1.1, 1.5, 2, 0.7])
        for row, title in zip(rows, made or (), strict=False):
            if title is None:
                continue
            ids, labels = [*ids, f"{ids[row]}~{top}"], [*labels, top]
            titles.append(title)
            hashes.append(int(catalog.hashes[row]) if same else chance.getrandbits(64))
            hashed.append(bool(catalog.hashed[row]))
            price.append(factor * (np.nan if catalog.prices is None else catalog.prices[row]))
    posts = posts_of(ids, titles, np.array(labels), np.array(hashes, dtype=np.uint64), np.array(hashed))
    if catalog.prices is not None:
        posts = replace(posts, prices=np.concatenate([catalog.prices, price]))
    return Market(market.name, posts, encoded(posts, market.encoder), market.encoder)


def forms(market: Market) -> Iterator[tuple[str, Market, str, tuple[int, int] | None]]:
    """The pools of a market: key, posts, what is hidden, and the most pairs of each truth to keep."""
    labels, seed = market.catalog.labels, zlib.crc32(market.name.encode())
    shopee, whole = market.name in SHOPEE, market.source is None and market.apart is None
    yield "full", market, EVERYTHING, None
    if shopee:
        yield "half", market.take(np.flatnonzero(draws_of(market.catalog.ids) < 0.5)), EVERYTHING, None
        for size in (len(labels), 1000, 300, 100):
            draw = np.random.default_rng(seed + size)
            rows = thin(labels, draw, 0.0)
            rows = np.sort(draw.choice(rows, min(size, len(rows)), replace=False))
            yield f"none_{size}", market.take(rows), EVERYTHING, None
    for at in range(28 if shopee else 16):
        draw = np.random.default_rng(seed + at)
        size = int(np.exp(draw.uniform(np.log(40), np.log(min(len(labels), 3500)))))
        rows = some_groups(labels, draw, size)
        rows = rows[thin(labels[rows], draw, (0.0, draw.random(), draw.random(), 1.0)[at % 4])]
        hidden = ORDER[at % len(ORDER)]
        if not shopee:  # of titles alone only the encoder, or the words, can be hidden
            hidden = ORDER[at % 6].replace("no hashes", EVERYTHING)
        if len(rows) >= 10:
            yield f"part_{at}", market.take(rows), hidden, CAPS
            if whole and at % 3 == 0:
                yield f"siblings_{at}", with_siblings(market.take(rows), draw, 0.4), hidden, CAPS
    if whole and len(labels) < 10_000:
        yield "siblings", with_siblings(market, np.random.default_rng(seed + 99), 0.4), EVERYTHING, WHOLE


def described(market: Market, hidden: str, caps: tuple[int, int] | None) -> dict[str, np.ndarray] | None:
    """Candidates and evidence of one pool; None where what is to be hidden is not there."""
    catalog = market.catalog
    config, titles = Config().at_pool(len(catalog)), normalize(catalog.titles)
    views = build_views(catalog, titles, config, {"title": Embeddings.of(market.vectors)})
    if hidden != EVERYTHING:
        have = {view.name for view in views}
        wanted = tuple(sorted(set(LACKING[hidden]) & have))
        pools = [pool for pool in thinned(views, titles, draws_of(catalog.ids)) if pool.without == wanted]
        if not pools:
            return None
        views, titles = pools[0].views, pools[0].titles
    evidence = gather(views, titles, config)
    pairs = blended(evidence, config)
    scorers = scorers_of(titles, evidence.quantities, catalog)
    features = Features.of(pairs, len(catalog), scorers)
    truth = catalog.labels[pairs.left] == catalog.labels[pairs.right]
    words = pairs.evidence.get("word", pairs.evidence.get("title"))
    known = market.known(pairs.left, pairs.right, words)
    rows, factor = sampled(truth, known, caps)
    weight = pair_weights(pairs.left, pairs.right, catalog.labels)
    return {
        "table": features.table(rows=rows),
        "names": np.array(features.names),
        "truth": truth[rows],
        "known": known[rows],
        "left": pairs.left[rows],
        "right": pairs.right[rows],
        "weight": (weight * factor)[rows].astype(np.float32),
        "labels": catalog.labels,
        "source": np.zeros(0, np.int64) if market.source is None else market.source,
    }


def sampled(truth: np.ndarray, known: np.ndarray, caps: tuple[int, int] | None) -> tuple[np.ndarray, np.ndarray]:
    """Rows to keep (all where there are no caps), and how many pairs each stands for."""
    factor = np.ones(len(truth))
    if caps is None:
        return np.arange(len(truth)), factor
    draw, kept = np.random.default_rng(0), []
    for value, most in zip((True, False), caps, strict=True):
        rows = np.flatnonzero(known & (truth == value))
        factor[rows] = max(1.0, len(rows) / most)
        kept.append(draw.choice(rows, most, replace=False) if len(rows) > most else rows)
    return np.sort(np.concatenate(kept)), factor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--title", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=[*MARKETS, *SHOPEE])
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name in arguments.only:
        market = Market.read(name, arguments.title)
        crowd = [("whole", Market.crowded(name, arguments.title), EVERYTHING, WHOLE)] if name in SHOPEE else []
        for key, pool, hidden, caps in chain(forms(market), crowd):
            path = arguments.output / f"{name}-{key}.npz"
            found = None if path.exists() else described(pool, hidden, caps)
            if found is not None and len(found["truth"]):
                np.savez(path, group=market.group, **found)
                print(f"{name} {key}: {len(pool.catalog):,} posts, {len(found['truth']):,} pairs", flush=True)


if __name__ == "__main__":
    main()
