"""How good matches and groups are: mean sample-wise F1 and its relatives, and whole curves over a threshold.

All of them compare sets that hold the post itself, as Kaggle "Shopee - Price Match Guarantee" does. F1 falls as the
pool grows, so every score carries the pool's size.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from kembar.arrays import Bools, Doubles, Rows, places_where, run_ends
from kembar.errors import EvidenceError

_ROUNDING = 1e-12  # sums of the same F1 gains in another order differ by less


@dataclass(frozen=True, slots=True)
class Score:
    """Means over the scored posts.

    Attributes:
        f1: mean of 2 |P and T| / (|P| + |T|), in [0, 1]; P the matches, T the true group, both with the post itself.
        precision: mean of |P and T| / |P|, in [0, 1].
        recall: mean of |P and T| / |T|, in [0, 1].
        posts: how many posts were scored.
        pool: how many posts could be matched.
        spread: standard error of the mean F1.
    """

    f1: float
    precision: float
    recall: float
    posts: int
    pool: int
    spread: float

    def __str__(self) -> str:
        return (
            f"F1 {self.f1:.4f} ± {self.spread:.4f}  precision {self.precision:.4f}  recall {self.recall:.4f}  "
            f"posts {self.posts:,}  pool {self.pool:,}"
        )


def score_edges(source: Rows, target: Rows, labels: Rows, rows: Rows | None = None) -> Score:
    """Score matches given as directed edges; every post also matches itself.

    Args:
        source: (e,) rows whose matches these are.
        target: (e,) the matched rows, never the post itself, each at most once per source.
        labels: (n,) group codes >= 0, -1 where unknown: such a post may be the twin of any other, so it counts neither
            for nor against those that it is matched with, and is not scored.
        rows: the posts to score; all labelled ones by default.

    Returns:
        The means over the scored posts.

    Raises:
        EvidenceError: no post to score has a label.
    """
    scored = _scored(labels, rows)
    n = len(labels)
    known = (labels[source] >= 0) & (labels[target] >= 0)
    right = known & (labels[source] == labels[target])
    matched = 1 + np.bincount(source[known], minlength=n)
    correct = 1 + np.bincount(source[right], minlength=n)
    return _means(correct[scored], matched[scored], group_sizes(labels)[scored], n)


def group_sizes(labels: Rows) -> Rows:
    """Count the posts that share each post's label, itself included; 1 where the label is unknown (-1)."""
    sizes = np.ones(len(labels), dtype=np.int64)
    known = labels >= 0
    sizes[known] = np.bincount(labels[known])[labels[known]]
    return sizes


def pair_score(source: Rows, target: Rows, labels: Rows) -> dict[str, float]:
    """Precision, recall and F1 over pairs: each pair counts once, so that a group of 51 weighs as 1,275 pairs.

    Args:
        source: (e,) rows.
        target: (e,) rows; a pair given in one or both directions counts once.
        labels: (n,) group codes; pairs with an unknown end (-1) are left out.

    Returns:
        `pair_precision`, `pair_recall`, `pair_f1`, each in [0, 1].
    """
    n = len(labels)
    known = (labels[source] >= 0) & (labels[target] >= 0) & (source != target)
    low, high = np.minimum(source, target)[known], np.maximum(source, target)[known]
    low, high = np.divmod(np.unique(low * n + high), n)
    right = int((labels[low] == labels[high]).sum())
    sizes = np.bincount(labels[labels >= 0])
    true = int((sizes * (sizes - 1) // 2).sum())
    precision = right / len(low) if len(low) else 1.0
    recall = right / true if true else 1.0
    return {"pair_precision": precision, "pair_recall": recall, "pair_f1": _harmonic(precision, recall)}


def b_cubed(groups: Rows, labels: Rows) -> dict[str, float]:
    """B-cubed precision, recall and F1 of a partition (Bagga and Baldwin 1998, equations 1 and 2).

    Args:
        groups: (n,) the partition found.
        labels: (n,) the true partition; posts with an unknown label (-1) are left out.

    Returns:
        `b3_precision`, `b3_recall`, `b3_f1`, each in [0, 1].
    """
    known = labels >= 0
    groups, labels = groups[known], labels[known]
    if not len(groups):
        return {"b3_precision": 1.0, "b3_recall": 1.0, "b3_f1": 1.0}
    groups = np.unique(groups, return_inverse=True)[1]
    both = groups * (labels.max() + 1) + labels
    inverse, counts = np.unique(both, return_inverse=True, return_counts=True)[1:]
    overlap = counts[inverse]
    precision = float((overlap / np.bincount(groups)[groups]).mean())
    recall = float((overlap / np.bincount(labels)[labels]).mean())
    return {"b3_precision": precision, "b3_recall": recall, "b3_f1": _harmonic(precision, recall)}


def oracle(left: Rows, right: Rows, labels: Rows, rows: Rows | None = None) -> Score:
    """Score what a perfect classifier of the candidate pairs would reach: the ceiling of every later stage.

    Args:
        left: (m,) rows.
        right: (m,) rows, each unordered pair once.
        labels: (n,) group codes.
        rows: the posts to score; all labelled ones by default.

    Returns:
        The score of the true candidates; its precision is 1.
    """
    true = places_where(len(left), lambda part: (labels[left[part]] == labels[right[part]]) & (labels[left[part]] >= 0))
    left, right = left[true], right[true]
    return score_edges(np.concatenate([left, right]), np.concatenate([right, left]), labels, rows)


@dataclass(frozen=True, slots=True)
class Curve:
    """Mean F1, precision and recall as exact functions of a threshold on pair similarity, with and without min2.

    A post's list grows as the threshold falls. What its best neighbour adds and what all others add to the mean are
    summed apart, so that the best (threshold, min2) couple is found exactly, without a grid.

    Attributes:
        threshold: (c,) falling similarities at which some list grows.
        f1: (c,) mean F1 with all neighbours at or above the threshold.
        precision: (c,) likewise.
        recall: (c,) likewise.
        first: (c,) the part of `f1` that comes from best neighbours.
        alone: mean F1 of posts that match only themselves.
    """

    threshold: Doubles
    f1: Doubles
    precision: Doubles
    recall: Doubles
    first: Doubles
    alone: float

    def best(self) -> tuple[float, float]:
        """Find the threshold of the highest mean F1.

        Returns:
            The threshold and its mean F1; (inf, F1 of posts alone) where no neighbour helps.
        """
        return self._peak(self.f1 - self.alone, self.alone)

    def best_min2(self) -> tuple[float, float, float]:
        """Find the best threshold and min2 together (Kaggle Shopee, 1st place: min2 <= threshold).

        Returns:
            The threshold, min2, and the mean F1 of the two; an infinite threshold where only best neighbours help, and
            (inf, inf, F1 of posts alone) where none does.
        """
        pairs_only = max(0.0, float(self.first.max(initial=0.0)))
        # What best neighbours add at the best min2 that each threshold allows: a running maximum from the end.
        allowed = np.maximum.accumulate(self.first[::-1])[::-1]
        total = self.f1 - self.alone - self.first + allowed
        if len(total) and total.max() >= pairs_only - _ROUNDING:
            at = int(total.argmax())
            second = at + int(self.first[at:].argmax())
            return self._cut(at), self._cut(second), self.alone + float(total[at])
        min2, f1 = self._peak(self.first, self.alone)
        return float("inf"), min2, f1

    def at(self, threshold: float, min2: float | None = None) -> float:
        """Read the mean F1 off the curve.

        Args:
            threshold: lists hold the neighbours at or above it.
            min2: a list left alone takes its best neighbour at or above this; no such step where None.

        Returns:
            Mean F1 in [0, 1].
        """
        total = self._value(self.f1 - self.alone - self.first, threshold)
        first = threshold if min2 is None else min(min2, threshold)
        return self.alone + total + self._value(self.first, first)

    def frame(self, points: int = 200) -> pl.DataFrame:
        """Sample the curve evenly over its thresholds, for tables and pictures.

        Args:
            points: most rows of the table.

        Returns:
            Columns threshold, f1, precision, recall.
        """
        if not len(self.threshold):
            return pl.DataFrame(schema=dict.fromkeys(("threshold", "f1", "precision", "recall"), pl.Float64))
        wanted = np.linspace(self.threshold[0], self.threshold[-1], points)
        at = np.unique(np.searchsorted(-self.threshold, -wanted, side="right") - 1)
        columns = {name: getattr(self, name)[at] for name in ("threshold", "f1", "precision", "recall")}
        return pl.DataFrame(columns)

    def _peak(self, gain: Doubles, base: float) -> tuple[float, float]:
        if not len(gain) or gain.max() <= 0:
            return float("inf"), base
        at = int(gain.argmax())
        return self._cut(at), base + float(gain[at])

    def _cut(self, at: int) -> float:
        """Cut half way to the next similarity, so that no last bit decides, unless float32 would round onto that."""
        here = float(self.threshold[at])
        below = float(self.threshold[min(at + 1, len(self.threshold) - 1)])
        middle = (here + below) / 2
        return middle if np.float32(middle) > below else here

    def _value(self, gain: Doubles, threshold: float) -> float:
        place = int(np.searchsorted(-self.threshold, -threshold, side="right")) - 1
        return float(gain[place]) if place >= 0 else 0.0


def curve(
    left: Rows, right: Rows, similarity: npt.NDArray[np.floating], labels: Rows, rows: Rows | None = None
) -> Curve:
    """Compute mean F1, precision and recall for every threshold at once.

    Each directed edge changes its source's F1 by a known amount when it joins the list; sorted by similarity, the
    running sum of these amounts is the curve. O(m log m).

    Args:
        left: (m,) rows.
        right: (m,) rows, each unordered pair once.
        similarity: (m,) finite scores, higher is more alike.
        labels: (n,) group codes >= 0, -1 where unknown.
        rows: the posts to score; all labelled ones by default. The other posts still stand in the pool, and can be
            best neighbours; those of unknown group count neither for nor against a list.

    Returns:
        The curve.

    Raises:
        EvidenceError: no post to score has a label.
    """
    scored = _scored(labels, rows)
    wanted = np.zeros(len(labels), dtype=bool)
    wanted[scored] = True
    source, target = np.concatenate([left, right]), np.concatenate([right, left])
    value = np.concatenate([similarity, similarity]).astype(np.float64)
    keep = wanted[source]
    source, target, value = source[keep], target[keep], value[keep]
    order = np.lexsort((target, -value, source))
    source, target, value = source[order], target[order], value[order]
    begin = np.searchsorted(source, np.arange(len(labels)))
    place = np.arange(len(source)) - begin[source]
    correct = 1 + _so_far(labels[source] == labels[target], begin[source])
    matched = 1 + _so_far(labels[target] >= 0, begin[source])
    size = group_sizes(labels)
    first_f1 = 2 / (1 + size[source])
    gains = [
        _steps(2 * correct / (matched + size[source]), first_f1, place),
        _steps(correct / matched, np.ones(len(source)), place),
        _steps(correct / size[source], 1 / size[source], place),
    ]
    gains.append(np.where(place == 0, gains[0], 0.0))
    by_value = np.argsort(-value, kind="stable")
    value = value[by_value]
    last = np.flatnonzero(run_ends(value))
    sums = [np.cumsum(gain[by_value])[last] / len(scored) for gain in gains]
    alone = float((2 / (1 + size[scored])).mean())
    alone_recall = float((1 / size[scored]).mean())
    return Curve(value[last], alone + sums[0], 1 + sums[1], alone_recall + sums[2], sums[3], alone)


def _so_far(flags: Bools, begin: Rows) -> Rows:
    """Count the flags of each list up to each of its members, itself included: begin is where the list begins."""
    total: Rows = np.cumsum(flags, dtype=np.int64)
    return total - (total - flags)[begin] if len(total) else total


def _steps(after: Doubles, start: Doubles, place: Rows) -> Doubles:
    """How much each next member of a list changes the list's value."""
    before = np.where(place == 0, start, np.roll(after, 1))
    return after - before


def _scored(labels: Rows, rows: Rows | None) -> Rows:
    scored = np.flatnonzero(labels >= 0) if rows is None else rows[labels[rows] >= 0]
    if not len(scored):
        raise EvidenceError(
            "posts without any group label",
            "at least one labelled post to score",
            "Name the column of known groups: Columns(label=...).",
        )
    return scored


def _means(correct: Rows, matched: Rows, size: Rows, pool: int) -> Score:
    f1 = 2 * correct / (matched + size)
    spread = float(f1.std() / np.sqrt(len(f1)))
    return Score(
        float(f1.mean()),
        float((correct / matched).mean()),
        float((correct / size).mean()),
        len(f1),
        pool,
        spread,
    )


def _harmonic(a: float, b: float) -> float:
    return 2 * a * b / (a + b) if a + b else 0.0
