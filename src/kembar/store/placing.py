"""Where new posts belong: in a group that is there, or in one of their own; and which groups they would join."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from kembar.arrays import Bools, Floats, Rows, connected
from kembar.config import Config
from kembar.evidence.pairs import SIMILARITY, Pairs
from kembar.evidence.scope import Scope
from kembar.grouping.decision import partition
from kembar.grouping.limits import Limits

_NEW: Final = -1


@dataclass(frozen=True, slots=True)
class Surroundings:
    """New posts and all members of the groups that may take them, as n nodes: the known ones first.

    Attributes:
        known: number of posts that have a group.
        groups: (known,) int64 numbers of their groups.
        left: (m,) int64 nodes.
        right: (m,) int64 nodes.
        probability: (m,) float32.
        full: (n,) bool, posts that may have more neighbours than some list has places.
        scope: which posts may be one product; None: all.
        same: (s, 2) int64 nodes that people said are one product.
        apart: (a, 2) int64 nodes that people said are not.
    """

    known: int
    groups: Rows
    left: Rows
    right: Rows
    probability: Floats
    full: Bools
    scope: Scope | None
    same: Rows
    apart: Rows

    def __len__(self) -> int:
        return len(self.full)


@dataclass(frozen=True, slots=True)
class Placing:
    """What becomes of new posts.

    Attributes:
        groups: (q,) int64 the number of a group that is there, or a number below 0 that posts of one new group share.
        merges: pairs of numbers of groups that would be one if new posts could join them, with the mean probability.
    """

    groups: Rows
    merges: tuple[tuple[int, int, float], ...]


def place(around: Surroundings, config: Config) -> Placing:
    """Attach new posts to groups, or let them found some.

    Groups that are there stay whole and apart; that average link, left free, would join some of them over the new posts
    is told.

    Args:
        around: the new posts and what they may join.
        config: the link and the cut.
    """
    labels = _labels(around, config, free=False)
    new = np.arange(around.known, len(around))
    group_of = {int(label): int(group) for label, group in zip(labels[: around.known], around.groups, strict=True)}
    groups = np.array([group_of.get(int(label), _NEW - int(label)) for label in labels[new]], dtype=np.int64)
    return Placing(groups, _proposed(around, config, groups))


def _labels(around: Surroundings, config: Config, *, free: bool) -> Rows:
    """Group all nodes, from the groups that are there on; only if free may these join each other."""
    alone = around.groups.max(initial=-1) + 1 + np.arange(len(around) - around.known)
    start = np.append(around.groups, alone)
    if len(around.same):
        start = connected(start[around.same[:, 0]], start[around.same[:, 1]], int(start.max()) + 1)[start]
    settled = None if free else np.arange(len(around)) < around.known
    apart = (around.apart[:, 0], around.apart[:, 1]) if len(around.apart) else None
    return partition(_pairs(around), len(around), config, Limits(around.full, around.scope, start, settled, apart))


def _pairs(around: Surroundings) -> Pairs:
    low, high = np.minimum(around.left, around.right), np.maximum(around.left, around.right)
    order = np.lexsort((high, low))
    return Pairs(low[order], high[order], {SIMILARITY: around.probability[order]})


def _proposed(around: Surroundings, config: Config, groups: Rows) -> tuple[tuple[int, int, float], ...]:
    """Name the groups that a free average link joins with one that took a new post."""
    touched = np.unique(groups[groups >= 0])
    if len(np.unique(around.groups)) < 2 or not len(touched):
        return ()
    labels = _labels(around, config, free=True)
    found: list[tuple[int, int, float]] = []
    for group in touched.tolist():
        own = labels[: around.known][around.groups == group][0]
        others = np.unique(around.groups[labels[: around.known] == own]).tolist()
        pairs = [(min(group, other), max(group, other)) for other in others if other != group]
        found += [(one, other, _mean(around, groups, one, other)) for one, other in pairs]
    return tuple(sorted(set(found)))


def _mean(around: Surroundings, groups: Rows, one: int, other: int) -> float:
    """Take the mean probability between two groups, new members counted; pairs that were not compared count 0."""
    label = np.append(around.groups, groups)
    across = ((label[around.left] == one) & (label[around.right] == other)) | (
        (label[around.left] == other) & (label[around.right] == one)
    )
    return float(around.probability[across].sum() / ((label == one).sum() * (label == other).sum()))
