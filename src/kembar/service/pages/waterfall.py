"""What made the probability of a pair, as bars from step to step: numbers for a drawing on the page."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

WIDTH: Final = 240
"""Units of the drawing from left to right."""
_SHOWN: Final = 8  # kinds of evidence with a bar of their own


@dataclass(frozen=True, slots=True)
class Bar:
    """One step.

    Attributes:
        name: the kind of evidence, in words.
        share: what it added to the log-odds.
        left: where its bar begins, in units of WIDTH.
        width: how long it is.
        zero: where log-odds of 0 are, the same for all bars.
        kind: "base", "for" or "against" a match, or "sum".
    """

    name: str
    share: float
    left: float
    width: float
    zero: float
    kind: str


def bars(kinds: Sequence[tuple[str, float]]) -> list[Bar]:
    """Lay out the steps from the base to the sum.

    Args:
        kinds: kinds of evidence and what they added, the largest first, the base last, as of `Explanation.kinds`.

    Returns:
        The base, the largest shares, the others together, the sum; nothing where no classifier decided.
    """
    if not kinds:
        return []
    shown, rest = list(kinds[:-1][:_SHOWN]), sum(share for _, share in kinds[:-1][_SHOWN:])
    steps = [kinds[-1], *shown, *([("all others", rest)] if len(kinds) - 1 > _SHOWN else [])]
    ends = [0.0, *accumulate(share for _, share in steps)]
    low, high = min(ends), max(ends)
    scale = WIDTH / max(high - low, 1e-9)
    found = [
        Bar(name, share, *_span(ends[at], ends[at + 1], low, scale), -low * scale, _kind(at, share))
        for at, (name, share) in enumerate(steps)
    ]
    return [*found, Bar("all together", ends[-1], *_span(0.0, ends[-1], low, scale), -low * scale, "sum")]


def _span(begin: float, end: float, low: float, scale: float) -> tuple[float, float]:
    return round((min(begin, end) - low) * scale, 2), round(max(abs(end - begin) * scale, 1.0), 2)


def _kind(at: int, share: float) -> str:
    return "base" if at == 0 else "for" if share >= 0 else "against"
