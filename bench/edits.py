"""Photos edited by sellers: does an encoder still find the copies of one photo, and keep other photos apart?

    python bench/edits.py                                          # the shipped encoder
    python bench/edits.py --hard                                   # one to three edits at once, on every post
    python bench/edits.py --model encoder/ -o docs/figures/photo-errors.jpg

The set is drawn from the 30 % of `clothing` that training never sees (`held_out`). Its edits are made by this file
alone: other kinds, fonts, colours and places than `kembar.training.augmentation` has. Two photos in three become a
product of two to five posts, each edited on its own; the third ones are posted once and stand in the pool.

Recall@1 is over the posts that have a twin, in the whole pool. F1 is the mean sample-wise one: the products are cut
into two halves, each its own pool; the threshold that is best on one half scores the other, and the two are averaged.
Reads $KEMBAR_DATA, or ../shared/data beside the checkout.
"""

import argparse
import hashlib
import io
import json
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt
import onnxruntime
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

from kembar.encoders.pixels import Frame
from kembar.results.scores import Curve, curve

DATA = Path(os.environ.get("KEMBAR_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
SHIPPED = Path(__file__).resolve().parents[1] / "src" / "kembar" / "encoders" / "models" / "photo"
FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
Edit = Callable[[Image.Image, random.Random], Image.Image]


# ---- the set ---------------------------------------------------------------------------------------------------------


def held_out(name: str, share: float = 0.3) -> bool:
    """Whether a photo belongs to the test part: a matter of its name alone, so that more photos move none."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) < share * 2**32


def edit_set(folder: Path, seed: int = 0, *, hard: bool = False) -> tuple[list[Image.Image], Labels]:
    """Make the posts of the held-out photos of a folder.

    Args:
        folder: photos, of which the held-out ones are taken.
        seed: of all chance.
        hard: edit each post in one to three ways at once, instead of in one or none.

    Returns:
        The posts' photos, and which photo each was made from.
    """
    names = sorted(path.name for path in folder.glob("*.jpg") if held_out(path.name))
    rng = random.Random(seed)
    photos = [Image.open(folder / name).convert("RGB") for name in names]
    images, labels = [], []
    for label, photo in enumerate(photos):
        copies = rng.choice((2, 2, 3, 3, 4, 5)) if rng.random() < 2 / 3 else 1
        untouched = rng.random() < 0.5
        for copy in range(copies):
            images.append(photo if untouched and copy == 0 else edited(photo, rng, photos, HARD if hard else PLAIN))
            labels.append(label)
    return images, np.array(labels)


PLAIN, HARD = (0, 1, 1, 1), (1, 2, 2, 3)


def edited(
    photo: Image.Image, rng: random.Random, others: Sequence[Image.Image], counts: tuple[int, ...] = PLAIN
) -> Image.Image:
    """Edit a photo in as many ways as one of the counts says, in the table's order, and save it in a lossy format."""
    weights = [share for share, _ in EDITS]
    chosen = set(rng.choices(range(len(EDITS)), weights, k=rng.choice(counts)))
    for at in sorted(chosen):
        photo = EDITS[at][1](photo, rng)
        if EDITS[at][1] is zoom and rng.random() < 0.25:
            photo = beside(photo, rng, others)
    return compressed(photo, rng)


@lru_cache(maxsize=256)
def font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(FONTS / name, size)


def typeface(rng: random.Random, size: float) -> ImageFont.FreeTypeFont:
    names = ("DejaVuSerif-Bold.ttf", "DejaVuSansMono-Bold.ttf", "STIXGeneralBolIta.ttf", "DejaVuSerif-Italic.ttf")
    return font(rng.choice(names), max(6, round(size)))


PASTEL = (
    (255, 214, 224),
    (205, 240, 234),
    (255, 239, 186),
    (212, 214, 255),
    (226, 226, 226),
    (120, 90, 60),
    (36, 48, 84),
)
NEON = ((255, 0, 110), (58, 255, 20), (255, 234, 0), (0, 229, 255), (110, 14, 200), (140, 0, 20))
PHRASES = ("Harga pabrik", "bisa tawar", "WA 0856-7788-1234", "kualitas A+", "kirim hari ini", "size M L XL",
           "ecer & lusin", "bahan adem", "limited!", "gratis tas", "cuci gudang", "real pict")  # fmt: skip


def zoom(photo: Image.Image, rng: random.Random) -> Image.Image:
    """Show a part of the photo, in its own proportions or upright or square."""
    kept = rng.uniform(0.6, 0.88)
    width, height = photo.width * kept, photo.height * kept * rng.choice((1, 1, 0.75, 1.2))
    left, top = rng.uniform(0, photo.width - width), rng.uniform(0, max(0, photo.height - height))
    return photo.crop((round(left), round(top), round(left + width), round(min(photo.height, top + height))))


def beside(photo: Image.Image, rng: random.Random, others: Sequence[Image.Image]) -> Image.Image:
    """Put two round insets of another photo over the lower part."""
    photo, side = photo.copy(), round(0.36 * min(photo.size))
    mask = Image.new("L", (side, side))
    ImageDraw.Draw(mask).ellipse((0, 0, side - 1, side - 1), fill=255)
    other = ImageOps.fit(rng.choice(others), (side, side))
    for left in (round(0.06 * photo.width), photo.width - side - round(0.06 * photo.width)):
        photo.paste(other, (left, photo.height - side - 4), mask)
    return photo


def warp(photo: Image.Image, rng: random.Random) -> Image.Image:
    """See the photo at a slant, as one taken of a screen: a random quadrilateral becomes the rectangle."""
    w, h = photo.size
    ends = [(rng.uniform(-0.03, 0.12) * w, rng.uniform(-0.03, 0.12) * h) for _ in range(4)]
    quad = (
        ends[0][0],
        ends[0][1],
        ends[1][0],
        h - ends[1][1],
        w - ends[2][0],
        h - ends[2][1],
        w - ends[3][0],
        ends[3][1],
    )
    return photo.transform(
        photo.size, Image.Transform.QUAD, quad, Image.Resampling.BICUBIC, fillcolor=rng.choice(PASTEL)
    )


def mirror(photo: Image.Image, rng: random.Random) -> Image.Image:
    return ImageOps.mirror(photo)


def tilt(photo: Image.Image, rng: random.Random) -> Image.Image:
    """Turn by 6 to 16 degrees, with a larger canvas."""
    angle = rng.choice((-1, 1)) * rng.uniform(4, 13)
    return photo.rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=rng.choice(PASTEL))


def toned(photo: Image.Image, rng: random.Random) -> Image.Image:
    """Age the photo: two inks mixed into it, as filters of phones do."""
    dark, light = rng.choice(
        (((40, 20, 0), (255, 236, 200)), ((10, 10, 60), (220, 240, 255)), ((50, 0, 40), (255, 230, 230)))
    )
    duotone = ImageOps.colorize(ImageOps.grayscale(photo), dark, light)
    return Image.blend(photo, duotone, rng.uniform(0.3, 0.75))


def equalized(photo: Image.Image, rng: random.Random) -> Image.Image:
    return Image.blend(photo, ImageOps.equalize(photo), rng.uniform(0.5, 1))


def vignette(photo: Image.Image, rng: random.Random) -> Image.Image:
    """Darken towards the corners, or light up one side as a lamp does."""
    mask = (
        Image.radial_gradient("L") if rng.random() < 0.5 else Image.linear_gradient("L").rotate(90 * rng.randrange(4))
    )
    veil = Image.new("RGB", photo.size, rng.choice(((0, 0, 0), (255, 244, 214))))
    return Image.composite(veil, photo, mask.resize(photo.size).point(lambda value: int(value * 0.6)))


def noisy(photo: Image.Image, rng: random.Random) -> Image.Image:
    noise = np.random.default_rng(rng.getrandbits(32)).normal(0, rng.uniform(6, 18), (photo.height, photo.width, 1))
    return Image.fromarray((np.asarray(photo) + noise).clip(0, 255).astype(np.uint8))


def blurred(photo: Image.Image, rng: random.Random) -> Image.Image:
    return photo.filter(ImageFilter.GaussianBlur(rng.uniform(0.8, 2.2)))


def posterized(photo: Image.Image, rng: random.Random) -> Image.Image:
    return ImageOps.posterize(photo, rng.choice((2, 3, 3)))


def shadowed(photo: Image.Image, rng: random.Random) -> Image.Image:
    """Let a hard diagonal shadow fall over half of it."""
    w, h = photo.size
    mask = Image.new("L", photo.size)
    at = rng.uniform(0.2, 0.8)
    ImageDraw.Draw(mask).polygon(((at * w, 0), (w, 0), (w, h), ((1 - at) * w, h)), fill=rng.randrange(70, 140))
    return Image.composite(Image.new("RGB", photo.size), photo, mask.filter(ImageFilter.GaussianBlur(3)))


def price_tag(photo: Image.Image, rng: random.Random) -> Image.Image:
    """Hang a slanted tag with a price over a corner."""
    w, h = photo.size
    tag = Image.new("RGBA", (round(0.55 * w), round(0.2 * w)), (*rng.choice(NEON), 255))
    text = f"Rp {rng.randrange(9, 399)}.{rng.choice(('000', '500', '900'))}"
    ImageDraw.Draw(tag).text((tag.width / 2, tag.height / 2), text, (0, 0, 0), typeface(rng, 0.075 * w), "mm")
    tag = tag.rotate(rng.uniform(-25, 25), Image.Resampling.BICUBIC, expand=True)
    photo = photo.copy()
    corner = (rng.choice((-10, w - tag.width + 10)), rng.choice((0, round(0.35 * h), h - tag.height)))
    photo.paste(tag, corner, tag)
    return photo


def ribbon(photo: Image.Image, rng: random.Random) -> Image.Image:
    """Lay two crossing or one wide diagonal band over the photo."""
    w, h = photo.size
    photo, colour, wide = photo.copy(), rng.choice(NEON), rng.uniform(0.08, 0.14) * w
    draw = ImageDraw.Draw(photo)
    draw.line((0, rng.uniform(0.1, 0.6) * h, rng.uniform(0.4, 1) * w, 0), colour, round(wide))
    if rng.random() < 0.4:
        draw.line((w, rng.uniform(0.5, 0.9) * h, rng.uniform(0.3, 0.7) * w, h), rng.choice(PASTEL), round(wide))
    return photo


def lettered(photo: Image.Image, rng: random.Random) -> Image.Image:
    """Write lines of offers down one side, with a dark edge around the letters."""
    photo, (w, h) = photo.copy(), photo.size
    draw, face = ImageDraw.Draw(photo), typeface(rng, rng.uniform(0.06, 0.1) * w)
    ink, top, right = rng.choice((*NEON, *PASTEL)), rng.uniform(0.05, 0.5) * h, rng.random() < 0.5
    for line, phrase in enumerate(rng.sample(PHRASES, rng.randrange(2, 6))):
        at = (w - 4 if right else 4, top + line * 0.11 * w)
        draw.text(at, phrase, ink, face, "ra" if right else "la", stroke_width=2, stroke_fill=(20, 20, 20))
    return photo


def veiled(photo: Image.Image, rng: random.Random) -> Image.Image:
    """Print a logo of rings and a name over the middle, half transparent."""
    w, h = photo.size
    over, ink = photo.copy(), rng.choice(((255, 255, 255), *NEON))
    draw, r = ImageDraw.Draw(over), rng.uniform(0.18, 0.38) * min(w, h)
    for ring in (1, 0.85, 0.5):
        box = (w / 2 - ring * r, h / 2 - ring * r, w / 2 + ring * r, h / 2 + ring * r)
        draw.ellipse(box, outline=ink, width=max(2, round(r / 14)))
    draw.text(
        (w / 2, h / 2), rng.choice(("NADIA'S", "Umi-Store", "KIOS 88", "lapak.biru")), ink, typeface(rng, 0.4 * r), "mm"
    )
    return Image.blend(photo, over, rng.uniform(0.3, 0.6))


def footer(photo: Image.Image, rng: random.Random) -> Image.Image:
    """Add a two-coloured block with address lines below or above, which makes the picture taller."""
    w, h = photo.size
    tall, below = round(rng.uniform(0.12, 0.25) * h), rng.random() < 0.6
    sheet = Image.new("RGB", (w, h + tall), rng.choice(PASTEL))
    sheet.paste(photo, (0, 0 if below else tall))
    draw, top = ImageDraw.Draw(sheet), h if below else 0
    draw.rectangle((0, top, 0.3 * w, top + tall), rng.choice(NEON))
    for line in range(2):
        draw.text(
            (0.34 * w, top + (0.15 + 0.4 * line) * tall), rng.choice(PHRASES), (0, 0, 0), typeface(rng, 0.22 * tall)
        )
    return sheet


def screenshot(photo: Image.Image, rng: random.Random) -> Image.Image:
    """Show the photo within the page of a shop on a phone: bars, title, price and button around it."""
    w = photo.width
    dark = rng.random() < 0.4
    page, ink = ((24, 24, 28), (235, 235, 235)) if dark else ((250, 250, 250), (30, 30, 30))
    room = rng.uniform(0.2, 0.4) * w
    sheet = Image.new("RGB", (w, round(photo.height + 0.12 * w + room)), page)
    sheet.paste(photo, (0, round(0.12 * w)))
    draw, below = ImageDraw.Draw(sheet), photo.height + 0.12 * w
    draw.text(
        (0.03 * w, 0.02 * w),
        f"{rng.randrange(24):02}:{rng.randrange(60):02}",
        ink,
        font("DejaVuSans.ttf", max(6, w // 18)),
    )
    draw.rectangle((0.82 * w, 0.03 * w, 0.95 * w, 0.08 * w), ink)
    draw.text((0.03 * w, below + 0.02 * w), rng.choice(PHRASES), ink, font("DejaVuSans.ttf", max(6, w // 14)))
    draw.rounded_rectangle((0.5 * w, below + 0.6 * room, 0.96 * w, below + 0.9 * room), 6, rng.choice(NEON))
    return sheet


def mounted(photo: Image.Image, rng: random.Random) -> Image.Image:
    """Cut the corners round, or to an oval, and lay it on a ground of stripes or of its own blur."""
    w, h = photo.size
    mask = Image.new("L", photo.size)
    draw = ImageDraw.Draw(mask)
    if rng.random() < 0.5:
        draw.ellipse((0, 0, w - 1, h - 1), fill=255)
    else:
        draw.rounded_rectangle((0.06 * w, 0.06 * h, 0.94 * w, 0.94 * h), 0.15 * w, fill=255)
    if rng.random() < 0.4:
        ground = ImageEnhance.Brightness(photo.filter(ImageFilter.GaussianBlur(18))).enhance(1.3)
    else:
        ground = Image.new("RGB", photo.size, rng.choice(PASTEL))
        for x in range(0, w, 24):
            ImageDraw.Draw(ground).line((x, 0, x + 40, h), rng.choice(PASTEL), 6)
    return Image.composite(photo, ground, mask)


def squeezed(photo: Image.Image, rng: random.Random) -> Image.Image:
    """Change the proportions, and leave unequal room around: a story or a square with a wide margin."""
    factor = rng.choice((0.75, 0.85, 1.2))
    inner = photo.resize((max(8, round(photo.width * factor)), photo.height))
    sheet = Image.new(
        "RGB",
        (round(inner.width * rng.uniform(1, 1.3)), round(inner.height * rng.uniform(1, 1.15))),
        rng.choice(PASTEL),
    )
    sheet.paste(inner, (rng.randrange(sheet.width - inner.width + 1), rng.randrange(sheet.height - inner.height + 1)))
    return sheet


def lined(photo: Image.Image, rng: random.Random) -> Image.Image:
    """Photograph a screen: fine lines across the picture."""
    lines = Image.new("RGB", photo.size, "white")
    draw = ImageDraw.Draw(lines)
    for y in range(0, photo.height, rng.choice((4, 5, 6))):
        draw.line((0, y, photo.width, y + 2), (196, 206, 216))
    return ImageChops.multiply(photo, lines)


def compressed(photo: Image.Image, rng: random.Random) -> Image.Image:
    """Send it through a messenger: made smaller, and WebP of low quality or a poor JPEG."""
    scale = rng.uniform(0.6, 1)
    photo = photo.resize(
        (max(16, round(photo.width * scale)), max(16, round(photo.height * scale))), Image.Resampling.LANCZOS
    )
    stream = io.BytesIO()
    photo.save(stream, *(("WEBP",) if rng.random() < 0.5 else ("JPEG",)), quality=rng.randrange(20, 60))
    return Image.open(stream).convert("RGB")


# How often each is chosen, against the others; those chosen are applied in this order.
EDITS: tuple[tuple[float, Edit], ...] = (
    (2.0, zoom), (1.0, warp), (1.0, mirror), (1.0, tilt), (1.0, toned), (0.6, equalized), (0.8, vignette), (0.6, noisy),
    (0.6, blurred), (0.5, posterized), (0.6, shadowed), (1.0, squeezed), (1.0, mounted), (1.0, price_tag),
    (0.8, ribbon), (1.2, lettered), (1.2, veiled), (0.5, lined), (1.0, footer), (1.2, screenshot),
)  # fmt: skip


# ---- the score -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Result:
    """What an encoder reached."""

    recall: float
    twins: int
    f1: float
    posts: int

    def __str__(self) -> str:
        return (
            f"R@1 {self.recall:.4f} (of {self.twins:,} posts with a twin)  F1 {self.f1:.4f} (of {self.posts:,} posts)"
        )


def evaluate(vectors: Floats, labels: Labels, seed: int = 0) -> Result:
    """Score unit vectors of an edit set."""
    likeness = vectors @ vectors.T
    np.fill_diagonal(likeness, -np.inf)
    twins = np.bincount(labels)[labels] > 1
    hits = labels[likeness.argmax(axis=1)] == labels
    half = np.random.default_rng(seed).permutation(labels.max() + 1)[labels] % 2 == 0
    curves = [_curve(likeness[part][:, part], labels[part]) for part in (half, ~half)]
    scores = [curves[1 - i].at(curves[i].best()[0]) for i in (0, 1)]
    sizes = (int((~half).sum()), int(half.sum()))
    return Result(float(hits[twins].mean()), int(twins.sum()), float(np.average(scores, weights=sizes)), len(labels))


def _curve(likeness: Floats, labels: Labels) -> Curve:
    left, right = np.triu_indices(len(labels), 1)
    value = likeness[left, right]
    near = min(60 * len(labels), len(value))
    keep = value >= np.partition(value, -near)[-near]  # far below any good threshold
    return curve(left[keep], right[keep], value[keep], labels)


def opened(folder: Path, threads: int = 2) -> Callable[[Bytes], Floats]:
    """Open a folder's model.onnx."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda photos: session.run(None, {name: photos})[0]


def encode(folder: Path, photos: Sequence[Image.Image]) -> Floats:
    """Encode photos with an encoder in a folder."""
    size = json.loads((folder / "encoder.json").read_text(encoding="utf-8"))["input"]["size"]
    run = opened(folder)
    return np.concatenate([run(batch) for batch in stacks(photos, size, 32)])


def stacks(photos: Sequence[Image.Image], size: int, batch: int) -> list[Bytes]:
    frame, cuts = Frame(size), range(0, len(photos), batch)
    return [np.stack([np.asarray(frame.fit(photo)) for photo in photos[at : at + batch]]) for at in cuts]


def error_sheet(images: Sequence[Image.Image], labels: Labels, vectors: Floats, path: Path, rows: int = 12) -> None:
    """Draw the worst errors: a post, the stranger taken for its twin, and the twin that stands behind."""
    likeness = vectors @ vectors.T
    np.fill_diagonal(likeness, -2)
    own = np.where(labels[:, None] == labels[None], likeness, -2)
    strange = np.where(labels[:, None] == labels[None], -2, likeness)
    loss = np.where(np.bincount(labels)[labels] > 1, strange.max(axis=1) - own.max(axis=1), -2)
    side, columns = 128, 2
    sheet = Image.new("RGB", (columns * (3 * side + 16), (rows // columns) * (side + 16)), "white")
    draw = ImageDraw.Draw(sheet)
    for place, post in enumerate(np.argsort(-loss)[:rows]):
        x, y = place % columns * (3 * side + 16), place // columns * (side + 16)
        trio = (post, strange[post].argmax(), own[post].argmax())
        notes = ("post", f"stranger {strange[post].max():.3f}", f"twin {own[post].max():.3f}")
        for i, (row, note) in enumerate(zip(trio, notes, strict=True)):
            sheet.paste(ImageOps.pad(images[row], (side, side), color="white"), (x + i * side, y + 14))
            draw.text((x + i * side + 2, y), note, (0, 0, 0), font("DejaVuSans.ttf", 11))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, quality=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, nargs="+", default=[SHIPPED], help="folders of encoders, or one")
    parser.add_argument("--seed", type=int, default=0, help="of the set")
    parser.add_argument("--hard", action="store_true", help="edit each post in one to three ways at once")
    parser.add_argument("-o", "--output", type=Path, help="picture of the worst errors of the last model")
    options = parser.parse_args()
    images, labels = edit_set(DATA / "clothing" / "images", options.seed, hard=options.hard)
    print(
        f"{len(images):,} posts of {labels.max() + 1:,} held-out photos, "
        f"{(np.bincount(labels) == 1).sum():,} of them posted once"
    )
    for model in options.model:
        vectors = encode(model, images)
        print(f"{model}: {evaluate(vectors, labels)}", flush=True)
    if options.output:
        error_sheet(images, labels, vectors, options.output)


if __name__ == "__main__":
    main()
