"""What it is worth to search once more among blended posts: F1, candidates and CPU seconds, with it and without.

    python bench/blend_search.py [-o docs/figures/blend-search.md]

Neighbourhood blending compares candidates once more, by vectors that have learned from their sure neighbours. With
`advanced.blend.search` what is near by these alone is a candidate too. By the classifier that ships (which has learned
from all of these posts, so that its F1 says something of the difference alone) and by hand-set rules, in turn, one
thread. Recall is the share of the true pairs that are candidates.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np

from kembar import Catalog, Config, Matcher
from kembar.classifier.pair_classifier import SEARCH
from kembar.config import SHIPPED
from titles import MARKETS, data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pools", nargs="+", default=["shopee", *MARKETS])
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    lines = [
        "| posts | n | by | F1 | F1, searched again | recall | searched again | CPU seconds | searched again |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for pool in arguments.pools:
        catalog = Catalog.read((data() if pool == "shopee" else data() / "markets") / pool / "posts.csv")
        for by, model in (("classifier", SHIPPED), ("rules", "rules")):
            plain, more = (measured(catalog, model, search) for search in ("false", "true"))
            told = " | ".join(f"{one} | {other}" for one, other in zip(plain, more, strict=True))
            lines.append(f"| {pool} | {len(catalog):,} | {by} | {told} |")
            print(lines[-1], flush=True)
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


def measured(catalog: Catalog, model: str, search: str) -> tuple[str, str, str]:
    """Match posts: F1, recall of the candidates and CPU seconds."""
    config = Config.read(None, [f"model={model}", f"{SEARCH}={search}"])
    begin = time.process_time()
    result = Matcher(config).match(catalog)
    seconds = time.process_time() - begin
    labels, pairs = result.labels(), result.pairs
    known = labels[np.unique(result.copy_of)]  # of many copies one is compared
    sizes = np.bincount(known[known >= 0])
    found = (labels[pairs.left] == labels[pairs.right]) & (labels[pairs.left] >= 0)
    recall = found.sum() / max(1, (sizes * (sizes - 1) // 2).sum())
    return f"{result.scores()['f1']:.4f}", f"{recall:.4f}", f"{seconds:.1f}"


if __name__ == "__main__":
    main()
