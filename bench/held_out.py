"""Classifiers that have not seen a market, one folder for each market left out, for bench/peers.py.

    python bench/lessons.py --title FOLDER -o LESSONS
    python bench/markets.py LESSONS --margins MARGINS
    python bench/held_out.py LESSONS MARGINS --title FOLDER -o CLASSIFIERS [--only abt_buy wdc ...]

Each is made as `bench/train_classifier.py` makes the one that ships, of all pools but those of the group: the trees
(from MARGINS), the calibration, the cut and what the columns look like. Its title encoder, of FOLDER, has not seen the
group either. The first guess at photos is that of the
classifier that ships, which comes from a drawn shop. The log-odds in MARGINS that calibration and cut come from are
those of other markets; as in bench/markets.py, the trees behind them have seen the group.
"""

import argparse
from pathlib import Path

import numpy as np

from kembar.classifier.drift import Profile
from kembar.classifier.ownership import evidence_settings
from kembar.classifier.pair_classifier import USUAL_CUT, PairClassifier
from kembar.classifier.trees import replant
from kembar.config import SHIPPED, Config
from kembar.folders import new_folder
from markets import CUTS, Lesson, Lessons, at_one_half, best, calibrated, counts, scores
from pools import LACKING
from titles import SHOPEE
from train_classifier import VIEWS

GROUPS = ("shopee0", "abt_buy", "alaska_notebook", "amazon_google", "walmart_amazon", "wdc")


def best_cut(pools: list[Lesson], margins: Path) -> float:
    """The best cut of some pools, each calibrated by the others."""
    some = [pool for pool in filter(counts, pools) if (margins / f"{pool.path.stem}.npy").exists()]
    maps = {group: calibrated(pools, margins, group) for group in sorted({pool.group for pool in some})}
    found = [(pool, scores(pool, maps[pool.group](np.load(margins / f"{pool.path.stem}.npy")))) for pool in some]
    return float(CUTS[best(found)])


def without(group: str, lessons: Lessons, margins: Path, encoder: Path) -> PairClassifier:
    """A classifier of all pools but those of a group, for titles by this encoder."""
    pools = [pool for pool in lessons.pools if pool.group != group]
    full = (pool for pool in pools if pool.kind == "full")
    cut = best_cut(pools, margins)
    return PairClassifier(
        lessons.names,
        replant("lightgbm", (margins / f"{group}.txt").read_text(encoding="utf-8"), len(lessons.names)),
        at_one_half(calibrated(pools, margins), cut),
        tuple(Profile.of(pool.table(lessons.names), lessons.names) for pool in full),
        {"pools": len(pools), "left_out": group, "best_cut": cut},
        {"kembar-photo": PairClassifier.load(SHIPPED).weights["kembar-photo"]},
        tuple(filter(None, LACKING.values())),
        USUAL_CUT,
        veto=True,
        evidence=evidence_settings(Config(title_encoder=str(encoder)), VIEWS),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lessons", type=Path)
    parser.add_argument("margins", type=Path)
    parser.add_argument("--title", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=GROUPS, help="groups to leave out, one after the other")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    lessons = Lessons.read(arguments.lessons)
    for group in arguments.only:
        if (arguments.output / group).exists():
            continue
        encoder = arguments.title / ("encoder0" if group == SHOPEE[0] else f"encoder_{group}")
        classifier = without(group, lessons, arguments.margins, encoder.resolve())
        with new_folder(arguments.output / group, mark="classifier.json") as folder:
            classifier.write(folder)
        print(f"{group} left out: best cut {classifier.card['best_cut']}, moved to {classifier.cut}", flush=True)


if __name__ == "__main__":
    main()
