"""Train the classifier that ships with kembar.

    python bench/train_classifier.py --title FOLDER [-o src/kembar/classifier/shipped]

Learns from the labelled Shopee posts of bench/shopee.py, at four densities: each fold cut into pools of about 120 and
850 posts, in a pool of its own, and among all posts; again from pools that lack some of the evidence, so that it can do
without; and from pools that half of the posts were taken from, so that it knows posts without a twin, of which these
have none. The title encoder learned from the same labels, so the pairs that touch a fold are described by an encoder
that has not seen it: FOLDER holds title0.npy to title3.npy of `bench/train_title.py --folds`. These posts have no
photos at hand: a first guess at what the photo encoder's cosines add comes from a drawn shop (see
kembar.classifier.match_weights).
Writes trees.txt, classifier.json and card.md. Takes 14 GB of memory.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from fusion import CUTS
from kembar import write_shop
from kembar.classifier.classify import ALIKE
from kembar.classifier.match_weights import hundredths, weights
from kembar.classifier.trees import Growth
from kembar.config import BY_RULES, Config
from kembar.fitting.dropout import draws_of
from kembar.fitting.tuning import fold_numbers, group_scores
from kembar.folders import new_folder
from kembar.grouping.groups import average_link_tree
from kembar.matcher import Matcher
from kembar.posts.catalog import Catalog
from pools import EVERYTHING, HALF, LACKING, Pool, described, fitted, merged
from shopee import FOLDS, data

SIZES = (120, 850, 6850)
WHOLE = 0  # the size that stands for all posts
OFTEN = ("no hashes", HALF)  # lacking in the pool of all posts too
SHARE = 0.25  # of the pairs of these pools: enough
HALVED = "everything, half of the posts gone"
DRAWN = 6000

CARD = """# kembar-classifier

Classifies candidate pairs of posts by the evidence of words, characters, the title encoder and perceptual hashes:
{trees} boosted trees over {columns} columns, calibrated by isotonic regression on held-out folds. Groups by average
link, cut {cut}, which is the default of `learned.cut`.

- **Learned from**: {posts:,} posts of Kaggle "Shopee - Price Match Guarantee" (Indonesian and English titles), in pools
  of about 120, 850, 6,850 and of all posts, with all evidence and with some left out, and with half of the posts left
  out: {pairs:,} candidate pairs, of which {true:,} are true. Title vectors out of fold.
- **Held out**: expected calibration error {error:.4f}. Average link at this one cut, by trees that had not
  seen the fold:

{table}

- **Photos**: it has learned from none. What their cosines add is estimated in each run
  (kembar.classifier.match_weights), from a first guess that a drawn shop of {drawn:,} posts gave for `kembar-photo`.
- **Made by**: `python bench/train_classifier.py --title FOLDER`
- **Not for**: other languages or kinds of goods without a look at the drift warning of `kembar match`; then learn from
  labels of your own with `kembar tune`. Labelled posts are not free of errors: of pairs with the same photo 3.7 % have
  different labels.
"""


def cut_into(rows: np.ndarray, labels: np.ndarray, size: int) -> list[np.ndarray]:
    """Deal whole groups to pools of about a size."""
    groups, of = np.unique(labels[rows], return_inverse=True)
    pools = max(1, round(len(rows) / size))
    dealt = np.random.default_rng(0).permutation(len(groups)) % pools
    return [rows[dealt[of] == pool] for pool in range(pools)]


def pools_of(catalog: Catalog, fold: np.ndarray, title: Path, size: int, lacking: str = EVERYTHING) -> list[Pool]:
    """All folds, cut into pools of about a size; `lacking` is EVERYTHING, HALVED or one of LACKING."""
    some = halved(catalog, lacking)
    found = []
    for f in range(FOLDS):
        vectors = np.load(title / f"title{f}.npy", mmap_mode="r")
        parts = (rows[some[rows]] for rows in cut_into(np.flatnonzero(fold == f), catalog.labels, size))
        made = (described(catalog.take(rows), np.full(len(rows), f), vectors[rows], lacking=lacking) for rows in parts)
        found.extend(made)
    return found


def whole_of(
    catalog: Catalog, fold: np.ndarray, title: Path, lacking: str = EVERYTHING, share: float = 1.0
) -> list[Pool]:
    """All posts in one pool, once by each encoder; of its pairs those that touch the fold it has not seen."""
    found, rows = [], np.flatnonzero(halved(catalog, lacking))
    posts = catalog.take(rows)
    for f in range(FOLDS):
        vectors = np.load(title / f"title{f}.npy")[rows]
        found.append(described(posts, fold[rows], vectors, touching=f, lacking=lacking, share=share))
    return found


def halved(catalog: Catalog, lacking: str) -> np.ndarray:
    """Take half of the posts away where so wanted: a quarter of the others then have no twin."""
    return draws_of(catalog.ids) < (0.5 if lacking == HALVED else 1.0)


Judged = tuple[Pool, np.ndarray]


def scores(judged: list[Judged], fold: np.ndarray | None) -> np.ndarray:
    """F1, precision and recall by cut and fold: (cuts, folds, 3)."""
    sums, counts = np.zeros((len(CUTS), FOLDS, 3)), np.zeros(FOLDS)
    for pool, p in judged:
        own = pool.fold if fold is None else fold
        counts += np.bincount(own, minlength=FOLDS)
        tree = average_link_tree(pool.pairs.left, pool.pairs.right, p, len(pool.labels), cut=CUTS[0])
        for at, cut in enumerate(CUTS):
            values = group_scores(tree.labels(cut=cut), pool.labels)
            sums[at] += np.stack([np.bincount(own, values[:, c], FOLDS) for c in range(3)], axis=1)
    return sums / counts[:, None]


def photo_weights(folder: Path) -> np.ndarray:
    """What a cosine of the photo encoder adds to the log-odds of a pair of a drawn shop, where hashes differ."""
    write_shop(folder / "shop", DRAWN, seed=7)
    catalog = Catalog.read(folder / "shop" / "posts.csv", images=folder / "shop" / "photos")
    pairs = Matcher(Config().with_model(BY_RULES)).match(catalog).pairs
    truth = catalog.labels[pairs.left] == catalog.labels[pairs.right]
    known = (pairs.evidence["hash"] < ALIKE) & ~np.isnan(pairs.evidence["photo"])
    return weights(truth[known].astype(float), hundredths(pairs.evidence["photo"][known]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--title", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path, default=Path("src/kembar/classifier/shipped"))
    arguments = parser.parse_args()
    catalog = Catalog.read(data() / "shopee" / "posts.csv")
    fold = fold_numbers(catalog.labels, FOLDS)
    with tempfile.TemporaryDirectory() as scratch:
        guess = photo_weights(Path(scratch))
    kinds = {(size, EVERYTHING): pools_of(catalog, fold, arguments.title, size) for size in SIZES}
    kinds[WHOLE, EVERYTHING] = whole_of(catalog, fold, arguments.title)
    for lacking in LACKING:
        kinds |= {(size, lacking): pools_of(catalog, fold, arguments.title, size, lacking) for size in SIZES[1:]}
    kinds |= {(size, HALVED): pools_of(catalog, fold, arguments.title, size, HALVED) for size in SIZES[1:]}
    kinds |= {
        (WHOLE, lacking): whole_of(catalog, fold, arguments.title, lacking, SHARE) for lacking in (*OFTEN, HALVED)
    }
    pools = [pool for kind in kinds.values() for pool in kind]
    density = np.repeat(np.arange(len(kinds)), [sum(len(pool.truth) for pool in kind) for kind in kinds.values()])
    classifier = fitted(pools, Growth(threads=arguments.threads), density, keep=False)
    held = iter(np.split(classifier.held_out, np.cumsum([len(pool.truth) for pool in pools])[:-1]))
    found = {}
    for (size, lacking), kind in kinds.items():
        judged = [(pool, next(held)) for pool in kind]
        if size != WHOLE:
            found[size, lacking] = scores(judged, None)
        elif lacking == EVERYTHING:
            found[size, lacking] = scores([merged(judged)], fold)
    full = [each[:, :, 0].mean(axis=1) for (_, lacking), each in found.items() if lacking in (EVERYTHING, HALVED)]
    best = int(np.mean(full, axis=0).argmax())
    lines = [
        "| pool | evidence | F1 | sd over folds | precision | recall |",
        "| ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    for (size, lacking), each in found.items():
        f1, precision, recall = (f"{value:.4f}" for value in each[best].mean(axis=0))
        spread = f"{each[best, :, 0].std(ddof=1):.4f}"
        lines.append(f"| {size or len(catalog):,} | {lacking} | {f1} | {spread} | {precision} | {recall} |")
    facts = {"trees": Growth().trees, "columns": len(classifier.names), "posts": len(catalog), "cut": CUTS[best]}
    counts = {"pairs": classifier.card["pairs"], "true": classifier.card["true_pairs"], "drawn": DRAWN}
    card = CARD.format(**facts, **counts, error=classifier.card["calibration_error"], table="\n".join(lines))
    classifier = replace(classifier, weights={"kembar-photo": guess}, without=tuple(filter(None, LACKING.values())))
    with new_folder(arguments.output, overwrite=True, mark="classifier.json") as folder:
        classifier.write(folder)
        (folder / "card.md").write_text(card, encoding="utf-8")
    print(card)
    bytes_ = sum(path.stat().st_size for path in arguments.output.iterdir())
    print(f"Wrote {arguments.output}: {bytes_ / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
