"""What photos add where the classifier has not learned from any: drawn shops, judged with and without.

    python bench/match_weights.py [--sizes 1500 5000] [-o docs/figures/match_weights.md]

The rows "no photos" still have the photos' hashes; "titles alone" have not.
"""

import argparse
import tempfile
from pathlib import Path

from kembar import Catalog, Config, Matcher, write_shop
from kembar.encoders.store import VectorStore

ROWS: dict[str, tuple[str, ...]] = {
    "hand-set rules": ("model=rules",),
    "hand-set rules, no photos": ("model=rules", "photo=false"),
    "classifier, photos weighted (the default)": (),
    "classifier, no photos": ("photo=false",),
    "hand-set rules, titles alone": ("model=rules", "photo=false", "hash=false"),
    "classifier, titles alone": ("photo=false", "hash=false"),
    "photos and hashes alone (so the rules decide)": ("word=false", "char=false", "title=false"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1500, 5000])
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    lines = ["| posts | model | F1 | precision | recall |", "| ---: | --- | ---: | ---: | ---: |"]
    for n in arguments.sizes:
        with tempfile.TemporaryDirectory() as scratch:
            shop, store = Path(scratch) / "shop", VectorStore(Path(scratch) / "vectors")
            write_shop(shop, n, seed=1)
            catalog = Catalog.read(shop / "posts.csv", images=shop / "photos")
            for name, settings in ROWS.items():
                found = Matcher(Config.read(None, settings), store=store).match(catalog).scores()
                figures = " | ".join(f"{found[key]:.4f}" for key in ("f1", "precision", "recall"))
                lines.append(f"| {n:,} | {name} | {figures} |")
                print(lines[-1], flush=True)
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
