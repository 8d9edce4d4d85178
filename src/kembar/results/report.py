"""The readable summary of a run, from its report."""

from collections.abc import Mapping
from textwrap import wrap
from typing import Any, Final

import numpy as np

from kembar.config import BY_RULES
from kembar.errors import visible

_ALWAYS: Final = ("title", "image", "hash", "label")  # what the first line, or the scores, tell of in any case
_SHORTEST: Final = 0.05  # seconds of a stage that is named
_BAR: Final = 40  # characters of the longest bar
WIDTH: Final = 100  # of a line
NEXT: Final = (
    "Look at them with `kembar explain`. If many are wrong, label some hundred pairs (`kembar label-queue`) and learn "
    "from them (`kembar tune --labels`)."
)
READING: Final = "How the posts were read"
_SIZES: Final = 10  # sizes shown one by one; the rest share a line


def summary(report: Mapping[str, Any]) -> str:
    """Summarise a run in a page of Markdown.

    Args:
        report: as in `Result.report` and report.json.

    Returns:
        The text: counts, scores where groups are known, how sure the run is, damaged posts, a chart of group sizes.
    """
    counts = "\n".join(f"- {line}" for line in count_lines(report))
    found = [counts, _reading(report), _scores(report), _estimate(report), _problems(report)]
    parts = [*found, _sizes(report), seconds_words(report)]
    return visible("\n\n".join(["# What kembar found", *(part for part in parts if part)])) + "\n"


def count_lines(report: Mapping[str, Any]) -> list[str]:
    """Tell what was given and what was found, a line for each."""
    n, have = report["posts"], report["with"]
    more = [f"{count:,} with {name}" for name, count in have.items() if name not in _ALWAYS]
    return [
        f"{n:,} posts: {have['title']:,} with a title, {have['image']:,} with a photo, "
        + ", ".join([f"{have['hash']:,} with a hash", *more]),
        f"{report['matched_posts']:,} posts ({report['matched_posts'] / max(1, n):.1%}) have a match, "
        f"{report['mean_matches']:.2f} posts per list on average, the post itself counted",
        *_cut(report["cut_lists"], report["longest_list"] - 1),
        f"{report['groups']:,} groups, {report['groups_of_one']:,} of them of one post; the largest has "
        f"{report['largest_group']:,} posts",
        *(f"lists and groups differ in {count:,} matches: {why}" for why, count in report["differences"].items()),
        f"{report['candidate_pairs']:,} candidate pairs were compared, and scored by {model_name(report['model'])}",
    ]


def note_lines(report: Mapping[str, Any]) -> list[str]:
    """Tell what was noticed while the posts were read, a line for each."""
    notes = report.get("notes", ())  # not in reports of older versions
    counts = [f"{note['count']:,} " if note["count"] else "" for note in notes]
    return [f"{note['kind']}: {count}{note['detail']}" for note, count in zip(notes, counts, strict=True)]


def _reading(report: Mapping[str, Any]) -> str:
    lines = [f"- {line}" for line in note_lines(report)]
    return "\n".join([f"## {READING}", "", *lines]) if lines else ""


def _cut(posts: int, most: int) -> list[str]:
    """Say that lists were cut, if any were."""
    if not posts:
        return []
    have = "post has" if posts == 1 else "posts have"
    return [
        f"{posts:,} {have} more than {most:,} matches; matches.csv lists the best {most:,}, groups.csv has all "
        "(`advanced.decide.cap`)"
    ]


def model_name(name: str) -> str:
    """Say what scored the pairs."""
    return "hand-set rules" if name == BY_RULES else f"the pair classifier {name}"


def scores_table(scores: Mapping[str, float]) -> str:
    """Show scores as Markdown.

    Args:
        scores: as in `Result.scores`.
    """
    return "\n".join(
        [
            "| mean F1 | precision | recall | posts | pool |",
            "| ---: | ---: | ---: | ---: | ---: |",
            f"| {scores['f1']:.4f} ± {scores['spread']:.4f} | {scores['precision']:.4f} | {scores['recall']:.4f} "
            f"| {scores['posts']:,} | {scores['pool']:,} |",
            "",
            f"Pairs: F1 {scores['pair_f1']:.4f}. B-cubed: F1 {scores['b3_f1']:.4f}. "
            f"A perfect decision on the candidate pairs would reach {scores['oracle_f1']:.4f}.",
        ]
    )


def _scores(report: Mapping[str, Any]) -> str:
    scores = report["scores"]
    return "" if scores is None else f"## Against the known groups\n\n{scores_table(scores)}"


def estimate_words(told: Mapping[str, Any]) -> str:
    """Tell how good the run is likely to be."""
    return (
        f"Without labels, by the classifier's own probabilities: precision about {told['precision']:.2f} (the share of "
        f"a post's group that sells the same product), recall about {told['recall']:.2f} (the share of its twins that "
        "are in its group). Among posts unlike all that the classifier learned from, both can be off."
    )


def _estimate(report: Mapping[str, Any]) -> str:
    told = report.get("estimate")  # not in reports of older versions
    if told is None:
        return ""
    lines = ["## How sure this run is", "", *wrap(estimate_words(told), WIDTH)]
    if told["doubtful"]:
        lines += ["", "The most doubtful groups:", ""]
        lines += [f"- {each['group']}: {each['posts']} posts, {each['probability']:.2f}" for each in told["doubtful"]]
        lines += ["", *wrap(NEXT, WIDTH)]
    return "\n".join(lines)


def _problems(report: Mapping[str, Any]) -> str:
    problems = report["problems"]
    if not problems["posts"]:
        return "No post was damaged."
    lines = [f"## {problems['posts']:,} damaged posts, matched on the evidence they have", ""]
    told = [(kind["posts"], kind["part"], kind["problem"].replace("\n", "\\n")) for kind in problems["kinds"][:20]]
    lines += [f"- {posts:,} x {part}: {problem}" for posts, part, problem in told]
    return "\n".join([*lines, "", "The posts are listed in report.json."])


def size_bars(report: Mapping[str, Any]) -> list[tuple[str, float, str]]:
    """Share the posts out by size of their group: the size, the share, and a bar as long as that."""
    posts = np.zeros(52)
    for size, count in report["groups_by_size"].items():
        posts[min(int(size), 51)] += int(size) * count
    found = posts / max(1.0, posts.sum())
    rows = [(str(size), float(found[size])) for size in range(1, _SIZES + 1)]
    rows.append((f"{_SIZES + 1}+", float(found[_SIZES + 1 :].sum())))
    longest = max(share for _, share in rows)
    return [(name, share, "█" * round(_BAR * share / max(longest, 1e-9))) for name, share in rows]


def _sizes(report: Mapping[str, Any]) -> str:
    lines = [f"{name:>4}  {share:6.1%}  {bar}" for name, share, bar in size_bars(report)]
    return "\n".join(["## Share of posts by size of their group", "", "```text", *lines, "```"])


def seconds_words(report: Mapping[str, Any]) -> str:
    """Tell how long the run took, and which stages; "" where that is not known."""
    seconds = report["seconds"]
    if not seconds:
        return ""
    parts = ", ".join(f"{name} {value:.1f}" for name, value in seconds.items() if value >= _SHORTEST)
    peak = report["peak_memory"]
    memory = f", peak memory {peak / 2**20:,.0f} MiB" if peak else ""
    return f"{sum(seconds.values()):.1f} seconds{memory}.\n({parts})"
