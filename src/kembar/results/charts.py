"""Charts, as SVG with the same bytes on every run."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from kembar.arrays import Doubles
from kembar.results.bars import draw_bars

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STYLE: Final[Any] = {
    "svg.hashsalt": "kembar",  # element ids do not change from run to run
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.25,
    "figure.constrained_layout.use": True,
}
_BLUE, _GREY, _RED = "#2a6f97", "#9aa5ad", "#c8553d"


def group_sizes(posts: npt.NDArray[np.integer], known: Doubles | None, path: Path) -> None:
    """Draw the share of posts by size of their group, beside the share in known groups where there are any.

    Args:
        posts: posts[s] is the number of posts in groups of s.
        known: known[s] is their share by the labels of the same catalogue; None without labels.
        path: the SVG to write.
    """
    top = 11
    found = _gathered(posts / max(1, posts.sum()), top)
    names = [*map(str, range(1, top)), f"{top}+"]
    words = "Sizes of the groups", "posts in the group", "share of all posts"
    series = {"this run": found} if known is None else {"this run": found, "known groups": _gathered(known, top)}
    draw_bars(series, names, words, path)


def threshold_curve(table: pl.DataFrame, path: Path, *, marks: Sequence[tuple[str, float]] = ()) -> None:
    """Draw mean F1, precision and recall over the threshold.

    Args:
        table: columns threshold, f1, precision, recall.
        path: the SVG to write.
        marks: names and thresholds of vertical lines.
    """

    def draw(axes: "Axes") -> None:
        """Fill the axes."""
        for name, colour, width in (("precision", _GREY, 1.2), ("recall", _RED, 1.2), ("f1", _BLUE, 2.4)):
            axes.plot(table["threshold"], table[name], color=colour, linewidth=width, label=name.replace("f1", "F1"))
        for name, threshold in marks:
            axes.axvline(threshold, color="black", linewidth=0.8, linestyle=":")
            axes.annotate(name, (threshold, 0.02), rotation=90, ha="right", va="bottom", fontsize=8)
        axes.set(xlabel="threshold on the similarity", ylabel="mean over posts", ylim=(0, 1.02))
        axes.set_title("Mean sample-wise F1, precision and recall")
        axes.legend(frameon=False)

    _save(draw, path)


def reliability(table: pl.DataFrame, path: Path) -> None:
    """Draw the share of true pairs over their probability, beside the diagonal where it should be.

    Args:
        table: columns probability, share and pairs, as `kembar.classifier.calibration.reliability` gives them.
        path: the SVG to write.
    """

    def draw(axes: "Axes") -> None:
        """Fill the axes."""
        axes.plot([0, 1], [0, 1], color=_GREY, linewidth=1, linestyle=":")
        axes.plot(table["probability"], table["share"], color=_BLUE, marker="o", markersize=4)
        for probability, share, pairs in table.select("probability", "share", "pairs").iter_rows():
            axes.annotate(f"{pairs:,}", (probability, share), xytext=(4, -9), textcoords="offset points", fontsize=7)
        axes.set(xlabel="probability", ylabel="share of true pairs", xlim=(0, 1.04), ylim=(0, 1.02))
        axes.set_title("Reliability on pairs the classifier has not seen (numbers: pairs)")

    _save(draw, path)


def waterfall(steps: Sequence[tuple[str, float]], path: Path, *, top: int = 12) -> None:
    """Draw how contributions add up: from the last step, the base, to the sum, the largest ones one by one.

    Args:
        steps: names and contributions, the largest first, the base last.
        path: the SVG to write.
        top: number of contributions with a bar of their own.
    """
    shown, rest = list(steps[:-1][:top]), sum(share for _, share in steps[:-1][top:])
    bars = [*steps[-1:], *([("all others", rest)] if len(steps) - 1 > top else []), *reversed(shown)]
    ends = np.cumsum([0.0, *(share for _, share in bars)])
    room = 0.12 * max(float(np.ptp(ends)), 1.0)  # for the numbers beside the outermost bars

    def draw(axes: "Axes") -> None:
        """Fill the axes."""
        for at, (_, share) in enumerate(bars):
            colour = _GREY if at == 0 else _BLUE if share >= 0 else _RED
            axes.barh(at, share, left=ends[at], color=colour)
            axes.annotate(
                f"{share:+.2f}", (max(ends[at], ends[at + 1]), at), xytext=(3, -3), textcoords="offset points"
            )
            axes.plot([ends[at + 1]] * 2, [at - 0.4, min(at + 1.4, len(bars) - 0.6)], color=_GREY, linewidth=0.7)
        axes.axvline(0, color="black", linewidth=0.8)
        axes.set_yticks(range(len(bars)), [name for name, _ in bars])
        axes.set(xlabel="log-odds: below 0 against a match, above 0 for one")
        axes.set(xlim=(float(ends.min()) - room, float(ends.max()) + room))
        axes.set_title(f"What makes the log-odds of {ends[-1]:.2f}")

    _save(draw, path)


def _gathered(shares: Doubles, top: int) -> Doubles:
    """Take sizes 1 to top - 1 one by one and the rest together."""
    padded = np.concatenate([shares, np.zeros(max(0, top + 1 - len(shares)))])
    return np.concatenate([padded[1:top], [padded[top:].sum()]])


def _save(draw: Any, path: Path) -> None:
    # Importing matplotlib takes most of a second: only drawing should pay for it.
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure: Figure = Figure(figsize=(7.2, 4.2))
        draw(figure.subplots())
        figure.savefig(path, format="svg", metadata={"Date": None})
