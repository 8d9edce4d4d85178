"""What sellers do to a photo before they post it, at random, so that an encoder learns to ignore it.

Cropped, mirrored, turned, recoloured, made part of a collage, written over, framed, and saved as a small JPEG. The
edits are those that copy detection is trained and tested with (Douze et al. 2021, the Image Similarity Challenge;
Pizzi et al. 2022, SSCD, section 4), in the manner of marketplaces. All randomness comes from the given generator, so
that a resumed training sees what it would have seen; torchvision's edits draw from torch's global one, and are slower.
On one core, photos of 336 pixels to 224: crop 1.7 ms, RandomResizedCrop 2.3; colours 0.8, ColorJitter 4.4 (1.1 without
hue; neither gamma nor white balance); cutmix of 64 photos 7.7, CutMix 21, which also wants labels as (64, classes).
"""

import io
import math
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from kembar.arrays import Rows
from kembar.errors import ConfigError, nearest
from kembar.synthesis.edits import BLACK, WHITE, Colour, write_text

Bytes: TypeAlias = npt.NDArray[np.uint8]
Generator: TypeAlias = np.random.Generator
Edit: TypeAlias = Callable[[Image.Image, Generator], Image.Image]
Kind: TypeAlias = Literal["none", "flip", "light", "seller"]

_WORDS = [
    "PROMO",
    "READY",
    "COD",
    "ORIGINAL",
    "MURAH",
    "GROSIR",
    "DISKON",
    "NEW",
    "SALE",
    "BEST",
    "SELLER",
    "FREE",
    "ONGKIR",
    "BONUS",
    "HOT",
    "STOK",
    "TERBATAS",
    "IMPORT",
    "PREMIUM",
    "50%",
    "30%",
    "100%",
    "1KG",
    "250ML",
    "BUY1GET1",
    "TOKO",
    "RESMI",
    "GARANSI",
    "@shop",
    "0812345678",
    "Rp99.000",
]


def augment(
    photo: Image.Image,
    rng: Generator,
    kind: Kind = "seller",
    *,
    size: int = 224,
    others: Sequence[Image.Image] = (),
) -> Bytes:
    """Make a square training view of a photo.

    Args:
        photo: image of mode RGB, of any shape; it is not changed.
        rng: the random generator; the same photo and state give the same view.
        kind: "none", the whole photo; "flip", mirrored half the time; "light", also cropped and recoloured;
            "seller", also turned, put into a collage, written over, framed and saved as a JPEG.
        size: side of the view, in pixels.
        others: photos of other products, for collages, in which the photo keeps at least half of the area; without
            them, collages hold details of the photo itself.

    Returns:
        (size, size, 3) uint8, RGB.

    Raises:
        ConfigError: an unknown kind.
    """
    if kind not in get_args(Kind):
        fix = nearest(str(kind), get_args(Kind)).strip() or "Choose one of these."
        raise ConfigError(f"augmentation {kind!r}", f"one of {', '.join(get_args(Kind))}", fix)
    if kind in ("none", "flip"):
        view = _scaled(photo, size)
        return np.asarray(_mirrored(view, rng) if kind == "flip" and rng.random() < 0.5 else view)
    if kind == "light":
        view = random_crop(photo, rng, size, least=0.4)
        return np.asarray(recolour(_mirrored(view, rng) if rng.random() < 0.5 else view, rng))
    return np.asarray(_seller(photo, rng, size, others))


def cutmix(photos: Bytes, rng: Generator, *, most: float = 0.4) -> tuple[Bytes, Rows, float]:
    """Put a rectangle of another photo of the batch over each photo (Yun et al. 2019, CutMix).

    Args:
        photos: (b, s, s, 3) uint8; not changed.
        rng: the random generator.
        most: largest share of the area that is covered, in [0, 1]; below a half, a photo's own label weighs more.

    Returns:
        The mixed photos; for each the row of the photo that covers it; and the share of its area that stayed its own,
        which weights the losses of the two labels.

    Raises:
        ConfigError: a share out of range.
    """
    if not 0 <= most <= 1:
        raise ConfigError(f"cutmix share {most!r}", "0 to 1", "Give the largest share of a photo that may be covered.")
    count, height, width = photos.shape[:3]
    order = rng.permutation(count)
    partner = np.empty(count, dtype=np.int64)
    partner[order] = np.roll(order, 1)  # along one random cycle, so that no photo is its own partner
    side = math.sqrt(rng.uniform(0, most))
    tall, wide = round(side * height), round(side * width)
    top, left = int(rng.integers(height - tall + 1)), int(rng.integers(width - wide + 1))
    mixed = photos.copy()
    mixed[:, top : top + tall, left : left + wide] = photos[partner, top : top + tall, left : left + wide]
    return mixed, partner, 1 - tall * wide / (height * width)


def random_crop(photo: Image.Image, rng: Generator, size: int, *, least: float = 0.25) -> Image.Image:
    """Cut out a part of random area and shape, scaled to a square (Szegedy et al. 2015, section 6).

    Args:
        photo: image.
        rng: the random generator.
        size: side of the result, in pixels.
        least: smallest share of the area, in (0, 1]; the largest is 1. Width to height, against the photo's, is from
            3/4 to 4/3, evenly in its logarithm.

    Returns:
        Image of size x size.
    """
    area, shape = rng.uniform(least, 1), math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
    width = min(1.0, math.sqrt(area * shape)) * photo.width
    height = min(1.0, math.sqrt(area / shape)) * photo.height
    left, top = rng.uniform(0, photo.width - width), rng.uniform(0, photo.height - height)
    return _scaled(photo, size, (left, top, left + width, top + height))


def recolour(photo: Image.Image, rng: Generator) -> Image.Image:
    """Change brightness, contrast, gamma, white balance and saturation; one photo in twenty becomes grey."""
    levels = np.arange(256) / 255
    gain = rng.uniform(0.75, 1.25) * rng.uniform(0.9, 1.1, size=3)
    middle, contrast, gamma = 0.5, rng.uniform(0.75, 1.3), math.exp(rng.uniform(-0.3, 0.3))
    tables = [((levels**gamma - middle) * contrast + middle) * channel for channel in gain]
    photo = photo.point((np.concatenate(tables) * 255).clip(0, 255).round().astype(int).tolist())
    saturation = 0.0 if rng.random() < 0.05 else rng.uniform(0.5, 1.6)
    return ImageEnhance.Color(photo).enhance(saturation)


def _scaled(photo: Image.Image, size: int, box: tuple[float, float, float, float] | None = None) -> Image.Image:
    return photo.resize((size, size), Image.Resampling.BICUBIC, box, reducing_gap=2.0)


def _mirrored(photo: Image.Image, rng: Generator) -> Image.Image:
    return ImageOps.mirror(photo)


def _seller(photo: Image.Image, rng: Generator, size: int, others: Sequence[Image.Image]) -> Image.Image:
    view = random_crop(photo, rng, size) if rng.random() < 0.65 else _scaled(photo, size)
    if rng.random() < 0.12:
        view = _collage(view, rng, others)
    for share, edit in _EDITS:
        if rng.random() < share:
            view = edit(view, rng)
    return view


def _turn(photo: Image.Image, rng: Generator) -> Image.Image:
    """Turn a little, or rarely by a quarter or half."""
    if rng.random() < 0.15:
        return photo.rotate(90 * int(rng.integers(1, 4)))
    ground = _ground(rng)
    return photo.rotate(rng.uniform(-22, 22), Image.Resampling.BILINEAR, fillcolor=ground)


def _blur(photo: Image.Image, rng: Generator) -> Image.Image:
    """Lose detail by scaling down and up, or gain false detail by sharpening."""
    if rng.random() < 0.3:
        return photo.filter(ImageFilter.UnsharpMask(2, int(rng.integers(80, 220)), 2))
    small = max(8, round(photo.width * rng.uniform(0.25, 0.7)))
    return photo.resize((small, small), Image.Resampling.BILINEAR).resize(photo.size, Image.Resampling.BILINEAR)


def _collage(photo: Image.Image, rng: Generator, others: Sequence[Image.Image]) -> Image.Image:
    """Give the photo one part of the square, at least half, and the rest to other photos or to its own details."""
    size = photo.width
    share = rng.uniform(0.5, 0.75)
    pieces = int(rng.integers(1, 4))
    sheet = Image.new("RGB", photo.size, _ground(rng))
    main, rest = round(share * size), size - round(share * size)
    upright, first = rng.random() < 0.5, rng.random() < 0.5
    start = 0 if first else rest
    sheet.paste(photo.resize((size, main) if upright else (main, size)), (0, start) if upright else (start, 0))
    for piece in range(pieces):
        beside = others[int(rng.integers(len(others)))] if others else photo
        from_, to = round(piece * size / pieces), round((piece + 1) * size / pieces)
        cell = (to - from_, rest) if upright else (rest, to - from_)
        corner = (from_, main if first else 0) if upright else (main if first else 0, from_)
        sheet.paste(_part(beside, rng, cell), corner)
    return sheet


def _part(photo: Image.Image, rng: Generator, cell: tuple[int, int]) -> Image.Image:
    kept = rng.uniform(0.4, 1)
    left, top = rng.uniform(0, 1 - kept) * photo.width, rng.uniform(0, 1 - kept) * photo.height
    box = (left, top, left + kept * photo.width, top + kept * photo.height)
    return photo.resize(cell, Image.Resampling.BILINEAR, box, reducing_gap=2.0)


def _watermark(photo: Image.Image, rng: Generator) -> Image.Image:
    """Write over the photo, half transparent: once, or all over and slanted."""
    size, text, strength = photo.width, _text(rng, 2), int(rng.integers(70, 190))
    veil = Image.new("RGB", photo.size)
    draw, ink = ImageDraw.Draw(veil), (strength, strength, strength)
    if rng.random() < 0.6:
        at = (size / 2 + rng.uniform(-0.2, 0.2) * size, rng.uniform(0.15, 0.85) * size)
        write_text(draw, at, text, (rng.uniform(0.4, 0.95) * size, rng.uniform(0.07, 0.2) * size), ink)
    else:
        step = rng.uniform(0.2, 0.4) * size
        for y in np.arange(step / 2, size, step):
            write_text(draw, (size / 2, float(y)), f"{text}  {text}", (0.95 * size, 0.3 * step), ink)
    mask = veil.convert("L").rotate(float(rng.choice((0, 0, 30, -30, 45))), Image.Resampling.BILINEAR)
    photo = photo.copy()
    photo.paste(_ink(rng), mask=mask)
    return photo


def _banner(photo: Image.Image, rng: Generator) -> Image.Image:
    """Put a strip with text along an edge or across, opaque or not."""
    size = photo.width
    height = rng.uniform(0.08, 0.24) * size
    top = float(rng.choice((0.0, size - height, size - height, rng.uniform(0, size - height))))
    strip = Image.new("RGB", photo.size, _loud(rng))
    write_text(
        ImageDraw.Draw(strip),
        (size / 2, top + height / 2),
        _text(rng, 3),
        (rng.uniform(0.5, 0.95) * size, rng.uniform(0.5, 0.85) * height),
        _ink(rng),
    )
    veil = Image.new("L", photo.size, 0)
    dense = 255 if rng.random() < 0.7 else int(rng.integers(120, 230))
    ImageDraw.Draw(veil).rectangle((0, top, size, top + height), fill=dense)
    return Image.composite(strip, photo, veil)


def _sticker(photo: Image.Image, rng: Generator) -> Image.Image:
    """Stick one to three written badges on the photo."""
    photo = photo.copy()
    draw, size = ImageDraw.Draw(photo), photo.width
    for _ in range(int(rng.integers(1, 4))):
        wide, tall = rng.uniform(0.07, 0.19) * size, rng.uniform(0.07, 0.15) * size
        x, y = rng.uniform(0.1, 0.9) * size, rng.uniform(0.1, 0.9) * size
        box, fill = (x - wide, y - tall, x + wide, y + tall), _loud(rng)
        shape = int(rng.integers(4))
        if shape == 0:
            draw.ellipse(box, fill=fill, outline=WHITE, width=max(1, size // 100))
        elif shape == 1:
            draw.rounded_rectangle(box, tall / 3, fill=fill)
        elif shape == 2:
            draw.rectangle(box, fill=fill, outline=_ink(rng), width=max(1, size // 80))
        else:
            draw.regular_polygon((x, y, wide), int(rng.integers(5, 13)), float(rng.integers(45)), fill=fill)
        write_text(draw, (x, y), _text(rng, 1), (1.7 * wide, 0.9 * tall), _ink(rng))
    return photo


def _border(photo: Image.Image, rng: Generator) -> Image.Image:
    """Frame the photo: painted over its edges, or with the photo shrunk inside, evenly or not."""
    size = photo.width
    if rng.random() < 0.35:
        photo = photo.copy()
        width = int(rng.integers(max(1, size // 50), max(3, size // 9)))
        ImageDraw.Draw(photo).rectangle((0, 0, size - 1, size - 1), outline=_loud(rng), width=width)
        return photo
    wide, tall = (round(size * rng.uniform(0.6, 0.97)) for _ in range(2))
    sheet = Image.new("RGB", photo.size, _ground(rng))
    corner = (int(rng.integers(size - wide + 1)), int(rng.integers(size - tall + 1)))
    if rng.random() < 0.6:
        corner = ((size - wide) // 2, (size - tall) // 2)
    sheet.paste(photo.resize((wide, tall), Image.Resampling.BILINEAR), corner)
    return sheet


def _jpeg(photo: Image.Image, rng: Generator) -> Image.Image:
    stream = io.BytesIO()
    photo.save(stream, "JPEG", quality=int(rng.integers(12, 65)))
    return Image.open(stream).convert("RGB")


def _text(rng: Generator, most: int) -> str:
    words = rng.choice(len(_WORDS), size=int(rng.integers(1, most + 1)), replace=False)
    text = " ".join(_WORDS[int(word)] for word in words)
    return text.title() if rng.random() < 0.25 else text


def _loud(rng: Generator) -> Colour:
    """Draw a colour of signs: mostly a strong one."""
    red, green, blue = (int(value) for value in rng.integers(0, 256, size=3))
    strongest = int(rng.integers(3))
    return (
        max(red, 210) if strongest == 0 else red,
        max(green, 180) if strongest == 1 else green,
        max(blue, 190) if strongest == 2 else blue,
    )


def _ink(rng: Generator) -> Colour:
    return (WHITE, WHITE, BLACK, _loud(rng))[int(rng.integers(4))]


def _ground(rng: Generator) -> Colour:
    """Draw a colour of backgrounds: white half the time."""
    return (WHITE, WHITE, BLACK, _loud(rng))[int(rng.integers(4))]


# How often each edit happens to a view, in the order in which they are applied.
_EDITS: tuple[tuple[float, Edit], ...] = (
    (0.35, _mirrored), (0.22, _turn), (0.65, recolour), (0.2, _blur), (0.2, _watermark),
    (0.28, _banner), (0.28, _sticker), (0.28, _border), (0.3, _jpeg),
)  # fmt: skip
