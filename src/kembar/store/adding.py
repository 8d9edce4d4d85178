"""New posts on their way into a store: what they are like, where they belong, and what is written of it."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from kembar.arrays import Rows, places_in
from kembar.config import Config
from kembar.errors import ConfigError
from kembar.evidence.scope import Scope
from kembar.evidence.view_kinds import TITLE
from kembar.grouping.links import LINKS
from kembar.newcomers import Comparison, Part, Prepared, compare
from kembar.posts.catalog import Catalog
from kembar.store.connection import chunks
from kembar.store.database import Change
from kembar.store.decisions import constraints_among
from kembar.store.index import Index
from kembar.store.placing import Placing, Surroundings, place
from kembar.store.posts import records_of
from kembar.store.records import FLOOR, Candidate, How, Placed
from kembar.store.tables import (
    codes_of,
    group_again,
    group_names,
    groups_of,
    members_of,
    named_group,
    pairs_among,
    put_pairs,
    put_post,
    put_vectors,
)


@dataclass(frozen=True, slots=True)
class Compared:
    """New posts with what is known of them, before anything is written.

    Attributes:
        part: q posts.
        rows: (m,) rows in the store of the known posts that were looked at.
        found: the pairs, by rows of known, then new posts.
    """

    part: Part
    rows: Rows
    found: Comparison

    @classmethod
    def of(cls, posts: Prepared, index: Index) -> "Compared":
        """Compare posts with those of an index."""
        part = Part.of(posts.compared, posts.vectors, index.known)
        found = compare(part, index.base, index.known)
        return cls(part, index.rows[found.near], found)

    def ends(self, new: Rows) -> tuple[Rows, Rows]:
        """Give the two ends of each pair as rows in the store: those of new posts are given."""
        rows = np.concatenate([self.rows, new])
        return rows[self.found.pairs.left], rows[self.found.pairs.right]

    def candidates(self, read: sqlite3.Connection, limit: int) -> list[tuple[Candidate, ...]]:
        """List the known posts that each new one may be the same product as, the most likely first."""
        pairs, probability = self.found.pairs, self.found.probability
        known = (pairs.left < len(self.rows)) & (probability >= np.float32(FLOOR))
        post, row, likely = pairs.right[known] - len(self.rows), self.rows[pairs.left[known]], probability[known]
        order = np.lexsort((row, -likely, post))
        place = np.arange(len(order)) - np.searchsorted(post[order], post[order])
        best = order[place < limit]
        told = _named(read, np.unique(row[best]))
        found: list[list[Candidate]] = [[] for _ in range(len(self.part))]
        for at in best.tolist():
            if (name := told.get(int(row[at]))) is not None:  # else it was removed a moment ago
                found[post[at]].append(Candidate(*name, round(float(likely[at]), 6)))
        return [tuple(each) for each in found]


def _named(read: sqlite3.Connection, rows: Rows) -> dict[int, tuple[str, str]]:
    """Name posts that are there and their groups, by row."""
    found: dict[int, tuple[str, str]] = {}
    for marks, part in chunks(rows.tolist()):
        for row, post, group in read.execute(
            "SELECT posts.row, posts.id, groups.id FROM posts JOIN groups ON groups.row = group_row "
            f"WHERE removed IS NULL AND posts.row IN ({marks})",
            part,
        ):
            found[row] = (post, group)
    return found


def surroundings(read: sqlite3.Connection, compared: Compared, config: Config, own: Rows | None = None) -> Surroundings:
    """Lay out new posts with all members of the groups that may take them.

    Args:
        read: a connection.
        compared: q new posts.
        config: the cut: a group with no pair at or above it takes nobody.
        own: (q,) rows of the new posts in the store, -1 where they are not there.
    """
    pairs, probability = compared.found.pairs, compared.found.probability
    known = len(compared.rows)
    strong = pairs.left[(pairs.left < known) & (probability >= np.float32(config.group_cut))]
    touched = groups_of(read, compared.rows[np.unique(strong)]) if len(strong) else np.zeros(0, dtype=np.int64)
    members = [row for row in members_of(read, np.unique(touched).tolist()) if own is None or row[0] not in own]
    rows = np.array([row[0] for row in members], dtype=np.int64)
    new = len(rows) + np.arange(len(compared.part))
    node = np.append(places_in(rows, compared.rows), new)
    left, right = node[pairs.left], node[pairs.right]
    kept = (left >= 0) & (right >= 0)
    old = pairs_among(read, rows)
    everyone = np.append(rows, np.full(len(new), -1) if own is None else own)
    said = constraints_among(read, everyone)
    return Surroundings(
        known=len(rows),
        groups=np.array([row[1] for row in members], dtype=np.int64),
        left=np.concatenate([old[0], left[kept]]),
        right=np.concatenate([old[1], right[kept]]),
        probability=np.concatenate([old[2], probability[kept]]),
        full=np.append(np.array([row[2] for row in members], dtype=bool), compared.found.cut_off),
        scope=_scope([row[3] for row in members], [row[4] for row in members], compared.part.posts),
        same=said.same,
        apart=said.apart,
    )


def _scope(sources: Sequence[str], within: Sequence[str], new: Catalog) -> Scope | None:
    missing = [""] * len(new)
    source = codes_of([*sources, *(missing if new.sources is None else new.sources)])
    category = codes_of([*within, *(missing if new.within is None else new.within)])
    return Scope(source, category) if (source >= 0).any() or (category >= 0).any() else None


def written(change: Change, posts: Prepared, compared: Compared, placing: Placing) -> tuple[Rows, list[int]]:
    """Write new posts with their vectors, groups and pairs, and proposed merges.

    Args:
        change: the transaction of the event that adds them.
        posts: q posts.
        compared: what was found.
        placing: where they belong.

    Returns:
        (q,) rows of the posts in the store, and the rows of their groups.
    """
    write, records = change.write, records_of(posts.posts)
    founded: dict[int, int] = {}
    for number in dict.fromkeys(int(group) for group in placing.groups if group < 0):
        ids = [record["id"] for record, group in zip(records, placing.groups, strict=True) if group == number]
        again = group_again(write, ids, founded.values())
        founded[number] = named_group(write, ids) if again is None else again
    groups = [founded.get(int(group), int(group)) for group in placing.groups]
    full = compared.found.cut_off
    rows = np.array(
        [
            put_post(write, record, group, full=bool(full[at]))
            for at, (record, group) in enumerate(zip(records, groups, strict=True))
        ],
        dtype=np.int64,
    )
    put_vectors(write, rows, {name: given for name, given in posts.vectors.items() if name != TITLE.name})
    put_pairs(write, *compared.ends(rows), compared.found.probability)
    for left, right, probability in placing.merges:
        open_already = "SELECT 1 FROM merges WHERE left = ? AND right = ? AND closed IS NULL"
        if write.execute(open_already, (left, right)).fetchone() is None:
            write.execute("INSERT INTO merges VALUES (?, ?, ?, ?, NULL)", (change.number, left, right, probability))
    return rows, groups


def placed(
    read: sqlite3.Connection,
    posts: Prepared,
    placing: Placing,
    groups: Sequence[int],
    candidates: Sequence[tuple[Candidate, ...]],
    how: How | None = None,
) -> list[Placed]:
    """Tell what became of posts."""
    merges: dict[int, list[int]] = {}
    for left, right, _ in placing.merges:
        merges.setdefault(left, []).append(right)
        merges.setdefault(right, []).append(left)
    names = group_names(read, {*groups, *merges})
    problems = problems_of(posts.posts)
    usual: list[How] = ["founded" if group < 0 else "attached" for group in placing.groups]
    return [
        Placed(
            post,
            how or usual[at],
            names[groups[at]],
            candidates[at],
            tuple(names[other] for other in merges.get(groups[at], ())),
            problems.get(post, ()),
        )
        for at, post in enumerate(posts.posts.ids)
    ]


def problems_of(posts: Catalog) -> dict[str, tuple[str, ...]]:
    """List the problems of posts in words, by id."""
    found: dict[str, tuple[str, ...]] = {}
    for post, _, problem in posts.problems.iter_rows():
        found[post] = (*found.get(post, ()), problem)
    return found


def unused_ids(read: sqlite3.Connection, count: int) -> pl.Series:
    """Make ids that no post of the store has, for posts that are only looked up: (count,) String."""
    mark = "lookup"
    while read.execute("SELECT 1 FROM posts WHERE id = ?", (f"{mark}-0",)).fetchone():
        mark += "?"
    return pl.Series([f"{mark}-{at}" for at in range(count)], dtype=pl.String)


def told_of(given: Catalog, looked_up: Catalog) -> dict[str, tuple[str, ...]]:
    """List the problems of posts that were looked up under other ids, by the ids they were given."""
    before, found = problems_of(given), problems_of(looked_up)
    ids = zip(given.ids, looked_up.ids, strict=True)
    return {own: (*before.get(own, ()), *found.get(other, ())) for own, other in ids}


def check_grouping(config: Config) -> None:
    """Refuse new posts where links of two catalogues made the groups: which of the two they are of is not known.

    Raises:
        ConfigError: a rule of links.
    """
    if config.rule in LINKS:
        raise ConfigError(
            f"new posts for a store of two linked catalogues ({config.rule})",
            "a store that began empty or with `kembar match`",
            "Link the two catalogues again, with the new posts in them.",
        )


def place_in(around: Surroundings, config: Config) -> Placing:
    """Place new posts by a cut, whatever mean size of groups a run was to reach."""
    return place(around, config.model_copy(update={"target_size": None}))
