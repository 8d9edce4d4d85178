"""Small stores for tests: posts of a drawn shop, and what must always be true of a store."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import polars as pl

from kembar import Catalog, synthesize
from kembar.store import Event, Found, Live
from kembar.store.checking import checked
from kembar.store.decisions import constraints

SHOP = synthesize(120, seed=5, hashes=True)


def posts(*which: int, ids: Sequence[str] | None = None) -> Catalog:
    """Posts of the shop by their places, under their own ids or others; without labels."""
    return _posts(which, None if ids is None else tuple(ids))


@lru_cache(maxsize=10_000)
def _posts(which: tuple[int, ...], ids: tuple[str, ...] | None) -> Catalog:
    table = SHOP.posts[list(which)].drop("label_group")
    if ids is not None:
        table = table.with_columns(pl.Series("posting_id", ids))
    return Catalog.read(table)


def retitled(which: int, title: str) -> Catalog:
    """A post of the shop under another title."""
    one = posts(which)
    return replace(one, titles=pl.Series([title]))


def ids_of(live: Live) -> list[str]:
    """The ids of all posts that are there, as `Live.catalog` orders them."""
    return [post for (post,) in live.reading().execute("SELECT id FROM posts WHERE removed IS NULL ORDER BY row")]


def groups_of(live: Live) -> dict[str, str]:
    """The group of each post that is there, as the groups tell it: each post is in one of them."""
    names = {live.post(post).group for post in ids_of(live)}
    found: dict[str, str] = {}
    for name in names:
        for member in live.group(name).members:
            assert member.id not in found, f"{member.id} is in two groups"
            found[member.id] = name
    assert set(found) == set(ids_of(live))
    return found


def check_decisions(live: Live) -> None:
    """What people said holds, but where it cannot."""
    read, groups = live.reading(), groups_of(live)
    names = dict(read.execute("SELECT row, id FROM posts").fetchall())
    said = constraints(read)
    for left, right in said.same.tolist():
        assert groups[names[left]] == groups[names[right]], f"{names[left]} and {names[right]} were said to be one"
    for left, right in said.apart.tolist():
        assert groups[names[left]] != groups[names[right]], f"{names[left]} and {names[right]} were said to be apart"
    if len(said.against):
        assert live.contradictions()


def check_whole(live: Live) -> None:
    """Nothing is wrong with the tables, and the log replays to them."""
    found = checked(live.folder)
    assert found.whole, str(found)


def seen(found: Sequence[Found]) -> list[tuple[object, ...]]:
    """What look-ups say, to be compared: probabilities to five digits."""
    return [
        (each.id, each.group, sorted((other.id, other.group, round(other.probability, 5)) for other in each.candidates))
        for each in found
    ]


def looked_up(live: Live) -> list[tuple[object, ...]]:
    """What is found of ten posts of the shop."""
    return seen(live.lookup(posts(*range(0, 120, 12))))


def last(live: Live) -> Event:
    """The last event."""
    events = live.events(after=0, limit=100_000)
    return events[-1]


def filled(folder: Path, count: int = 40) -> Live:
    """A store with some posts, a removal, decisions, a merge, a move and an undo."""
    live = Live.create(folder)
    live.add(posts(*range(count)), by="shop")
    rng = np.random.default_rng(0)
    ids = ids_of(live)
    a, b, c, d = (ids[int(at)] for at in rng.choice(len(ids), 4, replace=False))
    live.decide(a, b, "same", by="ann")
    live.decide(c, d, "different", by="bob", note="another size")
    live.remove([d], by="ann")
    undone = live.decide(a, c, "same", by="bob")
    live.undo(undone.number, by="ann")
    live.move(b, None, by="bob")
    return live
