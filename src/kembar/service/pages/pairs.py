"""One pair on a page: its two posts side by side, what tells them apart, what the classifier made of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from kembar.service.pages.marks import Piece, marked
from kembar.service.pages.views import photo_path
from kembar.service.pages.waterfall import bars

if TYPE_CHECKING:
    from kembar.results.explanation import Explanation
    from kembar.store import Live
    from kembar.store.records import Post

_DETAILS: Final = 8  # columns of a post that are shown
_LONGEST: Final = 120  # characters of one
_TOLD: Final = ("quantities:", "photos:", "same ", "another ")  # facts that the table of differences does not have
_KINDS: Final = (("quantity", "quantities"), ("code", "codes, numbers"), ("word", "words"))


@dataclass(frozen=True, slots=True)
class Side:
    """One of two posts.

    Attributes:
        post: it.
        pieces: its title, marked.
        photo: the address of its photo, "" where it has none.
        details: what else is known: name, value, and whether the other post has another value.
    """

    post: "Post"
    pieces: list[Piece]
    photo: str
    details: list[tuple[str, str, bool]]


def sides(left: "Post", right: "Post") -> tuple[Side, Side]:
    """Show two posts side by side."""
    one, other = marked(left.title, right.title)
    known = [details(post) for post in (left, right)]
    return (_side(left, one, known[0], known[1]), _side(right, other, known[1], known[0]))


def details(post: "Post") -> dict[str, str]:
    """Name what is known of a post but for title and photo: price, brand, source, category, columns of the input."""
    price = "" if post.price is None else f"{post.price:,.2f}".removesuffix(".00")
    first = {"price": price, "brand": post.brand, "source": post.source, "category": post.category}
    found = {name: str(value) for name, value in first.items() if value}
    for name, value in _further(post.more):
        found.setdefault(name, value)
    return {name: value if len(value) <= _LONGEST else f"{value[:_LONGEST]}…" for name, value in found.items()}


def evidence(live: "Live", a: str, b: str) -> dict[str, Any]:
    """Explain a pair, in what the page takes: the facts, the bars, why there are none."""
    told = live.explain(a, b)
    return {
        "facts": [fact for fact in told.facts if fact.startswith(_TOLD)],
        "bars": bars(told.kinds()),
        "no_bars": _no_bars(told),
    }


def apart(one: Side, other: Side) -> list[tuple[str, str, str]]:
    """List what one of two titles has alone, by kind: the kind, what the left one has, what the right one has."""
    found = []
    for kind, words in _KINDS:
        alone = [
            " ".join(piece.text.strip() for piece in side.pieces if piece.alone and piece.kind == kind)
            for side in (one, other)
        ]
        if any(alone):
            found.append((words, *(text or "nothing" for text in alone)))
    return [(words, left, right) for words, left, right in found]


def _no_bars(told: "Explanation") -> str:
    return told.reasons[0].capitalize() + "." if told.reasons else "No classifier decided about the two."


def _side(post: "Post", pieces: list[Piece], own: Mapping[str, str], other: Mapping[str, str]) -> Side:
    shown = [(name, value, name in other and other[name] != value) for name, value in list(own.items())[:_DETAILS]]
    return Side(post, pieces, photo_path(post.image) if post.image else "", shown)


def _further(more: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Take the texts and numbers of what else is stored, one level deep."""
    found: list[tuple[str, str]] = []
    for name, value in more.items():
        if isinstance(value, Mapping):
            found += [(str(key), str(each)) for key, each in value.items() if isinstance(each, str | int | float)]
        elif isinstance(value, str | int | float):
            found.append((name, str(value)))
    return [(name, value) for name, value in found if value]
