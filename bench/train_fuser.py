"""Train the fuser that ships with kembar.

    python bench/train_fuser.py --title FOLDER [-o src/kembar/models/fuser]

Learns from the labelled Shopee posts of bench/shopee.py. The title encoder learned from the same labels, so each fold
is described in a pool of its own by an encoder that has not seen it: FOLDER holds title0.npy to title3.npy of
`bench/train_title.py --folds`. Writes trees.txt, fuser.json, config.toml and card.md.
"""

import argparse
from pathlib import Path

import numpy as np

from fusion import Judged, fitted, fold_pools, line, linked, scores
from kembar.boosting import Growth
from kembar.catalog import Catalog
from kembar.config import Config
from kembar.tuning import fold_numbers
from shopee import FOLDS, data

CARD = """# kembar-fuser

Judges candidate pairs of posts by the evidence of words, characters, the title encoder and perceptual hashes: {trees}
boosted trees over {columns} columns, calibrated by isotonic regression on held-out folds.

- **Learned from**: {posts:,} posts of Kaggle "Shopee - Price Match Guarantee" (Indonesian and English titles), in four
  pools of about {pool:,}; {pairs:,} candidate pairs, of which {true:,} are true. Title vectors out of fold.
- **Held-out**: expected calibration error {error:.4f}; average link at the chosen cut {cut}: F1 {f1:.4f} (standard
  deviation over folds {sd:.4f}), precision {precision:.4f}, recall {recall:.4f}, each fold in a pool of its own.
- **Made by**: `python bench/train_fuser.py --title FOLDER`
- **Not for**: other languages or kinds of goods without a look at the drift warning of `kembar match`; then learn from
  labels of your own with `kembar learn`. Labelled posts are not free of errors: of pairs with the same photo 3.7 % have
  different labels.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--title", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path, default=Path("src/kembar/models/fuser"))
    arguments = parser.parse_args()
    catalog = Catalog.read(data() / "shopee" / "posts.csv")
    fold = fold_numbers(catalog.labels, FOLDS)
    pools = fold_pools(catalog, fold, arguments.title)
    fuser = fitted(pools, Growth(threads=arguments.threads))
    held = np.split(fuser.held_out, np.cumsum([len(pool.truth) for pool in pools])[:-1])
    parts = [(pool, p, slice(None)) for pool, p in zip(pools, held, strict=True)]
    judged = [Judged([part for g, part in enumerate(parts) if g != f], parts[f]) for f in range(FOLDS)]
    values, chosen = scores(judged, linked)
    _, best = scores([Judged(parts, parts[0])], linked)
    cut = float(best[0].split()[1])
    print(line("average link, held out", values, "; ".join(chosen)))
    fuser.save(arguments.output, overwrite=True)
    size = len(catalog) // FOLDS
    config = Config.read(None, [f"pool.size={size}", f"group.cut={cut}"])
    config = config.model_copy(update={"blend": Config().at_pool(size).blend})
    (arguments.output / "config.toml").write_text(config.text(), encoding="utf-8")
    f1, precision, recall = values.mean(axis=0)
    card = CARD.format(
        trees=Growth().trees,
        columns=len(fuser.names),
        posts=len(catalog),
        pool=size,
        pairs=fuser.card["pairs"],
        true=fuser.card["true_pairs"],
        error=fuser.card["calibration_error"],
        cut=cut,
        f1=f1,
        sd=values[:, 0].std(ddof=1),
        precision=precision,
        recall=recall,
    )
    (arguments.output / "card.md").write_text(card, encoding="utf-8")
    bytes_ = sum(path.stat().st_size for path in arguments.output.iterdir())
    print(f"Wrote {arguments.output}: {bytes_ / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
