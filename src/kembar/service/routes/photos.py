"""The photos of the store: nothing else of this machine can be read."""

from pathlib import Path

from fastapi import APIRouter
from starlette.responses import FileResponse

from kembar.errors import UnknownError, quoted
from kembar.service.answers import described
from kembar.service.context import Context, Here
from kembar.service.media import media_type_of
from kembar.service.security import PHOTO_POLICY
from kembar.service.uploads import photo_path

router = APIRouter(tags=["photos"])


@router.get("/photos/{name:path}", responses=described(404, 422, 429), response_class=FileResponse)
async def show_photo(here: Here, name: str) -> FileResponse:
    """Send a photo by its name in the store, as the kind it is by its content."""
    path, kind = await here.call(_found, here, name)
    headers = {"Content-Security-Policy": PHOTO_POLICY, "Cache-Control": "private, max-age=86400"}
    return FileResponse(path, media_type=kind, headers=headers, content_disposition_type="inline")


def _found(here: Context, name: str) -> tuple[Path, str]:
    """Find a photo: a file, itself in the folder, that begins as a photo does.

    Raises:
        UnknownError: there is none of this name.
    """
    path = photo_path(here.live.photos, name)
    kind = None if path is None else media_type_of(path)
    if path is None or kind is None:
        raise UnknownError(f"photo {quoted(name)}", "the name of a photo in the store", "See the image of the post.")
    return path, kind
