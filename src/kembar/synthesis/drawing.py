"""Product photos drawn with pillow, for a synthetic shop.

A product is painted from its silhouette, lit, printed with brand and quantity and put into a scene: that is
an original photo, of which a product has several. A post shows one of them, untouched or edited by the seller.
All randomness comes from the seeds in `Look` and from `edit`: a photo depends on nothing but its arguments.
"""

import colorsys
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

from kembar.synthesis.edits import BLACK, WHITE, Colour, edit_photo, write_text
from kembar.synthesis.silhouettes import SILHOUETTES, Part


@dataclass(frozen=True, slots=True)
class Look:
    """What a product looks like, and the seeds of its photos.

    Attributes:
        silhouette: a name in `SILHOUETTES`.
        brand: printed large; may be empty.
        name: printed under the brand; may be empty.
        variant: colour, flavour or type, printed small.
        quantity: printed last.
        colour: red, green and blue of the variant.
        scene: seed of what siblings share: proportions, print, background.
        seed: seed of what is the product's own.
    """

    silhouette: str
    brand: str
    name: str
    variant: str
    quantity: str
    colour: Colour
    scene: int
    seed: int


def _mix(left: Colour, right: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(left, right, strict=True))
    return red, green, blue


def _hue(rng: random.Random, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(rng.random(), saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def _is_light(colour: Colour) -> bool:
    return 299 * colour[0] + 587 * colour[1] + 114 * colour[2] > 150_000


def _palette(look: Look) -> dict[str, Colour]:
    rng = random.Random(look.scene)
    return {
        "accent": _hue(rng, rng.uniform(0.45, 0.85), rng.uniform(0.4, 0.85)),
        "body": look.colour,
        "deep": _mix(look.colour, BLACK, 0.28),
        "pale": _mix(look.colour, WHITE, 0.5),
        "white": (250, 250, 248),
        "black": BLACK,
        "metal": (196, 200, 206),
        "wood": (188, 132, 78),
        "cream": (243, 220, 170),
        "glass": (214, 230, 238),
    }


_BLACK_GROUND = frozenset({"pan", "lipstick"})


def _print_panel(draw: ImageDraw.ImageDraw, box: tuple[float, ...], role: str, look: Look) -> None:
    """Print ornament, brand, name, variant and quantity into a box of pixels."""
    rng = random.Random(look.scene + 1)
    colours = _palette(look)
    left, top, right, bottom = box
    width, height, middle = right - left, bottom - top, (left + right) / 2
    if role != "none":
        draw.rectangle(box, fill=colours[role])
    # Print on a pan or a lipstick lies on something black, whatever the colour of the variant.
    ground = BLACK if look.silhouette in _BLACK_GROUND else look.colour if role == "none" else colours[role]
    ink = _mix(colours["accent"], BLACK, 0.45) if _is_light(ground) else WHITE
    ornament = rng.randrange(4)
    if ornament == 0 and role != "none":
        draw.rectangle((left, bottom - 0.26 * height, right, bottom), fill=look.colour)
    elif ornament == 1 and role != "none":
        draw.rectangle((left, top, right, top + 0.1 * height), fill=colours["accent"])
    elif ornament == 2:
        radius = 0.16 * min(width, height)
        centre = top + 0.62 * height
        draw.ellipse((middle - radius, centre - radius, middle + radius, centre + radius), fill=colours["pale"])
    wide = 0.92 * width
    write_text(draw, (middle, top + 0.24 * height), look.brand or look.name, (wide, 0.3 * height), ink)
    if look.brand:
        write_text(draw, (middle, top + 0.45 * height), look.name, (0.8 * wide, 0.16 * height), ink)
    write_text(draw, (middle, top + 0.63 * height), look.variant, (0.75 * wide, 0.13 * height), ink)
    if ornament == 0 and role != "none":
        ink = BLACK if _is_light(look.colour) else WHITE
    write_text(draw, (middle, top + 0.86 * height), look.quantity, (0.7 * wide, 0.18 * height), ink)


@lru_cache(maxsize=8)
def _light(kind: str) -> tuple[Image.Image, Image.Image]:
    """Return the shadow to multiply with and the highlight to screen with, 64 by 64 grey."""
    y, x = np.mgrid[0:64, 0:64] / 63.0
    if kind == "round":
        shade, shine = 1.0 - 0.5 * np.abs(2 * x - 0.85) ** 2.6, 0.36 * np.exp(-(((x - 0.26) / 0.07) ** 2))
    elif kind == "cloth":
        folds = np.sin(9 * x + 4 * np.sin(3 * y)) * np.sin(5 * y + 2 * x)
        shade, shine = 0.9 + 0.08 * folds - 0.08 * y, 0.05 + 0.06 * folds.clip(0)
    elif kind == "gloss":
        shade, shine = (
            1.0 - 0.24 * (0.5 * x + 0.5 * y) ** 1.5,
            0.22 * np.exp(-(((x + 0.45 * y - 0.42) / 0.1) ** 2)),
        )
    else:
        shade, shine = 1.0 - 0.1 * y, 0.08 * (1 - y) * (1 - x)
    grey, glow = ((255 * light.clip(0, 1)).astype(np.uint8) for light in (shade, shine))
    return Image.fromarray(grey), Image.fromarray(glow)


def _draw_part(draw: ImageDraw.ImageDraw, part: Part, colour: Colour, scale: float) -> None:
    shape, _, numbers = part
    pen = round(numbers[0] * scale) if shape in ("ring", "line") else 0
    values = numbers[1:] if pen else numbers
    # A radius of a rounded rectangle is a length; every other number is a coordinate.
    points = [100.0 * scale * 1.04 + value * scale for value in values]
    if shape == "rect":
        radius = numbers[4] * scale if len(numbers) > 4 else 0
        draw.rounded_rectangle(points[:4], radius, fill=colour)
    elif shape == "oval":
        draw.ellipse(points, fill=colour)
    elif shape == "ring":
        draw.ellipse(points, outline=colour, width=pen)
    elif shape == "line":
        draw.line(points, fill=colour, width=pen, joint="curve")
    else:
        draw.polygon(points, fill=colour)


def _pattern(layer: Image.Image, look: Look) -> None:
    """Print stripes or dots on cloth, for about half of the garments."""
    rng = random.Random(look.scene + 2)
    kind = rng.randrange(4)
    if kind > 1:
        return
    side = layer.width
    mask = Image.new("L", layer.size, 0)
    draw = ImageDraw.Draw(mask)
    step = side // rng.choice((10, 14, 18))
    if kind:
        for x in range(0, side, step):
            draw.line((x, 0, x, side), fill=150, width=step // 4)
    else:
        for y in range(0, side, step):
            for x in range((y // step % 2) * step // 2, side, step):
                draw.ellipse((x, y, x + step * 0.4, y + step * 0.4), fill=190)
    ink = _mix(look.colour, BLACK if _is_light(look.colour) else WHITE, 0.55)
    layer.paste(ink, mask=ImageChops.multiply(mask, layer.getchannel("A")))


def _draw_product(look: Look, size: int) -> tuple[Image.Image, Image.Image]:
    """Draw the product alone, lit: its colours and its alpha, each (size, size)."""
    lighting, parts = SILHOUETTES[look.silhouette]
    colours = _palette(look)
    layer = Image.new("RGBA", (2 * size, 2 * size), (*look.colour, 0))
    draw = ImageDraw.Draw(layer)
    scale = 2 * size / 208
    panels = []
    for part in parts:
        if part[0] == "panel":
            panels.append((part[1], tuple(104 * scale + number * scale for number in part[2])))
        else:
            _draw_part(draw, part, colours[part[1]], scale)
    if lighting == "cloth":
        _pattern(layer, look)
    for role, box in panels:
        _print_panel(draw, box, role, look)
    # Apart, since reducing them together would turn the colour under clear pixels black.
    return _lit(layer.convert("RGB").reduce(2), layer.getchannel("A").reduce(2), lighting)


def _lit(colour: Image.Image, alpha: Image.Image, lighting: str) -> tuple[Image.Image, Image.Image]:
    bounds = alpha.getbbox() or (0, 0, *alpha.size)
    extent = bounds[2] - bounds[0], bounds[3] - bounds[1]
    shade, shine = (light.resize(extent, Image.Resampling.BILINEAR) for light in _light(lighting))
    patch = ImageChops.multiply(colour.crop(bounds), Image.merge("RGB", (shade,) * 3))
    colour.paste(ImageChops.screen(patch, Image.merge("RGB", (shine,) * 3)), bounds)
    return colour, alpha


def _gradient(top: Colour, bottom: Colour, size: int) -> Image.Image:
    column = Image.linear_gradient("L").resize((1, size), Image.Resampling.BILINEAR)
    return ImageOps.colorize(column, top, bottom).resize((size, size), Image.Resampling.NEAREST)


def _table(draw: ImageDraw.ImageDraw, rng: random.Random, tint: Colour, side: int) -> None:
    top = rng.uniform(0.66, 0.8) * side
    draw.rectangle((0, top, side, side), fill=_mix(tint, (214, 186, 150), 0.75))


def _disc(draw: ImageDraw.ImageDraw, rng: random.Random, tint: Colour, side: int) -> None:
    x, y, radius = (rng.uniform(low, high) * side for low, high in ((0.3, 0.7), (0.35, 0.65), (0.32, 0.45)))
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_mix(tint, WHITE, 0.9))


def _rays(draw: ImageDraw.ImageDraw, rng: random.Random, tint: Colour, side: int) -> None:
    turn, ray = rng.randrange(30), _mix(tint, WHITE, 0.6)
    for angle in range(turn, 360 + turn, 30):
        draw.pieslice((-side, -side, 2 * side, 2 * side), angle, angle + 15, fill=ray)


def _planks(draw: ImageDraw.ImageDraw, rng: random.Random, tint: Colour, side: int) -> None:
    for at in range(0, side, side // rng.choice((5, 6, 7))):
        draw.rectangle((0, at, side, side), fill=_mix((196, 158, 116), WHITE, rng.uniform(0.05, 0.45)))
        draw.line((0, at, side, at), fill=(146, 112, 80), width=max(side // 200, 1))


def _confetti(draw: ImageDraw.ImageDraw, rng: random.Random, tint: Colour, side: int) -> None:
    for _ in range(26):
        x, y, radius = rng.uniform(0, side), rng.uniform(0, side), rng.uniform(0.01, 0.04) * side
        ink = _mix(tint, WHITE, rng.random() * 0.7)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=ink)


_DECORS = {"table": _table, "disc": _disc, "rays": _rays, "planks": _planks, "confetti": _confetti}
_BACKDROPS = ("white", "white", "studio", "studio", "dark", *_DECORS)


def _backdrop(rng: random.Random, tint: Colour, size: int) -> Image.Image:
    """Draw what stands behind a product: studio, table, colour field, rays, planks or confetti."""
    kind = rng.choice(_BACKDROPS)
    soft = _mix(tint, WHITE, rng.uniform(0.62, 0.85))
    if kind == "white":
        return Image.new("RGB", (size, size), (rng.randrange(244, 256),) * 3)
    if kind == "dark":
        return _gradient(_mix(tint, BLACK, 0.82), _mix(tint, BLACK, 0.45), size)
    if kind == "studio":
        return _gradient(WHITE, _mix(soft, tint, 0.15), size)
    photo = _gradient(soft, _mix(soft, tint, 0.15), 2 * size)
    _DECORS[kind](ImageDraw.Draw(photo), rng, tint, 2 * size)
    return photo.reduce(2)


# Centre x and y, height, all in shares of the photo; tilt in degrees. The last copy lies on top.
_LAYOUTS: tuple[tuple[tuple[float, float, float, float], ...], ...] = (
    ((0.5, 0.51, 0.84, 0.0),),
    ((0.5, 0.51, 0.84, 0.0),),
    ((0.5, 0.52, 0.78, 9.0),),
    ((0.5, 0.52, 0.78, -9.0),),
    ((0.34, 0.5, 0.64, -7.0), (0.66, 0.55, 0.64, 7.0)),
    ((0.66, 0.46, 0.58, 4.0), (0.38, 0.55, 0.74, 0.0)),
    ((0.25, 0.52, 0.52, -10.0), (0.75, 0.52, 0.52, 10.0), (0.5, 0.54, 0.68, 0.0)),
    ((0.5, 0.42, 0.66, 0.0),),
)


_SHADOW = [round(0.42 * value) for value in range(256)]


def _place(
    photo: Image.Image,
    product: tuple[Image.Image, Image.Image],
    spot: tuple[float, float, float, float],
    stretch: float,
) -> None:
    colour, clear = product
    size, height, tilt = photo.width, spot[2], math.radians(spot[3])
    x, y, half, margin = spot[0] * size, spot[1] * size, size / 2, size / 14
    cos, sin = math.cos(tilt) * height, math.sin(tilt) * height
    # Only the part of the photo that the product and its shadow cover is computed.
    left, top, right, bottom = clear.getbbox() or (0, 0, size, size)
    corners = [((u - half) * stretch, v - half) for u in (left, right) for v in (top, bottom)]
    across = [x + cos * u - sin * v for u, v in corners]
    down = [y + sin * u + cos * v for u, v in corners]
    x0, y0 = int(min(across) - margin), int(min(down) - margin)
    extent = int(max(across) + margin) - x0, int(max(down) + margin) - y0
    cos, sin = cos / height**2, sin / height**2
    x, y = x - x0, y - y0
    row = (cos / stretch, sin / stretch, half - (cos * x + sin * y) / stretch)
    data = (*row, -sin, cos, half + sin * x - cos * y)
    # Colour and alpha apart: under clear pixels lies the colour of the product, so no edge turns dark, and two
    # conversions are saved.
    placed, alpha = (
        layer.transform(extent, Image.Transform.AFFINE, data, Image.Resampling.BILINEAR) for layer in (colour, clear)
    )
    small = alpha.reduce(max(size // 64, 1)).filter(ImageFilter.GaussianBlur(2)).point(_SHADOW)
    shadow = small.resize(extent, Image.Resampling.BILINEAR)
    photo.paste((38, 36, 44), (x0 + size // 80, y0 + size // 40), shadow)
    photo.paste(placed, (x0, y0), alpha)


def _caption(photo: Image.Image, look: Look, rng: random.Random, tint: Colour) -> None:
    """Add the brand in a corner or a band with name and quantity, as makers' own photos have."""
    draw, size = ImageDraw.Draw(photo), photo.width
    title, kind = look.brand or look.name, rng.randrange(4)
    ink = _mix(tint, BLACK, 0.5) if _is_light(photo.getpixel((size // 12, size // 12))) else WHITE  # type: ignore[arg-type]
    if kind == 0:
        write_text(draw, (0.2 * size, 0.07 * size), title, (0.34 * size, 0.09 * size), ink)
    elif kind == 1:
        draw.rectangle((0, 0.87 * size, size, size), fill=tint)
        text = " ".join(filter(None, (look.name, look.quantity)))
        write_text(draw, (0.5 * size, 0.935 * size), text, (0.9 * size, 0.085 * size), WHITE)
    elif kind == 2 and look.quantity:
        draw.ellipse((0.76 * size, 0.76 * size, 0.97 * size, 0.97 * size), fill=tint)
        write_text(draw, (0.865 * size, 0.865 * size), look.quantity, (0.18 * size, 0.07 * size), WHITE)


@lru_cache(maxsize=16)
def _draw_original(look: Look, view: int, size: int) -> Image.Image:
    product = _draw_product(look, size)
    rng = random.Random(look.scene * 31 + view)
    own = random.Random(look.seed * 31 + view)
    tint = _palette(look)["accent"]
    photo = _backdrop(rng, tint, size)
    layout = rng.choice(_LAYOUTS)
    stretch, grow = rng.uniform(0.9, 1.1), own.uniform(0.86, 1.08)
    right, down, tilt = own.uniform(-0.07, 0.07), own.uniform(-0.05, 0.05), own.uniform(-6, 6)
    for x, y, height, angle in layout:
        _place(photo, product, (x + right, y + down, height * grow, angle + tilt), stretch)
    _caption(photo, look, rng, tint)
    return photo


def _collage(look: Look, view: int, photo: Image.Image) -> Image.Image:
    """Put the photo beside or above another one of the same product."""
    side = photo.width
    other = _draw_original(look, view + 1, side)
    quarter, cut = side // 4, (side + 1) // 2
    joined = Image.new("RGB", photo.size, WHITE)
    joined.paste(photo.crop((quarter, 0, quarter + cut - 1, side)), (0, 0))
    joined.paste(other.crop((quarter, 0, quarter + side // 2, side)), (cut, 0))
    return joined


def draw_photo(look: Look, view: int = 0, edit: int = 0, size: int = 256) -> Image.Image:
    """Draw one photo of a product.

    Args:
        look: the product.
        view: which of its original photos; each has its own background and arrangement.
        edit: seed of what the seller did to the photo; 0 leaves the original untouched.
        size: pixels per side, at least 16.

    Returns:
        A new (size, size) RGB image; the same arguments give the same pixels.

    Raises:
        KeyError: the silhouette is not in `kembar.synthesis.silhouettes.SILHOUETTES`.
    """
    photo = _draw_original(look, view, size).copy()
    if not edit:
        return photo
    rng = random.Random(edit)
    if rng.random() < 0.1:
        photo = _collage(look, view, photo)
    return edit_photo(photo, rng)


@dataclass(frozen=True, slots=True)
class Job:
    """Photos for one worker to draw: post i shows `looks[look[i]]` and is saved as `names[i]`."""

    looks: tuple[Look, ...]
    look: Sequence[int]
    view: Sequence[int]
    edit: Sequence[int]
    quality: Sequence[int]
    names: Sequence[str]
    folder: Path
    size: int


def save_photos(job: Job) -> int:
    """Draw the photos of a job and save them as JPEG.

    Args:
        job: what to draw and where to.

    Returns:
        How many photos were saved.
    """
    for look, view, edit, quality, name in zip(job.look, job.view, job.edit, job.quality, job.names, strict=True):
        draw_photo(job.looks[look], view, edit, job.size).save(job.folder / name, quality=quality)
    return len(job.names)
