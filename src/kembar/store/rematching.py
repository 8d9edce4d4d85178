"""All posts of a store matched again as one batch; what people said holds, and groups keep their names."""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from kembar.arrays import Bools, Rows, connected
from kembar.config import Config
from kembar.evidence.pairs import SIMILARITY, Pairs
from kembar.evidence.scope import Scope
from kembar.grouping.decision import decide
from kembar.grouping.limits import Limits
from kembar.grouping.matches import shopee_shares
from kembar.outcome import of_all_posts
from kembar.regrouping import compared
from kembar.results.result import Result
from kembar.store.decisions import Constraints, constraints
from kembar.store.tables import Moves, all_pairs, codes_of, move, named_group, put_pairs


def labels_under(result: Result, said: Constraints) -> Rows:
    """Group the posts of a run so that decisions hold.

    Args:
        result: of a run with rule group.
        said: decisions about rows of its catalogue.

    Returns:
        (n,) int64 labels; those of the run where nobody said anything.
    """
    if not len(said.same) and not len(said.apart):
        return result.groups.labels
    found = compared(result)
    order, copies = found.order, found.copies
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    place = copies.place[rank]  # among the posts that were compared, of each row
    n = len(copies.kept)
    start = connected(place[said.same[:, 0]], place[said.same[:, 1]], n)
    apart = place[said.apart]
    apart = apart[start[apart[:, 0]] != start[apart[:, 1]]]  # copies share their fate in the run, and part below
    limits = replace(found.limits, start=start, apart=(apart[:, 0], apart[:, 1]) if len(apart) else None)
    edges, labels = decide(found.pairs, n, result.config, shopee_shares(), limits)
    restored = of_all_posts(edges, labels, order, copies, result.config)[1]
    return _parted(restored, said)


def _parted(labels: Rows, said: Constraints) -> Rows:
    """Take copies of one post that people hold apart out of their group, the later one of each pair."""
    found = labels.copy()
    for left, right in said.apart.tolist():
        if found[left] == found[right]:
            found[right] = found.max() + 1
    return found


def renamed(before: pl.Series, labels: Rows) -> dict[int, str]:
    """Give groups the names they had: those of the greatest overlap first.

    Args:
        before: (n,) String, the name of each post's group before.
        labels: (n,) int64 groups now.

    Returns:
        Names by label; a group that got none is new. Equal overlaps are broken by name, then by label.
    """
    counted = pl.DataFrame({"name": before, "label": labels}).group_by("name", "label").len()
    ranked = counted.sort("len", "name", "label", descending=[True, False, False])
    found: dict[int, str] = {}
    taken: set[str] = set()
    for name, label, _ in ranked.iter_rows():
        if label not in found and name not in taken:
            found[label] = name
            taken.add(name)
    return found


@dataclass(frozen=True, slots=True)
class Regrouped:
    """Posts and their groups after a re-match.

    Attributes:
        rows: (n,) int64 rows in the store.
        labels: (n,) int64 groups.
        ids: (n,) String posting ids.
    """

    rows: Rows
    labels: Rows
    ids: pl.Series


def moved_to(write: sqlite3.Connection, found: Regrouped) -> Moves:
    """Move posts to their new groups under the old names.

    Args:
        write: within a transaction.
        found: the posts that were matched and are still there.

    Returns:
        The posts that moved.
    """
    asked = "SELECT posts.row, groups.id FROM posts JOIN groups ON groups.row = group_row"
    names: dict[int, str] = dict(write.execute(asked))
    before = pl.Series([names[row] for row in found.rows.tolist()], dtype=pl.String)
    kept = renamed(before, found.labels)
    rows: Mapping[str, int] = dict(write.execute("SELECT id, row FROM groups"))
    group: dict[int, int] = {label: rows[name] for label, name in kept.items()}
    table = pl.DataFrame({"label": found.labels, "id": found.ids})
    for label, smallest in table.group_by("label").agg(pl.col("id").min()).sort("id").iter_rows():
        if label not in group:
            group[label] = named_group(write, [smallest])
    targets = [group[label] for label in found.labels.tolist()]
    changed = {row: to for row, to, at in zip(found.rows.tolist(), targets, before, strict=True) if rows.get(at) != to}
    return move(write, changed)


def pairs_replaced(write: sqlite3.Connection, result: Result, rows: Rows, kept: Bools) -> None:
    """Put the pairs of a run in the place of those among its posts.

    Args:
        write: within a transaction.
        result: the run.
        rows: (n,) rows in the store of its catalogue.
        kept: (n,) bool, those that are still there.
    """
    own = set(rows.tolist())
    old = [pair for pair in write.execute("SELECT left, right FROM pairs") if pair[0] in own and pair[1] in own]
    write.executemany("DELETE FROM pairs WHERE left = ? AND right = ?", old)
    left, right = result.pairs.left, result.pairs.right
    both = kept[left] & kept[right]
    put_pairs(write, rows[left[both]], rows[right[both]], result.similarity[both])
    full = np.zeros(len(rows), dtype=bool) if result.cut_off is None else result.cut_off
    write.executemany(
        "UPDATE posts SET full = ? WHERE row = ?", zip(full.astype(int).tolist(), rows.tolist(), strict=True)
    )


def rematched(write: sqlite3.Connection, result: Result, rows: Rows, said: Constraints) -> Moves:
    """Write what a run over the posts of a store found.

    Args:
        write: within a transaction.
        result: the run.
        rows: (n,) rows in the store of its catalogue, rising.
        said: decisions about its rows.

    Returns:
        The posts that moved. Those that were removed meanwhile are left out.
    """
    labels = labels_under(result, said)
    there = {row for (row,) in write.execute("SELECT row FROM posts WHERE removed IS NULL")}
    kept = np.array([row in there for row in rows.tolist()], dtype=bool)
    pairs_replaced(write, result, rows, kept)
    found = Regrouped(rows[kept], labels[kept], result.catalog.ids.filter(pl.Series(kept)))
    return moved_to(write, found)


def regrouped(write: sqlite3.Connection, config: Config) -> Moves:
    """Group all posts anew from the pairs that are known of them, so that decisions hold.

    Args:
        write: within a transaction.
        config: the link and the cut.

    Returns:
        The posts that moved.
    """
    asked = "SELECT row, id, source, category, full FROM posts WHERE removed IS NULL ORDER BY row"
    rows, ids, sources, within, full = zip(*write.execute(asked), strict=True)
    places = np.array(rows, dtype=np.int64)
    left, right, probability = all_pairs(write, places)
    said = constraints(write).among(places)
    codes = codes_of(sources), codes_of(within)
    scope = Scope(*codes) if any((each >= 0).any() for each in codes) else None
    start = connected(said.same[:, 0], said.same[:, 1], len(places)) if len(said.same) else None
    apart = (said.apart[:, 0], said.apart[:, 1]) if len(said.apart) else None
    limits = Limits(np.array(full, dtype=bool), scope, start, apart=apart)
    chosen = config.model_copy(update={"target_size": None})
    labels = decide(Pairs(left, right, {SIMILARITY: probability}), len(places), chosen, shopee_shares(), limits)[1]
    return moved_to(write, Regrouped(places, labels, pl.Series(ids, dtype=pl.String)))
