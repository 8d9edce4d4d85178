"""Draw docs/figures/first.svg, six posts of a drawn shop that become two groups, and write docs/figures/explain.md.

    python docs/picture.py && python docs/generate.py

The shop is drawn, matched and explained by kembar itself. If kembar no longer finds these two groups, the program stops
instead of drawing.
"""

import tempfile
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import kembar
import svg

FIGURES = Path(__file__).parent / "figures"
SEED, POSTS, PIXELS = 9, 300, 128  # a shop in which two sizes of one product are posted three times each
SIX = ("post_0000069", "post_0000136", "post_0000167", "post_0000225", "post_0000244", "post_0000263")
TOLD = (("post_0000136", "post_0000244"), ("post_0000167", "post_0000263"), ("post_0000244", "post_0000263"))

WIDTH, HEIGHT, ROW, CARD = 1000, 612, 80, 232
LEFT, RIGHT, TOP = 28, 560, 62
COLOURS = (svg.TEAL, svg.ORANGE)


def photo(result: kembar.Result, post: str, x: float, y: float, side: int) -> str:
    """Place the photo of a post."""
    return svg.photo(result.catalog.photo_paths()[SIX_ROWS[post]], x, y, side)


def posts(result: kembar.Result, groups: Sequence[Sequence[str]]) -> Iterator[str]:
    """Draw the posts on the left, and the lines to their groups."""
    yield svg.text(LEFT, 40, "head", "Posts")
    for row, post in enumerate(SIX):
        y = TOP + row * ROW
        number = next(at for at, members in enumerate(groups) if post in members)
        end = TOP + number * (CARD + 14) + CARD / 2
        yield photo(result, post, LEFT, y, 66)
        lines = textwrap.wrap(result.catalog.titles[SIX_ROWS[post]], 42)[:2]
        for at, line in enumerate(lines):
            yield svg.text(LEFT + 80, y + 22 + 18 * at, "title", line)
        yield svg.text(LEFT + 80, y + 22 + 18 * len(lines), "small", post)
        yield svg.curve((LEFT + 392, y + 33), (RIGHT - 6, end), COLOURS[number])


def card(result: kembar.Result, number: int, members: Sequence[str]) -> Iterator[str]:
    """Draw a group on the right, with the reason for one of its pairs."""
    y, colour = TOP + number * (CARD + 14), COLOURS[number]
    yield svg.box(RIGHT, y, 412, CARD, colour)
    yield svg.text(RIGHT + 18, y + 27, "name", f"Group {members[0]}: {len(members)} posts", colour)
    for at, post in enumerate(members):
        yield photo(result, post, RIGHT + 18 + at * 116, y + 40, 100)
    why = result.explain(*TOLD[number])
    said = [fact for fact in why.facts if fact.startswith(("words in both", "quantities"))]
    numbers = f"photos: cosine {why.evidence['photo']:.2f}; probability {why.evidence['similarity']:.3f}"
    yield svg.text(RIGHT + 18, y + 162, "small", f"{why.a} and {why.b}")
    for at, line in enumerate([*said, numbers]):
        yield svg.text(RIGHT + 18, y + 182 + 19 * at, "why", textwrap.shorten(line, 60, placeholder=" ..."))


def apart(result: kembar.Result) -> Iterator[str]:
    """Say below why the two groups are two."""
    why = result.explain(*TOLD[-1])
    quantities = next(fact for fact in why.facts if fact.startswith("quantities"))
    grouping = next(reason for reason in why.reasons if "apart" in reason)
    y = TOP + 2 * CARD + 14 + 30
    yield svg.text(LEFT, y, "name", "Why two groups?")
    yield svg.text(LEFT + 132, y, "small", f"{why.a} and {why.b}")
    yield svg.text(LEFT + 132, y + 20, "why", f"photos: cosine {why.evidence['photo']:.2f}; {quantities}; {grouping}")


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
    parts = [*posts(result, groups), svg.text(RIGHT, 40, "head", "Groups")]
    parts += [part for number, members in enumerate(groups) for part in card(result, number, members)]
    return svg.sheet("Six posts become two groups", (WIDTH, HEIGHT), [*parts, *apart(result)])


def main() -> None:
    """Draw the shop, match it, draw the picture and write down one explanation."""
    with tempfile.TemporaryDirectory() as folder:
        shop = Path(folder) / "shop"
        kembar.write_shop(shop, POSTS, seed=SEED, photos=kembar.Drawing(size=PIXELS))
        result = kembar.match(shop / "posts.csv", images=shop / "photos")
        svg.save(picture(result), FIGURES / "first.svg", Path(__file__))
        (FIGURES / "explain.md").write_text(f"```text\n{result.explain(*TOLD[0])}\n```\n", encoding="utf-8")


SIX_ROWS = {post: int(post.removeprefix("post_")) for post in SIX}

if __name__ == "__main__":
    main()
