"""Photos as small pictures, for pages and workbooks that hold them inside."""

import io
from base64 import b64encode
from pathlib import Path
from typing import Final

from PIL import Image

from kembar.errors import PhotoError
from kembar.posts.photos import open_photo

_QUALITY: Final = 72


def thumbnail(path: Path | None, side: int) -> bytes | None:
    """Scale a photo down, its proportions kept.

    Args:
        path: the photo; None: there is none.
        side: the longer side in pixels.

    Returns:
        A JPEG without anything but the picture, on the average some kilobytes; None where there is no photo that can
        be used.
    """
    if path is None:
        return None
    try:
        photo = open_photo(path, size=side)
    except PhotoError:
        return None
    photo.thumbnail((side, side), Image.Resampling.BICUBIC)
    out = io.BytesIO()
    photo.save(out, "JPEG", quality=_QUALITY, optimize=True)
    return out.getvalue()


def data_uri(picture: bytes) -> str:
    """Write a JPEG as an address that holds it."""
    return f"data:image/jpeg;base64,{b64encode(picture).decode()}"
