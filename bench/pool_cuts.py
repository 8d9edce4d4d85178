"""The rule that moves the cut of a pool by its figures (kembar.classifier.pool_cut), on every market left out.

    python bench/pool_cuts.py LESSONS MARGINS [-o docs/figures/pool-cuts.md]

LESSONS are the pools of `bench/lessons.py`, MARGINS the log-odds of `bench/markets.py`. The rule is learned by logistic
regression from the other markets, each whole and in 24 parts of all sizes and densities: the log-odds of a pair stand
as they are, and a linear function of the figures of its pool is added. `share` is the part of the way that the cut
moves. The cut that it starts from is chosen as in bench/markets.py, without the market that a row is about.
"""

import argparse
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from kembar.classifier.match_weights import log_odds, odds_to_probability
from kembar.classifier.pool_cut import FIGURES, PoolCut, figures
from kembar.fitting.tuning import group_scores
from kembar.grouping.groups import average_link_tree
from lessons import ACROSS, some_groups, thin
from markets import CUTS, LOSS, Lesson, across, alone, calibrated, counts
from titles import SHOPEE

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
PARTS = 24  # drawn of each whole pool
LEAST = 0.005  # less probable pairs are not learned from
MOST = 20_000  # pairs of a pool that are learned from
DENSITIES = (0.0, None, None, 1.0)  # how many posts but one of each group stay; None: drawn
HELD = 1.0  # what a weight of 1 per standard deviation of a figure costs (of 2000 pairs)


@dataclass
class Pool:
    """Pairs of a pool that are likely at all, and what the pool looks like."""

    group: str
    market: str
    posts: int
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
        return cls(lesson.group, market, len(rows), log_odds(p[kept]), lesson.truth[pairs][kept], told, weight)


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


def learned(pools: list[Pool]) -> PoolCut:
    """The rule, half of the weight on Shopee, the markets alike."""
    sums: dict[str, float] = {}
    for pool in pools:
        sums[pool.market] = sums.get(pool.market, 0) + pool.weight * len(pool.truth)
    others = len(sums) - ("shopee" in sums)
    part = {market: 0.5 if market == "shopee" else 0.5 / others for market in sums}
    weight = np.concatenate([np.full(len(p.truth), p.weight * part[p.market] / sums[p.market]) for p in pools])
    weight *= 2000 / weight.sum()
    told = np.stack([pool.figures for pool in pools])
    mean, scale = told.mean(axis=0), told.std(axis=0)
    rows = np.repeat(np.arange(len(pools)), [len(pool.truth) for pool in pools])
    table = ((told - mean) / scale)[rows]
    offset = np.concatenate([pool.log_odds for pool in pools])
    sign = np.where(np.concatenate([pool.truth for pool in pools]), 1.0, -1.0)

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        wrong = odds_to_probability(-sign * (offset + x[0] + table @ x[1:]))
        slope = -weight * wrong * sign
        cost = -float(weight @ np.log1p(-wrong)) + HELD / 2 * float(x[1:] @ x[1:])
        return cost, np.append(slope.sum(), slope @ table + HELD * x[1:])

    x = minimize(loss, np.zeros(1 + len(FIGURES)), jac=True, method="L-BFGS-B").x
    by = x[1:] / scale
    return PoolCut(told.min(axis=0), told.max(axis=0), by, float(x[0] - by @ mean))


def f1s(lesson: Lesson, probability: np.ndarray, shift: float) -> np.ndarray:
    """F1 of groups by each cut, moved by log-odds: (cuts,)."""
    cuts = np.clip(odds_to_probability(log_odds(CUTS) - shift), 0.1, 0.95)
    ends = lesson.left.astype(np.int64), lesson.right.astype(np.int64)
    tree = average_link_tree(*ends, probability, len(lesson.labels), cut=0.1)
    score = group_scores if lesson.market not in ACROSS else lambda *codes: across(*codes, lesson.source)
    return np.array([score(tree.labels(cut=float(cut)), lesson.labels)[:, 0].mean() for cut in cuts])


def best(curves: Iterable[tuple[Lesson, np.ndarray]]) -> int:
    """The place of the best cut, as in bench/markets.py."""
    worth: dict[str, list[np.ndarray]] = {}
    for lesson, f1 in curves:
        worth.setdefault(lesson.group, []).append(f1 - LOSS * np.maximum(0, alone(lesson) - f1))
    padded = np.pad(np.mean([np.mean(each, axis=0) for each in worth.values()], axis=0), 2, mode="edge")
    return int(np.convolve(padded, np.full(5, 0.2), mode="valid").argmax())


def pools_of(lessons: list[Lesson], margins: Path) -> list[tuple[Lesson, np.ndarray, list[Pool]]]:
    """Whole pools with the probabilities of their pairs, by classifiers that have not seen them, and their parts."""
    found = []
    for lesson in lessons:
        if lesson.kind in ("full", "half", "none"):
            probability = calibrated(lessons, margins, lesson.group)(np.load(margins / f"{lesson.path.stem}.npy"))
            found.append((lesson, probability, list(drawn(lesson, probability))))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lessons", type=Path)
    parser.add_argument("margins", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    found = pools_of([Lesson(path) for path in sorted(arguments.lessons.glob("*.npz"))], arguments.margins)
    rules: dict[str, PoolCut] = {}
    curves: dict[float, list[tuple[Lesson, np.ndarray]]] = {share: [] for share in SHARES}
    for lesson, probability, (whole, *_) in found:
        if lesson.group not in rules:
            rules[lesson.group] = learned([p for _, _, parts in found for p in parts if p.group != lesson.group])
        shift = rules[lesson.group].shift(whole.figures, whole.posts)
        for share in SHARES:
            curves[share].append((lesson, f1s(lesson, probability, share * shift)))
        print(f"{lesson.path.stem} {shift:+.2f}", flush=True)
    text = table_of(curves)
    print(text)
    if arguments.output:
        arguments.output.write_text(text, encoding="utf-8")


def table_of(curves: dict[float, list[tuple[Lesson, np.ndarray]]]) -> str:
    """F1 of every pool, for each share of the way."""
    heads = [f"share {share:.2f}" for share in SHARES]
    lines = [f"| left out | posts | self | {' | '.join(heads)} |", "| --- " + "| ---: " * (len(SHARES) + 2) + "|"]
    means = []
    for at, (lesson, _) in enumerate(curves[SHARES[0]]):
        cells, f1 = [], []
        for share in SHARES:
            others = [each for each in curves[share] if counts(each[0]) and each[0].group != lesson.group]
            cut = best(others)
            f1.append(curves[share][at][1][cut])
            cells.append(f"{f1[-1]:.4f} at {CUTS[cut]:.2f}")
        means.append(("shopee" if lesson.market in SHOPEE else "market", lesson.kind, f1))
        lines.append(f"| {lesson.path.stem} | {len(lesson.labels):,} | {alone(lesson):.3f} | {' | '.join(cells)} |")
    for what in sorted({(market, kind) for market, kind, _ in means}):
        mean = np.mean([f1 for market, kind, f1 in means if (market, kind) == what], axis=0)
        lines.append(f"| mean of {' '.join(what)} | | | {' | '.join(f'**{f1:.4f}**' for f1 in mean)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
