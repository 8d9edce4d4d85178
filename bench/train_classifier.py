"""Train the classifier that ships with kembar.

    python bench/lessons.py --title FOLDER -o LESSONS
    python bench/markets.py LESSONS --margins MARGINS -o docs/figures/markets.md
    python bench/train_classifier.py LESSONS MARGINS [-o src/kembar/classifier/shipped]

Learns from every pool of ten markets and four Shopee folds (bench/lessons.py). It is calibrated, and its cut chosen, by
the log-odds that classifiers gave to pools of a market, or fold, which they had not seen (bench/markets.py). None of
the pools has photos at hand: a first guess at what the photo encoder's cosines add comes from a drawn shop (see
kembar.classifier.match_weights). Writes trees.txt, classifier.json and card.md.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from kembar import write_shop
from kembar.classifier.classify import ALIKE
from kembar.classifier.drift import Profile
from kembar.classifier.match_weights import hundredths, weights
from kembar.classifier.ownership import evidence_settings
from kembar.classifier.pair_classifier import USUAL_CUT, PairClassifier
from kembar.config import BY_RULES, Config
from kembar.folders import new_folder
from kembar.matcher import Matcher
from kembar.posts.catalog import Catalog
from markets import CUTS, GROWTH, Lessons, at_one_half, best, calibrated, counts, scores, table
from pools import LACKING

DRAWN = 6000
VIEWS = ("word", "char", "title", "hash")

CARD = """# kembar-classifier

Classifies candidate pairs of posts by words, characters, the title encoder, perceptual hashes, model codes, numbers,
variant words, colours, quantities and prices, and does without any of them: {trees} boosted trees over {columns}
columns. Groups by average link, cut {cut}; titles whose quantities contradict each other are two products (`veto`).

- **Learned from**: ten markets and 27,399 posts of Kaggle "Shopee - Price Match Guarantee", in {pools} pools of 10 to
  24,628 posts: whole, in part, with and without twins, with evidence hidden, and with made siblings (the same titles
  with another number, code, size or variety). {pairs:,} pairs, {true:,} of them true; half of the weight is Shopee's.
  Only weights are in it, no post.
- **Calibrated** and its cut chosen by classifiers that had not seen the market. The best cut was {best}; probabilities
  are moved by as much as makes it one half, so that no post alone joins two that rule each other out.
- **Held out**: each row is by a classifier and a title encoder that never saw this market, nor its cut or calibration,
  without `veto` (which cost an earlier classifier .002 to .003 on Shopee folds and .007 on alaska_notebook, gained .002
  on promap_en, and changed no other market by more than .001):

{table}

- **Licences of the data**: Abt-Buy and Amazon-Google (Leipzig benchmark, research use), Walmart-Amazon (Magellan, by
  way of pyJedAI, Apache-2.0), SIGMOD 2022 contest, Alaska (SIGMOD contest, DI2KG), WDC (Web Data Commons, by way of
  Ditto, Apache-2.0), Alibaba of Ember (research use), ProMap (open licence), Shopee (competition terms, research use).
- **Photos**: it has learned from none. What their cosines add is estimated in each run
  (kembar.classifier.match_weights), from a first guess that a drawn shop of {drawn:,} posts gave for `kembar-photo`.
- **Made by**: `python bench/train_classifier.py LESSONS MARGINS`
"""
GATE = 0.22  # all markets keep their F1: bench/gate.py


def photo_weights(folder: Path) -> np.ndarray:
    """What a cosine of the photo encoder adds to the log-odds of a pair of a drawn shop, where hashes differ."""
    write_shop(folder / "shop", DRAWN, seed=7)
    catalog = Catalog.read(folder / "shop" / "posts.csv", images=folder / "shop" / "photos")
    pairs = Matcher(Config().with_model(BY_RULES)).match(catalog).pairs
    truth = catalog.labels[pairs.left] == catalog.labels[pairs.right]
    known = (pairs.evidence["hash"] < ALIKE) & ~np.isnan(pairs.evidence["photo"])
    return weights(truth[known].astype(float), hundredths(pairs.evidence["photo"][known]))


def best_cut(lessons: Lessons, folder: Path) -> float:
    """The cut of all pools left out."""
    found = []
    for pool in filter(counts, lessons.pools):
        path = folder / f"{pool.path.stem}.npy"
        if path.exists():
            found.append((pool, scores(pool, calibrated(lessons.pools, folder, pool.group)(np.load(path)))))
    return float(CUTS[best(found)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lessons", type=Path)
    parser.add_argument("margins", type=Path)
    parser.add_argument("--photos-of", type=Path, help="an earlier classifier whose first guess at photos is kept")
    parser.add_argument("-o", "--output", type=Path, default=Path("src/kembar/classifier/shipped"))
    arguments = parser.parse_args()
    lessons = Lessons.read(arguments.lessons)
    trees = lessons.grown()
    cut = best_cut(lessons, arguments.margins)
    if arguments.photos_of:
        guess = PairClassifier.load(arguments.photos_of).weights["kembar-photo"]
    else:
        with tempfile.TemporaryDirectory() as scratch:
            guess = photo_weights(Path(scratch))
    profiles = tuple(
        Profile.of(pool.table(lessons.names), lessons.names) for pool in lessons.pools if pool.kind == "full"
    )
    facts = {"pairs": len(lessons.truth), "true": int(lessons.truth.sum()), "pools": len(lessons.pools)}
    classifier = PairClassifier(
        lessons.names,
        trees,
        at_one_half(calibrated(lessons.pools, arguments.margins), cut),
        profiles,
        {"pairs": facts["pairs"], "true_pairs": facts["true"], "pools": facts["pools"]},
        {"kembar-photo": guess},
        tuple(filter(None, LACKING.values())),
        USUAL_CUT,
        veto=True,
        gate=GATE,
        evidence=evidence_settings(Config(), VIEWS),
    )
    card = CARD.format(
        **facts, trees=GROWTH.trees, columns=len(lessons.names), cut=USUAL_CUT, best=cut, drawn=DRAWN,
        table=table(lessons.pools, arguments.margins),
    )  # fmt: skip
    with new_folder(arguments.output, overwrite=True, mark="classifier.json") as folder:
        classifier.write(folder)
        (folder / "card.md").write_text(card, encoding="utf-8")
    print(card)


if __name__ == "__main__":
    main()
