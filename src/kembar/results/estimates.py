"""How good a run is likely to be, told without labels: by the calibrated probabilities of its own pairs."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from kembar.arrays import Bools, Doubles, Floats, Rows
from kembar.evidence.pairs import SIMILARITY, Pairs
from kembar.results.cohesion import mean_within

_FAINT: Final = 0.2  # a pair below this that is not in a group does not count
_DOUBTFUL: Final = 10  # groups that are shown
_LARGEST: Final = 1000  # a larger group is not looked at pair by pair


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the probabilities say of the groups of a run.

    Attributes:
        precision: in [0, 1]; mean over posts of the expected share of its group that sells the same product.
        recall: in [0, 1]; mean over posts of the expected share of its twins that are in its group.
    """

    precision: float
    recall: float


def estimated(pairs: Pairs, groups: Rows, probability: Doubles | None = None) -> Estimate:
    """Estimate precision and recall of groups.

    With p_ij the probability of a pair (0 where it was not compared) and G the group of post i, itself in it, the
    expected precision is (1 + sum of p_ij in G) / |G|, and the recall (1 + sum of p_ij in G) / (1 + sum of all p_ij):
    the plug-in estimates of the sample-wise measures (see kembar.results.scores). Outside of G pairs below .2 do not
    count: a post has many such candidates, and where it has a better partner, which one pair does not know, they are
    hardly ever true (`bench/estimates.py`: mean error of the recall .08, with them .16).

    Args:
        pairs: with calibrated probabilities as `similarity`.
        groups: (n,) group numbers from 0.
        probability: (m,) other probabilities of the pairs.

    Returns:
        The estimate; 1 and 1 where there are no posts.
    """
    n, told = len(groups), pairs.evidence[SIMILARITY] if probability is None else probability
    some = np.flatnonzero(counting(pairs, groups, told))
    left, right, p = pairs.left[some], pairs.right[some], told[some].astype(np.float64)
    together = groups[left] == groups[right]
    every = np.bincount(left, p, n) + np.bincount(right, p, n)
    inside = np.bincount(left, p * together, n) + np.bincount(right, p * together, n)
    size = np.bincount(groups, minlength=1)[groups] if n else np.ones(0)
    if not n:
        return Estimate(1.0, 1.0)
    return Estimate(float(((1 + inside) / size).mean()), float(((1 + inside) / (1 + every)).mean()))


def counting(pairs: Pairs, groups: Rows, probability: Floats | Doubles) -> Bools:
    """Mark the pairs that an estimate looks at: those in a group, and others that are not faint; (m,) bool."""
    found: Bools = pairs.within(groups) | (probability >= np.float32(_FAINT))
    return found


def doubtful(pairs: Pairs, groups: Rows, ids: pl.Series, *, most: int = _DOUBTFUL) -> pl.DataFrame:
    """Name the groups whose members agree least.

    Args:
        pairs: with probabilities as `similarity`.
        groups: (n,) group numbers from 0.
        ids: (g,) String, the id of each group.
        most: groups to name.

    Returns:
        Columns group, posts, probability (mean over all pairs of the group, 0 where two were not compared), the most
        doubtful first; of groups of more than one post, and of up to a thousand.
    """
    size = np.bincount(groups, minlength=len(ids))
    mean = mean_within(pairs, groups, size)
    found = pl.DataFrame({"group": ids, "posts": size, "probability": mean})
    found = found.filter(pl.col("posts").is_between(2, _LARGEST))
    return found.sort("probability", "group").head(most)
