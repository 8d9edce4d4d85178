"""The report as one page of HTML that needs nothing else: no script, no network; photos and chart are inside.

Its size is bounded, whatever the run: a number of groups, of posts in a group, of characters in a title.
"""

from collections.abc import Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from kembar.results.cards import cards, largest, most_doubtful, picture, strips
from kembar.results.html import Html, element, joined, table
from kembar.results.report import READING, estimate_words, model_name, note_lines

if TYPE_CHECKING:
    from kembar.results.result import Result

_GROUPS: Final = 12  # of the largest, and of the most doubtful
_FEW: Final = 3  # groups of each kind in a notebook
_ASIDE: Final = 24  # photos that were set aside
_DAMAGED: Final = 100  # posts
_PROBLEM: Final = 200  # characters
_ONE: Final = {"title": "a title", "image": "a photo", "hash": "a hash of it", "label": "a known group"}
_POLICY: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_TELLS: Final = "Marked: words that no more than half of the titles shown have. The weakest pair comes first."


def page(result: "Result", chart: str) -> str:
    """Write the report of a run as a page.

    Args:
        result: the run.
        chart: the sizes of its groups, as SVG.

    Returns:
        HTML: counts, how good the run is likely to be, the sizes of groups, the most doubtful and the largest groups
        with their photos, photos that were set aside, damaged posts.
    """
    report = result.report
    parts = [
        element("h1", "What kembar found"),
        _tiles(report),
        _scores(report),
        _estimate(report),
        joined(element("h2", "Sizes of the groups"), Html(chart[chart.index("<svg") :])),
        _groups("The most doubtful groups", cards(result, most_doubtful(result, _GROUPS)), _TELLS),
        _groups("The largest groups", cards(result, largest(result, _GROUPS)), _TELLS),
        _set_aside(result),
        _reading(report),
        _damaged(report),
        _made(report),
    ]
    return f"<!doctype html>\n{element('html', _head(), element('body', *parts), lang='en')}\n"


def excerpt(result: "Result") -> str:
    """Show some groups in a notebook: the three most doubtful and the three largest, as a table with photos.

    Args:
        result: the run.

    Returns:
        A piece of HTML of a bounded size that brings no style of its own to the rest of the notebook.
    """
    rows = []
    for name, groups in (("most doubtful", most_doubtful(result, _FEW)), ("largest", largest(result, _FEW))):
        rows += [(name, *row) for row in strips(result, groups)]
    words = element("pre", repr(result))
    return (
        joined(words, table(("", "group", "posts", "mean", "posts, the weakest pair first"), rows)) if rows else words
    )


def _head() -> Html:
    style = (files("kembar.results") / "page.css").read_text(encoding="utf-8")
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("title", "What kembar found"),
        element("style", Html(style)),
    )


def _tiles(report: Mapping[str, Any]) -> Html:
    n = max(1, report["posts"])
    told = [
        (f"{report['posts']:,}", "posts"),
        (f"{report['matched_posts'] / n:.1%}", "have a match"),
        (f"{report['groups'] - report['groups_of_one']:,}", "groups of two or more"),
        (f"{report['groups_of_one']:,}", "posts alone"),
        (f"{report['largest_group']:,}", "posts in the largest group"),
        (f"{report['candidate_pairs']:,}", "pairs compared"),
    ]
    have = ", ".join(f"{count:,} with {_ONE.get(name, name)}" for name, count in report["with"].items())
    tiles = element("ul", *(element("li", element("b", number), words) for number, words in told), class_="tiles")
    return joined(tiles, element("p", have, class_="small"))


def _scores(report: Mapping[str, Any]) -> Html:
    scores = report["scores"]
    if scores is None:
        return Html()
    row = (f"{scores['f1']:.4f} ± {scores['spread']:.4f}", *(f"{scores[key]:.4f}" for key in ("precision", "recall")))
    pool = f"{scores['posts']:,}", f"{scores['pool']:,}"
    return joined(
        element("h2", "Against the known groups"),
        table(("mean F1", "precision", "recall", "posts", "pool"), [(*row, *pool)]),
    )


def _estimate(report: Mapping[str, Any]) -> Html:
    told = report["estimate"]
    if told is None:
        return Html()
    return joined(element("h2", "How sure this run is"), element("p", estimate_words(told)))


def _groups(name: str, found: list[Html], words: str) -> Html:
    if not found:
        return Html()
    return joined(element("h2", name), element("p", words, class_="small"), element("div", *found, class_="groups"))


def _set_aside(result: "Result") -> Html:
    """Show the photos and name the titles that many unlike posts share, each once, with how many posts have it."""
    problems = result.catalog.problems.filter(pl.col("problem").str.ends_with("set aside"))
    kinds = problems.group_by("part", "problem").agg(pl.len().alias("posts"), pl.col("posting_id").min().alias("post"))
    kinds = kinds.sort("posts", "part", "problem", descending=[True, False, False])
    if not len(kinds):
        return Html()
    shown = []
    for kind in kinds.head(_ASIDE).iter_rows(named=True):
        row = result.catalog.ids.index_of(kind["post"])
        photo = [picture(result, row)] if kind["part"] == "image" and row is not None else []
        words = f"{kind['posts']:,} posts: {kind['problem'][:_PROBLEM]}"
        shown.append(element("li", *photo, element("p", words, class_="small")))
    more = f"These say nothing of a product. {len(kinds):,} in all." if len(kinds) > _ASIDE else "These say nothing."
    return joined(
        element("h2", "Photos and titles that were set aside"),
        element("p", more, class_="small"),
        element("ul", *shown, class_="posts"),
    )


def _reading(report: Mapping[str, Any]) -> Html:
    lines = [element("li", line[:_PROBLEM]) for line in note_lines(report)]
    return joined(element("h2", READING), element("ul", *lines)) if lines else Html()


def _damaged(report: Mapping[str, Any]) -> Html:
    problems = report["problems"]
    if not problems["posts"]:
        return joined(element("h2", "Damaged posts"), element("p", "None."))
    kinds = [(f"{kind['posts']:,}", kind["part"], kind["problem"][:_PROBLEM]) for kind in problems["kinds"][:20]]
    posts = [
        (each["posting_id"][:_PROBLEM], each["part"], each["problem"][:_PROBLEM])
        for each in problems["list"][:_DAMAGED]
    ]
    return joined(
        element("h2", f"{problems['posts']:,} damaged posts, matched on the evidence they have"),
        table(("posts", "part", "what"), kinds),
        element("details", element("summary", f"The first {len(posts):,}"), table(("post", "part", "what"), posts)),
    )


def _made(report: Mapping[str, Any]) -> Html:
    words = f"Scored by {model_name(report['model'])}; rule {report['rule']}. All groups are in groups.csv."
    return joined(element("h2", "How it was made"), element("p", words))
