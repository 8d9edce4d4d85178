"""What a store keeps in memory to find posts at once: a cache, made again from the store whenever it is opened.

A sealed part holds the posts that were there when words were last counted; later ones stand in two small parts, so that
one more post costs nothing that grows with the store. Removed posts stay in their part and are passed over.
"""

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from kembar.arrays import Bools, Rows
from kembar.errors import StoreError
from kembar.newcomers import Base, Model, Part

_TAIL: Final = 256
"""Posts in the last part from which on it is joined to the one before: an add indexes no more than these anew."""


@dataclass(frozen=True, slots=True)
class Index:
    """The posts of a store, ready to be searched; never changed: each change gives another one.

    Attributes:
        model: what decides about pairs; None while there are no posts.
        base: the posts.
        rows: (n,) int64 the row in the store of each place.
        place: (r,) int64 the place of each row of the store, -1 where it is not there.
        fresh: how many of the posts came after words were last counted.
    """

    model: Model | None = None
    base: Base = field(default_factory=lambda: Base((), np.zeros(0, dtype=bool)))
    rows: Rows = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    place: Rows = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    fresh: int = 0

    def __len__(self) -> int:
        return int(len(self.base) - self.base.gone.sum())

    @property
    def known(self) -> Model:
        """The model of an index that has had posts."""
        if self.model is None:
            raise StoreError("a store without posts", "some posts", "Add them first.")
        return self.model

    @classmethod
    def of(cls, model: Model, sealed: Part, rows: Rows) -> "Index":
        """Index posts anew.

        Args:
            model: fitted on these posts.
            sealed: n posts.
            rows: (n,) their rows in the store.
        """
        base = Base.of(sealed)
        return cls(model, base, rows, _places(rows, np.zeros(0, dtype=np.int64), 0))

    def with_part(self, new: Part, rows: Rows) -> "Index":
        """Add posts.

        Args:
            new: q posts.
            rows: (q,) their rows in the store; places that these had before are passed over from now on.
        """
        before = self.without(rows)
        parts = [*before.base.parts, new.indexed()]
        gone, owners = np.append(before.base.gone, np.zeros(len(new), dtype=bool)), np.append(self.rows, rows)
        begin = len(before.base)
        while len(parts) > 3 or (len(parts) == 3 and len(parts[-1]) >= _TAIL):
            last = parts.pop()
            begin = len(gone) - len(last) - len(parts[-1])
            there = ~gone[begin:]  # a post that was updated is in both, and gone from one
            parts[-1] = _joined(parts[-1], last, there)
            owners = np.concatenate([owners[:begin], owners[begin:][there]])
            gone = np.concatenate([gone[:begin], np.zeros(len(parts[-1]), dtype=bool)])
        fresh = self.fresh + len(owners) - len(self.rows)
        place = _places(owners[begin:], before.place, begin)
        return replace(before, base=Base(tuple(parts), gone), rows=owners, place=place, fresh=fresh)

    def without(self, rows: Rows) -> "Index":
        """Pass some posts over from now on; rows that are not there are left out."""
        known = rows[rows < len(self.place)]
        places = self.place[known]
        gone, place = self.base.gone.copy(), self.place.copy()
        gone[places[places >= 0]] = True
        place[known] = -1
        return replace(self, base=replace(self.base, gone=gone), place=place)


def _joined(one: Part, other: Part, there: Bools) -> Part:
    """Make one part of what is there of two: (m,) bool of their posts."""
    bounds = ((one, there[: len(one)]), (other, there[len(one) :]))
    kept = [part if here.all() else part.take(np.flatnonzero(here)) for part, here in bounds]
    return Part.joined([part for part in kept if len(part)]).indexed()


def _places(rows: Rows, before: Rows, begin: int) -> Rows:
    """Note the places of rows, from `begin` on."""
    size = max(len(before), int(rows.max(initial=-1)) + 1)
    place = np.full(size, -1, dtype=np.int64)
    place[: len(before)] = before
    place[rows] = begin + np.arange(len(rows))
    return place
