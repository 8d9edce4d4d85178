"""What the pictures of the docs are drawn with: text, boxes, photos, lines, a sheet; and the stamp of who drew it.

A picture ends with a digest of the script that drew it. `stale` tells of pictures whose script has changed since.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

TEAL, ORANGE, RED, GREY, LINE, INK = "#1b7f79", "#c2571a", "#b3261e", "#57606a", "#d0d7de", "#24292f"
STYLE = f"""
  text {{ font-family: -apple-system, "Segoe UI", "Liberation Sans", Helvetica, Arial, sans-serif; fill: {INK} }}
  .head {{ font-size: 17px; font-weight: 600 }}
  .title {{ font-size: 14px }}
  .small {{ font-size: 12px; fill: {GREY} }}
  .why {{ font-size: 13px }}
  .name {{ font-size: 14px; font-weight: 600 }}
"""
STAMP = re.compile(r"<!-- drawn by ([\w/.-]+) ([0-9a-f]{12}) -->\s*\Z")


def text(x: float, y: float, kind: str, words: str, colour: str = "", *, anchor: str = "") -> str:
    """Write one line of text; `kind` is one of the classes of STYLE."""
    fill = f' style="fill: {colour}"' if colour else ""
    middle = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{x:g}" y="{y:g}" class="{kind}"{middle}{fill}>{escape(words)}</text>'


def box(x: float, y: float, width: float, height: float, colour: str = LINE, *, opacity: float = 0.07) -> str:
    """Draw a rounded box, filled faintly with its own colour."""
    place = f'x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="8"'
    return f'<rect {place} fill="{colour}" fill-opacity="{opacity:g}" stroke="{colour}" stroke-width="1.5"/>'


def line(points: Iterable[tuple[float, float]], colour: str, *, width: float = 2, opacity: float = 1) -> str:
    """Draw a line through points."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return (
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width:.1f}" opacity="{opacity:.2f}"/>'
    )


def curve(start: tuple[float, float], end: tuple[float, float], colour: str, *, width: float = 2.5) -> str:
    """Draw a curve that leaves and arrives level, from left to right."""
    (a, b), (c, d) = start, end
    middle = (a + c) / 2
    path = f"M {a:.1f} {b:.1f} C {middle:.1f} {b:.1f}, {middle:.1f} {d:.1f}, {c:.1f} {d:.1f}"
    return f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{width:.1f}" stroke-opacity="0.75"/>'


def photo(path: Path | None, x: float, y: float, side: float) -> str:
    """Place a photo, with its bytes inside the SVG.

    Raises:
        SystemExit: the post has no photo, so that there is nothing to draw.
    """
    if path is None:
        raise SystemExit("a post without a photo")
    data = base64.b64encode(path.read_bytes()).decode()
    place = f'x="{x:g}" y="{y:g}" width="{side:g}" height="{side:g}"'
    frame = f'<rect {place} rx="3" fill="none" stroke="{LINE}" stroke-width="1"/>'
    return f'<image {place} href="data:image/jpeg;base64,{data}"/>{frame}'


def sheet(title: str, size: tuple[int, int], parts: Iterable[str]) -> str:
    """Put parts on a white sheet, which shows on dark pages too."""
    width, height = size
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n"
        f'<rect x="1" y="1" width="{width - 2}" height="{height - 2}" rx="12" fill="#ffffff" stroke="{LINE}"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def digest(script: Path) -> str:
    """Give 12 hex digits of the text of a script and of this module, which it draws with."""
    return hashlib.sha256(script.read_bytes() + Path(__file__).read_bytes()).hexdigest()[:12]


def save(picture: str, path: Path, script: Path) -> None:
    """Write an SVG with the stamp of the script that drew it."""
    path.write_text(f"{picture.rstrip()}\n<!-- {_stamp(script)} -->\n", encoding="utf-8")


def save_png(picture: Image.Image, path: Path, script: Path) -> None:
    """Write a PNG with the stamp of the script that drew it."""
    words = PngInfo()
    words.add_text("Comment", _stamp(script))
    picture.save(path, optimize=True, pnginfo=words)


def _stamp(script: Path) -> str:
    return f"drawn by {script.parent.name}/{script.name} {digest(script)}"


def stale(root: Path, pictures: Sequence[Path]) -> list[str]:
    """Name the pictures that are older than the script that drew them, or that tell no script.

    Args:
        root: of the repository.
        pictures: SVG and PNG files.
    """
    found = []
    for path in pictures:
        if path.suffix == ".svg":
            end = path.read_text(encoding="utf-8")[-200:]
        else:
            with Image.open(path) as picture:
                end = f"<!-- {picture.info.get('Comment', '')} -->"
        stamp = STAMP.search(end)
        if stamp is None or stamp[2] != digest(root / stamp[1]):
            found.append(f"{path.name}: run {stamp[1]}" if stamp else f"{path.name}: no script")
    return found
