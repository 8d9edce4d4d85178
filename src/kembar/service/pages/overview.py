"""Groups: thirty at a time to be accepted together, one alone to be corrected, posts to be searched for."""

from dataclasses import dataclass
from sqlite3 import Connection
from types import SimpleNamespace
from typing import Annotated, Any, Final

from fastapi import APIRouter, Form, Query, Request
from markupsafe import Markup
from starlette.responses import Response

from kembar.errors import CatalogError
from kembar.results.cards import marked as marked_among
from kembar.service.pages.history import done_of, history_of
from kembar.service.pages.pairs import sides
from kembar.service.pages.reviewed import reviewed
from kembar.service.pages.reviewers import reviewer
from kembar.service.pages.views import PageRoute, go, render, safe_path, with_query
from kembar.store.listing import Filters, Strip, Thumb, find_posts, list_groups, members, strip_of, thumb

router = APIRouter(route_class=PageRoute, include_in_schema=False)

PAGE: Final = 30
"""Groups on a page."""
_MEMBERS: Final = 60  # posts of a group on a page
_FOUND: Final = 60  # posts of a search
_CANDIDATES: Final = 8  # groups that one may be merged with
_TITLE: Final = 160  # characters of a title
_SIZES: Final = {
    "": ("2 or more", 2, 10**9),
    "1": ("1", 1, 1),
    "2": ("2", 2, 2),
    "3-5": ("3 to 5", 3, 5),
    "6-20": ("6 to 20", 6, 20),
    "21": ("21 or more", 21, 10**9),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """Which groups are asked for, as the form of filters sends it.

    Attributes:
        q: words of a title.
        category: of a post.
        source: of a post.
        size: a key of _SIZES.
        seen: "no": without groups that a person has accepted.
    """

    q: str = ""
    category: str = ""
    source: str = ""
    size: str = ""
    seen: str = "no"

    def filters(self) -> Filters:
        """Write them as the store takes them."""
        _, least, most = _SIZES.get(self.size, _SIZES[""])
        return Filters(self.q, self.category, self.source, least, most, fresh=self.seen != "all")

    def path(self, after: int | None = None) -> str:
        """Give the address of the page."""
        seen = "all" if self.seen == "all" else ""
        return with_query(
            "/review/groups",
            q=self.q,
            category=self.category,
            source=self.source,
            size=self.size,
            seen=seen,
            after=after,
        )


@router.get("/review/groups")
def groups(
    request: Request,
    q: Annotated[str, Query(max_length=400)] = "",
    category: str = "",
    source: str = "",
    size: str = "",
    seen: str = "no",
    after: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """Show thirty groups."""
    live, asked = reviewed(request).live, Asked(q, category, source, size, seen)
    connection = live.reading()
    strips, following = list_groups(connection, asked.filters(), after, PAGE)
    values: dict[str, Any] = {
        "strips": strips,
        "filters": asked.filters(),
        "size": size if size in _SIZES else "",
        "seen": seen,
        "after": after,
        "limit": PAGE,
        "sizes": [(name, words) for name, (words, _, _) in _SIZES.items()],
        "categories": reviewed(request).choices("category"),
        "sources": reviewed(request).choices("source"),
        "following_path": None if following is None else asked.path(following),
        "done": done_of(live, request),
    }
    return render(request, "groups.html", **values)


@router.post("/review/groups/accept")
def accept(
    request: Request,
    group: Annotated[list[str], Form(default_factory=list)],
    then: Annotated[str, Form()] = "/review/groups",
) -> Response:
    """Keep that groups are right."""
    by = reviewer(request)
    if not by:
        return go(with_query("/review/reviewer", then="/review/groups"))
    if not group:
        return go(safe_path(then))
    return go(safe_path(then, done=reviewed(request).live.accept(group, by=by).number))


@router.get("/review/group")
def group(
    request: Request,
    id: str,
    q: Annotated[str, Query(max_length=400)] = "",
    after: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """Show a group: its posts, its weakest link, what it may be merged with, what happened to it."""
    live = reviewed(request).live
    connection = live.reading()
    found = live.group(id)  # says in plain words where there is none
    strip = strip_of(connection, id)
    posts, following = members(connection, id, after, _MEMBERS)
    weakest = _weakest(live, found.weakest)
    values: dict[str, Any] = {
        "group": strip or SimpleNamespace(id=id, size=0),
        "posts": list(zip(posts, _titles(posts), strict=True)),
        "following": following,
        "weakest": weakest,
        "weak": () if found.weakest is None else found.weakest[:2],
        "q": q,
        "candidates": _candidates(connection, id, q, found.merges),
        "history": history_of(live, id),
        "done": done_of(live, request),
    }
    return render(request, "group.html", **values)


@router.post("/review/move")
def move(
    request: Request,
    id: Annotated[str, Form()],
    group: Annotated[str, Form()] = "",
    then: Annotated[str, Form()] = "/review/groups",
) -> Response:
    """Take a post out of its group, or put it into another one."""
    by = reviewer(request)
    if not by:
        return go(with_query("/review/reviewer", then=then))
    return go(safe_path(then, done=reviewed(request).live.move(id, group or None, by=by).number))


@router.post("/review/merge")
def merge(request: Request, left: Annotated[str, Form()], right: Annotated[str, Form()]) -> Response:
    """Make two groups one, and show it."""
    by, live = reviewer(request), reviewed(request).live
    if not by:
        return go(with_query("/review/reviewer", then=with_query("/review/group", id=left)))
    if left == right:
        raise CatalogError("one group twice", "two groups", "Choose another one.")
    member = members(live.reading(), left, 0, 1)[0]
    done = live.merge(left, right, by=by).number
    kept = live.post(member[0].id).group if member else right
    return go(with_query("/review/group", id=kept, done=done))


@router.get("/review/search")
def search(
    request: Request,
    q: Annotated[str, Query(max_length=400)] = "",
    after: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """Find posts."""
    posts, following = find_posts(reviewed(request).live.reading(), q, after, _FOUND)
    return render(request, "search.html", q=q, posts=posts, following=following)


def _weakest(live: Any, link: tuple[str, str, float] | None) -> SimpleNamespace | None:
    """Show the two posts that a group hangs together by most loosely."""
    if link is None:
        return None
    connection = live.reading()
    both = sides(live.post(link[0]), live.post(link[1]))
    shown = [SimpleNamespace(post=thumb(connection, each.post.id), pieces=each.pieces) for each in both]
    return SimpleNamespace(sides=shown, probability=link[2])


def _titles(posts: list[Thumb]) -> list[Markup]:
    """Mark in titles the words that no more than half of them have."""
    return [Markup(title) for title in marked_among([post.title[:_TITLE] for post in posts])]


def _candidates(connection: Connection, id: str, q: str, merges: tuple[str, ...]) -> list[tuple[Strip, str]]:
    """List groups that one may be merged with: those proposed, then those of the posts that were searched for."""
    proposed = [(group, ", proposed") for group in merges]
    found = [(post.group, "") for post in find_posts(connection, q, 0, _FOUND)[0] if post.group != id]
    wanted = list(dict([*found, *proposed]).items())
    wanted.sort(key=lambda each: not each[1])
    strips = [(strip_of(connection, group), words) for group, words in wanted[:_CANDIDATES]]
    return [(strip, words) for strip, words in strips if strip is not None]
