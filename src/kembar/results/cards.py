"""Groups as cards of HTML: photos side by side, titles with what differs marked, how sure the group is."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from kembar.posts.ids import row_of
from kembar.posts.scripts import SIGNS
from kembar.posts.titles import normalize
from kembar.remote import within
from kembar.results.html import Html, element, joined
from kembar.results.tables import one_row_per_group
from kembar.results.thumbnails import data_uri, thumbnail

if TYPE_CHECKING:
    from kembar.results.result import Result

SIDE: Final = 120  # pixels of a photo
_MEMBERS: Final = 8  # posts of a group that are shown
_IN_A_ROW: Final = 4  # likewise in a notebook
_STRIP: Final = (
    "display:inline-block;width:130px;vertical-align:top;white-space:normal;overflow-wrap:anywhere;margin-right:8px"
)
_PIECES: Final = re.compile(rf"(\s+|[{SIGNS}])")  # what stands between two words, or is one
_TITLE: Final = 160  # characters of a title that are shown
_DETAIL: Final = 40  # likewise of an id, and of a column of the input
_DETAILS: Final = 4  # columns of the input that are shown
_LARGEST: Final = 1000  # posts of a group that can be doubtful as a group; see kembar.results.estimates


def largest(result: "Result", n: int) -> pl.DataFrame:
    """Find the n largest groups of more than one post: rows of `one_row_per_group` with their number, `group`."""
    groups = one_row_per_group(result).with_row_index("group").filter(pl.col("size") > 1)
    return groups.sort("size", "group_id", descending=[True, False]).head(n)


def most_doubtful(result: "Result", n: int) -> pl.DataFrame:
    """Find the n groups whose members agree least, as `largest` does."""
    groups = one_row_per_group(result).with_row_index("group").filter(pl.col("size") <= _LARGEST)
    return groups.drop_nulls("mean_similarity").sort("mean_similarity", "group_id").head(n)


def cards(result: "Result", groups: pl.DataFrame) -> list[Html]:
    """Draw groups.

    Args:
        result: the run.
        groups: rows of `largest` or `most_doubtful`.

    Returns:
        One card for each: at most eight members, the weakest pair first, the others by their ids.
    """
    return [_card(result, group, members) for group, members in _with_members(result, groups)]


def strips(result: "Result", groups: pl.DataFrame) -> list[tuple[str, ...]]:
    """Draw groups as rows of a table: id, size, mean, and at most four posts in a row; arguments as of `cards`."""
    rows: list[tuple[str, ...]] = []
    for group, members in _with_members(result, groups):
        mean = group["mean_similarity"]
        told = str(group["group_id"])[:_DETAIL], f"{group['size']:,}", "" if mean is None else f"{mean:.2f}"
        rows.append((*told, _strip(result, members[:_IN_A_ROW])))
    return rows


def side_by_side(result: "Result", posts: Sequence[str]) -> Html:
    """Show posts in a notebook: photos and titles in a row, what tells the titles apart marked, their ids.

    Args:
        result: the run.
        posts: posting ids; the first eight are shown.

    Returns:
        HTML that brings no style of its own to the rest of the notebook.

    Raises:
        CatalogError: there is no such post.
    """
    return _strip(result, [row_of(result.catalog.ids, post) for post in posts[:_MEMBERS]], named=True)


def _strip(result: "Result", rows: Sequence[int], *, named: bool = False) -> Html:
    """Draw posts in a row, with their ids where `named`."""
    titles = marked([result.catalog.titles[row][:_TITLE] for row in rows])
    ids = [element("div", element("b", result.catalog.ids[row][:_DETAIL])) if named else Html() for row in rows]
    posts = zip(rows, titles, ids, strict=True)
    return joined(*(element("div", own, picture(result, row), title, style=_STRIP) for row, title, own in posts))


def _with_members(result: "Result", groups: pl.DataFrame) -> Iterator[tuple[dict[str, Any], list[int]]]:
    """Give each group its members, the weakest pair first, the others by their ids."""
    ids = result.catalog.ids
    order = np.argsort(result.groups.labels, kind="stable")
    bounds = np.searchsorted(result.groups.labels[order], np.arange(len(result.groups) + 1))
    for group in groups.iter_rows(named=True):
        first = (group["weakest_left"], group["weakest_right"])
        members = order[bounds[group["group"]] : bounds[group["group"] + 1]].tolist()
        yield group, sorted(members, key=lambda row: (ids[row] not in first, ids[row]))


def figures(result: "Result", rows: Sequence[int]) -> Html:
    """Show posts side by side: photos, titles with what differs marked, ids, columns that were asked for."""
    titles = marked([result.catalog.titles[row][:_TITLE] for row in rows])
    return element("ul", *(_post(result, row, title) for row, title in zip(rows, titles, strict=True)), class_="posts")


def marked(titles: Sequence[str]) -> list[Html]:
    """Mark what tells titles apart: each word, and each Chinese or Japanese sign, that at most half of them have.

    Args:
        titles: as sellers wrote them.

    Returns:
        The titles as HTML.
    """
    pieces = [_PIECES.split(title) for title in titles]
    distinct = pl.Series(sorted({piece for own in pieces for piece in own}), dtype=pl.String)
    words = dict(zip(distinct, (text.split() for text in normalize(distinct)), strict=True))
    have = Counter(word for own in pieces for word in {word for piece in own for word in words[piece]})
    rare = {piece for piece, own in words.items() if any(2 * have[word] <= len(titles) for word in own)}
    return [joined(*(element("mark", piece) if piece in rare else piece for piece in own)) for own in pieces]


def picture(result: "Result", row: int) -> Html:
    """Show the photo of a post, or that there is none."""
    folder, image = result.catalog.folder, result.catalog.images[row]
    if not image:
        return element("span", "no photo", class_="none")
    small = thumbnail(None if folder is None else within(folder, image), SIDE)
    if small is None:
        return element("span", "photo not at hand", class_="none")
    return element("img", src=data_uri(small), alt="", loading="lazy")


def _card(result: "Result", group: dict[str, Any], members: list[int]) -> Html:
    more = len(members) - _MEMBERS
    rest = [element("p", f"and {more:,} more", class_="small")] if more > 0 else []
    return element(
        "article",
        element("h3", element("bdi", str(group["group_id"])[:_DETAIL])),
        element("p", *_sure(group), class_="small"),
        figures(result, members[:_MEMBERS]),
        *rest,
        class_="pair" if len(members) == 2 else "group",
    )


def _sure(group: dict[str, Any]) -> list[str]:
    told = [f"{group['size']:,} posts"]
    if group["mean_similarity"] is not None:
        told.append(f", mean {group['mean_similarity']:.2f}")
    if group["weakest_similarity"] is None or group["size"] == 2:
        return told
    ends = (element("bdi", str(group[end])[:_DETAIL]) for end in ("weakest_left", "weakest_right"))
    return [*told, f", weakest {group['weakest_similarity']:.2f}: ", next(ends), " and ", next(ends)]


def _post(result: "Result", row: int, title: Html) -> Html:
    """Draw one post."""
    shown = result.catalog.shown
    names = [] if shown is None else [name for name in shown.columns if name not in ("title", "image")][:_DETAILS]
    told = [(name, str(shown[name][row])[:_DETAIL]) for name in names] if shown is not None else []
    details = [element("bdi", f"{name}: {value}") for name, value in told if value]
    post = element("bdi", result.catalog.ids[row][:_DETAIL])
    return element(
        "li",
        picture(result, row),
        element("p", title or "no title", dir="auto", class_="title" if title else "small"),
        *(element("p", each, class_="small") for each in (post, *details)),
    )
