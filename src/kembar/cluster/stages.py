"""The stages by name, and one task of any of them."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from kembar.cluster import decisions, pairs, posts, verdicts
from kembar.cluster.shared import Shared
from kembar.cluster.work import Task, Work
from kembar.memory import give_back
from kembar.threads import unforked

STAGES: Final[dict[str, Callable[[Shared, Task], Any]]] = {
    "hashed": posts.hashed,
    "speaking": posts.speaking,
    "encoded": posts.encoded,
    "vectors": posts.vectors,
    "settings": posts.settings,
    "kept": posts.kept,
    "counted": posts.counted,
    "fitted": posts.fitted,
    "views": posts.views,
    "quantities": posts.quantities,
    "scorers": posts.scorers,
    "near": pairs.near,
    "pairs": pairs.pairs,
    "weights": pairs.weights,
    "blended": pairs.blended,
    "blended view": pairs.blended_view,
    "ranks": verdicts.ranks,
    "judgements": verdicts.judgements,
    "weighed": verdicts.weighed,
    "decisions": decisions.decisions,
}
"""What each stage does: from what the tasks share, and a task, to what its file holds."""


@unforked
def perform(folder: Path, task: Task) -> None:
    """Do a task, unless it has been done."""
    shared = _shared(folder, task.stage, task.step)
    if not shared.work.done(task):
        shared.work.write(task, STAGES[task.stage](shared, task))


def forget() -> None:
    """Let go of what the tasks of the last stage shared."""
    _shared.cache_clear()
    give_back()


@lru_cache(maxsize=1)
def _shared(folder: Path, _stage: str, _step: int) -> Shared:
    """Make what the tasks of a stage share; that of the stage before is let go."""
    return Shared(Work(folder))
