"""What each kind of evidence, and each further market, is worth on a market left out. Writes docs/figures/ablation.md.

    python bench/ablation.py LESSONS [--only abt_buy alaska_notebook] [-o docs/figures/ablation.md]

LESSONS are of bench/lessons.py. A classifier learns from all other markets and the Shopee posts, each time without a
kind of evidence, or from fewer markets; F1 is that of the market at its own best cut, so that the ranking alone counts,
not the calibration. Seconds are those of the CPU for growing the trees.
"""

import argparse
import re
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kembar.classifier.trees import grow
from markets import GROWTH, Lesson, Lessons, scores

KINDS = {
    "all evidence": "^$",
    "model codes": "^codes? ",
    "numbers": "^numbers? ",
    "variant words, colours, short words": "^(variant|color|short) ",
    "rare and shared words": "^(words? |first word|token )",
    "quantities": "^(units? |pack )",
    "prices": "^price ",
    "brands and further columns": "^(brand|details)",
    "edit ratios": "^(edit|token set|token sort) ",
    "the title encoder": "^title( |$)",
    "ranks, ratios and nearest": " (rank|ratio|nearest) ",
}
NEW = ("model codes", "numbers", "variant words, colours, short words", "brands and further columns", "prices")
MARKETS = {
    "Shopee alone": (),
    "Shopee and 1 market": ("amazon_google",),
    "Shopee and 3 markets": ("amazon_google", "wdc", "promap_en"),
    "Shopee and 6 markets": ("amazon_google", "wdc", "promap_en", "walmart_amazon", "sigmod22_x1", "abt_buy"),
}
HEAD = "| evidence | {} | CPU seconds |\n| --- |{} ---: |"


@dataclass
class Trial:
    """Trees of some columns and some markets."""

    lessons: Lessons
    dropped: str = "^$"
    markets: tuple[str, ...] | None = None

    def f1(self, group: str) -> tuple[float, float]:
        """F1 of a market that is left out, at its own best cut, and the seconds it took to learn."""
        kept = [at for at, name in enumerate(self.lessons.names) if not re.search(self.dropped, name)]
        names = tuple(self.lessons.names[at] for at in kept)
        weight = self.lessons.weights(group) * self._taught()
        some = np.flatnonzero(weight > 0)
        began = time.process_time()
        trees = grow(self.lessons.table[np.ix_(some, kept)], self.lessons.truth[some], weight[some], GROWTH)
        seconds = time.process_time() - began
        found = [best(pool, trees.margin(pool.table(names))) for pool in scored(self.lessons, group)]
        return float(np.mean(found)), seconds

    def _taught(self) -> np.ndarray:
        """Which pairs are of the markets to learn from, or of Shopee."""
        if self.markets is None:
            return np.ones(len(self.lessons.truth), bool)
        pools = [pool.group in self.markets or pool.market.startswith("shopee") for pool in self.lessons.pools]
        return np.array(pools)[self.lessons.pool]


def scored(lessons: Lessons, group: str) -> list[Lesson]:
    """The whole pools of a market."""
    return [pool for pool in lessons.pools if pool.group == group and pool.kind == "full"]


def best(pool: Lesson, margin: np.ndarray) -> float:
    """F1 at the best of all cuts."""
    return float(scores(pool, 1 / (1 + np.exp(-margin)))[:, 0].max())


def trials(lessons: Lessons) -> dict[str, Trial]:
    """All trials by name."""
    found = {
        name if name == "all evidence" else f"without {name}": Trial(lessons, kind) for name, kind in KINDS.items()
    }
    new = "|".join(KINDS[name] for name in NEW)
    found["without the kinds that came with the markets"] = Trial(lessons, new)
    return {**found, **{name: Trial(lessons, markets=markets) for name, markets in MARKETS.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lessons", type=Path)
    parser.add_argument("--only", nargs="*", default=["abt_buy", "alaska_notebook"], help="markets to leave out")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    lines = [HEAD.format(" | ".join(arguments.only), " ---: |" * len(arguments.only))]
    for name, trial in trials(Lessons.read(arguments.lessons)).items():
        found = [trial.f1(group) for group in arguments.only]
        figures = " | ".join(f"{f1:.4f}" for f1, _ in found)
        lines.append(f"| {name} | {figures} | {np.mean([seconds for _, seconds in found]):.0f} |")
        print(lines[-1], flush=True)
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
