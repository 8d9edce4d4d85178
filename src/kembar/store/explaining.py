"""Why two posts of a store are one product or not, seen among all that is near them."""

import sqlite3
from dataclasses import dataclass

import numpy as np
import polars as pl

from kembar.arrays import Rows
from kembar.config import Config
from kembar.evidence.pairs import Pairs
from kembar.grouping.groups import Groups
from kembar.grouping.matches import Matches, within_groups
from kembar.newcomers import among
from kembar.posts.catalog import Catalog
from kembar.results.explanation import Explanation, Whole, explain
from kembar.store.index import Index
from kembar.store.tables import group_names, groups_of, unknown_post


@dataclass(frozen=True, slots=True)
class _Near:
    """Two posts and their neighbourhood as a run: see `kembar.results.explanation.Run`."""

    catalog: Catalog
    config: Config
    pairs: Pairs
    matches: Matches
    groups: Groups
    copy_of: Rows


def explained(read: sqlite3.Connection, index: Index, posts: tuple[str, str], rows: tuple[int, int]) -> Explanation:
    """Explain a pair of posts.

    Args:
        read: a connection.
        index: what finds their neighbours.
        posts: their ids.
        rows: their rows in the store.

    Returns:
        The explanation.
    """
    model = index.known
    places = np.sort(index.place[np.array(rows)])
    if places[0] < 0:  # removed a moment ago
        raise unknown_post(read, posts[0] if index.place[rows[0]] < 0 else posts[1])
    found = among(index.base, places, model)
    local = index.rows[np.append(found.near, places)]
    own = groups_of(read, local)
    names = group_names(read, set(own.tolist()))
    groups = Groups.named(pl.Series([names[row] for row in own.tolist()], dtype=pl.String))
    source, target, _ = within_groups(groups.labels, found.pairs.left, found.pairs.right, found.probability)
    matches = Matches.of(source, target, len(local))
    run = _Near(found.posts, model.config, found.pairs, matches, groups, np.arange(len(local)))
    whole = Whole(model.fitted.titles, model.fitted.tokens, model.classifier)
    return explain(run, *posts, whole=whole)
