"""From evidence to probabilities: a fuser judges all candidate pairs, and their groups are cut where it pays."""

from typing import Final

import numpy as np
import polars as pl

from kembar.evidence import SIMILARITY
from kembar.features import Features
from kembar.fuser import Fuser
from kembar.pairs import Pairs
from kembar.units import Quantities

RULES: Final = "rules"  # the evidence column that keeps what the hand-set rules made of a pair

_LOOKED_AT: Final = 1 << 17  # pairs in which drift is looked for


def judged(pairs: Pairs, titles: pl.Series, quantities: Quantities, fuser: Fuser) -> Pairs:
    """Replace the rules' similarity by a fuser's probability.

    Warns in the log where the pairs are unlike those that the fuser learned from (see `Fuser.drift`).

    Args:
        pairs: with the columns of the views and `similarity`.
        titles: (n,) String in normal form.
        quantities: of these titles.
        fuser: the judge; an evidence column that the pairs lack is missing to it.

    Returns:
        Pairs whose `similarity` is the probability, the rules' one kept as `rules`.
    """
    features = Features.of(pairs, titles, quantities=quantities)
    probability = np.empty(len(pairs), dtype=np.float32)
    for rows, table in features.chunks(fuser.names, size=_LOOKED_AT):
        if rows.start == 0:
            fuser.drift(table)
        probability[rows] = fuser.probability(table)
    return pairs.with_evidence(**{RULES: pairs.evidence[SIMILARITY], SIMILARITY: probability})


def contributions(pairs: Pairs, titles: pl.Series, fuser: Fuser, at: int) -> pl.DataFrame:
    """Tell what each evidence column added to the log-odds of one judged pair.

    Args:
        pairs: what `judged` returned.
        titles: (n,) String in normal form.
        fuser: the judge.
        at: the place of the pair.

    Returns:
        Columns column, value (null where missing) and log_odds, the largest share first; the last row, column "base",
        is what the fuser thinks of a pair without evidence. The shares sum to the log-odds before calibration.
    """
    plain = {name: column for name, column in pairs.evidence.items() if name != RULES}
    plain[SIMILARITY] = pairs.evidence.get(RULES, pairs.evidence[SIMILARITY])
    row = Features.of(Pairs(pairs.left, pairs.right, plain), titles).table(fuser.names, np.array([at]))
    shares = fuser.contributions(row)[0]
    frame = pl.DataFrame({"column": fuser.names, "value": row[0], "log_odds": shares[:-1]})
    frame = frame.with_columns(pl.col("value").fill_nan(None)).sort(pl.col("log_odds").abs(), descending=True)
    base = pl.DataFrame({"column": ["base"], "value": [None], "log_odds": shares[-1:]}, schema=frame.schema)
    return pl.concat([frame, base])
