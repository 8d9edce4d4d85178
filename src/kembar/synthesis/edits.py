"""What sellers do to a photo before they post it: crop, recolour, frame, and write on it.

Each edit takes a photo that it may change and a random generator, and returns the edited photo.
"""

import random
from collections.abc import Callable
from functools import lru_cache

from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
WHITE: Colour = (255, 255, 255)
BLACK: Colour = (28, 28, 32)


@lru_cache(maxsize=128)
def _font(size: int) -> Font:
    return ImageFont.load_default(size)


def write_text(
    draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, box: tuple[float, float], ink: Colour
) -> None:
    """Write one line of text as large as it fits; text that would be too small to see is left out.

    Args:
        draw: where to draw.
        at: the middle of the line, in pixels.
        text: what to write.
        box: the width and height it may take, in pixels.
        ink: its colour.
    """
    size = int(min(box[1], box[0] / (0.56 * max(len(text), 1))))
    if text and size >= 5:
        draw.text(at, text, fill=ink, font=_font(size), anchor="mm", stroke_width=size // 22)


Edit = Callable[[Image.Image, random.Random], Image.Image]
_SHOUTS = (
    "PROMO",
    "READY",
    "COD",
    "ORIGINAL",
    "MURAH",
    "BPOM",
    "FREE ONGKIR",
    "BEST SELLER",
    "DISKON 50%",
    "NEW",
)
_LOUD: tuple[Colour, ...] = (
    (214, 40, 40),
    (247, 127, 0),
    (252, 191, 73),
    (0, 119, 182),
    (42, 157, 143),
    (230, 57, 110),
)


def _crop(photo: Image.Image, rng: random.Random) -> Image.Image:
    side = photo.width
    kept = rng.uniform(0.74, 0.94) * side
    left, top = rng.uniform(0, side - kept), rng.uniform(0, side - kept)
    return photo.resize(photo.size, Image.Resampling.BILINEAR, (left, top, left + kept, top + kept))


def _pad(photo: Image.Image, rng: random.Random) -> Image.Image:
    side = photo.width
    width, height = rng.choice(((0.8, 0.8), (1.0, 0.75), (0.75, 1.0), (0.9, 0.9)))
    inner = photo.resize((round(width * side), round(height * side)))
    padded = Image.new("RGB", photo.size, WHITE)
    padded.paste(inner, ((side - inner.width) // 2, (side - inner.height) // 2))
    return padded


def _tone(photo: Image.Image, rng: random.Random) -> Image.Image:
    photo = ImageEnhance.Brightness(photo).enhance(rng.uniform(0.8, 1.2))
    photo = ImageEnhance.Color(photo).enhance(rng.uniform(0.6, 1.5))
    return ImageEnhance.Contrast(photo).enhance(rng.uniform(0.85, 1.2))


def _tilt(photo: Image.Image, rng: random.Random) -> Image.Image:
    return photo.rotate(rng.uniform(-8, 8), Image.Resampling.BILINEAR, fillcolor=WHITE)


def _flip(photo: Image.Image, rng: random.Random) -> Image.Image:
    return ImageOps.mirror(photo)


def _blur(photo: Image.Image, rng: random.Random) -> Image.Image:
    return photo.resize((photo.width // 3,) * 2, Image.Resampling.BILINEAR).resize(photo.size)


def _frame(photo: Image.Image, rng: random.Random) -> Image.Image:
    width = rng.randrange(photo.width // 40, photo.width // 14)
    ImageDraw.Draw(photo).rectangle((0, 0, photo.width - 1, photo.width - 1), outline=rng.choice(_LOUD), width=width)
    return photo


def _banner(photo: Image.Image, rng: random.Random) -> Image.Image:
    draw, side = ImageDraw.Draw(photo), photo.width
    height = rng.uniform(0.1, 0.18) * side
    top = rng.choice((0.0, side - height))
    draw.rectangle((0, top, side, top + height), fill=rng.choice(_LOUD))
    text = "  ".join(rng.sample(_SHOUTS, rng.choice((1, 2, 2))))
    write_text(draw, (side / 2, top + height / 2), text, (0.9 * side, 0.7 * height), WHITE)
    return photo


def _sticker(photo: Image.Image, rng: random.Random) -> Image.Image:
    draw, side = ImageDraw.Draw(photo), photo.width
    radius = rng.uniform(0.1, 0.16) * side
    x, y = rng.choice((0.18, 0.82)) * side, rng.choice((0.18, 0.82)) * side
    draw.regular_polygon((x, y, radius * 1.12), 14, rotation=rng.randrange(25), fill=WHITE)
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=rng.choice(_LOUD))
    write_text(draw, (x, y), rng.choice(_SHOUTS), (1.75 * radius, 0.6 * radius), WHITE)
    return photo


def _watermark(photo: Image.Image, rng: random.Random) -> Image.Image:
    side = photo.width
    name = rng.choice(("toko", "shop", "grosir", "store")) + " " + "".join(rng.choice("aeiounrslmkd") for _ in range(6))
    veil = Image.new("L", photo.size, 0)
    ImageDraw.Draw(veil).text(
        (side / 2, rng.uniform(0.3, 0.75) * side),
        name,
        fill=150,
        font=_font(side // rng.randrange(8, 13)),
        anchor="mm",
    )
    photo.paste(rng.choice((WHITE, BLACK, (200, 30, 60))), mask=veil)
    return photo


# How often each edit happens to a photo that is edited at all, in the order in which they are applied.
_EDITS: tuple[tuple[float, Edit], ...] = (
    (0.06, _flip), (0.14, _tilt), (0.38, _crop), (0.4, _tone), (0.15, _blur),
    (0.2, _pad), (0.24, _watermark), (0.3, _banner), (0.3, _sticker), (0.18, _frame),
)  # fmt: skip


def edit_photo(photo: Image.Image, rng: random.Random) -> Image.Image:
    """Edit a photo as a seller does: at least one edit, often several.

    Args:
        photo: RGB, square; it may be changed.
        rng: the random generator.

    Returns:
        RGB, of the same size.
    """
    chosen = [change for share, change in _EDITS if rng.random() < share]
    for change in chosen or [rng.choice((_crop, _banner))]:
        photo = change(photo, rng)
    return photo
