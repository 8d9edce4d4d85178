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
