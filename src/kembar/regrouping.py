"""Other decisions from the pairs of a finished run: another cut or rule in seconds, and nothing compared again."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from kembar.arrays import Bools, Rows
from kembar.classifier.pair_classifier import PairClassifier
from kembar.config import Config
from kembar.errors import ConfigError, FolderError
from kembar.evidence.copies import Copies
from kembar.evidence.pairs import SIMILARITY, Pairs
from kembar.evidence.scope import Scope
from kembar.grouping.crowds import degrees, matter, may_crowd
from kembar.grouping.limits import Limits
from kembar.memory import peak_memory
from kembar.outcome import decided
from kembar.plan import Clock
from kembar.results.result import Result

DECIDING: Final = ("cut", "rule", "target_size", "single", "advanced.decide", "advanced.group.link")
"""The options, and the section of options, that only decide: nothing that is known of the pairs depends on them."""


def regroup(result: Result, settings: Iterable[str]) -> Result:
    """Decide again about the pairs of a run.

    Args:
        result: the run; its cuts hold for its own pool, as its config.toml has them.
        settings: changes such as "cut=0.6" and "rule=threshold".

    Returns:
        What a run with this configuration would have found.

    Raises:
        ConfigError: an option that is unknown or out of range, or on which the pairs or their similarities depend.
        FolderError: a run of an older version, which did not note whose lists of neighbours were full.
    """
    config = _changed(result.config, settings)
    clock = Clock()
    with clock.stage("decisions"):
        found = compared(result)
        matches, groups = decided(found.pairs, found.order, found.copies, config, result.catalog, found.limits)
    return replace(
        result, config=config, matches=matches, groups=groups, seconds=clock.seconds, peak_memory=peak_memory()
    )


def _changed(config: Config, settings: Iterable[str]) -> Config:
    """Apply settings, and refuse those that do not only decide."""
    changed = config.with_settings(settings)
    if changed.cut is None:
        changed = changed.settled(None if config.by_rules else PairClassifier.load(config.model).cut)
    before, after = (_leaves(each.model_dump(mode="json")) for each in (config, changed))
    for key in (key for key in after | before if before.get(key) != after.get(key)):
        if not any(key == own or key.startswith(f"{own}.") for own in DECIDING):
            raise ConfigError(
                f"{key} = {after.get(key)!r}, where the run has {before.get(key)!r}",
                f"options that only decide about its pairs: {', '.join(DECIDING)}",
                "Run `kembar match` again with it.",
            )
    return changed


def _leaves(tree: Any, path: str = "") -> dict[str, Any]:
    """Flatten nested dicts: "advanced.decide.cap" and so on to their values."""
    if not isinstance(tree, dict) or not tree:
        return {path: tree}
    parts = (_leaves(part, f"{path}.{name}" if path else name) for name, part in tree.items())
    return {key: value for part in parts for key, value in part.items()}


@dataclass(frozen=True, slots=True)
class Compared:
    """The posts of a run that were compared, in the order of ids, in which ties are broken: the way in, backwards.

    Attributes:
        pairs: those of their pairs that can change a decision, with their similarity alone.
        order: (n,) rows of the run, in the order of ids.
        copies: which of these were compared, and which stand behind them.
        limits: what else is known of those that were compared.
    """

    pairs: Pairs
    order: Rows
    copies: Copies
    limits: Limits


def compared(result: Result) -> Compared:
    """Find the posts and pairs of a run that were compared; raises FolderError, see `regroup`."""
    order = result.catalog.ids.arg_sort().to_numpy().astype(np.int64)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    stands = rank[result.copy_of[order]]
    kept = np.unique(stands)
    n, rows = len(kept), order[kept]
    place = np.searchsorted(kept, np.arange(len(order)))[rank]  # of a row that was compared
    left, right = place[result.pairs.left], place[result.pairs.right]
    counts = degrees(left, right, n) if result.compared is None else result.compared[rows]
    cut_off = noted_cut_off(result)[rows]
    possible = result.similarity > 0
    crowds = may_crowd(cut_off, counts, degrees(left[possible], right[possible], n))
    some = np.flatnonzero(matter(left, right, result.similarity, crowds))
    left, right = np.minimum(left[some], right[some]), np.maximum(left[some], right[some])
    by_ends = np.argsort(left * n + right)
    pairs = Pairs(left[by_ends], right[by_ends], {SIMILARITY: result.similarity[some][by_ends]})
    limits = Limits(cut_off, Scope.of(result.catalog.take(rows)), compared=counts)
    return Compared(pairs, order, Copies(kept, np.searchsorted(kept, stands)), limits)


def noted_cut_off(result: Result) -> Bools:
    """Take what a run noted of its lists of neighbours: (n,) bool; raises FolderError where it did not."""
    if result.cut_off is None:
        raise FolderError(
            "a run of an older version",
            "one that notes whose lists of neighbours were full",
            "Run `kembar match` again.",
        )
    return result.cut_off
