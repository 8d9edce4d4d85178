"""From evidence to probabilities: a classifier decides about all candidate pairs."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import polars as pl

from kembar.arrays import Bools, Floats, Rows
from kembar.classifier.drift import FEWEST, LOOKED_AT
from kembar.classifier.features import Features
from kembar.classifier.match_weights import Judged, cosine_weights, looked_up, updated
from kembar.classifier.pair_classifier import PairClassifier
from kembar.evidence.identifier_view import WEIGHT, with_an_equal_one
from kembar.evidence.pairs import OF_RULES, SIMILARITY, Pairs
from kembar.evidence.scorers import CONFLICT, Scorer
from kembar.evidence.view_kinds import HASH

ALIKE: Final = 1 - 8 / 64  # share of equal bits of the hashes of one photo, copied and scaled

_PIECES: Final = "unit pieces"  # the column that tells of them
_CHUNK: Final = 1 << 16  # pairs described at once: bounds the memory


def classify(
    pairs: Pairs,
    posts: int,
    scorers: Sequence[Scorer],
    classifier: PairClassifier,
    spare: Mapping[str, str],
    *,
    among: Bools | None = None,
) -> Pairs:
    """Replace the rules' similarity by a classifier's probability.

    Warns in the log where the pairs are unlike those that the classifier learned from (see `PairClassifier.drift`). If
    it has a veto, quantities that contradict each other make the probability 0; another number of pieces does, even
    where another quantity is the same (85 g, 40 pieces | 85 g, 5 pieces).

    Args:
        pairs: with the columns of the views and `similarity`.
        posts: number of posts.
        scorers: what else compares these posts; a column that is lacking is missing to the classifier.
        classifier: what decides.
        spare: photo views that it has not learned from, each with its encoder; their cosines are weighed
            (see kembar.classifier.match_weights).
        among: (m,) bool, the pairs to decide about, where the others are only what these stand among; all where None.

    Returns:
        Pairs, those `among` alone, whose `similarity` is the probability, the rules' one kept as `rules`, and with a
        column `<view>_weight` for each spare view: what its cosine added to the log-odds.
    """
    features = Features.of(seen(pairs, classifier), posts, scorers, wanted=classifier.names)
    if len(pairs) >= FEWEST and among is None:  # what is near some posts is unlike any whole pool
        classifier.drift(features.table(classifier.names, evenly(len(pairs))))
    verdict = judged(pairs, features, classifier, every=bool(spare), among=among)
    tables = spare_weights(lambda: [(pairs, verdict[0])], classifier, spare)
    found = concluded(pairs, verdict, tables, classifier)
    return found if among is None else found.take(among)


def judged(
    pairs: Pairs, features: Features, classifier: PairClassifier, *, every: bool, among: Bools | None = None
) -> tuple[Floats, Floats]:
    """Let the trees decide about pairs.

    Args:
        pairs: as in `classify`, or a part of them.
        features: their evidence.
        classifier: what decides.
        every: whether to look at the pairs below its gate too.
        among: as in `classify`.

    Returns:
        (m,) float32 probabilities, 0 where no tree has looked, and (m,) float32, 1 where quantities contradict each
        other.
    """
    probability = np.zeros(len(pairs), dtype=np.float32)
    conflict = pairs.evidence.get(CONFLICT, probability * 0).copy()
    pieces = classifier.names.index(_PIECES) if _PIECES in classifier.names else None
    wanted = ~passed_over(pairs, classifier) | with_an_equal_one(pairs)
    if among is not None:
        wanted &= among
    looked_at = np.flatnonzero(wanted | every)
    for begin in range(0, len(looked_at), _CHUNK):
        rows = looked_at[begin : begin + _CHUNK]
        table = features.table(classifier.names, rows)
        probability[rows] = classifier.probability(table)
        if pieces is not None:
            conflict[rows] = np.maximum(conflict[rows], table[:, pieces] == -1)
    return probability, conflict


def spare_weights(
    read: Callable[[], Iterable[tuple[Pairs, Floats]]], classifier: PairClassifier, spare: Mapping[str, str]
) -> dict[str, Floats]:
    """Weigh the cosines of photo views that a classifier has not learned from, by all pairs.

    Args:
        read: reads all pairs and their probabilities, in parts, each time that it is called.
        classifier: what decides.
        spare: these views, each with its encoder.

    Returns:
        For each view (2, 101) float32, see `cosine_weights`; encoders that look at the same photos do not count twice.
    """

    def judged_by(name: str) -> Callable[[], Iterator[Judged]]:
        return lambda: (
            (probability, pairs.evidence[name], _alike(pairs))
            for pairs, probability in read()
            if name in pairs.evidence
        )

    share = np.float32(1 / max(1, len(spare)))
    return {
        name: share * cosine_weights(judged_by(name), guess=classifier.weights.get(encoder)).astype(np.float32)
        for name, encoder in spare.items()
    }


def _alike(pairs: Pairs) -> Bools:
    """Tell which pairs have the same photo, by their hashes: (m,) bool."""
    hashes = pairs.evidence.get(HASH.name)
    return np.zeros(len(pairs), dtype=bool) if hashes is None else hashes >= ALIKE


def concluded(
    pairs: Pairs, verdict: tuple[Floats, Floats], weights: Mapping[str, Floats], classifier: PairClassifier
) -> Pairs:
    """Put together what trees, spare views and quantities say of pairs.

    Args:
        pairs: as in `classify`, or a part of them.
        verdict: what `judged` returned.
        weights: of `spare_weights`.
        classifier: what decided.

    Returns:
        The pairs, as `classify` returns them.
    """
    (probability, conflict), more = verdict, {}
    for name, table in weights.items():
        if name in pairs.evidence:
            more[name + WEIGHT] = looked_up(table, pairs.evidence[name], _alike(pairs))
            probability = updated(probability, more[name + WEIGHT])
    if classifier.veto:
        probability = np.where(conflict > 0, np.float32(0), probability)
        more[CONFLICT] = conflict
    return pairs.with_evidence(**more, **{OF_RULES: pairs.evidence[SIMILARITY], SIMILARITY: probability})


def passed_over(pairs: Pairs, classifier: PairClassifier) -> Bools:
    """Mark the pairs below the gate of a classifier, (m,) bool: their probability is 0, no tree has looked at them.

    Evidence that it has not learned from may still speak for such a pair: where there is any, all are looked at.
    """
    conflict = pairs.evidence.get(CONFLICT, np.zeros(len(pairs), dtype=np.float32))
    rules = pairs.evidence.get(OF_RULES, pairs.evidence[SIMILARITY])
    passed: Bools = (rules < np.float32(classifier.gate)) & ~(conflict > 0)
    return passed


def evenly(pairs: int) -> Rows:
    """Take as many places as drift is looked for in, evenly spread."""
    return np.arange(0, pairs, max(1, -(-pairs // LOOKED_AT)))


def seen(pairs: Pairs, classifier: PairClassifier) -> Pairs:
    """Take the columns that the classifier learned from, the rules' similarity among them as it was."""
    columns = {name: column for name, column in pairs.evidence.items() if name in classifier.names}
    columns[SIMILARITY] = pairs.evidence.get(OF_RULES, pairs.evidence[SIMILARITY])
    return Pairs(pairs.left, pairs.right, columns)


def evidence_table(
    pairs: Pairs, posts: int, scorers: Sequence[Scorer], classifier: PairClassifier, rows: Rows
) -> Floats:
    """Describe some pairs as a classifier sees them.

    Args:
        pairs: what `classify` returned.
        posts: number of posts.
        scorers: what else compares these posts.
        classifier: what decided.
        rows: (r,) int64 places of the pairs, rising.

    Returns:
        (r, c) float32 with the classifier's columns, NaN where missing.
    """
    return Features.of(seen(pairs, classifier), posts, scorers, wanted=classifier.names).table(classifier.names, rows)


def contributions(
    pairs: Pairs, posts: int, scorers: Sequence[Scorer], classifier: PairClassifier, at: int
) -> pl.DataFrame:
    """Tell what each evidence column added to the log-odds of one pair.

    Args:
        pairs: what `classify` returned.
        posts: number of posts.
        scorers: what else compares these posts.
        classifier: what decided.
        at: the place of the pair.

    Returns:
        Columns column, value (null where missing) and log_odds, the largest share first; the last row, column "base",
        is what the classifier thinks of a pair without evidence. The shares sum to the log-odds before calibration, but
        for those of views that it has not learned from, which come after it.
    """
    ends = pairs.left[at], pairs.right[at]
    near = np.flatnonzero(np.isin(pairs.left, ends) | np.isin(pairs.right, ends))  # nothing else says anything of them
    features = Features.of(seen(pairs, classifier).take(near), posts, scorers, wanted=classifier.names)
    row = features.table(classifier.names, np.searchsorted(near, [at]))
    shares = classifier.contributions(row)[0]
    frame = pl.DataFrame({"column": classifier.names, "value": row[0], "log_odds": shares[:-1]})
    weighed = [name for name in pairs.evidence if name + WEIGHT in pairs.evidence]
    more = [[float(pairs.evidence[column][at]) for column in (name, name + WEIGHT)] for name in weighed]
    rows = [(name, *values) for name, values in zip(weighed, more, strict=True)]
    frame = pl.concat([frame, pl.DataFrame(rows, schema=frame.schema, orient="row")])
    frame = frame.with_columns(pl.col("value").fill_nan(None)).sort(pl.col("log_odds").abs(), descending=True)
    base = pl.DataFrame({"column": ["base"], "value": [None], "log_odds": shares[-1:]}, schema=frame.schema)
    return pl.concat([frame, base])
