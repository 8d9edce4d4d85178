"""Train the classifier that ships with kembar for posts without titles.

    python bench/train_photos_alone.py --bank BANK [-o src/kembar/classifier/shipped_photos] [--without groceries]

Learns from the pools of bench/photo_pools.py, whose photos and hashes are kept in BANK. Each pool is judged by trees
that have seen none of its products: by their log-odds the classifier is calibrated, and its cut chosen as the best mean
F1 of all, where a loss against matching nothing counts ten times if there are twins, among the cuts at which few posts
of large pools without twins get a match. --without leaves a source out, so that it can be measured. Writes trees.txt,
classifier.json and card.md.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from kembar.classifier.calibration import Calibration
from kembar.classifier.drift import FEWEST, Profile
from kembar.classifier.ownership import evidence_settings
from kembar.classifier.pair_classifier import PairClassifier
from kembar.classifier.training_pairs import pair_weights
from kembar.classifier.trees import Growth, Trees, grow
from kembar.config import Config
from kembar.fitting.tuning import group_scores
from kembar.folders import new_folder
from kembar.grouping.average_link import average_link_tree
from photo_pools import FOLDS, PARTS, Bank, Pool, pools

VIEWS = ("photo", "hash")
SETTINGS = ("advanced.photo.floor=0.5", "advanced.fusion.veto=false")  # the veto reads titles
CUTS = np.round(np.arange(0.1, 0.951, 0.05), 2)
MOST = (1500, 4000)  # true pairs and others of a pool that are learned from
SHARES = {"garments": 0.4, "drawn": 0.12, "mixed": 0.16, "groceries": 0.16, "hashes": 0.16}
FEW = 10  # pairs for each post, below which a pool counts less
LOSS = 10.0
LARGE, SPARED = 300, 1 - 0.05 / 3  # of so many posts without twins one in twenty may get a match: a third of its F1
REAL = ("garments", "groceries", "hashes")  # siblings of a drawn shop look the same
GROWTH = Growth(trees=100, leaves=24, rate=0.1, least=60, columns=0.4, others=1.0)

CARD = """# kembar-classifier-photos

Classifies candidate pairs of posts without titles, by the vectors of `kembar-photo` and by perceptual hashes, and does
without either: {trees} boosted trees over {columns} columns. Groups by average link, cut {cut}. kembar takes it where
no post of a catalogue has a title.

- **Learned from** {pools} pools of up to 3,000 posts, with and without twins, of mixed goods and of look-alikes, some
  with their hashes hidden: {sources}. {pairs:,} pairs, {true:,} of them true. Only weights are in it, no post.
- **Calibrated**, and its cut chosen, by trees that had seen none of a pool's products. By them:

{table}

- **Not learned from**: the 30 % of the garments, and the kinds of edits, by which `bench/photos_alone.py` measures.
- **Licences of the data**: clothing-dataset-small (CC0), GroceryStoreDataset (MIT), Shopee (competition terms, research
  use; hashes alone).
- **Made by**: `python bench/train_photos_alone.py --bank BANK`
"""
SOURCES = {
    "garments": "2,121 garments edited in the ways of sellers",
    "drawn": "drawn shops",
    "mixed": "both together",
    "groceries": "photos of 41 groceries",
    "hashes": "the hashes of Shopee's posts",
}


@dataclass
class Lessons:
    """What trees learn from: some pairs of every pool."""

    pools: list[Pool]
    names: tuple[str, ...]
    table: np.ndarray
    truth: np.ndarray
    weight: np.ndarray
    pool: np.ndarray

    @classmethod
    def of(cls, every: list[Pool]) -> "Lessons":
        """Choose the pairs; pools of a source share its weight, those of few pairs for a post have less."""
        names = max((each.names for each in every), key=len)
        chosen = [some_pairs(each) for each in every]
        count = {source: sum(each.source == source for each in every) for source in PARTS}
        tables = [columns(each, names)[rows] for each, (rows, _) in zip(every, chosen, strict=True)]
        weights = [
            weight / weight.sum() * share(each) / count[each.source]
            for each, (_, weight) in zip(every, chosen, strict=True)
        ]
        truth = np.concatenate([each.truth[rows] for each, (rows, _) in zip(every, chosen, strict=True)])
        number = np.repeat(np.arange(len(every)), [len(rows) for rows, _ in chosen])
        return cls(every, names, np.concatenate(tables), truth, np.concatenate(weights), number)

    def grown(self, without: int | None = None) -> Trees:
        """Trees of all folds but one."""
        kept = np.array([each.fold != without for each in self.pools])[self.pool]
        weight = self.weight[kept] / self.weight[kept].mean()
        return grow(self.table[kept], self.truth[kept], weight.astype(np.float32), GROWTH)


def share(pool: Pool) -> float:
    """What a pool counts against others of its source, times the share of the source."""
    return SHARES[pool.source] * min(1, len(pool.left) / (FEW * len(pool.labels)))


def columns(pool: Pool, names: Sequence[str]) -> np.ndarray:
    """The evidence by these columns, NaN where the pool lacks one."""
    if pool.names == tuple(names):
        return pool.table
    table = np.full((len(pool.table), len(names)), np.nan, np.float32)
    for at, name in enumerate(names):
        if name in pool.names:
            table[:, at] = pool.table[:, pool.names.index(name)]
    return table


def some_pairs(pool: Pool) -> tuple[np.ndarray, np.ndarray]:
    """Pairs to learn from, and what each counts."""
    weight = pair_weights(pool.left, pool.right, pool.labels).astype(np.float64)
    draw, kept = np.random.default_rng(1), []
    for value, most in zip((True, False), MOST, strict=True):
        rows = np.flatnonzero(pool.truth == value)
        weight[rows] *= max(1.0, len(rows) / most)
        kept.append(draw.choice(rows, most, replace=False) if len(rows) > most else rows)
    rows = np.sort(np.concatenate(kept))
    return rows, weight[rows]


def held_out_margins(lessons: Lessons) -> list[np.ndarray]:
    """Log-odds of all pairs of every pool, by trees that have seen none of its products."""
    found: list[np.ndarray] = [np.zeros(0, np.float32)] * len(lessons.pools)
    for fold in range(FOLDS):
        trees = lessons.grown(fold)
        for at, each in enumerate(lessons.pools):
            if each.fold == fold:
                found[at] = trees.margin(columns(each, lessons.names))
        print(f"fold {fold} judged", flush=True)
    return found


def calibrated(every: list[Pool], margins: list[np.ndarray]) -> Calibration:
    """Log-odds to probabilities; the posts of a source share its weight."""
    posts = {source: sum(len(each.labels) for each in every if each.source == source) for source in PARTS}
    weight = [np.full(len(each.left), SHARES[each.source] / posts[each.source]) for each in every]
    truth = np.concatenate([each.truth for each in every])
    return Calibration.fit(np.concatenate(margins), truth, np.concatenate(weight))


def scores(pool: Pool, probability: np.ndarray) -> np.ndarray:
    """F1, precision and recall by cut."""
    tree = average_link_tree(pool.left, pool.right, probability, len(pool.labels), cut=float(CUTS[0]))
    return np.array([group_scores(tree.labels(cut=float(cut)), pool.labels).mean(axis=0) for cut in CUTS])


def alone(pool: Pool) -> float:
    """F1 of matching nothing."""
    return float(group_scores(np.arange(len(pool.labels)), pool.labels)[:, 0].mean())


def best(every: list[Pool], curves: list[np.ndarray]) -> int:
    """The place of the best cut: the highest mean F1; where there are twins, a loss against nothing counts ten times.

    Without twins every match is a loss, whatever the cut: there it counts once, and large pools of real photos rule out
    the cuts that lose too much.
    """
    large = [c[:, 0] for each, c in zip(every, curves, strict=True) if strangers(each)]
    worth = np.where(np.mean(large, axis=0) >= SPARED, 0, -np.inf)
    for source in sorted({each.source for each in every}):
        own = [(c[:, 0], alone(each)) for each, c in zip(every, curves, strict=True) if each.source == source]
        losses = [f1 - LOSS * (least < 1) * np.maximum(0, least - f1) for f1, least in own]
        worth += SHARES[source] * np.mean(losses, axis=0)
    return int(worth.argmax())


def strangers(pool: Pool) -> bool:
    """Whether a pool is large, of real photos, and without twins."""
    return pool.source in REAL and len(pool.labels) >= LARGE and alone(pool) == 1


def table(every: list[Pool], curves: list[np.ndarray], at: int) -> str:
    """The held-out figures by source as Markdown."""
    lines = [
        "| pools | number | matching nothing | F1 | precision | recall | best cut of all | greatest loss |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for source in PARTS:
        for twins in (True, False):
            own = [
                (c, alone(each))
                for each, c in zip(every, curves, strict=True)
                if each.source == source and (alone(each) < 1) == twins
            ]
            if not own:
                continue
            f1, precision, recall = np.mean([c[at] for c, _ in own], axis=0)
            mean = np.mean([c[:, 0] for c, _ in own], axis=0)
            loss = max(least - c[at, 0] for c, least in own)
            lines.append(
                f"| {source}{'' if twins else ', no twins'} | {len(own)} | {np.mean([least for _, least in own]):.3f} "
                f"| {f1:.4f} | {precision:.4f} | {recall:.4f} | {mean.max():.4f} at {CUTS[mean.argmax()]:.2f} "
                f"| {max(0.0, loss):.4f} |"
            )
    return "\n".join(lines)


def typical(every: list[Pool]) -> list[Pool]:
    """The largest pools of each source, with and without twins: what the drift of others is measured by."""
    found = []
    for source, twins in product(PARTS, (True, False)):
        own = [each for each in every if each.source == source and (alone(each) < 1) == twins]
        found += sorted(own, key=lambda each: -len(each.left))[: 3 if twins else 1]
    return [each for each in found if len(each.left) >= FEWEST]


def fitted(every: list[Pool], config: Config) -> tuple[PairClassifier, str]:
    """A classifier of all pools, and what trees that had not seen them made of each."""
    lessons = Lessons.of(every)
    margins = held_out_margins(lessons)
    calibration = calibrated(every, margins)
    curves = [scores(each, calibration(margin)) for each, margin in zip(every, margins, strict=True)]
    at = best(every, curves)
    profiles = tuple(Profile.of(columns(each, lessons.names), lessons.names) for each in typical(every))
    card = {"pairs": len(lessons.truth), "true_pairs": int(lessons.truth.sum()), "pools": len(every)}
    classifier = PairClassifier(
        lessons.names,
        lessons.grown(),
        calibration,
        profiles,
        card,
        without=(("hash",), ("photo",)),
        cut=float(CUTS[at]),
        evidence=evidence_settings(config, VIEWS),
    )
    return classifier, table(every, curves, at)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bank", type=Path, required=True, help="encoded photos, made where they are not there")
    parser.add_argument("--without", nargs="*", default=[], choices=list(PARTS), help="sources to leave out")
    parser.add_argument("--set", nargs="*", default=SETTINGS, dest="settings", help="options that it learns with")
    parser.add_argument("-o", "--output", type=Path, default=Path("src/kembar/classifier/shipped_photos"))
    arguments = parser.parse_args()
    config = Config.read(None, ["model=rules", *arguments.settings])
    sources = [source for source in PARTS if source not in arguments.without]
    classifier, figures = fitted(list(pools(Bank.made(arguments.bank), config, sources)), config)
    card = CARD.format(
        trees=GROWTH.trees, columns=len(classifier.names), cut=classifier.cut, table=figures,
        pools=classifier.card["pools"], pairs=classifier.card["pairs"], true=classifier.card["true_pairs"],
        sources=", ".join(SOURCES[source] for source in sources),
    )  # fmt: skip
    with new_folder(arguments.output, overwrite=True, mark="classifier.json") as folder:
        classifier.write(folder)
        (folder / "card.md").write_text(card, encoding="utf-8")
    print(card)


if __name__ == "__main__":
    main()
