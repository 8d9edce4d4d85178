"""The learned classifier against hand-set rules on four folds of labelled Shopee posts.

    python bench/fusion.py folds [--title FOLDER] [--kind xgboost]  rules, classifier, decisions, calibration, chaining
    python bench/fusion.py ablation [--title FOLDER]                without one group of columns after the other
    python bench/fusion.py missing --title FOLDER                   the pools without titles, hashes, the encoder
    python bench/fusion.py whole [--title FOLDER]                   all posts in one pool, judged out of fold

Reads $KEMBAR_DATA/shopee/posts.csv (see bench/shopee.py). Without --title the pairs are judged by titles and hashes;
with it also by the title encoder: FOLDER holds title0.npy to title3.npy of `bench/train_title.py --left-out`, each by
one that has not seen its fold. Each fold is judged by a classifier that learned from the other three, in pools of
the same size; its calibration, and every setting of a decision, come from held-out pairs of these three. Tables are
written to a file with -o, a reliability picture beside it; docs/figures/fusion.md holds them all,
docs/figures/missing.md those of `missing`.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import polars as pl

from kembar.classifier.calibration import calibration_error, reliability, sure_cut
from kembar.classifier.pair_classifier import PairClassifier
from kembar.classifier.trees import Growth, grow
from kembar.config import Config
from kembar.evidence.edges import directed
from kembar.evidence.pairs import SIMILARITY
from kembar.fitting.tuning import edge_scores, fold_numbers, group_scores
from kembar.grouping.average_link import average_link, average_link_tree
from kembar.grouping.groups import components, fill_singles
from kembar.grouping.matches import chisel, expected_f1, shopee_shares
from kembar.memory import peak_memory
from kembar.posts.catalog import Catalog
from kembar.results import charts
from pools import EVERYTHING, LACKING, Pool, described, fitted, fold_pools, merged
from titles import FOLDS, data

CUTS = np.round(np.arange(0.1, 0.8, 0.02), 3).tolist()
SIZES = np.round(np.arange(2.2, 3.4, 0.05), 3).tolist()
ALONE = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)
SINGLE = (0.1, 0.15, 0.2, 0.25, 0.3)
MIN2 = (0.05, 0.1, 0.15, 0.2, 0.3)

GROUPS: dict[str, Callable[[str], bool]] = {
    "all columns": lambda name: True,
    "raw similarities alone": lambda name: name in ("word", "char", "title", "hash"),
    "similarities, before and after blending": lambda name: name.split(" ")[0] == name and name != "titles",
    "without blending": lambda name: not name.startswith(("similarity", *(f"{v}_blended" for v in VIEWS))),
    "without ranks and ratios": lambda name: " rank " not in name and " ratio " not in name,
    "without counts and means of each end": lambda name: not any(f" {w} " in name for w in ("above", "top", "nearest")),
    "without shared candidates": lambda name: name not in ("similarity shared", "similarity company"),
    "without title comparison": lambda name: name.split(" ")[0] in (*ALL, *(f"{v}_blended" for v in VIEWS)),
    "without hashes": lambda name: name.split(" ")[0] != "hash",
}
VIEWS = ("word", "char", "title")
ALL = (*VIEWS, "hash", "similarity")


Rule = Callable[[Pool, np.ndarray], Iterator[tuple[str, np.ndarray]]]


def thresholds(pool: Pool, p: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    source, target, score = directed(pool.pairs.left, pool.pairs.right, p)
    first = np.r_[True, source[1:] != source[:-1]]
    for cut in CUTS:
        for low in (m for m in MIN2 if m <= cut):
            keep = (score >= cut) | (first & (score >= low))
            yield f"{cut}, {low}", edge_scores(source[keep], target[keep], pool.labels)


def expected(pool: Pool, p: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    for alone in ALONE:
        edges = expected_f1(pool.pairs.left, pool.pairs.right, p, len(pool.labels), alone=alone)
        yield str(alone), edge_scores(edges[0], edges[1], pool.labels)


def chiselled(pool: Pool, p: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    edges = chisel(pool.pairs.left, pool.pairs.right, p, len(pool.labels), shares=shopee_shares())
    yield "", edge_scores(edges[0], edges[1], pool.labels)


def linked(pool: Pool, p: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    tree = average_link_tree(pool.pairs.left, pool.pairs.right, p, len(pool.labels), cut=CUTS[0])
    for cut in CUTS:
        yield f"cut {cut}", group_scores(tree.labels(cut=cut), pool.labels)


def sized(pool: Pool, p: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    tree = average_link_tree(pool.pairs.left, pool.pairs.right, p, len(pool.labels), cut=0.02)
    for size in SIZES:
        yield f"size {size}", group_scores(tree.labels(target_size=size), pool.labels)


def connected(pool: Pool, p: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    for cut in CUTS:
        near = p >= cut
        labels = components(pool.pairs.left[near], pool.pairs.right[near], len(pool.labels))
        yield f"cut {cut}", group_scores(labels, pool.labels)


def filled(pool: Pool, p: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    ends = pool.pairs.left, pool.pairs.right, p
    tree = average_link_tree(*ends, len(pool.labels), cut=CUTS[0])
    for cut in CUTS[::2]:
        labels = tree.labels(cut=cut)
        for single in (single for single in SINGLE if single < cut):
            yield f"cut {cut}, {single}", group_scores(fill_singles(labels, *ends, cut=single), pool.labels)


RULES: dict[str, Rule] = {
    "threshold + min2": thresholds,
    "chisel": chiselled,
    "expected F1": expected,
    "components": connected,
    "average link, cut": linked,
    "average link, singles filled": filled,
    "average link, mean size": sized,
}


@dataclass
class Judged:
    """One fold: pools to choose settings on and the pool to score, each with probabilities; rows that count."""

    train: list[tuple[Pool, np.ndarray, np.ndarray]]
    test: tuple[Pool, np.ndarray, np.ndarray]


def scores(judged: list[Judged], rule: Rule) -> tuple[np.ndarray, list[str]]:
    """F1, precision and recall of each fold, by the setting that is best on its training pools."""
    found, chosen = [], []
    for each in judged:
        totals: dict[str, float] = {}
        for pool, p, rows in each.train:
            for setting, values in rule(pool, p):
                totals[setting] = totals.get(setting, 0) + values[rows, 0].mean()
        chosen.append(max(totals, key=totals.__getitem__))
        pool, p, rows = each.test
        found.append(next(v for setting, v in rule(pool, p) if setting == chosen[-1])[rows].mean(axis=0))
    return np.array(found), chosen


def line(name: str, values: np.ndarray, note: str = "") -> str:
    f1, precision, recall = values.mean(axis=0)
    figures = " | ".join(f"{v:.4f}" for v in (f1, values[:, 0].std(ddof=1), precision, recall))
    return f"| {name} | {figures} | {note} |"


HEAD = [
    "| model | decision | F1 | sd | precision | recall | settings |",
    "| --- | --- | ---: | ---: | ---: | ---: | --- |",
]


def judged_folds(
    pools: list[Pool], lacking: list[list[Pool]], growth: Growth
) -> tuple[list[Judged], list[Judged], list[PairClassifier]]:
    """The classifier's probabilities of every fold, and the rules' similarities in the same form.

    The classifier also learns from the pools that lack some evidence; settings are chosen on full ones alone.
    """
    learned, ruled, classifiers = [], [], []
    for f, pool in enumerate(pools):
        others = [other for g, other in enumerate(pools) if g != f]
        start = perf_counter()
        classifier = fitted([*others, *(pool for each in lacking for g, pool in enumerate(each) if g != f)], growth)
        everyone = slice(None)
        held = parted(classifier.held_out, others)
        train = [(other, p, everyone) for other, p in zip(others, held, strict=True)]
        learned.append(Judged(train, (pool, classifier.probability(pool.table), everyone)))
        plain = [(other, other.pairs.evidence[SIMILARITY], everyone) for other in others]
        ruled.append(Judged(plain, (pool, pool.pairs.evidence[SIMILARITY], everyone)))
        classifiers.append(classifier)
        print(f"  fold {f}: {perf_counter() - start:.0f} s of training", flush=True)
    return learned, ruled, classifiers


def parted(held_out: np.ndarray, pools: list[Pool]) -> list[np.ndarray]:
    """The held-out probabilities of the first pools that a classifier learned from."""
    return np.split(held_out, np.cumsum([len(pool.truth) for pool in pools]))[: len(pools)]


def decisions(judge: str, judged: list[Judged]) -> list[str]:
    lines = []
    for name, rule in RULES.items():
        values, chosen = scores(judged, rule)
        lines.append(line(f"{judge} | {name}", values, "; ".join(chosen)))
        print(lines[-1], flush=True)
    return lines


def calibrated(tests: list[tuple[Pool, np.ndarray, np.ndarray]], picture: Path | None) -> list[str]:
    """Calibration on the held-out folds, and the share of true pairs that can be accepted unseen."""
    errors, shares, reached = [], [], []
    for at, (pool, p, _) in enumerate(tests):
        errors.append(calibration_error(p, pool.truth))
        others = [t for g, t in enumerate(tests) if g != at]
        cut, _ = sure_cut(np.concatenate([q for _, q, _ in others]), np.concatenate([o.truth for o, _, _ in others]))
        accepted = p >= cut
        reached += [pool.truth[accepted].mean()] if accepted.any() else []
        shares.append(pool.truth[accepted].sum() / pool.truth.sum())
    table = reliability(np.concatenate([p for _, p, _ in tests]), np.concatenate([o.truth for o, _, _ in tests]))
    if picture is not None:
        charts.reliability(table, picture)
    spread = ", ".join(f"{e:.4f}" for e in errors)
    lines = [
        f"Expected calibration error over all candidate pairs of a held-out fold: mean {np.mean(errors):.4f}"
        f" ({spread}).",
        f"Accepting unseen at the cut that gives precision .99 on the other folds, which {len(reached)} of "
        f"{len(tests)} folds reach: precision {np.mean(reached):.4f}, {np.mean(shares):.1%} of the true candidate "
        f"pairs (sd {np.std(shares, ddof=1):.1%}).",
        "",
        "| probability from | to | pairs | mean probability | share true |",
        "| ---: | ---: | ---: | ---: | ---: |",
    ]
    for low, high, pairs, mean, share in table.iter_rows():
        lines.append(f"| {low:.2f} | {high:.2f} | {pairs:,} | {mean:.3f} | {share:.3f} |")
    return lines


def chaining(judged: list[Judged]) -> list[str]:
    """How components and average link fail: their largest group and the wrong pairs within groups."""
    lines = [
        "| grouping | largest group | wrong pairs within groups | F1 |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name in ("components", "average link, cut"):
        values, chosen = scores(judged, RULES[name])
        largest, wrong, pairs = 0, 0, 0
        for each, setting in zip(judged, chosen, strict=True):
            pool, p, _ = each.test
            cut, n = float(setting.split()[1]), len(pool.labels)
            ends = pool.pairs.left, pool.pairs.right
            near = p >= cut
            joined = components(ends[0][near], ends[1][near], n)
            labels = joined if name == "components" else average_link_tree(*ends, p, n, cut=cut).labels(cut=cut)
            sizes = np.bincount(labels)
            both = np.unique(labels * (pool.labels.max() + 1) + pool.labels, return_counts=True)[1]
            largest = max(largest, int(sizes.max()))
            inside = int((sizes * (sizes - 1) // 2).sum())
            wrong, pairs = wrong + inside - int((both * (both - 1) // 2).sum()), pairs + inside
        lines.append(f"| {name} | {largest} | {wrong / pairs:.1%} of {pairs:,} | {values[:, 0].mean():.4f} |")
    return lines


def run_folds(
    catalog: Catalog, fold: np.ndarray, title: Path | None, growth: Growth, picture: Path | None
) -> list[str]:
    pools = fold_pools(catalog, fold, title)
    lacking = [] if title is None else [fold_pools(catalog, fold, title, name) for name in LACKING]
    learned, ruled, classifiers = judged_folds(pools, lacking, growth)
    lines = [*HEAD, *decisions("rules", ruled), *decisions(growth.kind, learned), ""]
    lines += [*calibrated([each.test for each in learned], picture), "", *chaining(learned), ""]
    gains = pl.DataFrame(
        {"column": classifiers[0].names, "gain": np.mean([f.trees.gains() for f in classifiers], axis=0)}
    )
    best = gains.sort("gain", descending=True).head(15)
    lines.append("Columns by gain: " + ", ".join(f"{name} {gain:.3f}" for name, gain in best.iter_rows()) + ".")
    size = len(classifiers[0].trees.text().encode()) / 1e6
    lines.append(f"Trees as text: {size:.2f} MB. Peak memory {peak_memory() / 1e9:.1f} GB.")
    return lines


def run_ablation(
    catalog: Catalog, fold: np.ndarray, title: Path | None, growth: Growth, picture: Path | None
) -> list[str]:
    """One training a fold; the cut of average link from the other folds' scores."""
    pools = fold_pools(catalog, fold, title)
    lines = ["| columns | F1 | sd | precision | recall | number |", "| --- | ---: | ---: | ---: | ---: | ---: |"]
    for name, wanted in GROUPS.items():
        start = perf_counter()
        at = np.array([place for place, column in enumerate(pools[0].names) if wanted(column)])
        tables = []
        for f, pool in enumerate(pools):
            others = [other for g, other in enumerate(pools) if g != f]
            table = np.concatenate([other.table[:, at] for other in others])
            truth, weight = (np.concatenate([getattr(o, what) for o in others]) for what in ("truth", "weight"))
            margin = grow(table, truth, weight, growth).margin(pool.table[:, at])
            p = (1 / (1 + np.exp(-margin.astype(np.float64)))).astype(np.float32)
            tables.append(np.array([values.mean(axis=0) for _, values in linked(pool, p)]))
        stack = np.stack(tables)
        best = [int(np.delete(stack[:, :, 0], f, axis=0).mean(axis=0).argmax()) for f in range(FOLDS)]
        lines.append(line(name, np.array([stack[f, best[f]] for f in range(FOLDS)]), str(len(at))))
        print(f"{lines[-1]} {growth.kind}, {perf_counter() - start:.0f} s", flush=True)
    return lines


def run_whole(
    catalog: Catalog, fold: np.ndarray, title: Path | None, growth: Growth, picture: Path | None
) -> list[str]:
    """All posts in one pool; a pair is judged by classifiers that have not seen one of its ends, their mean where two
    have.

    With title vectors there are four pools, one by each encoder, of which only the pairs that touch its fold count.
    """
    pools = []
    for f in range(FOLDS):
        vectors = None if title is None else np.load(title / f"title{f}.npy")
        pools.append(described(catalog, fold, vectors, touching=f))
    learned, small = [], []
    narrow = fold_pools(catalog, fold, title)
    for f, pool in enumerate(pools):
        start = perf_counter()
        others = [other.take(~(other.ends == f).any(axis=1)) for g, other in enumerate(pools) if g != f]
        classifier = fitted(others, growth)
        held = merged(list(zip(others, parted(classifier.held_out, others), strict=True)))
        learned.append((held, (pool, classifier.probability(pool.table))))
        less = fitted([other for g, other in enumerate(narrow) if g != f], growth)
        small.append((pool, less.probability(pool.table), less))
        print(f"  fold {f}: {perf_counter() - start:.0f} s of training", flush=True)
    whole = merged([test for _, test in learned])
    judged = [
        Judged([(*held, np.flatnonzero(fold != f))], (*whole, np.flatnonzero(fold == f)))
        for f, (held, _) in enumerate(learned)
    ]
    lines = [*HEAD, *decisions(growth.kind, judged), ""]
    lines += [*calibrated([(pool, p, slice(None)) for _, (pool, p) in learned], picture), "", *chaining(judged[:1]), ""]
    lines += transfer(narrow, small, judged, fold)
    lines.append(f"Peak memory {peak_memory() / 1e9:.1f} GB.")
    return lines


def transfer(
    narrow: list[Pool], small: list[tuple[Pool, np.ndarray, PairClassifier]], judged: list[Judged], fold: np.ndarray
) -> list[str]:
    """The whole pool by classifiers and cuts of pools of 6,850: cuts alone, and both."""
    found = []
    cheap = merged([(pool, p) for pool, p, _ in small])
    for f, (_, _, less) in enumerate(small):
        others = [other for g, other in enumerate(narrow) if g != f]
        train = [(o, p, slice(None)) for o, p in zip(others, parted(less.held_out, others), strict=True)]
        _, chosen = scores([Judged(train, train[0])], linked)
        rows = np.flatnonzero(fold == f)
        for pool, p in (judged[f].test[:2], cheap):
            found.append(next(v for setting, v in linked(pool, p) if setting == chosen[0])[rows].mean(axis=0))
    return [
        "| settings | F1 | sd | precision | recall |  |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
        line("classifier of the whole pool, cut of 6,850 posts", np.array(found[::2])),
        line("classifier and cut of 6,850 posts", np.array(found[1::2])),
        "",
    ]


def run_missing(
    catalog: Catalog, fold: np.ndarray, title: Path | None, growth: Growth, picture: Path | None
) -> list[str]:
    """Classifiers that learned from all evidence, or also from pools that lack some, judge pools that lack some.

    The cut stays that of full pools.
    """
    pools = {name: fold_pools(catalog, fold, title, name) for name in (EVERYTHING, *LACKING)}
    by: dict[tuple[str, str], list[np.ndarray]] = {}
    for f in range(FOLDS):
        others = {name: [pool for g, pool in enumerate(each) if g != f] for name, each in pools.items()}
        taught = {
            "classifier of full pools": others[EVERYTHING],
            "classifier of all these pools": [pool for each in others.values() for pool in each],
        }
        for judge, train in taught.items():
            classifier = fitted(train, growth)
            full = zip(others[EVERYTHING], parted(classifier.held_out, others[EVERYTHING]), strict=True)
            judged = [(pool, p, slice(None)) for pool, p in full]
            _, (setting,) = scores([Judged(judged, judged[0])], linked)
            for name, each in pools.items():
                by.setdefault((name, judge), []).append(
                    grouped(each[f], classifier.probability(each[f].columns(classifier.names)), setting)
                )
        for name, each in pools.items():
            ruled = f"cut {by_rules(len(each[f].labels))}"
            by.setdefault((name, "rules"), []).append(grouped(each[f], each[f].pairs.evidence[SIMILARITY], ruled))
    lines = [
        "| evidence | model | F1 | sd | precision | recall |  |",
        "| --- | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    return lines + [line(f"{name} | {judge}", np.array(by[name, judge])) for name, judge in sorted(by, key=ranked)]


def ranked(row: tuple[str, str]) -> tuple[int, str]:
    """Keep the rows of one kind of pool together."""
    return [EVERYTHING, *LACKING].index(row[0]), row[1]


def grouped(pool: Pool, p: np.ndarray, setting: str) -> np.ndarray:
    """F1, precision and recall of a pool grouped by average link at a cut."""
    labels = average_link(pool.pairs.left, pool.pairs.right, p, len(pool.labels), cut=float(setting.split()[1]))
    return group_scores(labels, pool.labels).mean(axis=0)


def by_rules(posts: int) -> float:
    """The default cut of the rules in a pool of this size."""
    return Config.read(None, ["model=rules"]).at_pool(posts).group.cut


def main() -> None:
    runs = {"folds": run_folds, "ablation": run_ablation, "missing": run_missing, "whole": run_whole}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=runs)
    parser.add_argument("--title", type=Path, help="folder of title0.npy to title3.npy")
    parser.add_argument("--kind", default="lightgbm")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--trees", type=int, default=Growth().trees)
    parser.add_argument("--others", type=float, default=Growth().others)
    parser.add_argument("--only", default="", help="ablation: rows whose name holds this")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    catalog = Catalog.read(data() / "shopee" / "posts.csv")
    fold = fold_numbers(catalog.labels, FOLDS)
    growth = Growth(kind=arguments.kind, trees=arguments.trees, threads=arguments.threads, others=arguments.others)
    picture = arguments.output and arguments.output.with_suffix(".svg")
    for name in [name for name in GROUPS if arguments.only not in name]:
        del GROUPS[name]
    lines = runs[arguments.what](catalog, fold, arguments.title, growth, picture)
    print("\n".join(lines))
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
