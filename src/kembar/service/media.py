"""What kind of photo a file is, by its first bytes, as decoders see it: never by its name or by what a client says."""

from pathlib import Path
from typing import Final

HEAD: Final = 32  # bytes that tell
SUFFIXES: Final = {
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/gif": ".gif",
    "image/webp": ".webp",
    "image/avif": ".avif",
    "image/heic": ".heic",
    "image/bmp": ".bmp",
    "image/tiff": ".tif",
    "image/jp2": ".jp2",
    "image/x-portable-anymap": ".ppm",
}
"""The kinds that are served, with the suffix of the files of an upload."""
_STARTS: Final = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"II+\x00", "image/tiff"),
    (b"MM\x00+", "image/tiff"),
    (b"\xff\x4f\xff\x51", "image/jp2"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "image/jp2"),
)
_BRANDS: Final = {b"avi": "image/avif", b"hei": "image/heic", b"hev": "image/heic", b"mif": "image/heic"}


def media_type(head: bytes) -> str | None:
    """Name the kind of a photo.

    Args:
        head: the first 32 bytes.

    Returns:
        Its media type, such as image/jpeg; None: no photo that kembar reads.
    """
    for start, kind in _STARTS:
        if head.startswith(start):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:11])
    if head[:1] == b"P" and head[1:2] in (b"1", b"2", b"3", b"4", b"5", b"6") and head[2:3].isspace():
        return "image/x-portable-anymap"
    return None


def media_type_of(path: Path) -> str | None:
    """Name the kind of the photo in a file."""
    with path.open("rb") as stream:
        return media_type(stream.read(HEAD))
