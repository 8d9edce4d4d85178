"""The cut of a pool, told by the probabilities of its pairs, without labels.

A classifier is calibrated for pools like those that it learned from, taken together. Where twins are rarer than there,
all its log-odds are too high by about one number, where they are more common too low: a change of the prior (Saerens,
Latinne and Decaestecker 2002, "Adjusting the outputs of a classifier to new a priori probabilities"). Pools without any
twin, crowded ones, and those where every post has one differ in how sure the best candidate of a post is, and in
whether sure pairs agree with each other. From such figures a linear rule, learned from labelled pools, tells this
number; the cut moves by a share of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from kembar.arrays import Doubles, Floats, Rows, connected
from kembar.classifier.match_weights import log_odds, odds_to_probability

_LEVELS: Final = (0.1, 0.25, 0.5, 0.75, 0.9)
FIGURES: Final = (*(f"best {level}" for level in _LEVELS), "expected", "sure", "sureness", "mutual", "agreement")
"""What `figures` tells of a pool."""

_LIKELY, _SURE = 0.02, 0.5  # probabilities
_FEW: Final = 100  # posts with which a pool has half of its say
_LOWEST, _HIGHEST = 0.2, 0.95  # a cut moves no further


def figures(left: Rows, right: Rows, probability: Floats, posts: int) -> Doubles:
    """Describe a pool by its candidate pairs.

    Args:
        left: (m,) posts.
        right: (m,) posts.
        probability: (m,) in [0, 1].
        posts: number of posts, at least 1.

    Returns:
        (10,) float64, named by `FIGURES`: quantiles over the posts of the probability of their best candidate; the mean
        number of matches to be expected of a post; pairs of at least .5 per post; the mean probability of pairs that
        are likely at all; the share of the pairs of at least .5 that are the best of both their posts; and the share
        of such pairs among all pairs within the groups that they join.
    """
    p = probability.astype(np.float64)
    best, total = np.zeros(posts), np.zeros(posts)
    for end in (left, right):
        np.maximum.at(best, end, p)
        total += np.bincount(end, p, posts)
    likely, sure = p[p > _LIKELY], p >= _SURE
    mutual = sure & (p >= best[left]) & (p >= best[right])
    sizes = np.bincount(connected(left[sure], right[sure], posts)).astype(np.float64)
    within, count = (sizes * (sizes - 1) / 2).sum(), np.count_nonzero(sure)
    told = (total.mean(), count / posts, likely.mean() if len(likely) else 0.0)
    agreed = (np.count_nonzero(mutual) / count, count / within) if count else (1.0, 1.0)
    return np.array([*np.quantile(best, _LEVELS), *told, *agreed])


@dataclass(frozen=True, slots=True)
class PoolCut:
    """A rule that moves a cut by what a pool looks like.

    Attributes:
        least: (10,) float64, the least of each figure in the pools that it was learned from; see `FIGURES`.
        most: (10,) float64, the greatest.
        weight: (10,) float64, by which the log-odds of a pool rise per unit of a figure.
        base: what they rise by where all figures are 0.
    """

    least: Doubles
    most: Doubles
    weight: Doubles
    base: float

    def shift(self, told: Doubles, posts: int) -> float:
        """Tell by how much the log-odds of a pool are to rise: from (10,) figures of a pool of so many posts."""
        known = np.clip(told, self.least, self.most)
        return float((self.base + known @ self.weight) * posts / (posts + _FEW))

    def moved(self, cut: float, left: Rows, right: Rows, probability: Floats, posts: int) -> float:
        """Move a cut on probabilities.

        Args:
            cut: in (0, 1).
            left: (m,) posts.
            right: (m,) posts.
            probability: (m,) in [0, 1].
            posts: number of posts.

        Returns:
            The cut for these posts, to three digits, in [.2, .95] unless the given one lies beyond.
        """
        told = figures(left, right, probability, posts)
        found = float(odds_to_probability(log_odds(np.array([cut])) - self.shift(told, posts))[0])
        return round(min(max(found, min(cut, _LOWEST)), max(cut, _HIGHEST)), 3)

    def tree(self) -> dict[str, Any]:
        """Give it as JSON."""
        return {
            "figures": list(FIGURES),
            **{name: getattr(self, name).tolist() for name in ("least", "most", "weight")},
            "base": self.base,
        }

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any]) -> "PoolCut":
        """Read what `tree` gave; raises KeyError and TypeError where it is another."""
        if tuple(tree["figures"]) != FIGURES:
            raise KeyError("figures")
        least, most, weight = (np.array(tree[name], dtype=np.float64) for name in ("least", "most", "weight"))
        if any(column.shape != (len(FIGURES),) for column in (least, most, weight)):
            raise KeyError("weight")
        return cls(least, most, weight, float(tree["base"]))
