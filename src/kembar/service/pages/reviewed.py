"""The store that the pages show, and what is worth computing once for many pages."""

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from fastapi import Request

from kembar.store.listing import choices
from kembar.store.records import Contradiction
from kembar.store.review import Item, next_item

if TYPE_CHECKING:
    from kembar.store import Live


class Reviewed:
    """A store under review.

    Args:
        live: the store.
        seed: of the draws of quiet cases.
    """

    def __init__(self, live: "Live", seed: int) -> None:
        self.live = live
        self._seed = seed
        self._told = lru_cache(1)(lambda last: tuple(live.contradictions()))
        self._choices = lru_cache(2)(lambda column, last: tuple(choices(live.reading(), column)))

    def against(self) -> Sequence[Contradiction]:
        """Give the answers that cannot all hold: looked for once after each event."""
        last = self.live.reading().execute("SELECT coalesce(max(number), 0) FROM events").fetchone()[0]
        return self._told(last)

    def choices(self, column: str) -> Sequence[str]:
        """List what "category" or "source" can be: looked for once after each new post."""
        return self._choices(column, self.live.reading().execute("SELECT max(row) FROM posts").fetchone()[0])

    def next(self, by: str, *, quiet: bool) -> Item | None:
        """Choose what a reviewer is asked next; quiet: of quiet cases alone."""
        connection = self.live.reading()
        return next_item(connection, by, against=self.against(), seed=self._seed, quiet_only=quiet)


def reviewed(request: Request) -> Reviewed:
    """Find the store under review that a request is for."""
    found: Reviewed = request.state.reviewed
    return found
