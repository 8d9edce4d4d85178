"""Draw the pictures of "How it works" from one drawn shop, matched by kembar itself: docs/figures/how-*.svg.

    python docs/drawings.py

It writes docs/figures/how-stages.svg, docs/figures/how-encoders.svg, docs/figures/how-evidence.svg,
docs/figures/how-group.svg, docs/figures/how-curve.svg, docs/figures/how-calibration.svg, docs/figures/how-exact.svg
and docs/figures/how-waterfall.svg. The shop is that of the tutorial. docs/figures/fusion.svg is drawn from the table of
real posts beside it, which `bench/fusion.py` measured.
"""

import math
import re
import tempfile
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl

import kembar
import svg
from kembar.classifier.calibration import reliability
from kembar.encoders.registry import open_encoder
from svg import GREY, LINE, ORANGE, RED, TEAL

FIGURES = Path(__file__).parent / "figures"
SEED, POSTS, SINGLES, PIXELS = 7, 400, 0.2, 96
EXPLAINED = "post_0000000", "post_0000252"  # as in the third page of the tutorial
VIEWS = {
    "word": "words",
    "char": "characters",
    "title": "title vectors",
    "hash": "photo hashes",
    "photo": "photo vectors",
}
STEPS = (
    ("similarities of pairs", "computed as they are defined", TEAL),
    ("neighbours of titles and hashes", "all of them, up to the 51 nearest", TEAL),
    ("neighbours of vectors, up to 65,536 different posts", "all of them, up to the 51 nearest", TEAL),
    ("neighbours of vectors beyond 65,536", "the nearest 96 cells: .999 of the true pairs", ORANGE),
    ("words and characters that more than 1,000 titles have", "left out of the search, not of the similarity", ORANGE),
    ("more than 25 copies of one post", "one is compared, the others get its matches", ORANGE),
    ("pairs that the rules find less alike than .22", "not shown to the trees: probability 0", ORANGE),
    ("average link, groups and their names", "the same for any order and number of threads", TEAL),
)


class Run:
    """A matched shop, and what the drawings ask of it."""

    def __init__(self, folder: Path) -> None:
        kembar.write_shop(folder, POSTS, seed=SEED, singles=SINGLES, photos=kembar.Drawing(size=PIXELS))
        self.result = kembar.match(folder / "posts.csv", images=folder / "photos")
        self.photos = self.result.catalog.photo_paths()
        self.titles = self.result.catalog.titles.to_list()
        pairs, evidence = self.result.pairs, self.result.pairs.evidence
        ends = pl.DataFrame({"left": pairs.left, "right": pairs.right})
        self.pairs = ends.with_columns(**{name: evidence[name] for name in (*VIEWS, "similarity")})

    def group(self, size: int, number: int = 0) -> list[int]:
        """Take the rows of one of the groups of a size, in the order of their first posts."""
        labels = self.result.groups.labels
        found = [np.flatnonzero(labels == label) for label in range(len(self.result.groups))]
        return [members.tolist() for members in found if len(members) == size][number]

    def among(self, rows: Sequence[int]) -> list[tuple[int, int, float]]:
        """List the pairs among some posts, as places in `rows`, with their probabilities."""
        some = self.pairs.filter(pl.col("left").is_in(rows) & pl.col("right").is_in(rows))
        return [(rows.index(a), rows.index(b), p) for a, b, p in some.select("left", "right", "similarity").iter_rows()]


def post(run: Run, row: int, x: float, y: float, *, width: int = 34) -> Iterator[str]:
    """Draw a post: its photo and two lines of its title."""
    yield svg.photo(run.photos[row], x, y, 58)
    for at, words in enumerate(textwrap.wrap(run.titles[row], width)[:2]):
        yield svg.text(x + 68, y + 24 + 18 * at, "why", words)


def stages(run: Run) -> Iterator[str]:
    """Draw posts, the pairs among them with their probabilities, and their groups."""
    groups = [run.group(3), run.group(2), run.group(1)]
    rows = sorted(row for members in groups for row in members)
    for x, words in ((28, "Posts"), (420, "Pairs and their probabilities"), (720, "Groups")):
        yield svg.text(x, 40, "head", words)
    for at, row in enumerate(rows):
        yield from post(run, row, 28, 60 + at * 72)
    for at, (a, b, p) in enumerate(run.among(rows)[:7]):
        y, colour = 84 + at * 58, TEAL if p >= run.result.cut() else GREY
        yield from (svg.curve((340, 89 + end * 72), (420, y), colour, width=1.5) for end in (a, b))
        yield svg.photo(run.photos[rows[a]], 428, y - 22, 44)
        yield svg.photo(run.photos[rows[b]], 478, y - 22, 44)
        yield svg.text(532, y + 5, "name", f"{p:.3f}", colour)
        yield svg.box(590, y - 6, max(2, 90 * p), 12, colour, opacity=0.6)
    y = 64.0
    for members, colour in zip(groups, (TEAL, ORANGE, GREY), strict=True):
        yield svg.box(720, y, 252, 118, colour)
        yield svg.text(736, y + 24, "name", f"{len(members)} post{'s' if len(members) > 1 else ''}", colour)
        yield from (svg.photo(run.photos[row], 736 + 76 * at, y + 38, 66) for at, row in enumerate(members))
        y += 140


def encoders(run: Run) -> Iterator[str]:
    """Draw the first numbers of the vectors of two posts of one product and one of another, and their cosines."""
    rows = [*run.group(2), run.group(3)[0]]
    titles, photos = open_encoder("kembar-title"), open_encoder("kembar-photo")
    vectors = titles.encode([run.titles[row] for row in rows]), photos.encode([run.photos[row] for row in rows])
    names = [
        f"{name}: {some.shape[1]} numbers" for name, some in zip(("kembar-title", "kembar-photo"), vectors, strict=True)
    ]
    for x, words in zip((28, 380, 690), ("Posts", *names), strict=True):
        yield svg.text(x, 40, "head", words)
    for at, row in enumerate(rows):
        yield from post(run, row, 28, 60 + at * 84)
        for x, some in zip((380, 690), vectors, strict=True):
            yield from strip(some[at], x, 72 + at * 84)
    for x, some in zip((380, 690), vectors, strict=True):
        same, other = float(some[0] @ some[1]), float(some[0] @ some[2])
        yield svg.text(x, 330, "name", f"first and second: cosine {same:.2f}", TEAL)
        yield svg.text(x, 352, "name", f"first and third: cosine {other:.2f}", ORANGE)
    yield svg.text(28, 330, "why", "The first two sell one product, the third another.")


def strip(vector: np.ndarray, x: float, y: float) -> Iterator[str]:
    """Draw the first 40 numbers of a vector as cells, dark where they are large."""
    top = float(np.abs(vector[:40]).max()) or 1.0
    for at, value in enumerate(vector[:40].tolist()):
        colour, opacity = (TEAL if value > 0 else ORANGE), abs(value) / top
        yield f'<rect x="{x + at * 7}" y="{y}" width="6" height="30" fill="{colour}" fill-opacity="{opacity:.2f}"/>'


def evidence(run: Run) -> Iterator[str]:
    """Draw the nearest posts of one post in each view, and the evidence of its best pair."""
    row = run.group(5)[0]
    yield svg.text(28, 40, "head", "One post")
    yield from post(run, row, 28, 60, width=30)
    yield svg.text(330, 40, "head", "Its nearest in each view")
    mine = run.pairs.filter((pl.col("left") == row) | (pl.col("right") == row))
    mine = mine.with_columns(other=pl.when(pl.col("left") == row).then("right").otherwise("left"))
    for at, (view, words) in enumerate(VIEWS.items()):
        x = 330 + at * 130
        yield svg.text(x, 70, "why", words)
        near = mine.filter(pl.col(view).is_not_nan()).sort(view, "other", descending=[True, False]).head(3)
        for place, (other, value) in enumerate(near.select("other", view).iter_rows()):
            yield svg.photo(run.photos[other], x, 84 + place * 58, 50)
            yield svg.text(x + 58, 84 + place * 58 + 30, "why", f"{value:.2f}")
    best = mine.sort("similarity", "other", descending=[True, False]).row(0, named=True)
    yield svg.text(28, 300, "head", "The evidence of one pair")
    yield svg.photo(run.photos[row], 28, 316, 50)
    yield svg.photo(run.photos[best["other"]], 84, 316, 50)
    for at, (view, words) in enumerate(VIEWS.items()):
        yield svg.text(330 + at * 130, 346, "name", f"{best[view]:.3f}", TEAL)
        yield svg.text(330 + at * 130, 364, "small", words)
    yield svg.text(150, 346, "why", "a row of pairs.parquet:")


def graph(run: Run) -> Iterator[str]:
    """Draw a group of five with all its pairs, the weakest one in red."""
    size = 5
    rows = min((run.group(size, at) for at in range(3)), key=lambda some: min(p for _, _, p in run.among(some)))
    pairs = sorted(run.among(rows), key=lambda pair: pair[2])
    angle = [2 * math.pi * at / size - math.pi / 2 for at in range(size)]
    places = [(230 + 150 * math.cos(a), 230 + 150 * math.sin(a)) for a in angle]
    for at, (a, b, p) in enumerate(pairs):
        ends = places[a], places[b]
        yield svg.line(ends, RED if at == 0 else TEAL, width=1 + 5 * p, opacity=1 if at == 0 else 0.2 + 0.6 * p)
    yield from (svg.photo(run.photos[row], x - 33, y - 33, 66) for row, (x, y) in zip(rows, places, strict=True))
    yield svg.text(470, 60, "head", "Its pairs")
    for at, (a, b, p) in enumerate(reversed(pairs)):
        weakest = at == len(pairs) - 1
        ids = [run.result.catalog.ids[rows[end]] for end in (a, b)]
        words = f"{ids[0]}   {ids[1]}   {p:.3f}" + ("   the weakest link" if weakest else "")
        yield svg.text(470, 92 + at * 26, "why", words, RED if weakest else "")
    mean = sum(p for _, _, p in pairs) / (size * (size - 1) / 2)
    absent = size * (size - 1) // 2 - len(pairs)
    yield svg.text(470, 380, "name", f"mean over all {size * (size - 1) // 2} pairs: {mean:.3f}", TEAL)
    yield svg.text(470, 402, "small", f"{absent} of them never compared, each counts 0; cut {run.result.cut():g}")


def axes(words: tuple[str, str]) -> Iterator[str]:
    """Draw axes from 0 to 1, 620 units wide and 320 high, with the names of both."""
    for tenth in range(0, 11, 2):
        x, y = 70 + 62 * tenth, 370 - 32 * tenth
        yield svg.line([(70, y), (690, y)], LINE, width=1)
        yield svg.text(62, y + 4, "small", f"{tenth / 10:g}", anchor="end")
        yield svg.text(x, 390, "small", f"{tenth / 10:g}", anchor="middle")
    yield svg.text(380, 412, "why", words[0], anchor="middle")
    yield svg.text(70, 34, "why", words[1])


def point(x: float, y: float) -> tuple[float, float]:
    """Place two numbers in [0, 1] between the axes."""
    return 70 + 620 * x, 370 - 320 * y


def cuts(run: Run) -> Iterator[str]:
    """Draw F1, precision and recall of the run, grouped at each cut."""
    yield from axes(("cut", "mean over posts"))
    steps = [at / 20 for at in range(1, 20)]
    scores = [kembar.regroup(run.result, [f"cut={cut}"]).scores() for cut in steps]
    for at, (name, colour) in enumerate({"f1": TEAL, "precision": ORANGE, "recall": GREY}.items()):
        yield svg.line([point(x, some[name]) for x, some in zip(steps, scores, strict=True)], colour, width=3)
        yield svg.text(710, 80 + at * 26, "name", name.replace("f1", "F1"), colour)
    x = point(run.result.cut(), 0)[0]
    yield svg.line([(x, 50), (x, 370)], GREY, width=1)
    yield svg.text(x + 6, 364, "small", f"the default, {run.result.cut():g}")


def calibration(run: Run) -> Iterator[str]:
    """Draw the share of true pairs over their probability."""
    labels, pairs = run.result.labels(), run.result.pairs
    true = labels[pairs.left] == labels[pairs.right]
    table = reliability(run.result.similarity, true, bins=10)
    yield from honesty(list(table.select("probability", "share", "pairs").iter_rows()))


def honesty(points: Sequence[tuple[float, float, int]]) -> Iterator[str]:
    """Draw probabilities, the share of true pairs at each, and how many pairs that are, beside the diagonal."""
    yield from axes(("probability", "share of the pairs that are true"))
    yield svg.line([point(0, 0), point(1, 1)], GREY, width=1)
    yield svg.line([point(x, y) for x, y, _ in points], TEAL, width=3)
    for x, y, count in points:
        a, b = point(x, y)
        yield f'<circle cx="{a:.1f}" cy="{b:.1f}" r="5" fill="{TEAL}"/>'
        yield svg.text(a + 8, b + 16, "small", f"{count:,}")
    yield svg.text(710, 112, "small", "numbers: pairs")


def measured() -> Iterator[str]:
    """Draw the same of real posts, from the table below the picture in figures/fusion.md."""
    text = (FIGURES / "fusion.md").read_text(encoding="utf-8").split("](fusion.svg)")[1].split("\n## ")[0]
    rows = re.findall(r"^\| [\d.]+ \| [\d.]+ \| ([\d,]+) \| ([\d.]+) \| ([\d.]+) \|$", text, flags=re.MULTILINE)
    yield from honesty([(float(mean), float(share), int(pairs.replace(",", ""))) for pairs, mean, share in rows])


def exact(run: Run) -> Iterator[str]:
    """Draw a box for each step: exact, or what is left out."""
    yield svg.text(28, 40, "head", f"From {len(run.result)} posts to millions: what stays exact, and what is left out")
    for at, (step, words, colour) in enumerate(STEPS):
        yield svg.box(28, 58 + at * 46, 944, 38, colour)
        yield svg.text(44, 82 + at * 46, "name", step)
        yield svg.text(500, 82 + at * 46, "why", words, colour)
        yield svg.text(956, 82 + at * 46, "small", "exact" if colour == TEAL else "left out", anchor="end")


DRAWN = {
    "stages": (stages, "Posts become pairs, pairs become groups", (1000, 510)),
    "encoders": (encoders, "Titles and photos become vectors", (1000, 376)),
    "evidence": (evidence, "Each view proposes neighbours; every pair gets evidence", (1000, 390)),
    "group": (graph, "A group with its weakest link", (1000, 450)),
    "curve": (cuts, "F1, precision and recall over the cut", (830, 430)),
    "calibration": (calibration, "The share of true pairs over their probability", (830, 430)),
    "exact": (exact, "What is exact and what is not", (1000, 440)),
}


def main() -> None:
    """Draw all of them."""
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder) / "shop")
        for name, (draw, title, size) in DRAWN.items():
            svg.save(svg.sheet(title, size, draw(run)), FIGURES / f"how-{name}.svg", Path(__file__))
        title = "The share of true pairs over their probability, pairs that the classifier has not seen"
        svg.save(svg.sheet(title, (830, 430), measured()), FIGURES / "fusion.svg", Path(__file__))
        path = FIGURES / "how-waterfall.svg"
        run.result.explain(*EXPLAINED).waterfall(path)
        svg.save(path.read_text(encoding="utf-8"), path, Path(__file__))


if __name__ == "__main__":
    main()
