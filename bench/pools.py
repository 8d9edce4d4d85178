"""Pools of labelled Shopee posts: candidate pairs, their evidence and their truth, whole or with evidence left out.

What bench/fusion.py and bench/alone.py learn from and judge; bench/lessons.py has those of all markets.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from kembar.classifier.features import Features
from kembar.classifier.pair_classifier import PairClassifier
from kembar.classifier.training_pairs import TrainingPairs, pair_weights
from kembar.classifier.trees import Growth
from kembar.config import Config
from kembar.encoders.embeddings import Embeddings
from kembar.evidence.gathering import blended, gather
from kembar.evidence.pairs import Pairs
from kembar.evidence.scorers import scorers_of
from kembar.evidence.views import build_views
from kembar.fitting.dropout import thinned
from kembar.posts.buckets import draws_of
from kembar.posts.catalog import Catalog
from kembar.posts.titles import normalize
from kembar.results.scores import oracle
from titles import FOLDS

BARE = [
    "title=false",
    "advanced.word.least=0.15",
    "advanced.char.least=0.12",
]  # without the encoder, words have to find more
EVERYTHING = "everything"
HALF = "half without hashes, a tenth without titles"
LACKING = {  # in the order in which kembar.fitting.dropout hides evidence, by the views that are lacking altogether
    "no hashes": ("hash",),
    "no title encoder": ("title",),
    "no words, no characters": ("char", "word"),
    "words and characters alone": ("hash", "title"),
    "the title encoder alone": ("char", "hash", "word"),
    HALF: (),
}


@dataclass
class Pool:
    """Candidate pairs of some posts, described; `ends` are the folds of a pair's two posts."""

    pairs: Pairs
    truth: np.ndarray
    table: np.ndarray
    names: tuple[str, ...]
    labels: np.ndarray
    fold: np.ndarray

    @property
    def ends(self) -> np.ndarray:
        """The folds of both ends of each pair."""
        return np.stack([self.fold[self.pairs.left], self.fold[self.pairs.right]], axis=1)

    @property
    def weight(self) -> np.ndarray:
        """What each pair counts in training."""
        return pair_weights(self.pairs.left, self.pairs.right, self.labels)

    def columns(self, names: tuple[str, ...]) -> np.ndarray:
        """Give the table with these columns, NaN where this pool lacks one."""
        if names == self.names:
            return self.table
        table = np.full((len(self.table), len(names)), np.nan, np.float32)
        for at, name in enumerate(names):
            if name in self.names:
                table[:, at] = self.table[:, self.names.index(name)]
        return table

    def take(self, keep: np.ndarray) -> "Pool":
        """Some of the pairs."""
        return replace(self, pairs=self.pairs.take(keep), truth=self.truth[keep], table=self.table[keep])


def described(
    catalog: Catalog,
    fold: np.ndarray,
    vectors: np.ndarray | None,
    touching: int | None = None,
    lacking: str = EVERYTHING,
    share: float = 1.0,
) -> Pool:
    """Candidates and evidence of one pool; the rules' similarity stays among the evidence.

    `touching` keeps the pairs that touch a fold, `share` some of the pairs, by chance; `lacking` is EVERYTHING or one
    of LACKING.
    """
    config = Config.read(None, BARE if vectors is None else ()).at_pool(len(catalog))
    titles = normalize(catalog.titles)
    views = build_views(catalog, titles, config, {} if vectors is None else {"title": Embeddings.of(vectors)})
    if lacking in LACKING:
        pools = thinned(views, titles, draws_of(catalog.ids))
        pool = next(pool for pool in pools if pool.without == LACKING[lacking])
        views, titles = pool.views, pool.titles
    evidence = gather(views, titles, config)
    pairs = blended(evidence, config)
    features = Features.of(pairs, len(titles), scorers_of(titles, evidence.quantities, catalog))
    kept = np.random.default_rng(0).random(len(pairs)) < share
    if touching is not None:
        kept &= (fold[pairs.left] == touching) | (fold[pairs.right] == touching)
    rows = np.flatnonzero(kept)
    table = features.table(rows=rows)
    truth = (catalog.labels[pairs.left] == catalog.labels[pairs.right])[rows]
    score = oracle(pairs.left, pairs.right, catalog.labels)
    print(f"  {len(catalog):,} posts, {len(pairs):,} pairs, oracle F1 {score.f1:.4f}", flush=True)
    return Pool(pairs.take(rows), truth, table, features.names, catalog.labels, fold)


def fitted(
    pools: list[Pool], growth: Growth, density: np.ndarray | None = None, *, keep: bool = True
) -> PairClassifier:
    """A classifier of pools, by the columns of the first; their tables are dropped where not to be kept."""
    names = pools[0].names
    truth, ends, weight = (np.concatenate([getattr(p, what) for p in pools]) for what in ("truth", "ends", "weight"))
    table = np.empty((len(truth), len(names)), np.float32)
    at = 0
    for pool in pools:
        table[at : at + len(pool.truth)] = pool.columns(names)
        at += len(pool.truth)
        if not keep:
            pool.table = pool.table[:0].copy()
    return PairClassifier.fit(TrainingPairs(table, truth, ends, names, weight, density), growth=growth)


def fold_pools(catalog: Catalog, fold: np.ndarray, title: Path | None, lacking: str = EVERYTHING) -> list[Pool]:
    """One pool a fold, with all evidence or as LACKING says."""
    pools: list[Pool] = []
    for f in range(FOLDS):
        rows = np.flatnonzero(fold == f)
        vectors = None if title is None else np.load(title / f"title{f}.npy", mmap_mode="r")[rows]
        pools.append(described(catalog.take(rows), np.full(len(rows), f), vectors, lacking=lacking))
    return pools


def merged(parts: list[tuple[Pool, np.ndarray]]) -> tuple[Pool, np.ndarray]:
    """One list of pairs from several; a pair that is in two gets the mean of its probabilities."""
    n = len(parts[0][0].labels)
    key = np.concatenate([pool.pairs.left * n + pool.pairs.right for pool, _ in parts])
    p = np.concatenate([p for _, p in parts])
    unique, inverse = np.unique(key, return_inverse=True)
    mean = np.bincount(inverse, p) / np.bincount(inverse)
    left, right = np.divmod(unique, n)
    first = parts[0][0]
    truth = first.labels[left] == first.labels[right]
    empty = np.zeros((0, len(first.names)), np.float32)
    return Pool(Pairs(left, right, {}), truth, empty, first.names, first.labels, first.fold), mean.astype(np.float32)
