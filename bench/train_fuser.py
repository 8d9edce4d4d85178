"""Train the fuser that ships with kembar.

    python bench/train_fuser.py --title FOLDER [-o src/kembar/models/fuser]

Learns from the labelled Shopee posts of bench/shopee.py, at two densities: each fold in a pool of its own, and among
all posts. The title encoder learned from the same labels, so the pairs that touch a fold are described by an encoder
that has not seen it: FOLDER holds title0.npy to title3.npy of `bench/train_title.py --folds`. Writes trees.txt,
fuser.json, config.toml and card.md. Takes 7 GB of memory.
"""

import argparse
from pathlib import Path

import numpy as np

from fusion import Judged, described, fitted, fold_pools, linked, merged, scores
from kembar.boosting import Growth
from kembar.catalog import Catalog
from kembar.config import Config
from kembar.tuning import fold_numbers
from shopee import FOLDS, data

CARD = """# kembar-fuser

Judges candidate pairs of posts by the evidence of words, characters, the title encoder and perceptual hashes: {trees}
boosted trees over {columns} columns, calibrated by isotonic regression on held-out folds. Groups by average link, cut
{cut}.

- **Learned from**: {posts:,} posts of Kaggle "Shopee - Price Match Guarantee" (Indonesian and English titles), in four
  pools of about {pool:,} and in one pool: {pairs:,} candidate pairs, of which {true:,} are true. Title vectors out of
  fold.
- **Held out**: expected calibration error {error:.4f}; average link, the cut from the other folds:
  - pools of {pool:,}: {narrow}
  - one pool: {wide}
- **Made by**: `python bench/train_fuser.py --title FOLDER`
- **Not for**: other languages or kinds of goods without a look at the drift warning of `kembar match`; then learn from
  labels of your own with `kembar learn`. Labelled posts are not free of errors: of pairs with the same photo 3.7 % have
  different labels.
"""


def told(judged: list[Judged]) -> str:
    """The held-out scores of average link, in words."""
    values, chosen = scores(judged, linked)
    f1, precision, recall = values.mean(axis=0)
    cuts = ", ".join(setting.split()[1] for setting in chosen)
    spread = values[:, 0].std(ddof=1)
    return f"F1 {f1:.4f} (sd over folds {spread:.4f}), precision {precision:.4f}, recall {recall:.4f}; cuts {cuts}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--title", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path, default=Path("src/kembar/models/fuser"))
    arguments = parser.parse_args()
    catalog = Catalog.read(data() / "shopee" / "posts.csv")
    fold = fold_numbers(catalog.labels, FOLDS)
    narrow = fold_pools(catalog, fold, arguments.title)
    wide = [described(catalog, fold, np.load(arguments.title / f"title{f}.npy"), touching=f) for f in range(FOLDS)]
    fuser = fitted([*narrow, *wide], Growth(threads=arguments.threads, others=0.12))
    held = np.split(fuser.held_out, np.cumsum([len(pool.truth) for pool in (*narrow, *wide)])[:-1])
    apart = [(pool, p, slice(None)) for pool, p in zip(narrow, held, strict=False)]
    whole = merged(list(zip(wide, held[FOLDS:], strict=True)))
    small = [Judged([part for g, part in enumerate(apart) if g != f], apart[f]) for f in range(FOLDS)]
    large = [Judged([(*whole, np.flatnonzero(fold != f))], (*whole, np.flatnonzero(fold == f))) for f in range(FOLDS)]
    reached = {name: told(judged) for name, judged in (("narrow", small), ("wide", large))}
    # One cut for pools of any size: best on the mean of both, each fold's pool a fourth of one.
    both = [*apart, *[(*whole, slice(None))] * FOLDS]
    cut = float(scores([Judged(both, apart[0])], linked)[1][0].split()[1])
    fuser.save(arguments.output, overwrite=True)
    config = Config.read(None, [f"group.cut={cut}"])
    (arguments.output / "config.toml").write_text(config.text(), encoding="utf-8")
    facts = {"trees": Growth().trees, "columns": len(fuser.names), "posts": len(catalog), "cut": cut}
    counts = {"pool": len(catalog) // FOLDS, "pairs": fuser.card["pairs"], "true": fuser.card["true_pairs"]}
    card = CARD.format(**facts, **counts, error=fuser.card["calibration_error"], **reached)
    (arguments.output / "card.md").write_text(card, encoding="utf-8")
    print(card)
    bytes_ = sum(path.stat().st_size for path in arguments.output.iterdir())
    print(f"Wrote {arguments.output}: {bytes_ / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
