"""Estimates without labels against the truth, and the published test pairs, on every market left out.

    python bench/estimates.py LESSONS MARGINS [-o docs/figures/estimates.md]

Reads what bench/lessons.py and bench/markets.py wrote. A published pair counts as matched where its probability reaches
the cut; a pair that was never compared has probability 0.
"""

import argparse
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.metrics import f1_score

from kembar.evidence.pairs import SIMILARITY, Pairs
from kembar.grouping.average_link import average_link_tree
from kembar.posts.catalog import Catalog
from kembar.results.estimates import estimated
from lessons import keys, places
from markets import CUTS, Lesson, alone, best, calibrated, counts, scores
from titles import data


def published(pool: Lesson, probability: np.ndarray, cut: float) -> str:
    """F1 of the published test pairs; empty where there are none."""
    folder = data() / "markets" / pool.market
    if not (folder / "test_pairs.csv").exists():
        return ""
    catalog, n = Catalog.read(folder / "posts.csv"), len(pool.labels)
    pairs = pl.read_csv(folder / "test_pairs.csv", infer_schema_length=0)
    asked = keys(*(places(catalog, pairs[end]) for end in ("left", "right")), n)
    known = keys(pool.left, pool.right, n)
    order = np.argsort(known)
    at = np.minimum(np.searchsorted(known[order], asked), len(known) - 1)
    p = np.where(known[order][at] == asked, probability[order][at], 0)
    return f"{f1_score(pairs['same'].cast(pl.Int64).to_numpy(), p >= cut):.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lessons", type=Path)
    parser.add_argument("margins", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    pools = [Lesson(path) for path in sorted(arguments.lessons.glob("*-full.npz"))]
    pools += [Lesson(path) for path in sorted(arguments.lessons.glob("*-half.npz"))]
    found = {}
    for pool in pools:
        margin = np.load(arguments.margins / f"{pool.path.stem}.npy")
        probability = calibrated(pools, arguments.margins, pool.group)(margin)
        found[pool.path.stem] = (pool, probability, scores(pool, probability))
    lines = [
        "| left out | cut | precision | estimated | recall | estimated | F1 | self | published pairs, F1 |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    errors = []
    for name, (pool, probability, curve) in found.items():
        at = best([(other, c) for other, _, c in found.values() if counts(other) and other.group != pool.group])
        ends = pool.left.astype(np.int64), pool.right.astype(np.int64)
        groups = average_link_tree(*ends, probability, len(pool.labels), cut=float(CUTS[0])).labels(cut=float(CUTS[at]))
        told = estimated(Pairs(*ends, {SIMILARITY: probability}), groups)
        f1, precision, recall = curve[at]
        if counts(pool) and pool.kind == "full":
            errors += [abs(told.precision - precision), abs(told.recall - recall)]
        lines.append(
            f"| {name} | {CUTS[at]:.2f} | {precision:.3f} | {told.precision:.3f} | {recall:.3f} | {told.recall:.3f} "
            f"| {f1:.4f} | {alone(pool):.3f} | {published(pool, probability, float(CUTS[at]))} |"
        )
    text = "\n".join([*lines, "", f"Mean absolute error of the estimates, whole pools: {np.mean(errors):.3f}.", ""])
    print(text)
    if arguments.output:
        arguments.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
