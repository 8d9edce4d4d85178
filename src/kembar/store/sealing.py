"""What the catalogue says of its words: kept in the store, and counted anew when it has grown."""

import hashlib
import json
import sqlite3
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from kembar.arrays import Progress
from kembar.config import Config
from kembar.encoders.embeddings import Embeddings
from kembar.evidence.fitted import Fitted
from kembar.evidence.view_kinds import TITLE
from kembar.matcher import Matcher
from kembar.newcomers import Model, Part, Prepared, fitted_on, prepared
from kembar.posts.united import stacked
from kembar.store.index import Index
from kembar.store.posts import catalog_of, vectors_of
from kembar.store.reports import events_after
from kembar.store.tables import everything

_GROWN: Final = 0.5
"""New posts, as a share of those in which words were counted, from which on they are counted anew."""
_SETTLED: Final = "settled.json"  # how many posts words were counted in, and what a run over these settled on
_DIGEST: Final = "sealed"  # what the store calls the digest of it all: where that is damaged, words are counted anew


@dataclass(frozen=True, slots=True)
class Sealed:
    """Words counted anew.

    Attributes:
        index: posts, by the new counts.
        counted: posts that words were counted in.
        after: number of the last event that the index knows of.
    """

    index: Index
    counted: int
    after: int = 0

    def save(self, write: sqlite3.Connection) -> None:
        """Write what was counted into the store."""
        write.execute("DELETE FROM fitted")
        with tempfile.TemporaryDirectory(prefix="kembar-") as folder:
            self.index.known.fitted.save(Path(folder) / "fitted")
            files = {path.name: path.read_bytes() for path in sorted((Path(folder) / "fitted").iterdir())}
        told = {"posts": self.counted, "config": self.index.known.config.model_dump(mode="json")}
        files[_SETTLED] = json.dumps(told).encode()
        write.executemany("INSERT INTO fitted VALUES (?, ?)", files.items())
        write.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (_DIGEST, _digest(files)))

    def caught_up(self, read: sqlite3.Connection, matcher: Matcher, photos: Path) -> Index:
        """Give the index with what was added, updated and removed since it was begun."""
        touched = _touched(read, self.after)
        records, rows = everything(read)
        later = np.array([at for at, record in enumerate(records) if record["id"] in touched], dtype=np.int64)
        index = self.index.without(np.setdiff1d(self.index.rows, rows))
        if not len(later):
            return index
        ready = prepared(catalog_of([records[at] for at in later], photos), matcher, vectors_of(read, rows[later]))
        return index.with_part(Part.of(ready.compared, ready.vectors, index.known), rows[later])


def refit_due(index: Index, new: int) -> bool:
    """Tell whether words are to be counted anew before so many posts more are compared."""
    sealed = len(index.base) - index.fresh
    return index.model is None or index.fresh + new > _GROWN * sealed


def sealed_now(read: sqlite3.Connection, matcher: Matcher, photos: Path) -> Sealed:
    """Count words in all posts of a store."""
    after = int(read.execute("SELECT coalesce(max(number), 0) FROM events").fetchone()[0])
    records, rows = everything(read)
    ready = prepared(catalog_of(records, photos), matcher, vectors_of(read, rows))
    model = fitted_on(ready, matcher)
    return Sealed(Index.of(model, Part.of(ready.compared, ready.vectors, model), rows), len(rows), after)


def sealed_with(read: sqlite3.Connection, new: Prepared, matcher: Matcher, photos: Path) -> Sealed:
    """Count words in all posts of a store and in new ones; the index has those of the store alone.

    Args:
        read: a connection.
        new: posts on their way in; some of them may be there, and are left out of the index.
        matcher: with the configuration.
        photos: the folder of the store's photos.
    """
    records, rows = everything(read)
    coming = set(new.posts.ids)
    kept = np.array([at for at, record in enumerate(records) if record["id"] not in coming], dtype=np.int64)
    if not len(kept):
        model = fitted_on(new, matcher)
        return Sealed(Index(model), len(new.posts))
    old = prepared(catalog_of([records[at] for at in kept], photos), matcher, vectors_of(read, rows[kept]))
    whole = prepared(stacked([old.posts, new.posts]), matcher, _stored(old, new))
    model = fitted_on(whole, matcher)
    part = Part.of(whole.compared, whole.vectors, model).take(np.arange(len(kept)))
    return Sealed(Index.of(model, part, rows[kept]), len(whole.posts))


def loaded(read: sqlite3.Connection, matcher: Matcher, photos: Path, progress: Progress | None = None) -> Index | None:
    """Make the index again from what a store holds; None where words are to be counted anew or nothing is there.

    Args:
        read: a connection.
        matcher: with the configuration.
        photos: the folder of the store's photos.
        progress: called with (stage, done, total).
    """
    files = dict(read.execute("SELECT name, body FROM fitted ORDER BY name"))
    about = dict(read.execute("SELECT key, value FROM about"))
    records, rows = everything(read)
    if not records or about.get(_DIGEST) != _digest(files):
        return None
    if progress:
        progress("index", 0, 0)
    ready = prepared(catalog_of(records, photos), matcher, vectors_of(read, rows))
    config, classifier, spare = matcher.settings(ready.compared, ready.vectors, {})
    settled = json.loads(files[_SETTLED])
    before = Config.of(settled["config"])
    if before.model == config.model:  # cuts stay those of the pool that words were counted in
        config = before
    with tempfile.TemporaryDirectory(prefix="kembar-") as folder:
        for name, body in files.items():
            (Path(folder) / name).write_bytes(body)
        model = Model(Fitted.load(Path(folder)), config, classifier, spare)
    index = Index.of(model, Part.of(ready.compared, ready.vectors, model), rows)
    return replace(index, fresh=max(0, len(rows) - settled["posts"]))


def _digest(files: Mapping[str, bytes]) -> str:
    """Tell files from others, also where one byte of them was lost."""
    found = hashlib.sha256()
    for name in sorted(files):
        found.update(f"{name} {len(files[name])} ".encode() + files[name])
    return found.hexdigest()


def _stored(old: Prepared, new: Prepared) -> Mapping[str, Embeddings]:
    """Put the vectors that both have together; those that one of them lacks are made anew."""
    names = [name for name in old.vectors if name in new.vectors and name != TITLE.name]
    return {name: Embeddings.joined([old.vectors[name], new.vectors[name]]) for name in names}


def _touched(read: sqlite3.Connection, after: int) -> set[str]:
    """Name the posts that events after a number added, changed, removed or put back."""
    found: set[str] = set()
    while events := events_after(read, after, 1000):
        for event in events:
            added = event.body.get("posts", ()) if event.kind in ("add", "update", "undo") else ()
            found |= {record["id"] for record in added}
            found |= {*event.body.get("removed", ()), *event.body.get("back", ())}
        after = events[-1].number
    return found
