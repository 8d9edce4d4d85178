"""What is asked of a store: look-ups, posts, groups, explanations, events and counts. Nothing here writes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import polars as pl

from kembar.newcomers import prepared
from kembar.posts.catalog import Catalog
from kembar.results.explanation import Explanation
from kembar.store import deciding, reports
from kembar.store.adding import Compared, place_in, surroundings, told_of, unused_ids
from kembar.store.decisions import contradictions
from kembar.store.explaining import explained
from kembar.store.opened import OpenStore
from kembar.store.posts import COLUMNS, catalog_of, post_of, read_records, record_of
from kembar.store.records import Contradiction, Counts, Event, Found, Group, Post
from kembar.store.tables import everything, group_names, unknown_post

_SCRIPTS: Final = ("Cream 2 x 50 ml (A1)", "Crème 2 × 50 ml 😊", "Крем 2 × 50 мл", "クリーム 牛奶 50 毫升")


class Asked(OpenStore):
    """A store as those see it who read."""

    def read(self, records: Sequence[Mapping[str, Any]]) -> Catalog:
        """Read posts as programs give them; see `kembar.store.posts.read_records`; raises CatalogError."""
        return read_records(records, self.photos)

    def lookup(self, posts: Catalog, *, limit: int = 20) -> list[Found]:
        """Tell which posts are like others, without adding these.

        Args:
            posts: any posts; their ids need not be new.
            limit: candidates of each.

        Returns:
            What is like each, in their order.
        """
        read, index = self.reading(), self._index
        ready = prepared(
            replace(posts, ids=unused_ids(read, len(posts)), problems=posts.problems.clear()), self._matcher
        )
        problems = told_of(posts, ready.posts)
        if index.model is None:
            return [Found(post, None, (), problems.get(post, ())) for post in posts.ids]
        compared = Compared.of(ready, replace(index, model=index.known.passing()))
        placing = place_in(surroundings(read, compared, index.known.config), index.known.config)
        names = group_names(read, {int(group) for group in placing.groups if group >= 0})
        candidates = [
            tuple(each for each in found if each.id != post)[:limit]
            for post, found in zip(posts.ids, compared.candidates(read, limit + 1), strict=True)
        ]
        return [
            Found(post, names.get(int(placing.groups[at])), candidates[at], problems.get(post, ()))
            for at, post in enumerate(posts.ids)
        ]

    def warm(self) -> None:
        """Do now what the first look-ups would wait for: load models, compile what reads titles of any script."""
        known = self.reading().execute(f"SELECT {COLUMNS} FROM posts WHERE removed IS NULL LIMIT 1").fetchone()
        if known is not None:
            post = record_of(known)
            titles = _SCRIPTS if post["title"] else ("",)
            alike = [{**post, "id": str(at), "title": title} for at, title in enumerate(titles)]
            self.lookup(catalog_of(alike, self.photos))

    def post(self, post: str) -> Post:
        """Read a post; raises UnknownError."""
        found = (
            self.reading()
            .execute(
                f"SELECT {COLUMNS}, (SELECT groups.id FROM groups WHERE row = group_row) FROM posts "
                "WHERE posts.id = ? AND removed IS NULL",
                (post,),
            )
            .fetchone()
        )
        if found is None:
            raise unknown_post(self.reading(), post)
        return post_of(record_of(found[:-1]), found[-1])

    def group(self, name: str) -> Group:
        """Read a group; raises UnknownError."""
        return reports.group(self.reading(), name)

    def catalog(self) -> Catalog:
        """Read all posts that are there."""
        return catalog_of(everything(self.reading())[0], self.photos)

    def explain(self, a: str, b: str) -> Explanation:
        """Explain why two posts are one product or not; raises UnknownError, or InputError where they are one post."""
        rows = deciding.ends_of(self.reading(), a, b)
        return explained(self.reading(), self._index, (a, b), rows)

    def events(self, after: int = 0, limit: int = 100) -> list[Event]:
        """List events in order, from the first one after a number on."""
        return reports.events_after(self.reading(), after, limit)

    def contradictions(self) -> list[Contradiction]:
        """List decisions that cannot all hold."""
        return contradictions(self.reading())

    def labels(self) -> pl.DataFrame:
        """Give what people decided as `kembar tune --labels` reads it: left, right (ids) and same (1 or 0)."""
        return reports.labels(self.reading())

    def counts(self) -> Counts:
        """Count what the store holds."""
        return reports.counts(self.reading(), self._index.fresh)
