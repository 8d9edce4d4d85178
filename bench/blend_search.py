"""What it is worth to search once more among blended posts: F1, candidates and CPU seconds, with it and without.

    python bench/blend_search.py [-o docs/figures/blend-search.md]

Neighbourhood blending compares candidates once more, by vectors that have learned from their sure neighbours. With
`advanced.blend.search` what is near by these alone is a candidate too. By the classifier that ships (which has learned
from all of these posts, so that its F1 says something of the difference alone) and by hand-set rules, in turn, one
thread. Recall is the share of the true pairs that are candidates.
"""

import argparse
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from kembar import Catalog, Config, Matcher
from kembar.classifier.pair_classifier import SHIPPED, model_folder
from titles import MARKETS, data

SEARCH = "advanced.blend.search"


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
    with tempfile.TemporaryDirectory() as folder:
        for pool in arguments.pools:
            catalog = Catalog.read((data() if pool == "shopee" else data() / "markets") / pool / "posts.csv")
            for by in ("classifier", "rules"):
                plain, more = (measured(catalog, by, search, Path(folder)) for search in (False, True))
                told = " | ".join(f"{one} | {other}" for one, other in zip(plain, more, strict=True))
                lines.append(f"| {pool} | {len(catalog):,} | {by} | {told} |")
                print(lines[-1], flush=True)
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


def measured(catalog: Catalog, by: str, search: bool, folder: Path) -> tuple[str, str, str]:
    """Match posts: F1, recall of the candidates and CPU seconds."""
    model = "rules" if by == "rules" else str(classifier(folder / str(search), search))
    config = Config.read(None, [f"model={model}", f"{SEARCH}={str(search).lower()}"])
    begin = time.process_time()
    result = Matcher(config).match(catalog)
    seconds = time.process_time() - begin
    labels, pairs = result.labels(), result.pairs
    known = labels[np.unique(result.copy_of)]  # of many copies one is compared
    sizes = np.bincount(known[known >= 0])
    found = (labels[pairs.left] == labels[pairs.right]) & (labels[pairs.left] >= 0)
    recall = found.sum() / max(1, (sizes * (sizes - 1) // 2).sum())
    return f"{result.scores()['f1']:.4f}", f"{recall:.4f}", f"{seconds:.1f}"


def classifier(folder: Path, search: bool) -> Path:
    """Copy the classifier that ships, as if it had learned with this option."""
    if not folder.is_dir():
        shutil.copytree(model_folder(SHIPPED), folder)
        mark = folder / "classifier.json"
        tree = json.loads(mark.read_text(encoding="utf-8"))
        tree["evidence"][SEARCH] = search
        mark.write_text(json.dumps(tree), encoding="utf-8")
    return folder


if __name__ == "__main__":
    main()
