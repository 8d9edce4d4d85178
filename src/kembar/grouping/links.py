"""Links: pairs of posts of two catalogues, where a post may be allowed one link alone.

The most probable pair is taken first, then the most probable of those that it leaves possible, and so on (unique
mapping clustering: Lacoste-Julien et al. 2013, "SiGMa"; among the best of its kind by Papadakis et al. 2023, "An
analysis of one-to-one matching algorithms for entity resolution").
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from kembar.arrays import Bools, Floats, Rows
from kembar.config import Config
from kembar.errors import ConfigError
from kembar.evidence.edges import Edges, directed
from kembar.evidence.pairs import SIMILARITY, Pairs
from kembar.evidence.scope import Scope

LINKS: Final[Mapping[str, str]] = {
    "one-to-one": "each post takes one link at most, the most probable pairs first",
    "one-to-many": "a post of the second catalogue takes its most probable link alone",
    "many-to-many": "all pairs that reach the cut are links",
}
"""The rules of `Config.rule` that link, in words."""


def linked(pairs: Pairs, n: int, config: Config, scope: Scope | None) -> Edges:
    """Link posts of two sources as `config.rule` says.

    Args:
        pairs: with the column `similarity`.
        n: number of posts.
        config: the rule, one of `LINKS`, and the cut.
        scope: of the posts; the second source is the one whose name comes later.

    Returns:
        Directed edges ordered by source, best first.

    Raises:
        ConfigError: the posts are not of two sources.
    """
    found = 0 if scope is None else len(np.unique(scope.sources[scope.sources >= 0]))
    if scope is None or found != 2:
        raise ConfigError(
            f"rule {config.rule!r} with posts of {found} sources",
            "posts of two",
            "Use `kembar link`, or name the column that tells the two apart: Columns(source=...).",
        )
    limited = {
        "one-to-one": np.ones(n, dtype=bool),
        "one-to-many": scope.sources == scope.sources.max(),
        "many-to-many": np.zeros(n, dtype=bool),
    }[config.rule]
    kept = pairs.take(pairs.evidence[SIMILARITY] >= np.float32(config.group_cut))
    chosen = kept.take(best_links(kept.left, kept.right, kept.evidence[SIMILARITY], limited))
    return directed(chosen.left, chosen.right, chosen.evidence[SIMILARITY])


def best_links(left: Rows, right: Rows, probability: Floats, limited: Bools) -> Bools:
    """Choose links, the most probable first; equal ones in the order of the pairs.

    All pairs that are the best left at their limited ends are taken at once: that is the order above, for none of them
    can be taken away by a better one.

    Args:
        left: (m,) rows.
        right: (m,) rows, each unordered pair once.
        probability: (m,).
        limited: (n,) bool, posts that take one link at most.

    Returns:
        (m,) bool, the pairs that are links.
    """
    chosen = np.zeros(len(left), dtype=bool)
    rank = np.empty(len(left), dtype=np.int64)
    rank[np.argsort(-probability, kind="stable")] = np.arange(len(left))
    taken = np.zeros(len(limited), dtype=bool)
    open_ = np.arange(len(left))
    while len(open_):
        best = np.full(len(limited), len(left))
        for end in (left, right):
            np.minimum.at(best, end[open_], rank[open_])
        now = np.ones(len(open_), dtype=bool)
        for end in (left, right):
            now &= ~limited[end[open_]] | (best[end[open_]] == rank[open_])
        links = open_[now]
        chosen[links] = True
        for end in (left, right):
            taken[end[links]] = True
        open_ = open_[~now]
        open_ = open_[~(limited & taken)[left[open_]] & ~(limited & taken)[right[open_]]]
    return chosen
