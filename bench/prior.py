"""A prior told by the pool: what it would gain to move all probabilities of a pool by one number. A study, not shipped.

    python bench/prior.py LESSONS MARGINS [-o docs/figures/prior.md]

LESSONS are the pools of `bench/lessons.py`, MARGINS the log-odds of `bench/markets.py`. Figures of a pool that need no
labels (how sure the best candidate of its posts is, how many are sure) are turned into a number by a linear rule, which
all log-odds of the pool are moved by: a change of the prior (Saerens, Latinne and Decaestecker 2002). The rule is
learned by logistic regression from the other markets, each whole and in 24 parts of all sizes and densities. `share` is
the part of the way that is gone. The cut is chosen as in bench/markets.py, without the market that a row is about.
"""

import argparse
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from kembar.classifier.match_weights import log_odds, odds_to_probability
from lessons import some_groups, thin
from markets import CUTS, Lesson, alone, best, calibrated, counts, scores
from titles import SHOPEE

SHARES = (0.0, 0.5, 0.7, 1.0)
PARTS = 24  # drawn of each whole pool
LEAST = 0.005  # less probable pairs are not moved
MOST = 20_000  # pairs of a pool that are learned from
DENSITIES = (0.0, None, None, 1.0)  # how many posts but one of each group stay; None: drawn


@dataclass
class Pool:
    """Pairs of a pool that are likely at all, and what the pool looks like."""

    group: str
    market: str
    log_odds: np.ndarray
    truth: np.ndarray
    figures: np.ndarray
    weight: float

    @classmethod
    def of(cls, lesson: Lesson, probability: np.ndarray, rows: np.ndarray) -> "Pool":
        """Take some posts of a pool, with their pairs."""
        stays = np.zeros(len(lesson.labels), bool)
        stays[rows] = True
        pairs = np.flatnonzero(stays[lesson.left] & stays[lesson.right])
        place = np.cumsum(stays) - 1
        left, right = place[lesson.left[pairs]], place[lesson.right[pairs]]
        p, market = probability[pairs], "shopee" if lesson.market in SHOPEE else lesson.group
        kept = np.flatnonzero(lesson.known[pairs] & (p >= LEAST))
        weight = max(1.0, len(kept) / MOST) / len(rows)
        if len(kept) > MOST:
            kept = np.random.default_rng(1).choice(kept, MOST, replace=False)
        told = figures(left, right, p, len(rows))
        return cls(lesson.group, market, log_odds(p[kept]), lesson.truth[pairs][kept], told, weight)

    def table(self) -> np.ndarray:
        """The log-odds of the pairs beside the figures of the pool."""
        return beside(self.log_odds, self.figures)


def beside(odds: np.ndarray, told: np.ndarray) -> np.ndarray:
    """Put the figures of a pool beside the log-odds of each of its pairs."""
    return np.column_stack([odds, np.tile(told, (len(odds), 1))])


def figures(left: np.ndarray, right: np.ndarray, p: np.ndarray, posts: int) -> np.ndarray:
    """What a pool looks like: the best probabilities of its posts, their sums, how many are sure, and how sure."""
    top, total = np.zeros(posts), np.zeros(posts)
    for end in (left, right):
        np.maximum.at(top, end, p)
        total += np.bincount(end, p, posts)
    likely = p[p > 0.02]
    sure = np.count_nonzero(p > 0.5) / posts
    return np.array(
        [*np.quantile(top, [0.1, 0.25, 0.5, 0.75, 0.9]), total.mean(), sure, likely.sum() / max(1, len(likely))]
    )


def drawn(lesson: Lesson, probability: np.ndarray) -> Iterator[Pool]:
    """A whole pool, and parts of it."""
    yield Pool.of(lesson, probability, np.arange(len(lesson.labels)))
    if lesson.kind != "full":
        return
    draw, n = np.random.default_rng(zlib.crc32(lesson.path.stem.encode())), len(lesson.labels)
    for at in range(PARTS):
        rows = some_groups(lesson.labels, draw, int(np.exp(draw.uniform(np.log(min(200, n / 2)), np.log(n)))))
        density = DENSITIES[at % len(DENSITIES)]
        rows = rows[thin(lesson.labels[rows], draw, draw.random() if density is None else density)]
        if len(rows) >= 50:
            yield Pool.of(lesson, probability, rows)


def learned(pools: list[Pool]) -> Pipeline:
    """The rule, half of the weight on Shopee, the markets alike."""
    sums: dict[str, float] = {}
    for pool in pools:
        sums[pool.market] = sums.get(pool.market, 0) + pool.weight * len(pool.truth)
    others = len(sums) - ("shopee" in sums)
    part = {market: 0.5 if market == "shopee" else 0.5 / others for market in sums}
    weight = np.concatenate([np.full(len(p.truth), p.weight * part[p.market] / sums[p.market]) for p in pools])
    rule = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    table, truth = np.concatenate([p.table() for p in pools]), np.concatenate([p.truth for p in pools])
    return rule.fit(table, truth, logisticregression__sample_weight=weight / weight.sum() * 2000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lessons", type=Path)
    parser.add_argument("margins", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    lessons = [Lesson(path) for path in sorted(arguments.lessons.glob("*.npz"))]
    lessons = [each for each in lessons if each.kind in ("full", "half", "none")]
    found = {}
    for lesson in lessons:
        margin = np.load(arguments.margins / f"{lesson.path.stem}.npy")
        found[lesson.path.stem] = calibrated(lessons, arguments.margins, lesson.group)(margin)
    pools = [(lesson, list(drawn(lesson, found[lesson.path.stem]))) for lesson in lessons]
    curves: dict[float, list[tuple[Lesson, np.ndarray]]] = {share: [] for share in SHARES}
    rules: dict[str, Pipeline] = {}
    for lesson, (whole, *_) in pools:
        if lesson.group not in rules:
            rules[lesson.group] = learned([p for _, parts in pools for p in parts if p.group != lesson.group])
        p = found[lesson.path.stem]
        some = p >= LEAST
        before = log_odds(p[some])
        after = rules[lesson.group].decision_function(beside(before, whole.figures))
        for share in SHARES:
            moved = p.copy()
            moved[some] = odds_to_probability((1 - share) * before + share * after)
            curves[share].append((lesson, scores(lesson, moved)))
        print(lesson.path.stem, flush=True)
    text = table_of(curves)
    print(text)
    if arguments.output:
        arguments.output.write_text(text, encoding="utf-8")


def table_of(curves: dict[float, list[tuple[Lesson, np.ndarray]]]) -> str:
    """F1 of every pool, for each share of the way."""
    heads = [f"share {share:.1f}" for share in SHARES]
    lines = [f"| left out | posts | self | {' | '.join(heads)} |", "| --- " + "| ---: " * (len(SHARES) + 2) + "|"]
    means = []
    for at, (lesson, _) in enumerate(curves[SHARES[0]]):
        cells, f1s = [], []
        for share in SHARES:
            others = [each for each in curves[share] if counts(each[0]) and each[0].group != lesson.group]
            cut = best(others)
            f1s.append(curves[share][at][1][cut, 0])
            cells.append(f"{f1s[-1]:.4f} at {CUTS[cut]:.2f}")
        means.append(("shopee" if lesson.market in SHOPEE else "market", lesson.kind, f1s))
        lines.append(f"| {lesson.path.stem} | {len(lesson.labels):,} | {alone(lesson):.3f} | {' | '.join(cells)} |")
    for what in sorted({(market, kind) for market, kind, _ in means}):
        mean = np.mean([f1s for market, kind, f1s in means if (market, kind) == what], axis=0)
        lines.append(f"| mean of {' '.join(what)} | | | {' | '.join(f'**{f1:.4f}**' for f1 in mean)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
