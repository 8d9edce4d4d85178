"""Bars as SVG, written down directly: every run draws them, and to import a library takes longer than 100 posts."""

from collections.abc import Mapping, Sequence
from html import escape
from math import ceil, floor, log10
from pathlib import Path
from typing import Final

from kembar.arrays import Doubles

_WIDTH, _HEIGHT = 518, 302
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 508, 34, 252  # the frame of the bars
_COLORS: Final = ("#2a6f97", "#9aa5ad", "#c8553d")
_LINES: Final = 5  # of the grid, about


def draw_bars(series: Mapping[str, Doubles], names: Sequence[str], words: tuple[str, str, str], path: Path) -> None:
    """Draw bars side by side.

    Args:
        series: at most three, by their names: (b,) heights from 0.
        names: (b,) what stands below the bars.
        words: title, what is below, what is on the left.
        path: the SVG to write.
    """
    title, below, left = words
    top = max(max(heights, default=0.0) for heights in series.values()) or 1.0
    parts = [*_grid(top), *_labels(names)]
    for at, (name, heights) in enumerate(series.items()):
        parts += _series(at, len(series), heights, top)
        if len(series) == 1:
            break  # nothing to tell apart
        parts.append(f'<rect x="{_RIGHT - 160}" y="{_TOP + 8 + 18 * at}" width="14" height="10" fill="{_COLORS[at]}"/>')
        parts.append(_text(_RIGHT - 140, _TOP + 17 + 18 * at, name, "start"))
    parts.append(_text((_LEFT + _RIGHT) / 2, 20, title, "middle", size=15))
    parts.append(_text((_LEFT + _RIGHT) / 2, _HEIGHT - 14, below, "middle"))
    middle = (_TOP + _BOTTOM) / 2
    parts.append(f'<g transform="rotate(-90 16 {middle:g})">{_text(16, middle, left, "middle")}</g>')
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}"'
    )
    body = "\n".join(['<rect width="100%" height="100%" fill="white"/>', *parts])
    declared = '<?xml version="1.0" encoding="utf-8"?>'
    path.write_text(f'{declared}\n{head} font-family="sans-serif">\n{body}\n</svg>\n', encoding="utf-8")


def _series(at: int, of: int, heights: Doubles, top: float) -> list[str]:
    slot = (_RIGHT - _LEFT) / max(1, len(heights))
    wide = 0.8 * slot / of
    bars = []
    for place, height in enumerate(heights):
        x, tall = _LEFT + slot * (place + 0.1) + wide * at, (_BOTTOM - _TOP) * float(height) / top
        size = f'x="{x:.1f}" y="{_BOTTOM - tall:.1f}" width="{wide:.1f}" height="{tall:.1f}"'
        bars.append(f'<rect {size} fill="{_COLORS[at]}"/>')
    return bars


def _grid(top: float) -> list[str]:
    step = _round(top / _LINES)
    lines = []
    for at in range(floor(top / step + 1e-9) + 1):
        y = _BOTTOM - (_BOTTOM - _TOP) * at * step / top
        lines.append(f'<path d="M{_LEFT} {y:.1f}H{_RIGHT}" stroke="#dde2e5"/>')
        lines.append(_text(_LEFT - 6, y + 4, f"{at * step:g}", "end"))
    return lines


def _labels(names: Sequence[str]) -> list[str]:
    slot = (_RIGHT - _LEFT) / max(1, len(names))
    return [_text(_LEFT + slot * (at + 0.5), _BOTTOM + 16, name, "middle") for at, name in enumerate(names)]


def _round(step: float) -> float:
    """Raise a step to 1, 2 or 5 times a power of ten."""
    power = 10.0 ** floor(log10(step))
    return float(next(factor for factor in (1, 2, 5, 10) if factor >= ceil(step / power * 1e6) / 1e6) * power)


def _text(x: float, y: float, words: str, anchor: str, *, size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">{escape(words)}</text>'
