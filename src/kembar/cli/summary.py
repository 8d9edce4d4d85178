"""The summary of a run in the terminal: text, tables and bars; without colours where the output is no terminal."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich.box import ASCII, SIMPLE_HEAD, Box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from kembar.errors import visible
from kembar.results.report import (
    NEXT,
    READING,
    WIDTH,
    count_lines,
    estimate_words,
    note_lines,
    seconds_words,
    size_bars,
)

_KINDS: Final = 20  # kinds of damage that are shown


def draw(report: Mapping[str, Any]) -> None:
    """Draw the summary of a run on standard output.

    Args:
        report: as in `Result.report`.
    """
    console = _console()
    for part in _parts(report, _box(console)):
        console.print(part)


def draw_scores(scores: Mapping[str, float]) -> None:
    """Draw the scores of a run on standard output: as in `Result.scores`."""
    console = _console()
    for part in _scores(scores, _box(console)):
        console.print(part)


def _console() -> Console:
    """Open standard output: as wide as it is, or as wide as report.md where it is no terminal."""
    console = Console(file=sys.stdout, markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = WIDTH
    return console


def _box(console: Console) -> Box:
    return SIMPLE_HEAD if console.encoding.startswith("utf") else ASCII


def _parts(report: Mapping[str, Any], box: Box) -> Iterator[RenderableType]:
    yield _list(count_lines(report))
    if note_lines(report):
        yield _head(READING)
        yield _list(note_lines(report))
    if report["scores"] is not None:
        yield _head("Against the known groups")
        yield from _scores(report["scores"], box)
    if report["estimate"] is not None:
        yield _head("How sure this run is")
        yield from _estimate(report["estimate"], box)
    yield from _problems(report["problems"], box)
    yield _head("Share of posts by size of their group")
    yield _table(box, [(name, f"{share:.1%}", bar) for name, share, bar in size_bars(report)], "posts", "share", "")
    if report["seconds"]:
        yield _text(seconds_words(report))


def _scores(scores: Mapping[str, float], box: Box) -> Iterator[RenderableType]:
    row = (
        f"{scores['f1']:.4f} ± {scores['spread']:.4f}",
        *(f"{scores[name]:.4f}" for name in ("precision", "recall")),
        *(f"{scores[name]:,}" for name in ("posts", "pool")),
    )
    yield _table(box, [row], "mean F1", "precision", "recall", "posts", "pool")
    yield _text(
        f"Pairs: F1 {scores['pair_f1']:.4f}. B-cubed: F1 {scores['b3_f1']:.4f}. "
        f"A perfect decision on the candidate pairs would reach {scores['oracle_f1']:.4f}."
    )


def _estimate(told: Mapping[str, Any], box: Box) -> Iterator[RenderableType]:
    yield _text(estimate_words(told))
    if told["doubtful"]:
        rows = [(each["group"], f"{each['posts']:,}", f"{each['probability']:.2f}") for each in told["doubtful"]]
        yield _table(box, rows, "The most doubtful groups", "posts", "probability")
        yield _text(NEXT.replace("`", ""))


def _problems(problems: Mapping[str, Any], box: Box) -> Iterator[RenderableType]:
    if not problems["posts"]:
        yield _text("No post was damaged.")
        return
    yield _head(f"{problems['posts']:,} damaged posts, matched on the evidence they have")
    kinds = [(kind["problem"], kind["part"], f"{kind['posts']:,}") for kind in problems["kinds"][:_KINDS]]
    yield _table(box, kinds, "what", "part", "posts")
    yield _text("The posts are listed in report.html and report.json.")


def _table(box: Box, rows: Sequence[tuple[str, ...]], *header: str) -> Table:
    """Lay out a table; the first column is text, the others are numbers."""
    table = Table(box=box, pad_edge=False)
    for at, name in enumerate(header):
        table.add_column(name, justify="left" if at == 0 or not name else "right", overflow="fold")
    for row in rows:
        table.add_row(*(_text(cell) for cell in row))
    return table


def _list(lines: list[str]) -> Table:
    table = Table.grid(padding=(0, 1))
    for line in lines:
        table.add_row("-", _text(line))
    return table


def _head(words: str) -> Text:
    return Text(f"\n{visible(words)}", style="bold")


def _text(words: str) -> Text:
    """Take text as it is: nothing in it is markup, and nothing commands the terminal."""
    return Text(visible(words))
