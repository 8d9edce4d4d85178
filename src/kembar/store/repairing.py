"""A damaged store repaired into a new folder: what its log tells, done again without matching anything."""

import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from kembar.config import Config
from kembar.errors import KembarError, StoreError, quoted
from kembar.folders import new_folder
from kembar.store.database import FILE, PHOTOS, Database, locked
from kembar.store.posts import COLUMNS, Record, values_of
from kembar.store.replay import LOST, REPAIR, State, differences, replayed
from kembar.store.salvage import Salvage, salvaged
from kembar.store.schema import VERSION

_TOLD: Final = 1000
"""Posts that one event tells of."""


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a repair saved.

    Attributes:
        posts: that are there.
        events: of the log that were saved.
        pairs: that were saved; a re-match finds them all again.
        lost: what could not be saved, or is not sure, in words.
    """

    posts: int
    events: int
    pairs: int
    lost: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"Saved {self.posts:,} posts, {self.events:,} events, {self.pairs:,} pairs"]
        return "\n".join([*lines, *(f"lost: {line}" for line in self.lost)])


@dataclass
class _Plan:
    """What the new store will hold: what the log tells where it is whole, else what the tables have first."""

    found: Salvage
    state: State
    whole: bool
    lost: list[str]
    rows: dict[str, int] = field(default_factory=dict)
    full: dict[str, int] = field(default_factory=dict)


def repaired(folder: Path, target: Path) -> Repaired:
    """Repair a damaged store.

    Args:
        folder: of the store; it is left as it is.
        target: a folder to make.

    Returns:
        What was saved.

    Raises:
        StoreError: there is no store, another process has it, it is of a newer version, or nothing can be read.
        FolderError: the target is in the way or cannot be written.
    """
    if not (folder / FILE).is_file():
        raise StoreError(
            f"{quoted(folder)}, which holds no {FILE}", "a store of `kembar store create`", "Check the path."
        )
    lock = locked(folder)
    try:
        with new_folder(target, mark=FILE) as place:
            with tempfile.TemporaryDirectory(dir=place, prefix="damaged-") as scratch:
                found = salvaged(folder, Path(scratch))
            plan = _planned(found, folder)
            told = _written(plan, place)
            _photos(folder / PHOTOS, place / PHOTOS)
        return told
    finally:
        os.close(lock)


def _planned(found: Salvage, folder: Path) -> _Plan:
    if not found.events and not found.posts:
        raise StoreError(
            f"{quoted(folder)}, of which nothing can be read", "a store", "Take a copy of it that is whole."
        )
    version = found.about.get("version", str(VERSION))
    if version.isdigit() and int(version) > VERSION:
        raise StoreError(
            f"{quoted(folder)}, a store of version {version}",
            f"a store of version {VERSION} or older",
            "Repair it with the version of kembar that made it, or a newer one.",
        )
    told = replayed(found.events, values_of)
    tables = _of_tables(found)
    numbers = {event.number for event in found.events}
    whole = not told.gaps and numbers == set(range(1, found.last + 1))
    lost = [*found.unread, *told.gaps]
    if not whole:
        lost += [f"event {number}" for number in range(1, found.last + 1) if number not in numbers][:20]
    word = "put right by the log" if whole else "the log and the tables differ"
    lost += [f"{word}: {line}" for line in differences(told, tables)]
    state = told if whole else _over(told, tables, found.whole)
    plan = _Plan(found, state, whole, lost)
    _numbered(plan)
    return plan


def _of_tables(found: Salvage) -> State:
    """Read the state that the tables have, as far as it could be read."""
    state, ids = State(names=set(found.groups.values())), {}
    for row, (record, group, _, removed) in found.posts.items():
        ids[row] = post = record["id"]
        state.posts[post] = values_of(record)
        if group in found.groups:
            state.groups[post] = found.groups[group]
        if removed is not None:
            state.removed[post] = removed
    for event, left, right, verdict, by, note, undone in found.decisions:
        if left in ids and right in ids:
            a, b = sorted((ids[left], ids[right]))
            state.decisions[event, a, b] = (verdict, by, note, undone)
    return state


def _over(told: State, tables: State, read: set[str]) -> State:
    """Take what the tables have, and what they lack from the log.

    Args:
        told: by the log.
        tables: as far as they could be read.
        read: names of tables that could be read as a whole, so that they lack nothing.

    Returns:
        The state; a post without a group gets one of its own.
    """
    posts = tables.posts if "posts" in read else {**told.posts, **tables.posts}
    groups = {**told.groups, **tables.groups}
    removed = {post: event for post, event in told.removed.items() if post not in tables.posts} | tables.removed
    decisions = tables.decisions if "decisions" in read and "posts" in read else {**told.decisions, **tables.decisions}
    names = told.names | tables.names
    for post in sorted(posts.keys() - groups.keys()):
        name = post
        while name in names:
            name += "~"
        groups[post] = name
        names.add(name)
    decisions = {key: said for key, said in decisions.items() if key[1] in posts and key[2] in posts}
    return State(posts, {post: groups[post] for post in posts}, removed, decisions, names)


def _numbered(plan: _Plan) -> None:
    """Give each post a row: its own where that is known, so that its pairs and vectors are known too."""
    for row, (record, _, full, _) in plan.found.posts.items():
        plan.rows[record["id"]], plan.full[record["id"]] = row, full
    later = max(plan.rows.values(), default=0)
    for post in plan.state.posts:
        if post not in plan.rows:
            later += 1
            plan.rows[post] = later
    plan.rows = {post: plan.rows[post] for post in plan.state.posts}


def _written(plan: _Plan, place: Path) -> Repaired:
    """Write the new store."""
    about = {key: value for key, value in plan.found.about.items() if key not in ("format", "version", "sealed")}
    about["config"] = _config(plan, about.get("config"))
    database = Database.create(place, about)
    try:
        with database.transaction() as write:
            write.execute("PRAGMA defer_foreign_keys = 1")
            _log(write, plan)
            _tables(write, plan)
            pairs = _caches(write, plan)
        there = len(plan.state.posts) - len(plan.state.removed)
        with database.change(REPAIR) as change:
            change.body |= {"begins": not plan.whole, "saved": there, "lost": plan.lost}
            for body in () if plan.whole else _told_anew(plan.state):
                change.also(REPAIR, body)
    finally:
        database.close()
    return Repaired(there, len(plan.found.events), pairs, tuple(plan.lost))


def _config(plan: _Plan, text: str | None) -> str:
    try:
        Config.of(json.loads(text or ""))
    except (ValueError, KembarError):
        plan.lost.append("the configuration; that of a new store was taken")
        return json.dumps(Config().model_dump(mode="json"))
    return text or ""


def _log(write: sqlite3.Connection, plan: _Plan) -> None:
    """Write the events that could be read; others are named as lost, so that no number is used twice."""
    there = {event.number: event for event in plan.found.events}
    mentioned = list(plan.state.removed.values())
    mentioned += [number for key, said in plan.state.decisions.items() for number in (key[0], said[3] or 0)]
    last = max([plan.found.last, *mentioned])
    for number in range(1, last + 1):
        event = there.get(number)
        values: tuple[Any, ...] = (number, "", LOST, "", "", "{}", None, None)
        if event is not None:
            text = json.dumps(event.body, ensure_ascii=False, separators=(",", ":"))
            key = plan.found.keys.get(number)
            values = (number, event.at, event.kind, event.by, event.note, text, event.undoes, key)
        write.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)


def _tables(write: sqlite3.Connection, plan: _Plan) -> None:
    """Write posts, groups and decisions."""
    state = plan.state
    names = sorted(state.names)
    group = {name: row for row, name in enumerate(names, start=1)}
    write.executemany("INSERT INTO groups VALUES (?, ?)", ((row, name) for name, row in group.items()))
    marks = ", ".join("?" * (len(COLUMNS.split(", ")) + 4))
    write.executemany(
        f"INSERT INTO posts (row, {COLUMNS}, group_row, full, removed) VALUES ({marks})",
        (
            (row, *state.posts[post], group[state.groups[post]], plan.full.get(post, 0), state.removed.get(post))
            for post, row in plan.rows.items()
        ),
    )
    for (event, a, b), (verdict, by, note, undone) in state.decisions.items():
        left, right = sorted((plan.rows[a], plan.rows[b]))
        write.execute(
            "INSERT INTO decisions VALUES (?, ?, ?, ?, ?, ?, ?)", (event, left, right, verdict, by, note, undone)
        )
    merges = plan.found.merges
    for event, one, other, probability, closed in merges:
        ends = sorted(group.get(plan.found.groups.get(end, ""), 0) for end in (one, other))
        if 0 < ends[0] < ends[1]:
            write.execute("INSERT OR IGNORE INTO merges VALUES (?, ?, ?, ?, ?)", (event, *ends, probability, closed))


def _caches(write: sqlite3.Connection, plan: _Plan) -> int:
    """Write the pairs and vectors that could be read of posts that are what they were; tells how many pairs."""
    tables = _of_tables(plan.found).posts
    same = {row for post, row in plan.rows.items() if tables.get(post) == plan.state.posts[post]}
    there = same - {plan.rows[post] for post in plan.state.removed}
    pairs = [pair for pair in plan.found.pairs if pair[0] in there and pair[1] in there and 0 <= pair[2] <= 1]
    write.executemany("INSERT OR IGNORE INTO pairs VALUES (?, ?, ?)", pairs)
    vectors = [each for each in plan.found.vectors if each[0] in same and _fits(each, plan.found.about)]
    write.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?, ?)", vectors)
    return len(pairs)


def _fits(vector: tuple[Any, ...], about: Mapping[str, str]) -> bool:
    width = about.get(f"dimension {vector[1]}", "0")
    return width.isdigit() and int(width) > 0 and len(vector[2]) % (4 * int(width)) == 0


def _told_anew(state: State) -> Iterator[dict[str, Any]]:
    """Tell all that is there, in bodies of events that are not too long."""
    names = COLUMNS.split(", ")
    for posts in _parts(list(state.posts)):
        records: list[Record] = []
        for post in posts:
            record = dict(zip(names, state.posts[post], strict=True))
            records.append({**record, "more": json.loads(record["more"])})
        placed = [{"id": post, "group": state.groups[post]} for post in posts]
        removed = {post: state.removed[post] for post in posts if post in state.removed}
        yield {"posts": records, "placed": placed, "were_removed": removed}
    for decisions in _parts([[*key, *said] for key, said in state.decisions.items()]):
        yield {"decisions": decisions}


def _parts(values: list[Any]) -> Iterable[list[Any]]:
    return (values[begin : begin + _TOLD] for begin in range(0, len(values), _TOLD))


def _photos(source: Path, target: Path) -> None:
    """Link the photos, or copy them where they cannot be linked."""
    for path in sorted(source.rglob("*")) if source.is_dir() else ():
        place = target / path.relative_to(source)
        if path.is_dir():
            place.mkdir(parents=True, exist_ok=True)
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path.resolve(), place)
        except OSError:
            shutil.copyfile(path, place)
