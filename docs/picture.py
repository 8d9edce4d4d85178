"""Draw docs/figures/first.svg, six posts of a drawn shop that become two groups, and write docs/figures/explain.md.

    python docs/picture.py && python docs/generate.py

The shop is drawn, matched and explained by kembar itself. If kembar no longer finds these two groups, the program stops
instead of drawing.
"""

import base64
import tempfile
import textwrap
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

import kembar

FIGURES = Path(__file__).parent / "figures"
SEED, POSTS, PIXELS = 9, 300, 128  # a shop in which two sizes of one product are posted three times each
SIX = ("post_0000069", "post_0000136", "post_0000167", "post_0000225", "post_0000244", "post_0000263")
TOLD = (("post_0000136", "post_0000244"), ("post_0000167", "post_0000263"), ("post_0000244", "post_0000263"))

WIDTH, HEIGHT, ROW, CARD = 1000, 612, 80, 232
LEFT, RIGHT, TOP = 28, 560, 62
COLOURS = ("#1b7f79", "#c2571a")
STYLE = """
  text { font-family: -apple-system, "Segoe UI", "Liberation Sans", Helvetica, Arial, sans-serif; fill: #24292f }
  .head { font-size: 17px; font-weight: 600 }
  .title { font-size: 14px }
  .small { font-size: 12px; fill: #57606a }
  .why { font-size: 13px }
  .name { font-size: 14px; font-weight: 600 }
"""


def text(x: float, y: float, kind: str, words: str, colour: str = "") -> str:
    """Write one line of text."""
    fill = f' style="fill: {colour}"' if colour else ""
    return f'<text x="{x}" y="{y}" class="{kind}"{fill}>{escape(words)}</text>'


def photo(result: kembar.Result, post: str, x: float, y: float, side: int) -> str:
    """Place a photo, with its bytes inside the SVG."""
    path = result.catalog.photo_paths()[SIX_ROWS[post]]
    if path is None:
        raise SystemExit(f"{post} has no photo")
    data = base64.b64encode(path.read_bytes()).decode()
    place = f'x="{x}" y="{y}" width="{side}" height="{side}"'
    return (
        f'<image {place} href="data:image/jpeg;base64,{data}"/>'
        f'<rect {place} rx="3" fill="none" stroke="#d0d7de" stroke-width="1"/>'
    )


def posts(result: kembar.Result, groups: Sequence[Sequence[str]]) -> Iterator[str]:
    """Draw the posts on the left, and the lines to their groups."""
    yield text(LEFT, 40, "head", "Posts")
    for row, post in enumerate(SIX):
        y = TOP + row * ROW
        number = next(at for at, members in enumerate(groups) if post in members)
        end = TOP + number * (CARD + 14) + CARD / 2
        yield photo(result, post, LEFT, y, 66)
        lines = textwrap.wrap(result.catalog.titles[SIX_ROWS[post]], 42)[:2]
        for at, line in enumerate(lines):
            yield text(LEFT + 80, y + 22 + 18 * at, "title", line)
        yield text(LEFT + 80, y + 22 + 18 * len(lines), "small", post)
        yield (
            f'<path d="M {LEFT + 392} {y + 33} C {LEFT + 470} {y + 33}, {RIGHT - 80} {end}, {RIGHT - 6} {end}" '
            f'fill="none" stroke="{COLOURS[number]}" stroke-width="2.5" stroke-opacity="0.75"/>'
        )


def card(result: kembar.Result, number: int, members: Sequence[str]) -> Iterator[str]:
    """Draw a group on the right, with the reason for one of its pairs."""
    y, colour = TOP + number * (CARD + 14), COLOURS[number]
    yield (
        f'<rect x="{RIGHT}" y="{y}" width="412" height="{CARD}" rx="10" fill="{colour}" fill-opacity="0.07" '
        f'stroke="{colour}" stroke-width="1.5"/>'
    )
    yield text(RIGHT + 18, y + 27, "name", f"Group {members[0]}: {len(members)} posts", colour)
    for at, post in enumerate(members):
        yield photo(result, post, RIGHT + 18 + at * 116, y + 40, 100)
    why = result.explain(*TOLD[number])
    said = [fact for fact in why.facts if fact.startswith(("words in both", "quantities"))]
    numbers = f"photos: cosine {why.evidence['photo']:.2f}; probability {why.evidence['similarity']:.3f}"
    yield text(RIGHT + 18, y + 162, "small", f"{why.a} and {why.b}")
    for at, line in enumerate([*said, numbers]):
        yield text(RIGHT + 18, y + 182 + 19 * at, "why", textwrap.shorten(line, 60, placeholder=" ..."))


def apart(result: kembar.Result) -> Iterator[str]:
    """Say below why the two groups are two."""
    why = result.explain(*TOLD[-1])
    quantities = next(fact for fact in why.facts if fact.startswith("quantities"))
    grouping = next(reason for reason in why.reasons if "apart" in reason)
    y = TOP + 2 * CARD + 14 + 30
    yield text(LEFT, y, "name", "Why two groups?")
    yield text(LEFT + 132, y, "small", f"{why.a} and {why.b}")
    yield text(LEFT + 132, y + 20, "why", f"photos: cosine {why.evidence['photo']:.2f}; {quantities}; {grouping}")


def picture(result: kembar.Result) -> str:
    """Draw everything on a white sheet, which shows on dark pages too."""
    labels = result.groups.labels
    found: dict[int, list[str]] = {}
    for post in SIX:
        found.setdefault(int(labels[SIX_ROWS[post]]), []).append(post)
    groups = sorted(found.values(), key=lambda members: TOLD[0][0] not in members)
    sizes = result.groups.sizes()
    if [len(members) for members in groups] != [3, 3] or {int(sizes[label]) for label in found} != {3}:
        raise SystemExit(f"kembar no longer finds two groups of three: {groups}")
    parts = [*posts(result, groups), text(RIGHT, 40, "head", "Groups")]
    parts += [part for number, members in enumerate(groups) for part in card(result, number, members)]
    body = "\n".join([*parts, *apart(result)])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">\n'
        f"<title>Six posts become two groups</title>\n<style>{STYLE}</style>\n"
        f'<rect x="1" y="1" width="{WIDTH - 2}" height="{HEIGHT - 2}" rx="12" fill="#ffffff" stroke="#d0d7de"/>\n'
        f"{body}\n</svg>\n"
    )


def main() -> None:
    """Draw the shop, match it, draw the picture and write down one explanation."""
    with tempfile.TemporaryDirectory() as folder:
        shop = Path(folder) / "shop"
        kembar.write_shop(shop, POSTS, seed=SEED, photos=kembar.Drawing(size=PIXELS))
        result = kembar.match(shop / "posts.csv", images=shop / "photos")
        (FIGURES / "first.svg").write_text(picture(result), encoding="utf-8")
        (FIGURES / "explain.md").write_text(f"```text\n{result.explain(*TOLD[0])}\n```\n", encoding="utf-8")


SIX_ROWS = {post: int(post.removeprefix("post_")) for post in SIX}

if __name__ == "__main__":
    main()
