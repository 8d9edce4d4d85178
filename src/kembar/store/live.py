"""A store of posts that are matched as they come: adds, look-ups, decisions, and a re-match of all."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from kembar.arrays import Progress
from kembar.errors import InputError, TakenError, quoted
from kembar.newcomers import BLOCK, Prepared, prepared
from kembar.posts.catalog import Catalog
from kembar.store import deciding, reports
from kembar.store.adding import Compared, check_grouping, place_in, placed, surroundings, written
from kembar.store.asking import Asked
from kembar.store.database import Change
from kembar.store.decisions import constraints
from kembar.store.index import Index
from kembar.store.photos import taken_in
from kembar.store.posts import Record, catalog_of, records_of, same_content, vectors_of
from kembar.store.records import Event, How, Placed
from kembar.store.rematching import regrouped, rematched
from kembar.store.tables import (
    any_removed,
    drop_pairs,
    everything,
    group_names,
    groups_of,
    groups_there,
    put_pairs,
    records_there,
    row_of,
)


class Live(Asked):
    """A store of posts, open in this process; safe to use from several threads.

    What is acknowledged is on disk. `Live.create` makes a store, `Live.open` opens one, `Live.beside` opens that of a
    run; all hold its folder until `close`, so that no other process writes to it.

    Args:
        database: the open store.
        config: its configuration.
    """

    def add(self, posts: Catalog, *, by: str = "", key: str | None = None) -> list[Placed]:
        """Add posts; on disk when this returns.

        Args:
            posts: new ones. One that is there with the same content is told as "known".
            by: who adds them.
            key: of the request: the same one again changes nothing and is answered as the first time.

        Returns:
            What became of each, in their order.

        Raises:
            TakenError: an id that is there with other content, or the key of another request; nothing is added.
            StoreError: a full or failing disk; nothing is added.
            ConfigError: a store that began with a run of `kembar link`.
        """
        check_grouping(self.config)
        with self._lock:
            done = reports.event_of_key(self.reading(), key, "add")
            if done is not None:
                return reports.placed_before(done, posts.ids.to_list())
            known = self._known(posts, records_there(self.reading(), posts.ids.to_list()))
        new = posts.take(np.flatnonzero(~posts.ids.is_in(list(known)).to_numpy())) if known else posts
        ready = prepared(taken_in(new, self.photos), self._matcher)
        with self._lock:
            done = reports.event_of_key(self.reading(), key, "add")
            if done is not None:
                return reports.placed_before(done, posts.ids.to_list())
            known |= self._known(new, records_there(self.reading(), new.ids.to_list()))
            fresh = np.flatnonzero(~new.ids.is_in(list(known)).to_numpy())
            told = {each.id: each for each in self._put(ready.take(fresh), "add", by, key, known)} if len(fresh) else {}
        return [told.get(post) or known[post] for post in posts.ids]

    def update(self, posts: Catalog, *, by: str = "", key: str | None = None) -> list[Placed]:
        """Give posts other content; each is placed anew. Arguments as of `add`.

        Returns:
            What became of each, in their order.

        Raises:
            UnknownError: a post that is not there; nothing is changed.
            StoreError: a full or failing disk; nothing is changed.
            ConfigError: as of `add`.
        """
        check_grouping(self.config)
        ready = prepared(taken_in(posts, self.photos), self._matcher)
        with self._lock:
            done = reports.event_of_key(self.reading(), key, "update")
            if done is not None:
                return reports.placed_before(done, posts.ids.to_list())
            for post in posts.ids:
                row_of(self.reading(), post)
            return self._put(ready, "update", by, key)

    def _known(self, posts: Catalog, there: Mapping[str, Record]) -> dict[str, Placed]:
        """Tell which posts are there already; raises TakenError."""
        known: dict[str, Placed] = {}
        for record in records_of(posts) if there else ():
            before = there.get(record["id"])
            if before is not None and not same_content(before, record):
                raise TakenError(
                    f"post {quoted(record['id'])}, which is there with other content",
                    "a new post, or the same content again",
                    "Update it, or give the new one another id.",
                )
            if before is not None:
                known[record["id"]] = Placed(record["id"], "known", self.post(record["id"]).group)
        return known

    def _put(
        self,
        ready: Prepared,
        kind: str,
        by: str,
        key: str | None = None,
        known: Mapping[str, Placed] | None = None,
        undoes: Event | None = None,
    ) -> list[Placed]:
        """Compare posts, place them and write it all, block by block in one transaction."""
        index, fresh = self._index_for(ready)
        told: list[Placed] = []
        number = undoes.number if undoes else None
        with self._database.change("undo" if undoes else kind, by=by, key=key, undoes=number) as change:
            before = records_there(change.write, ready.posts.ids.to_list()) if kind == "update" else {}
            left = groups_there(change.write, list(before))
            again = bool(before) or any_removed(change.write, ready.posts.ids.to_list())
            for begin in range(0, len(ready.posts), BLOCK):
                some = ready.take(np.arange(begin, min(begin + BLOCK, len(ready.posts))))
                index, here = self._placed(change, some, index, kind)
                told += here
            deciding.close_empty(change.write, change.number)
            change.body |= reports.added(ready, told, before, known or {}) | ({"left": left} if left else {})
            if again:  # what was said of them before still holds
                moved = deciding.put_into(change.write, undoes.body["left"]) if undoes else {}
                told = reports.moved_on(change.body, deciding.held(change.write, change.number, moved), told)
            if fresh is not None:
                fresh.save(change.write)
        self._index = index
        self._seal_behind()
        return told

    def _placed(self, change: Change, some: Prepared, index: Index, kind: str) -> tuple[Index, list[Placed]]:
        """Place one block of posts and write it."""
        own = None
        if kind == "update":
            own = np.array([row_of(change.write, post) for post in some.posts.ids], dtype=np.int64)
            drop_pairs(change.write, own.tolist())
            index = index.without(own)
        compared, config = Compared.of(some, index), index.known.config
        placing = place_in(surroundings(change.write, compared, config, own), config)
        candidates = compared.candidates(change.write, _SHOWN)
        rows, groups = written(change, some, compared, placing)
        how: How | None = "updated" if kind == "update" else None
        return index.with_part(compared.part, rows), placed(change.write, some, placing, groups, candidates, how)

    def remove(self, ids: Sequence[str], *, by: str = "", key: str | None = None) -> Event:
        """Remove posts; their groups keep their names.

        Args:
            ids: of the posts.
            by: who removes them.
            key: of the request, as of `add`.

        Returns:
            The event, which can be undone.

        Raises:
            UnknownError: a post that is not there; nothing is removed.
        """
        with self._lock:
            done = reports.event_of_key(self.reading(), key, "remove")
            if done is not None:
                reports.check_same(set(ids) == set(done.body["removed"]))
                return done
            rows = [row_of(self.reading(), post) for post in dict.fromkeys(ids)]
            with self._database.change("remove", by=by, key=key) as change:
                self._taken_out(change, rows)
            self._index = self._index.without(np.array(rows, dtype=np.int64))
            return change.done()

    @staticmethod
    def _taken_out(change: Change, rows: Sequence[int]) -> None:
        groups = groups_of(change.write, np.array(rows, dtype=np.int64)).tolist()
        names = group_names(change.write, groups)
        posts = [change.write.execute("SELECT id FROM posts WHERE row = ?", (row,)).fetchone()[0] for row in rows]
        change.body["removed"] = {post: names[group] for post, group in zip(posts, groups, strict=True)}
        drop_pairs(change.write, rows)
        change.write.executemany("UPDATE posts SET removed = ? WHERE row = ?", [(change.number, row) for row in rows])
        deciding.close_empty(change.write, change.number)
        change.body["moved"] = deciding.held(change.write, change.number, {})

    # What people say

    def decide(self, a: str, b: str, verdict: str, *, by: str, note: str = "", key: str | None = None) -> Event:
        """Note what a person says of two posts; it holds from now on, whatever is matched again.

        Args:
            a: a posting id.
            b: another.
            verdict: "same" joins the groups of the two; "different" and "variant" (the same model in another size or
                flavour) part them; "unsure" and "skip" only note that somebody looked.
            by: who says so.
            note: in words.
            key: of the request, as of `add`.

        Returns:
            The event; its body tells which posts moved from which group to which.

        Raises:
            UnknownError: a post that is not there.
            ConfigError: another verdict.
        """
        deciding.check_verdict(verdict)

        def said() -> deciding.Said:
            """Find the two posts."""
            return [(*deciding.ends_of(self.reading(), a, b), verdict)]

        return self._said("decide", said, {"a": a, "b": b, "verdict": verdict}, by, note, key)

    def move(self, post: str, group: str | None, *, by: str, note: str = "", key: str | None = None) -> Event:
        """Take a post out of its group: into another, or (None) one of its own; raises UnknownError, InputError."""
        body = {"post": post, "group": group}
        return self._said("split", lambda: deciding.to_move(self.reading(), post, group), body, by, note, key)

    def merge(self, left: str, right: str, *, by: str, note: str = "", key: str | None = None) -> Event:
        """Make two groups one, under the name of the larger; raises UnknownError, InputError."""
        body = {"left": left, "right": right}
        return self._said("merge", lambda: deciding.to_merge(self.reading(), left, right), body, by, note, key)

    def accept(self, groups: Sequence[str], *, by: str, note: str = "", key: str | None = None) -> Event:
        """Note that a person has seen these groups, and that each is one product; raises UnknownError."""
        body = {"groups": list(groups)}
        return self._said("accept", lambda: deciding.to_accept(self.reading(), groups), body, by, note, key)

    def _said(
        self, kind: str, saying: Callable[[], deciding.Said], body: dict[str, Any], by: str, note: str, key: str | None
    ) -> Event:
        """Note what a person says, unless a request with this key has said so before."""
        with self._lock:
            done = reports.event_of_key(self.reading(), key, kind)
            if done is None:
                return self._noted(kind, saying(), body, by, note, key)
            reports.check_same(all(done.body.get(name) == value for name, value in body.items()))
            return done

    def _noted(
        self, kind: str, said: deciding.Said, body: dict[str, Any], by: str, note: str, key: str | None
    ) -> Event:
        with self._database.change(kind, by=by, note=note, key=key) as change:
            deciding.note_decisions(change.write, change.number, said, by, note)
            change.body |= body | {"said": deciding.told(change.write, said)}
            change.body["moved"] = deciding.applied(change.write, change.number, said)
            deciding.close_refused(change.write, change.number, said)
        return change.done()

    def undo(self, event: int, *, by: str) -> Event:
        """Take an event back: what people said, a removal, an add, an update, or the moves of a re-match.

        Args:
            event: its number.
            by: who takes it back.

        Returns:
            The event that does so.

        Raises:
            UnknownError: there is no such event.
            InputError: it cannot be undone, was undone before, or later events moved its posts on.
        """
        with self._lock:
            given = reports.undoable(self.reading(), event)
            if given.kind == "update":
                reports.check_unchanged(self.reading(), given)
                before = prepared(catalog_of(given.body["before"], self.photos), self._matcher)
                self._put(before, "update", by, undoes=given)
                return reports.last_event(self.reading())
            with self._database.change("undo", by=by, undoes=event) as change:
                index = self._taken_back(change, given)
            self._index = index
            return change.done()

    def _taken_back(self, change: Change, given: Event) -> Index:
        """Take back an event of another kind than an update."""
        if given.kind == "add":
            posts = [each["id"] for each in given.body["placed"]]
            rows = [row_of(change.write, post) for post in posts]
            self._taken_out(change, rows)
            return self._index.without(np.array(rows, dtype=np.int64))
        if given.kind != "remove":
            moved = given.body.get("moved", {})
            moved = deciding.undone(change.write, given.number, change.number, moved)
            change.body["moved"] = deciding.held(change.write, change.number, moved)
            return self._index
        removed = given.body["removed"]
        back = np.array(deciding.put_back(change.write, given.number, change.number, removed), dtype=np.int64)
        there = records_there(change.write, list(removed))
        records = [there[post] for post in removed]
        ready = prepared(catalog_of(records, self.photos), self._matcher, vectors_of(change.write, back))
        index, fresh = self._index_for(ready)
        compared = Compared.of(ready, index)
        put_pairs(change.write, *compared.ends(back), compared.found.probability)
        if fresh is not None:
            fresh.save(change.write)
        change.body |= {"back": removed, "moved": deciding.held(change.write, change.number, {})}
        return index.with_part(compared.part, back)

    def rematch(self, *, by: str = "", progress: Progress | None = None) -> Event:
        """Match all posts again as one batch. What people said holds, and groups keep their names where they can.

        Posts that are added meanwhile keep the groups they were given.

        Args:
            by: who asks for it.
            progress: called with (stage, done, total).

        Returns:
            The event; its body tells which posts moved from which group to which.
        """
        records, rows = everything(self.reading())
        _check_some(len(records))
        result = self._matcher.match(catalog_of(records, self.photos), progress=progress)
        with self._lock:
            said = constraints(self.reading()).among(rows)
            with self._database.change("rematch", by=by) as change:
                moved = rematched(change.write, result, rows, said)
                change.body["moved"] = deciding.held(change.write, change.number, moved)
                deciding.close_empty(change.write, change.number)
            self.seal()
            return change.done()

    def regroup(self, *, by: str = "") -> Event:
        """Group all posts anew from the pairs that are known, in seconds: nothing is compared again.

        An add leaves the groups that are there as they are: after many of them some are apart that a look at all would
        join, and the other way round. What people said holds, and groups keep their names where they can.

        Args:
            by: who asks for it.

        Returns:
            The event; its body tells which posts moved from which group to which.

        Raises:
            InputError: a store without posts.
        """
        with self._lock, self._database.change("regroup", by=by) as change:
            _check_some(len(self._index))
            moved = regrouped(change.write, self._index.known.config)
            change.body["moved"] = deciding.held(change.write, change.number, moved)
            deciding.close_empty(change.write, change.number)
        return change.done()


def _check_some(posts: int) -> None:
    """Refuse to match nothing; raises InputError."""
    if not posts:
        raise InputError("a store without posts", "some posts", "Add them first.")


_SHOWN: Final = 20  # candidates that an add tells of
