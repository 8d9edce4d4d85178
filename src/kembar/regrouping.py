"""Other decisions from the pairs of a finished run: another cut or rule in seconds, and nothing compared again."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

import numpy as np

from kembar.arrays import Bools, Rows
from kembar.classifier.pair_classifier import PairClassifier
from kembar.config import Config
from kembar.errors import ConfigError, FolderError
from kembar.evidence.copies import Copies
from kembar.evidence.gathering import SIMILARITY
from kembar.evidence.pairs import Pairs
from kembar.evidence.scope import Scope
from kembar.grouping.limits import Limits
from kembar.outcome import decided
from kembar.plan import Clock, peak_memory
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
        pairs, order, copies = compared(result)
        scope = Scope.of(result.catalog.take(order[copies.kept]))
        limits = Limits(cut_off(result), scope, compared=_counts(result))
        matches, groups = decided(pairs, order, copies, config, result.catalog, limits)
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


def compared(result: Result) -> tuple[Pairs, Rows, Copies]:
    """Go to the order of ids, in which ties are broken, and to the posts that were compared: the way in, backwards."""
    order = result.catalog.ids.arg_sort().to_numpy().astype(np.int64)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    stands = rank[result.copy_of[order]]
    kept = np.unique(stands)
    place = np.searchsorted(kept, np.arange(len(order)))[rank]  # of a row that was compared
    a, b = place[result.pairs.left], place[result.pairs.right]
    left, right = np.minimum(a, b), np.maximum(a, b)
    by_ends = np.argsort(left * len(kept) + right)
    similarity = result.similarity[by_ends]
    pairs = Pairs(left[by_ends], right[by_ends], {SIMILARITY: similarity})
    return pairs, order, Copies(kept, np.searchsorted(kept, stands))


def cut_off(result: Result) -> Bools:
    """Tell of each post that was compared, in the order of ids, whether its lists of neighbours may have been full."""
    order = result.catalog.ids.arg_sort()
    own: Bools = (result.copy_of == np.arange(len(result)))[order]
    return noted_cut_off(result)[order][own]


def _counts(result: Result) -> Rows | None:
    """Tell how many candidates each post that was compared has, where the run does not hold them all."""
    if result.compared is None:
        return None
    order = result.catalog.ids.arg_sort()
    own: Bools = (result.copy_of == np.arange(len(result)))[order]
    found: Rows = result.compared[order][own]
    return found


def noted_cut_off(result: Result) -> Bools:
    """Take what a run noted of its lists of neighbours: (n,) bool; raises FolderError where it did not."""
    if result.cut_off is None:
        raise FolderError(
            "a run of an older version",
            "one that notes whose lists of neighbours were full",
            "Run `kembar match` again.",
        )
    return result.cut_off
