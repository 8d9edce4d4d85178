"""Files of the pages: styles, scripts, the icon, and photos scaled down for lists."""

from functools import cache, lru_cache
from hashlib import blake2b
from importlib.resources import files
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from kembar.errors import UnknownError, quoted
from kembar.results.thumbnails import thumbnail
from kembar.service.pages.reviewed import reviewed
from kembar.store.listing import photo_name

router = APIRouter(include_in_schema=False)

SIDE: Final = 320
"""Pixels of a photo in a list: twice what it takes there, for dense screens."""
_KINDS: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".txt": "text/plain"}
_KEPT: Final = 2048  # small photos in memory, some 10 kB each
_HOUR: Final = {"Cache-Control": "private, max-age=3600"}


@router.get("/static/{name}")
def static(request: Request, name: str) -> Response:
    """Give a file of the pages, or say that the browser has it already."""
    found = _static().get(name)
    if found is None:
        raise UnknownError(f"file {quoted(name)}", "a file of the pages", "Open /review.")
    headers = {"Cache-Control": "no-cache", "ETag": f'"{blake2b(found, digest_size=8).hexdigest()}"'}
    if request.headers.get("If-None-Match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(found, media_type=_KINDS[Path(name).suffix], headers=headers)


@router.get("/review/small/{row}")
def small(request: Request, row: int) -> Response:
    """Give the photo of a post, scaled down."""
    live = reviewed(request).live
    name = photo_name(live.reading(), row)
    path = live.photos / name
    found = _small(path, _changed(path)) if name and path.resolve().is_relative_to(live.photos.resolve()) else None
    if found is None:
        raise UnknownError(f"the photo of post number {row}", "a photo that can be shown", "Open the post itself.")
    return Response(found, media_type="image/jpeg", headers=_HOUR)


@cache
def _static() -> dict[str, bytes]:
    """Read the files once: no request reaches the disk by a name of its own."""
    folder = files("kembar.service.pages") / "static"
    return {entry.name: entry.read_bytes() for entry in folder.iterdir() if Path(entry.name).suffix in _KINDS}


@lru_cache(_KEPT)
def _small(path: Path, changed: float) -> bytes | None:
    return thumbnail(path, SIDE)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
