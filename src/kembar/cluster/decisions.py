"""The last stages: matches and groups from the pairs that matter, and the result."""

from typing import Any, Final

import numpy as np

from kembar.arrays import Bools, Rows
from kembar.cluster.joined import joined, of_other_rows
from kembar.cluster.shared import Shared
from kembar.cluster.verdicts import final_pairs
from kembar.cluster.work import Task
from kembar.evidence.copies import Copies
from kembar.evidence.pairs import SIMILARITY, Pairs
from kembar.grouping.crowds import degrees, matter, may_crowd
from kembar.grouping.groups import Groups
from kembar.grouping.limits import Limits
from kembar.grouping.matches import Matches
from kembar.memory import peak_memory
from kembar.outcome import decided, noted, restored
from kembar.results.result import Result

_KEPT: Final = "pairs kept"


def decisions(shared: Shared, _task: Task) -> dict[str, Any]:
    """Decide about all posts, by the pairs that can change anything; count the others."""
    crowds, compared = _crowds(shared)
    pairs = joined(shared, "pairs decided", lambda pairs: _narrow(pairs.take(_matter(pairs, crowds))))
    order, config, catalog = shared.start.order, shared.config, shared.start.catalog
    limits = Limits(shared.cut_off, shared.scope, compared=compared)
    matches, groups = decided(pairs, order, shared.copies, config, catalog, limits)
    return {"matches": matches, "groups": groups, "compared": compared, "crowds": crowds}


def result(shared: Shared, seconds: dict[str, float]) -> Result:
    """Put the result together: pairs that cannot be one product, and are in no group, are only counted."""
    made, order, copies = shared.work.read("decisions"), shared.start.order, shared.copies
    matches, groups = Matches(made["matches"].offsets, made["matches"].rows), made["groups"]
    labels = groups.labels[order[copies.kept]]
    kept = joined(shared, _KEPT, lambda pairs: pairs.take(_matter(pairs, made["crowds"], labels)))
    pairs = of_other_rows(shared.work, _KEPT, "pairs of rows", list(kept.evidence), order[copies.kept])
    encoded = shared.work.read("vectors")["problems"]
    compared, given = shared.work.read("speaking")
    place = np.argsort(order, kind="stable")
    told = compared.with_hashes(compared.hashes, compared.hashed, encoded)
    catalog, copy_of, cut_off = restored(told.take(place), given.take(place), order, copies, shared.cut_off)
    return Result(
        catalog=noted(catalog, shared.recall),
        config=shared.config,
        pairs=pairs,
        matches=matches,
        groups=Groups(groups.labels, groups.ids),
        copy_of=copy_of,
        cut_off=cut_off,
        seconds=seconds,
        peak_memory=peak_memory(),
        compared=_of_rows(made["compared"], order, copies),
    )


def _of_rows(counts: Rows, order: Rows, copies: Copies) -> Rows:
    """Bring counts of the posts that were compared to all rows, 0 for copies: (n,) int64."""
    found = np.zeros(len(order), dtype=np.int64)
    found[order[copies.kept]] = counts
    return found


def _crowds(shared: Shared) -> tuple[Bools, Rows]:
    """Find the posts that are crowded at some cut (see `may_crowd`), and count the candidates of each post."""
    n = len(shared.copies.kept)
    compared, possible = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    for part in range(len(shared.parts)):
        pairs = final_pairs(shared, part)
        some = pairs.evidence[SIMILARITY] > 0
        compared += degrees(pairs.left, pairs.right, n)
        possible += degrees(pairs.left[some], pairs.right[some], n)
    return may_crowd(shared.cut_off, compared, possible), compared


def _matter(pairs: Pairs, crowds: Bools, labels: Rows | None = None) -> Bools:
    """Mark the pairs that can change a decision, or that are within a group: (m,) bool."""
    found = matter(pairs.left, pairs.right, pairs.evidence[SIMILARITY], crowds)
    return found if labels is None else found | pairs.within(labels)


def _narrow(pairs: Pairs) -> Pairs:
    return Pairs(pairs.left, pairs.right, {SIMILARITY: pairs.evidence[SIMILARITY]})
