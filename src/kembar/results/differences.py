"""Where lists of matches and groups do not say the same, and why."""

from typing import Final

import numpy as np
import polars as pl

from kembar.arrays import Rows
from kembar.config import Config
from kembar.evidence.pairs import SIMILARITY, Pairs
from kembar.grouping.groups import Groups
from kembar.grouping.matches import Matches, within_groups

_DIFFERENCES: Final = {
    "source": pl.Int64,
    "target": pl.Int64,
    "similarity": pl.Float32,
    "matched": pl.Boolean,
    "grouped": pl.Boolean,
    "why": pl.String,
}


def differences(pairs: Pairs, matches: Matches, groups: Groups, config: Config) -> pl.DataFrame:
    """Find where lists of matches and groups do not say the same, and why.

    Under rule group they differ by the cap of the lists alone; the other rules decide pair by pair, and groups do not.

    Args:
        pairs: the candidates with their evidence.
        matches: the matches of every post.
        groups: the partition.
        config: the configuration of the run.

    Returns:
        Columns source, target (rows; the list of source is meant), similarity (null where never compared), matched,
        grouped, why; ordered by source, then target.
    """
    n = len(matches)
    source, target = matches.edges()
    labels = groups.labels
    odd = np.diff(matches.offsets) != groups.sizes()[labels]
    odd[source[labels[source] != labels[target]]] = True  # the lists of all others are their groups
    if not odd.any():
        return pl.DataFrame(schema=_DIFFERENCES)  # as most runs by rule group end
    concerned = np.isin(np.arange(len(groups)), labels[odd])
    some = np.where(concerned[labels], labels, len(groups) + np.arange(n))
    together = within_groups(some, pairs.left, pairs.right, pairs.evidence[SIMILARITY])
    listed, grouped = (one[odd[one]] * n + other[odd[one]] for one, other in ((source, target), together[:2]))
    apart = np.setdiff1d(listed, grouped, assume_unique=True), np.setdiff1d(grouped, listed, assume_unique=True)
    key = np.sort(np.concatenate(apart))
    source, target = np.divmod(key, max(n, 1))
    similarity = _similarities(pairs, np.minimum(source, target), np.maximum(source, target), n)
    frame = pl.DataFrame({"source": source, "target": target, "similarity": similarity})
    frame = frame.with_columns(matched=pl.Series(np.isin(key, listed)), grouped=pl.Series(np.isin(key, grouped)))
    full = pl.Series(np.diff(matches.offsets)[source] >= config.advanced.decide.cap, dtype=pl.Boolean)
    why = (
        pl.when(pl.col("matched"))
        .then(pl.lit("alike as a pair, but their groups are not alike enough on the whole"))
        .when(full)
        .then(pl.lit("the list is full"))
        .when(pl.col("similarity").is_null())
        .then(pl.lit("never compared; others of the group join them"))
        .otherwise(pl.lit("not alike enough as a pair; others of the group join them"))
    )
    return frame.with_columns(why=why)


def _similarities(pairs: Pairs, low: Rows, high: Rows, n: int) -> pl.Series:
    """Look up pairs, which are ordered by left, then right: their similarity, null where they were not compared."""
    if not len(pairs):
        return pl.repeat(None, len(low), dtype=pl.Float32, eager=True)
    key, wanted = pairs.left * n + pairs.right, low * n + high
    at = np.minimum(np.searchsorted(key, wanted), len(key) - 1)
    return pl.Series(pairs.evidence[SIMILARITY][at]).set(pl.Series(key[at] != wanted), None)
