"""What a store says of posts, groups and events: plain values, for programs and pages."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

SURE: Final = 0.9
"""A probability from which on two posts count as one product without a look."""
APART: Final = 0.1
"""A probability below which they count as two; between the two somebody should look."""
FLOOR: Final = 0.02
"""Pairs below this probability are not stored."""

Verdict = Literal["same", "different", "variant", "unsure", "skip"]
VERDICTS: Final[tuple[Verdict, ...]] = ("same", "different", "variant", "unsure", "skip")
"""What people can say of a pair. A variant is the same model in another size or flavour: another product. The last two
say that somebody looked, and no more."""
JOINS: Final = "same"
SEPARATES: Final = ("different", "variant")

How = Literal["attached", "founded", "known", "updated"]


def band(probability: float) -> str:
    """Name the band of a probability: "sure", "review" or "apart"."""
    return "sure" if probability >= SURE else "review" if probability >= APART else "apart"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A known post that another one may be the same product as.

    Attributes:
        id: posting id.
        group: the name of its group.
        probability: of one product, in [0, 1].
    """

    id: str
    group: str
    probability: float

    @property
    def band(self) -> str:
        """Whether it is "sure", for "review" or "apart"."""
        return band(self.probability)


@dataclass(frozen=True, slots=True)
class Found:
    """What is known like a post that was looked up.

    Attributes:
        id: posting id, as given.
        group: the group that it would be attached to, None where it would found one.
        candidates: the most likely first.
        problems: what of the post could not be used, in words.
    """

    id: str
    group: str | None
    candidates: tuple[Candidate, ...]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Placed:
    """What became of a post that was added.

    Attributes:
        id: posting id.
        how: "attached" to a group, "founded" one, "known" already, or "updated".
        group: the name of its group.
        candidates: the most likely first.
        merges: names of other groups that may be the same product too: proposed to people.
        problems: what of the post could not be used, in words.
    """

    id: str
    how: How
    group: str
    candidates: tuple[Candidate, ...] = ()
    merges: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Post:
    """A post of a store.

    Attributes:
        id: posting id.
        title: "" where there is none.
        image: name of the photo in the folder of photos, "" where there is none.
        hash: of the photo, 16 hexadecimal digits, "" where it is not known.
        price: None where it is not known.
        brand: likewise "".
        source: who lists it, likewise.
        category: likewise.
        more: other texts by name.
        group: the name of its group.
    """

    id: str
    title: str
    image: str
    hash: str
    price: float | None
    brand: str
    source: str
    category: str
    more: Mapping[str, Any]
    group: str


@dataclass(frozen=True, slots=True)
class Group:
    """A group of a store.

    Attributes:
        id: its name.
        members: its posts, by id.
        links: pairs of members that were compared: two ids and the probability, the most likely first.
        weakest: the member that is least like the others: its id, the id of the one it is most like, and that
            probability; None in a group of one.
        merges: names of groups that may be the same product.
    """

    id: str
    members: tuple[Post, ...]
    links: tuple[tuple[str, str, float], ...] = ()
    weakest: tuple[str, str, float] | None = None
    merges: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """Something that was done to a store.

    Attributes:
        number: from 1 up; the order in which things were done.
        at: the time, UTC, as the clock had it.
        kind: "create", "add", "update", "remove", "decide", "merge", "split", "accept", "rematch", "regroup", "refit"
            or "undo".
        by: who did it, "" where that was not said.
        note: in words.
        body: what was done.
        undoes: the number of the event that it takes back; None.
    """

    number: int
    at: str
    kind: str
    by: str
    note: str
    body: Mapping[str, Any] = field(default_factory=dict)
    undoes: int | None = None


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Decisions that cannot all hold: the two posts were said to be apart, and others say that they are one.

    Attributes:
        a: posting id.
        b: posting id.
        events: numbers of the decisions about the two, and of those that join them, in order.
    """

    a: str
    b: str
    events: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Counts:
    """How much a store holds.

    Attributes:
        posts: that are there.
        groups: that have posts.
        pairs: that were compared and are not far apart.
        decisions: that hold.
        events: all.
        fresh: posts that came after words were last counted.
    """

    posts: int
    groups: int
    pairs: int
    decisions: int
    events: int
    fresh: int
