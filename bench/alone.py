"""Posts without a twin: every post of the labelled Shopee posts has one, most marketplaces are not like that.

    python bench/alone.py --title FOLDER [-o docs/figures/alone.md]

Each fold is judged whole, and again with a random half of its posts taken away, which leaves a quarter of the others
alone. Classifiers learn from the other folds: whole, as the one that ships, or whole and in halves. By average link, at
the default cut and at higher ones. FOLDER holds title0.npy to title3.npy of `bench/train_title.py --left-out`.
"""

import argparse
from pathlib import Path

import numpy as np

from fusion import by_rules
from kembar.classifier.trees import Growth
from kembar.evidence.pairs import SIMILARITY
from kembar.fitting.tuning import fold_numbers, group_scores
from kembar.grouping.average_link import average_link_tree
from kembar.posts.buckets import draws_of
from kembar.posts.catalog import Catalog
from pools import Pool, described, fitted
from titles import FOLDS, data

CUTS = (0.34, 0.5, 0.6, 0.7)


def pools_of(catalog: Catalog, fold: np.ndarray, title: Path, share: float) -> list[Pool]:
    """One pool a fold, of a share of its posts."""
    found, draws = [], draws_of(catalog.ids)
    for f in range(FOLDS):
        rows = np.flatnonzero((fold == f) & (draws < share))
        vectors = np.load(title / f"title{f}.npy", mmap_mode="r")[rows]
        found.append(described(catalog.take(rows), np.full(len(rows), f), vectors))
    return found


def by_cut(pool: Pool, p: np.ndarray, cuts: tuple[float, ...]) -> list[float]:
    """Mean F1 of average link at each cut."""
    tree = average_link_tree(pool.pairs.left, pool.pairs.right, p, len(pool.labels), cut=min(cuts))
    return [float(group_scores(tree.labels(cut=cut), pool.labels)[:, 0].mean()) for cut in cuts]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--title", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    catalog = Catalog.read(data() / "shopee" / "posts.csv")
    fold = fold_numbers(catalog.labels, FOLDS)
    whole, halves = (pools_of(catalog, fold, arguments.title, share) for share in (1.0, 0.5))
    found: dict[str, list[list[float]]] = {}
    for f in range(FOLDS):
        others = [pool for g, pool in enumerate(whole) if g != f]
        more = [pool for g, pool in enumerate(halves) if g != f]
        for judge, pools in (("whole folds", others), ("whole folds and halves", others + more)):
            classifier = fitted(pools, Growth())
            for kind, pool in (("whole", whole[f]), ("half", halves[f])):
                p = classifier.probability(pool.columns(classifier.names))
                found.setdefault(f"{kind} | classifier of {judge}", []).append(by_cut(pool, p, CUTS))
        for kind, pool in (("whole", whole[f]), ("half", halves[f])):
            cut = by_rules(len(pool.labels))
            found.setdefault(f"{kind} | rules", []).append(by_cut(pool, pool.pairs.evidence[SIMILARITY], (cut,)))
    alone = np.mean([np.mean(np.bincount(pool.labels)[pool.labels] == 1) for pool in halves])
    lines = [
        f"In halves {alone:.0%} of the posts match no other. Mean F1 (sd over {FOLDS} folds).",
        "",
        f"| folds | model | {' | '.join(f'cut {cut}' for cut in CUTS)} | rules, default cut |",
        f"| --- | --- | {' | '.join('---:' for _ in CUTS)} | ---: |",
    ]
    for name in sorted(found, reverse=True):
        values = np.array(found[name])
        cells = [f"{m:.4f} ({s:.4f})" for m, s in zip(values.mean(axis=0), values.std(axis=0, ddof=1), strict=True)]
        row = [*cells, ""] if len(cells) > 1 else ["" for _ in CUTS] + cells
        lines.append(f"| {name} | {' | '.join(row)} |")
    print("\n".join(lines))
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
