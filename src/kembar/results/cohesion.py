"""How sure each group is: the mean over its pairs, and the weakest of them."""

import numpy as np
import polars as pl

from kembar.arrays import Doubles, Rows
from kembar.evidence.pairs import SIMILARITY, Pairs

COLUMNS = ("mean_similarity", "weakest_similarity", "weakest_left", "weakest_right")
"""What `cohesion` tells of each group."""


def mean_within(pairs: Pairs, groups: Rows, sizes: Rows) -> Doubles:
    """Mean similarity over all pairs of a group, a pair that was never compared counting 0, as average link has it.

    Args:
        pairs: with the column `similarity`.
        groups: (n,) group numbers from 0.
        sizes: (g,) compared posts of each group.

    Returns:
        (g,) float64, 0 for groups of one.
    """
    together = pairs.within(groups)
    total = np.bincount(groups[pairs.left[together]], pairs.evidence[SIMILARITY][together], len(sizes))
    mean: Doubles = total / np.maximum(1, sizes * (sizes - 1) / 2)
    return mean


def cohesion(pairs: Pairs, groups: Rows, copy_of: Rows, ids: pl.Series) -> pl.DataFrame:
    """Tell how sure each group is.

    Of many copies the one that was compared is looked at: the others share its fate.

    Args:
        pairs: with the column `similarity`.
        groups: (n,) group numbers from 0.
        copy_of: (n,) rows of the posts that stand for each among the pairs.
        ids: (n,) String posting ids.

    Returns:
        A row for each group, in their order: mean_similarity over all its pairs (never compared: 0) and
        weakest_similarity, the lowest of a pair that was compared, to four digits; weakest_left and weakest_right, the
        ids of that pair, the smaller one first. Nulls for a group without two posts that were compared.
    """
    n = int(groups.max(initial=-1)) + 1
    sizes = np.bincount(groups[copy_of == np.arange(len(groups))], minlength=n)
    mean = pl.Series(mean_within(pairs, groups, sizes)).set(pl.Series(sizes < 2), None)
    own = np.flatnonzero(pairs.within(groups))
    ends = pl.DataFrame({"a": ids.gather(pairs.left[own]), "b": ids.gather(pairs.right[own])})
    within = ends.select(
        pl.Series("group", groups[pairs.left[own]]),
        pl.Series("weakest_similarity", pairs.evidence[SIMILARITY][own].astype(np.float64)).round(4),
        pl.min_horizontal("a", "b").alias("weakest_left"),
        pl.max_horizontal("a", "b").alias("weakest_right"),
    )
    order = ["group", "weakest_similarity", "weakest_left", "weakest_right"]
    weakest = within.sort(order).unique("group", keep="first", maintain_order=True)
    found = pl.DataFrame({"group": np.arange(n), "mean_similarity": mean.round(4)})
    return found.join(weakest, on="group", how="left", maintain_order="left").select(COLUMNS)
