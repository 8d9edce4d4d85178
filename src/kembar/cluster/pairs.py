"""The stages from views to compared pairs: neighbours of each part, blending, the evidence of each part's pairs."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from kembar.arrays import Floats, Rows, offsets_of
from kembar.cluster.shared import Shared
from kembar.cluster.work import Task
from kembar.evidence.blending import neighborhood
from kembar.evidence.gathering import sure_enough
from kembar.evidence.pairs import SIMILARITY, Pairs, united
from kembar.evidence.views import DenseView, View


def near(shared: Shared, task: Task) -> dict[str, Any]:
    """Find the neighbours of a part in a view: as pairs, by the part of the lower row."""
    view, find = shared.search(task.view, task.step)
    rows = shared.parts.rows(task.part or 0)
    own = view.take(rows)
    found = find(own, rows)
    source, target, _ = found.edges()
    source = rows[source]
    low, high = np.minimum(source, target), np.maximum(source, target)
    part = shared.parts.holding(low)
    order = np.argsort(part, kind="stable")
    return {
        "low": low[order].astype(np.int32),
        "high": high[order].astype(np.int32),
        "offsets": offsets_of(np.bincount(part, minlength=len(shared.parts))),
        "cut_off": 1 + np.count_nonzero(found.index[:, 1:] >= 0, axis=1) >= own.places(),
        "recall": found.recall,
    }


def weights(shared: Shared, task: Task) -> Any:
    """Take the sure neighbours of all posts, for a step of blending."""
    how = sure_enough(shared.config, task.step - 1)
    least = np.float32(how["threshold"] if how["min2"] is None else min(how["threshold"], how["min2"]))
    found: list[tuple[Rows, Rows, Floats]] = []
    for part in range(len(shared.parts)):
        pairs, sure = shared.work.read("pairs", part, step=task.step - 1)
        some = np.flatnonzero(sure >= least)
        found.append((pairs.left[some], pairs.right[some], sure[some]))
    left, right, sure = (np.concatenate(ends) for ends in zip(*found, strict=True))
    return neighborhood(left, right, sure, len(shared.copies.kept), **how)


def blended(shared: Shared, task: Task) -> View:
    """Blend the posts of a part in a view."""
    before = shared.view(task.view, task.step - 1)
    rows = shared.parts.rows(task.part or 0)
    return before.take(rows).blended(shared.work.read("weights", step=task.step)[rows], before)


def blended_view(shared: Shared, task: Task) -> View:
    """Put the blended posts of all parts together."""
    before = shared.view(task.view, task.step - 1)
    every = range(len(shared.parts))
    parts: Iterator[Any] = (shared.work.read("blended", part, task.view, task.step) for part in every)
    if isinstance(before, DenseView):
        rows = (part.vectors for part in parts)
        return replace(before, vectors=shared.work.mapped(shared.work.stack(task.name, rows, before.rows())))
    return before.joined(list(parts), np.arange(len(before)))


def pairs(shared: Shared, task: Task) -> tuple[Pairs, Floats]:
    """Compare the candidates whose left post is of a part: the pairs, and how sure each is for the next step."""
    comparison, config = shared.comparison, shared.config
    if not task.step:
        found = comparison.first(*_candidates(shared, task))
        sure = comparison.sure(found) if config.advanced.blend.steps else found.evidence[SIMILARITY]
    else:
        known = shared.work.read("pairs", task.part)[0]
        changed = [shared.view(name, task.step) for name in shared.blending()]
        ends = _candidates(shared, task) if config.advanced.blend.search else (known.left, known.right)
        found, sure = comparison.again(ends, known, changed)
    return (comparison.direct(found) if task.step == config.advanced.blend.steps else found), sure


def _candidates(shared: Shared, task: Task) -> tuple[Rows, Rows]:
    """Unite what all views have found, before and after blending."""
    part, n = task.part or 0, len(shared.copies.kept)
    sources = [(view.name, 0) for view in shared.views]
    sources += [(name, task.step) for name in shared.blending() if task.step]
    keys = [np.zeros(0, dtype=np.int64)]
    for name, step in sources:
        for other in range(part, len(shared.parts)):  # what is near a post of an earlier part is lower, or not of this
            found = shared.work.read("near", other, name, step)
            block = slice(*found["offsets"][part : part + 2])
            keys.append(found["low"][block].astype(np.int64) * n + found["high"][block])
    return united(keys, n)
