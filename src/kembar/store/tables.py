"""Reading and writing posts, groups and pairs in a transaction of a store."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from kembar.arrays import Floats, Rows, places_in
from kembar.encoders.embeddings import Embeddings
from kembar.errors import UnknownError, nearest, quoted
from kembar.store.connection import chunks
from kembar.store.posts import COLUMNS, Record, blobs_of, record_of, values_of
from kembar.store.records import FLOOR

Moves = dict[str, list[str]]
"""The names of the groups that posts left and joined, by their ids."""


def rows_of(read: sqlite3.Connection, ids: Sequence[str]) -> dict[str, int]:
    """Find the rows of posts that are there, by id."""
    found: dict[str, int] = {}
    for marks, part in chunks(ids):
        found.update(read.execute(f"SELECT id, row FROM posts WHERE removed IS NULL AND id IN ({marks})", part))
    return found


def row_of(read: sqlite3.Connection, post: str) -> int:
    """Find the row of a post that is there; raises UnknownError."""
    found = rows_of(read, [post])
    if post not in found:
        raise unknown_post(read, post)
    return found[post]


def unknown_post(read: sqlite3.Connection, post: str) -> UnknownError:
    """Say that there is no such post, and which id is near."""
    begin = post[: max(1, len(post) // 2)]  # to look at all ids would take long
    like = "SELECT id FROM posts WHERE removed IS NULL AND id >= ? AND id < ? LIMIT 200"
    near = nearest(post, [row[0] for row in read.execute(like, (begin, f"{begin}\U0010ffff"))])
    return UnknownError(f"post {quoted(post)}, which is not in the store", "the id of a post of it", f"Check it.{near}")


def group_row_of(read: sqlite3.Connection, group: str) -> int:
    """Find the row of a group that has posts; raises UnknownError."""
    found = read.execute(
        "SELECT row FROM groups WHERE id = ? AND EXISTS "
        "(SELECT 1 FROM posts WHERE group_row = groups.row AND removed IS NULL)",
        (group,),
    ).fetchone()
    if found is None:
        raise UnknownError(
            f"group {quoted(group)}, which is not in the store", "the name of a group of it", "Check it."
        )
    return int(found[0])


def records_there(read: sqlite3.Connection, ids: Sequence[str]) -> dict[str, Record]:
    """Read the records of those of these posts that are there, by id."""
    found: dict[str, Record] = {}
    for marks, part in chunks(ids):
        rows = read.execute(f"SELECT {COLUMNS} FROM posts WHERE removed IS NULL AND id IN ({marks})", part)
        found.update((row[0], record_of(row)) for row in rows)
    return found


def any_removed(read: sqlite3.Connection, ids: Sequence[str]) -> bool:
    """Tell whether one of these posts was there before and was removed."""
    asked = "SELECT 1 FROM posts WHERE removed IS NOT NULL AND id IN ({}) LIMIT 1"
    return any(read.execute(asked.format(marks), part).fetchone() for marks, part in chunks(ids))


def everything(read: sqlite3.Connection) -> tuple[list[Record], Rows]:
    """Read all posts that are there, and their rows, in the order of these."""
    rows, records = [], []
    for row, *values in read.execute(f"SELECT row, {COLUMNS} FROM posts WHERE removed IS NULL ORDER BY row"):
        rows.append(row)
        records.append(record_of(values))
    return records, np.array(rows, dtype=np.int64)


def groups_of(read: sqlite3.Connection, rows: Rows) -> Rows:
    """Tell the rows of the groups of posts: (n,) rows to (n,) int64."""
    found: dict[int, int] = {}
    for marks, part in chunks(rows.tolist()):
        found.update(read.execute(f"SELECT row, group_row FROM posts WHERE row IN ({marks})", part))
    return np.array([found[row] for row in rows.tolist()], dtype=np.int64)


def groups_there(read: sqlite3.Connection, ids: Sequence[str]) -> dict[str, str]:
    """Name the groups of those of these posts that are there, by id."""
    asked = "SELECT posts.id, groups.id FROM posts JOIN groups ON groups.row = group_row WHERE removed IS NULL AND "
    found: dict[str, str] = {}
    for marks, part in chunks(ids):
        found.update(read.execute(f"{asked} posts.id IN ({marks})", part))
    return found


def members_of(read: sqlite3.Connection, groups: Iterable[int]) -> list[tuple[Any, ...]]:
    """List the posts of groups: (row, group_row, full, source, category, id), by row."""
    found: list[tuple[Any, ...]] = []
    for marks, part in chunks(list(groups)):
        found += read.execute(
            "SELECT row, group_row, full, source, category, id FROM posts "
            f"WHERE removed IS NULL AND group_row IN ({marks})",
            part,
        )
    return sorted(found)


def pairs_among(read: sqlite3.Connection, rows: Rows) -> tuple[Rows, Rows, Floats]:
    """Read the pairs among posts: (n,) rising rows to places of left and right, and probabilities."""
    wanted = {int(row): at for at, row in enumerate(rows)}
    found: list[tuple[int, int, float]] = []
    for marks, part in chunks(rows.tolist()):
        for left, right, probability in read.execute(
            f"SELECT left, right, probability FROM pairs WHERE left IN ({marks})", part
        ):
            if right in wanted:
                found.append((wanted[left], wanted[right], probability))
    left, right, probability = zip(*found, strict=True) if found else ((), (), ())
    return np.array(left, dtype=np.int64), np.array(right, dtype=np.int64), np.array(probability, dtype=np.float32)


def all_pairs(read: sqlite3.Connection, rows: Rows) -> tuple[Rows, Rows, Floats]:
    """Read all pairs of posts, ordered by left, then right: (n,) rising rows to places and probabilities."""
    found = read.execute("SELECT left, right, probability FROM pairs ORDER BY left, right").fetchall()
    table = np.array(found, dtype=np.float64).reshape(-1, 3)
    at = places_in(rows, table[:, :2].astype(np.int64))
    there = (at >= 0).all(axis=1)
    return at[there, 0], at[there, 1], table[there, 2].astype(np.float32)


def named_group(write: sqlite3.Connection, ids: Iterable[str]) -> int:
    """Found a group, named by the smallest id of its posts, with a number behind it where that name is taken."""
    name = smallest = min(ids)
    again = 2
    while write.execute("SELECT 1 FROM groups WHERE id = ?", (name,)).fetchone():
        name, again = f"{smallest}~{again}", again + 1
    return int(write.execute("INSERT INTO groups (id) VALUES (?)", (name,)).lastrowid or 0)


def group_again(write: sqlite3.Connection, ids: Sequence[str], but: Iterable[int]) -> int | None:
    """Find a group that was of these posts and is of nobody else, for one that is founded again: one not in `but`."""
    first = min(ids)
    rows = write.execute(
        "SELECT group_row FROM posts WHERE id = ? UNION ALL SELECT row FROM groups WHERE id = ?", (first, first)
    ).fetchall()
    own, used = set(ids), set(but)
    for (row,) in rows:
        asked = "SELECT id FROM posts WHERE group_row = ? AND removed IS NULL LIMIT ?"
        members = {post for (post,) in write.execute(asked, (row, len(own) + 1))}
        if row not in used and members <= own:
            return int(row)
    return None


def group_names(read: sqlite3.Connection, rows: Iterable[int]) -> dict[int, str]:
    """Name groups by their rows."""
    found: dict[int, str] = {}
    for marks, part in chunks(list(rows)):
        found.update(read.execute(f"SELECT row, id FROM groups WHERE row IN ({marks})", part))
    return found


def put_post(write: sqlite3.Connection, record: Record, group: int, *, full: bool) -> int:
    """Write a post, over one that was removed or is updated, and tell its row."""
    names = [*COLUMNS.split(", "), "group_row", "full"]
    updates = ", ".join(f"{name} = excluded.{name}" for name in names[1:])
    row = write.execute(
        f"INSERT INTO posts ({', '.join(names)}) VALUES ({', '.join('?' * len(names))}) "
        f"ON CONFLICT (id) DO UPDATE SET {updates}, removed = NULL RETURNING row",
        (*values_of(record), group, int(full)),
    ).fetchone()
    return int(row[0])


def put_vectors(write: sqlite3.Connection, rows: Rows, vectors: Mapping[str, Embeddings]) -> None:
    """Write the vectors of posts in the place of all that they had."""
    write.executemany("DELETE FROM vectors WHERE post = ?", ((row,) for row in rows.tolist()))
    for name, given in vectors.items():
        write.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (f"dimension {name}", str(given.vectors.shape[1])))
        values = ((row, name, blob) for row, blob in zip(rows.tolist(), blobs_of(given), strict=True) if blob)
        write.executemany("INSERT INTO vectors VALUES (?, ?, ?)", values)


def put_pairs(write: sqlite3.Connection, left: Rows, right: Rows, probability: Floats) -> None:
    """Write pairs of rows, those that are not far apart."""
    kept = probability >= np.float32(FLOOR)
    low, high = np.minimum(left, right)[kept], np.maximum(left, right)[kept]
    rounded = np.round(probability[kept].astype(np.float64), 6)
    values = zip(low.tolist(), high.tolist(), rounded.tolist(), strict=True)
    write.executemany("INSERT OR REPLACE INTO pairs VALUES (?, ?, ?)", values)


def drop_pairs(write: sqlite3.Connection, rows: Sequence[int]) -> None:
    """Forget all pairs of some posts."""
    for row in rows:
        write.execute("DELETE FROM pairs WHERE left = ?", (row,))
        write.execute("DELETE FROM pairs WHERE right = ?", (row,))


def move(write: sqlite3.Connection, posts: Mapping[int, int]) -> Moves:
    """Move posts, by row, to groups, by row; tells the names of both groups."""
    told: Moves = {}
    for row, group in posts.items():
        post, before = write.execute(
            "SELECT posts.id, groups.id FROM posts JOIN groups ON groups.row = group_row WHERE posts.row = ?", (row,)
        ).fetchone()
        after = write.execute("SELECT id FROM groups WHERE row = ?", (group,)).fetchone()[0]
        if before != after:
            write.execute("UPDATE posts SET group_row = ? WHERE row = ?", (group, row))
            told[post] = [before, after]
    return told


def codes_of(texts: Iterable[str]) -> Rows:
    """Number texts; -1 where they are ""."""
    given = list(texts)
    code = {text: at for at, text in enumerate(sorted({*given} - {""}))}
    return np.array([code.get(text, -1) for text in given], dtype=np.int64)
