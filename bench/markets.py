"""Every market left out once: what a classifier that never saw it makes of it. Writes docs/figures/markets.md.

    python bench/lessons.py --title FOLDER -o LESSONS
    python bench/markets.py LESSONS --margins MARGINS [-o docs/figures/markets.md]

For each market (all wdc_* count as one) and each Shopee fold a classifier learns from all others. MARGINS takes its
trees and its log-odds of the pairs of the pools left out; `bench/train_classifier.py` calibrates by them. The cut is
the same for all: the best on the mean of the markets, where what is lost against matching nothing counts five times;
chosen without the market that a row is about.
"""

import argparse
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
from sklearn.metrics import f1_score

from kembar.arrays import run_starts
from kembar.classifier.calibration import Calibration
from kembar.classifier.match_weights import log_odds, odds_to_probability
from kembar.classifier.trees import Growth, Trees, grow
from kembar.config import BY_RULES, Config
from kembar.evidence.edges import directed
from kembar.fitting.tuning import group_scores
from kembar.grouping.average_link import average_link_tree
from lessons import ACROSS
from titles import SHOPEE

CUTS = np.round(np.arange(0.1, 0.951, 0.05), 2)
MOST = (6000, 15_000)  # true pairs and others of a whole pool that are learned from
SIBLINGS = 0.3  # weight of a pair of made siblings, beside 1
SHOPEE_SHARE = 0.5
CROWD = re.compile(r" (above|top) |_blended|^similarity (shared|company)$")  # columns that tell what kind of pool it is
LOSS = 5.0
SURE = 1e-4  # probabilities nearer to 0 or 1 stay where they are
GROWTH = Growth(trees=160, leaves=31, rate=0.1, least=60, columns=0.3, others=1.0)


@dataclass
class Lesson:
    """One pool of bench/lessons.py, its table left on the disk."""

    path: Path

    def __post_init__(self) -> None:
        with np.load(self.path) as found:
            self.group = str(found["group"])
            for name in ("truth", "known", "left", "right", "weight", "labels", "source"):
                setattr(self, name, found[name])
            self.names = tuple(found["names"].tolist())

    @property
    def market(self) -> str:
        """The market, or fold of Shopee."""
        return self.path.stem.split("-")[0]

    @property
    def kind(self) -> str:
        """The form of the pool."""
        return self.path.stem.split("-")[1].split("_")[0]

    def table(self, names: tuple[str, ...]) -> np.ndarray:
        """The evidence of all pairs by these columns, NaN where the pool lacks one."""
        with np.load(self.path) as found:
            own = found["table"]
        place = {name: at for at, name in enumerate(self.names)}
        table = np.full((len(own), len(names)), np.nan, np.float32)
        for at, name in enumerate(names):
            if name in place:
                table[:, at] = own[:, place[name]]
        return table

    def chosen(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows to learn from, and how many pairs each stands for."""
        factor, kept = self.weight / np.median(self.weight).astype(np.float64), []
        for value, most in zip((True, False), MOST, strict=True):
            rows = np.flatnonzero(self.known & (self.truth == value))
            factor[rows] *= max(1.0, len(rows) / most)
            kept.append(np.random.default_rng(1).choice(rows, most, replace=False) if len(rows) > most else rows)
        rows = np.sort(np.concatenate(kept))
        return rows, factor[rows]


@dataclass
class Lessons:
    """All pools as one table to learn from."""

    pools: list[Lesson]
    names: tuple[str, ...]
    table: np.ndarray
    truth: np.ndarray
    factor: np.ndarray
    pool: np.ndarray

    @classmethod
    def read(cls, folder: Path) -> "Lessons":
        """Read the pools, without the columns that tell how crowded a pool is: they do not mean the same everywhere."""
        pools = [Lesson(path) for path in sorted(folder.glob("*.npz"))]
        longest_first = sorted((pool.names for pool in pools), key=len, reverse=True)
        names = tuple(name for name in dict.fromkeys(chain(*longest_first)) if not CROWD.search(name))
        rows, factors = zip(*(pool.chosen() for pool in pools), strict=True)
        sizes = [len(each) for each in rows]
        table = np.empty((sum(sizes), len(names)), np.float32)
        for pool, own, at in zip(pools, rows, np.cumsum(sizes) - sizes, strict=True):
            table[at : at + len(own)] = pool.table(names)[own]
        truth = np.concatenate([pool.truth[own] for pool, own in zip(pools, rows, strict=True)])
        return cls(pools, names, table, truth, np.concatenate(factors), np.repeat(np.arange(len(pools)), sizes))

    def weights(self, without: str | None = None) -> np.ndarray:
        """What each pair counts: half for Shopee; among the markets a larger one by the square root of its pairs.

        A pair that stands for others of a large pool counts as the square root of their number. Where it counts as all
        of them, a few outweigh what the other markets teach; as one, sparse catalogues get too many matches.
        """
        share = np.array([SIBLINGS if pool.kind == "siblings" else 1.0 for pool in self.pools])
        share *= np.array([pool.group != without for pool in self.pools])
        sizes = share * np.bincount(self.pool, minlength=len(self.pools))
        groups = np.array(["shopee" if pool.market in SHOPEE else pool.group for pool in self.pools])
        for group in set(groups[share > 0]) - {"shopee"}:
            share[groups == group] /= np.sqrt(sizes[groups == group].sum())
        for own, part in ((groups == "shopee", SHOPEE_SHARE), (groups != "shopee", 1 - SHOPEE_SHARE)):
            share[own] *= part / max((share * np.bincount(self.pool, minlength=len(self.pools)))[own].sum(), 1e-9)
        weight = share[self.pool] * np.sqrt(self.factor)
        return (weight / weight[weight > 0].mean()).astype(np.float32)

    def grown(self, without: str | None = None, growth: Growth = GROWTH) -> Trees:
        """Trees of all pools but those of a market."""
        weight = self.weights(without)
        some = weight > 0
        return grow(self.table[some], self.truth[some], weight[some], growth)


def margins(trees: Trees, pools: Iterable[Lesson], names: tuple[str, ...], folder: Path) -> None:
    """Write the log-odds of the pairs of some pools."""
    for pool in pools:
        table = pool.table(names)
        found = [trees.margin(part) for part in np.array_split(table, 1 + len(table) // 131_072)]
        np.save(folder / f"{pool.path.stem}.npy", np.concatenate(found))


def scores(pool: Lesson, probability: np.ndarray) -> np.ndarray:
    """F1, precision, recall by cut: (cuts, 3); in markets of two shops, across them."""
    ends = pool.left.astype(np.int64), pool.right.astype(np.int64)
    tree = average_link_tree(*ends, probability, len(pool.labels), cut=float(CUTS[0]))
    score = group_scores if pool.market not in ACROSS else lambda *codes: across(*codes, pool.source)
    return np.array([score(tree.labels(cut=float(cut)), pool.labels).mean(axis=0) for cut in CUTS])


def across(groups: np.ndarray, labels: np.ndarray, source: np.ndarray) -> np.ndarray:
    """F1, precision and recall of each post, its set being itself and the members from the other shop."""
    found, true = (others(codes, source) for codes in (groups, labels))
    both = others(groups.astype(np.int64) * (labels.max() + 1) + labels, source)
    return np.stack([2 * (1 + both) / (2 + found + true), (1 + both) / (1 + found), (1 + both) / (1 + true)], axis=1)


def others(codes: np.ndarray, source: np.ndarray) -> np.ndarray:
    """How many posts of the other shop have the same code."""
    _, code = np.unique(codes, return_inverse=True)
    count = np.zeros((code.max() + 1, source.max() + 1))
    np.add.at(count, (code, source), 1)
    return count[code].sum(axis=1) - count[code, source]


def pair_f1(pool: Lesson, probability: np.ndarray, cut: float) -> float:
    """F1 of the pairs whose truth is known."""
    return float(f1_score(pool.truth[pool.known], probability[pool.known] >= cut, zero_division=0))


def alone(pool: Lesson) -> float:
    """F1 of matching nothing."""
    labels = np.arange(len(pool.labels))
    score = group_scores if pool.market not in ACROSS else lambda *codes: across(*codes, pool.source)
    return float(score(labels, pool.labels)[:, 0].mean())


def by_words(pool: Lesson) -> float:
    """F1 of word TF-IDF with min2, at the threshold and the min2 that are best for this market."""
    words, n = pool.table(("word",))[:, 0], len(pool.labels)
    have = ~np.isnan(words)
    ends = pool.left[have].astype(np.int64), pool.right[have].astype(np.int64)
    source, target, score = directed(*ends, words[have])
    first, two = run_starts(source), pool.market in ACROSS
    apart = pool.source[source] != pool.source[target] if two else np.ones(len(source), dtype=bool)
    same = apart & (pool.labels[source] == pool.labels[target])
    true = others(pool.labels, pool.source) if two else np.bincount(pool.labels)[pool.labels] - 1
    found = [0.0]
    for threshold in CUTS:
        for min2 in CUTS[threshold >= CUTS][::2]:
            near = (score >= threshold) | (first & (score >= min2))
            right, every = np.bincount(source[near & same], minlength=n), np.bincount(source[near & apart], minlength=n)
            found.append(float((2 * (1 + right) / (2 + every + true)).mean()))
    return max(found)


def by_rules(pool: Lesson) -> float:
    """F1 of the hand-set rules as they come: average link on their similarity."""
    config = Config().with_model(BY_RULES).at_pool(len(pool.labels))
    ends, similarity = (pool.left.astype(np.int64), pool.right.astype(np.int64)), pool.table(("similarity",))[:, 0]
    cut = config.group_cut if config.cut is not None else config.settled().group_cut
    groups = average_link_tree(*ends, similarity, len(pool.labels), cut=cut).labels(cut=cut)
    score = group_scores if pool.market not in ACROSS else lambda *codes: across(*codes, pool.source)
    return float(score(groups, pool.labels)[:, 0].mean())


def recall(pool: Lesson) -> float:
    """Share of the true pairs that are candidates."""
    sizes = np.unique(pool.labels, return_counts=True)[1]
    total = int((sizes * (sizes - 1) // 2).sum())
    if pool.market in ACROSS:
        total = int(others(pool.labels, pool.source).sum()) // 2
    return float((pool.truth & pool.known).sum() / max(1, total))


def calibrated(pools: list[Lesson], folder: Path, without: str | None = None) -> Calibration:
    """Log-odds to probabilities, from pools left out when they were scored; each market counts alike."""
    whole = [pool for pool in pools if pool.kind in ("full", "half") and pool.group != without]
    whole = [pool for pool in whole if (folder / f"{pool.path.stem}.npy").exists()]
    found = [(np.load(folder / f"{pool.path.stem}.npy"), pool) for pool in whole]
    score = np.concatenate([margin[pool.known] for margin, pool in found])
    truth = np.concatenate([pool.truth[pool.known] for _, pool in found])
    weight = np.concatenate([np.full(int(pool.known.sum()), 1 / max(1, pool.known.sum())) for _, pool in found])
    return Calibration.fit(score, truth, weight)


def at_one_half(calibration: Calibration, cut: float) -> Calibration:
    """Move a map so that this cut becomes one half: from there on no post alone joins two that rule each other out.

    The mean of a probability below 1 and of 0, for the two that are ruled out, never reaches one half.
    """
    p = calibration.probability
    moved = odds_to_probability(log_odds(p) - log_odds(np.array([cut])))
    return replace(calibration, probability=np.where((p < SURE) | (p > 1 - SURE), p, moved))


def counts(pool: Lesson) -> bool:
    """Whether a pool has a say in the choice of the cut: whole, with all its true pairs known."""
    return pool.kind in ("full", "half") and pool.group != "wdc"


def best(found: list[tuple[Lesson, np.ndarray]]) -> int:
    """The place of the best cut: the highest mean F1, a loss against matching nothing counted five times.

    Each cut is judged with its two neighbours on either side, so that chance does not choose among cuts that are alike.
    """
    worth = []
    for group in sorted({pool.group for pool, _ in found}):
        own = [(curve[:, 0], alone(pool)) for pool, curve in found if pool.group == group]
        worth.append(np.mean([f1 - LOSS * np.maximum(0, least - f1) for f1, least in own], axis=0))
    padded = np.pad(np.mean(worth, axis=0), 2, mode="edge")
    return int(np.convolve(padded, np.full(5, 0.2), mode="valid").argmax())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lessons", type=Path)
    parser.add_argument("--margins", type=Path, required=True)
    parser.add_argument("--only", nargs="*", help="groups to leave out, one after the other")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    arguments.margins.mkdir(parents=True, exist_ok=True)
    lessons = Lessons.read(arguments.lessons)
    every = sorted({pool.group for pool in lessons.pools})
    for group in every if arguments.only is None else arguments.only:
        own = [pool for pool in lessons.pools if pool.group == group]
        if not all((arguments.margins / f"{pool.path.stem}.npy").exists() for pool in own):
            trees = lessons.grown(group)
            (arguments.margins / f"{group}.txt").write_text(trees.text(), encoding="utf-8")
            margins(trees, own, lessons.names, arguments.margins)
            print("left out", group, flush=True)
    text = table(lessons.pools, arguments.margins)
    print(text)
    if arguments.output:
        arguments.output.write_text(text, encoding="utf-8")


def table(pools: list[Lesson], folder: Path) -> str:
    """The figures of all markets as Markdown."""
    rows = []
    for pool in pools:
        path = folder / f"{pool.path.stem}.npy"
        if pool.kind in ("full", "half", "none") and path.exists():
            probability = calibrated(pools, folder, pool.group)(np.load(path))
            rows.append((pool, probability, scores(pool, probability)))
    lines = [
        "| left out | posts | self | TF-IDF | rules | F1 | precision | recall | cut | own best | pair F1 "
        "| sum p / true | candidates |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    chosen = [(pool, curve) for pool, _, curve in rows if counts(pool)]
    for pool, probability, curve in rows:
        at = best([each for each in chosen if each[0].group != pool.group])
        f1, precision, found = curve[at]
        ratio = probability[pool.known].sum() / max(1, int(pool.truth[pool.known].sum()))
        lines.append(
            f"| {pool.path.stem} | {len(pool.labels):,} | {alone(pool):.3f} | {by_words(pool):.3f} "
            f"| {by_rules(pool):.3f} | {f1:.4f} | {precision:.3f} | {found:.3f} | {CUTS[at]:.2f} "
            f"| {curve[:, 0].max():.4f} at {CUTS[curve[:, 0].argmax()]:.2f} "
            f"| {pair_f1(pool, probability, CUTS[at]):.3f} | {ratio:.2f} | {recall(pool):.3f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
