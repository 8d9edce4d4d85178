"""Posts: add, change, remove, show, look up."""

from dataclasses import replace
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Form, Request, UploadFile
from pydantic import BaseModel, ValidationError

from kembar.errors import CatalogError, InputError, quoted
from kembar.posts.catalog import Catalog
from kembar.service.answers import described, invalid_request
from kembar.service.bodies import READS_FORMS, READS_JSON
from kembar.service.context import Context, Here
from kembar.service.models import (
    AddPosts,
    By,
    FoundPosts,
    FoundTold,
    GivenPost,
    Key,
    LookUp,
    OneEvent,
    PlacedPosts,
    PlacedTold,
    RemovePosts,
    SoughtPost,
    check_number,
    check_posts,
)
from kembar.service.uploads import photo_path
from kembar.store import Found, Placed, Post

router = APIRouter(prefix="/v1", tags=["posts"])
_ADD, _LOOK_UP = (409, 413, 415, 422, 429), (413, 415, 422, 429)  # statuses of errors
Form_ = TypeVar("Form_", bound=BaseModel)
_FIELDS = frozenset({"post", "photo", "by", "limit"})  # of forms with a photo


@router.post("/posts", dependencies=READS_JSON, responses=described(*_ADD))
async def add_posts(here: Here, given: AddPosts, key: Key = None) -> PlacedPosts:
    """Add posts; the answer comes when they are on disk. One that is there with the same content is known already."""
    check_posts(given.posts, here.settings)

    def add() -> list[Placed]:
        """Add them, in a thread."""
        return here.live.add(_read(here, [post.record() for post in given.posts]), by=given.by, key=key)

    return _told(await here.call(add))


@router.post("/posts/with-photo", dependencies=READS_FORMS, responses=described(403, *_ADD))
async def add_post_with_photo(
    here: Here,
    request: Request,
    post: Annotated[str, Form(description="the post as JSON, as in `/v1/posts`")],
    photo: UploadFile,
    by: Annotated[By, Form()] = "",
    key: Key = None,
) -> PlacedPosts:
    """Add a post with its photo, whose name in the store is made from its content."""
    given, data = await _with_photo(request, here, GivenPost, post, photo)

    def add() -> list[Placed]:
        """Store the photo and add the post, in a thread; or neither."""
        with here.uploads.stored(data, photo.filename or "") as image:
            return here.live.add(here.live.read([{**given.record(), "image": image}]), by=by, key=key)

    return _told(await here.call(add))


@router.put("/posts", dependencies=READS_JSON, responses=described(404, *_ADD))
async def update_posts(here: Here, given: AddPosts, key: Key = None) -> PlacedPosts:
    """Give posts that are there another content; they are placed anew."""
    check_posts(given.posts, here.settings)

    def update() -> list[Placed]:
        """Change them, in a thread."""
        return here.live.update(_read(here, [post.record() for post in given.posts]), by=given.by, key=key)

    return _told(await here.call(update))


@router.post("/posts/remove", dependencies=READS_JSON, responses=described(404, *_ADD))
async def remove_posts(here: Here, given: RemovePosts, key: Key = None) -> OneEvent:
    """Remove posts: all of them, or none where one is unknown."""
    check_number(len(given.ids), "ids", here.settings)
    return OneEvent(event=await here.call(here.live.remove, given.ids, by=given.by, key=key))


@router.delete("/posts/{id:path}", responses=described(404, 409, 422, 429))
async def remove_post(here: Here, id: str, by: By = "", key: Key = None) -> OneEvent:
    """Remove a post."""
    return OneEvent(event=await here.call(here.live.remove, [id], by=by, key=key))


@router.get("/posts/{id:path}", responses=described(404, 422, 429))
async def show_post(here: Here, id: str) -> Post:
    """Show a post and the group it is in."""
    return await here.call(here.live.post, id)


@router.post("/lookup", dependencies=READS_JSON, tags=["lookup"], responses=described(*_LOOK_UP))
async def look_up(here: Here, given: LookUp) -> FoundPosts:
    """Find the posts that are the same product as each of these, and where each would be attached; nothing is added."""
    check_posts(given.posts, here.settings)

    def find() -> list[Found]:
        """Look them up, in a thread."""
        return here.live.lookup(_read(here, _sought(given.posts)), limit=given.limit)

    return _found(await here.call(find), given.posts)


@router.post(
    "/lookup/with-photo", dependencies=READS_FORMS, tags=["lookup"], responses=described(403, 413, 415, 422, 429)
)
async def look_up_with_photo(
    here: Here,
    request: Request,
    post: Annotated[str, Form(description="the post as JSON, as in `/v1/lookup`")],
    photo: UploadFile,
    limit: Annotated[int, Form(ge=1, le=1000)] = 20,
) -> FoundPosts:
    """Look up a post with its photo; neither is kept."""
    given, data = await _with_photo(request, here, SoughtPost, post, photo)

    def find() -> list[Found]:
        """Look it up, in a thread."""
        with here.uploads.checked(data, photo.filename or "") as path:
            record = {**_sought([given])[0], "image": path.name}
            return here.live.lookup(here.live.read([record]), limit=limit)

    return _found(await here.call(find), [given])


def _read(here: Context, records: list[dict[str, Any]]) -> Catalog:
    """Read posts, whose photos are in the store already.

    Raises:
        CatalogError: one of them is not.
    """
    for name in (record["image"] for record in records if "image" in record):
        if photo_path(here.live.photos, name) is None:
            raise CatalogError(
                f"photo {quoted(name)}, which is not in the store",
                "the name of a photo in its folder",
                "Send the photo with the post, to /v1/posts/with-photo.",
            )
    return here.live.read(records)


def _sought(posts: list[SoughtPost]) -> list[dict[str, Any]]:
    """Give posts as the store reads them; those without an id get one that no post has."""
    return [{"id": f"\x1f{number}", **post.record()} for number, post in enumerate(posts, 1)]


def _found(found: list[Found], posts: list[SoughtPost]) -> FoundPosts:
    """Answer with the ids that were given, "" where none was."""
    named = (replace(each, id=post.id or "") for each, post in zip(found, posts, strict=True))
    return FoundPosts(found=[FoundTold.model_validate(each) for each in named])


async def _with_photo(
    request: Request, here: Context, form: type[Form_], post: str, photo: UploadFile
) -> tuple[Form_, bytes]:
    """Read a form with a post and a photo."""
    for name in await request.form():
        if name not in _FIELDS:
            raise InputError(f"an unknown field: {quoted(name)}", "post and photo", "Leave it out.")
    try:
        given = form.model_validate_json(post)
    except ValidationError as error:
        raise invalid_request([{**fault, "loc": ("post", *fault["loc"])} for fault in error.errors()]) from error
    check_posts([given], here.settings, photo=True)
    return given, await photo.read()


def _told(placed: list[Placed]) -> PlacedPosts:
    return PlacedPosts(placed=[PlacedTold.model_validate(each) for each in placed])
