"""The forms of requests and answers; they make the OpenAPI document. What is not in a form is refused."""

import unicodedata
from typing import Annotated, Any, Literal

from fastapi import Header
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from kembar.errors import InputError, quoted
from kembar.service.settings import Settings
from kembar.store import Contradiction, Event

ID_BYTES = 512
"""Length of an id in UTF-8."""
NAMES = frozenset({"id", "title", "image", "hash", "price", "brand", "source", "category"})
"""The fields of a post that are not further texts."""
_LAST = 2**63 - 1  # the largest number of SQLite


def _id(value: str) -> str:
    if not value.strip() or len(value.encode("utf-8", "replace")) > ID_BYTES:
        raise ValueError(f"an id of 1 to {ID_BYTES} bytes that are not all blanks")
    if any(unicodedata.category(sign) in ("Cc", "Cs") for sign in value):
        raise ValueError("an id without control characters")
    return value


def _text(value: str) -> str:
    if "\x00" in value or any("\ud800" <= sign <= "\udfff" for sign in value):
        raise ValueError("text of whole characters, without NUL")
    return value


def _texts(texts: dict[str, str]) -> dict[str, str]:
    for name, value in texts.items():
        _text(name)
        if name.casefold() in NAMES or not name.strip():
            raise ValueError(f"names of texts other than {', '.join(sorted(NAMES))}")
        _text(value)
    return texts


def _photo_name(name: str) -> str:
    if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/"):
        raise ValueError("the name of a photo in the photo folder of the store")
    return _text(name)


_ID_FORM = {
    "pattern": r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
}  # for programs that read it
_TEXT_FORM = {"pattern": r"^[^\x00]*$"}
PostId = Annotated[
    str,
    AfterValidator(_id),
    Field(min_length=1, max_length=ID_BYTES, description="id of a post", json_schema_extra=_ID_FORM),
]
Text = Annotated[str, AfterValidator(_text), Field(json_schema_extra=_TEXT_FORM)]
ShortText = Annotated[str, AfterValidator(_text), Field(max_length=512, json_schema_extra=_TEXT_FORM)]
By = Annotated[
    str, AfterValidator(_text), Field(max_length=200, description="who does this", json_schema_extra=_TEXT_FORM)
]
Number = Annotated[int, Field(ge=0, le=_LAST)]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        pattern=r"^[!-~]+$",
        description="a request with a key that was seen before does nothing and is answered as the first one was",
    ),
]


class _Form(BaseModel):
    """What all forms of requests share: no other fields, no other types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


_ONE_OF: list[Any] = [
    {"properties": {name: {"minLength": 1}}, "required": [name]} for name in ("title", "image", "hash")
]


class GivenPost(_Form):
    """A post; it has a title, a photo or a hash."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": _ONE_OF}
    )  # `check_posts` checks it, where there is no photo beside it

    id: PostId
    title: Text = Field("", description="raw, as the seller wrote it")
    image: Annotated[str, AfterValidator(_photo_name)] = Field(
        "", max_length=1024, description="name of a photo that is in the store's photo folder already"
    )
    hash: str = Field("", pattern=r"^([0-9a-fA-F]{16})?$", description="perceptual hash of the photo, 16 hex digits")
    price: float | None = Field(None, gt=0, lt=1e15, allow_inf_nan=False)
    brand: ShortText = ""
    source: ShortText = Field("", description="who lists the post, such as a seller or a site")
    category: ShortText = ""
    texts: Annotated[dict[str, str], AfterValidator(_texts)] = Field(
        default_factory=dict, max_length=50, description="further texts by name, such as a model number"
    )

    def record(self) -> dict[str, Any]:
        """Give the post as the store reads it: further texts under their own names, nothing empty."""
        fields = {name: value for name in NAMES if (value := getattr(self, name)) not in ("", None)}
        return {**fields, **self.texts}


class SoughtPost(GivenPost):
    """A post to look up; it needs no id."""

    id: PostId | None = None  # type: ignore[assignment]


class AddPosts(_Form):
    """Posts to add or to change."""

    posts: list[GivenPost] = Field(min_length=1)
    by: By = ""


class LookUp(_Form):
    """Posts to look up."""

    posts: list[SoughtPost] = Field(min_length=1)
    limit: int = Field(20, ge=1, le=1000, description="candidates of each")


class RemovePosts(_Form):
    """Posts to remove."""

    ids: list[PostId] = Field(min_length=1)
    by: By = ""


class Decide(_Form):
    """What a person says of two posts."""

    a: PostId
    b: PostId
    verdict: Literal["same", "different", "variant", "unsure", "skip"]
    by: By = ""
    note: Text = Field("", max_length=2000)


class Move(_Form):
    """A post that is in the wrong group."""

    post: PostId
    group: Text | None = Field(None, max_length=1024, description="where it belongs; null: in a group of its own")
    by: By = ""
    note: Text = Field("", max_length=2000)


class Merge(_Form):
    """Two groups that are one product."""

    left: Text = Field(max_length=1024)
    right: Text = Field(max_length=1024)
    by: By = ""
    note: Text = Field("", max_length=2000)


class Accept(_Form):
    """Groups that a person has seen, and each of which is one product."""

    groups: list[Annotated[Text, Field(max_length=1024)]] = Field(min_length=1)
    by: By = ""
    note: Text = Field("", max_length=2000)


class Person(_Form):
    """Who does this."""

    by: By = ""


class _Told(BaseModel):
    """What answers share: they are read from values of the store."""

    model_config = ConfigDict(from_attributes=True)


class CandidateTold(_Told):
    """A post that another one may be the same product as."""

    id: str
    group: str
    probability: float
    band: Literal["sure", "review", "apart"]


class PlacedTold(_Told):
    """What became of a post."""

    id: str
    how: Literal["attached", "founded", "known", "updated"]
    group: str
    candidates: list[CandidateTold]
    merges: list[str] = Field(description="other groups that may be the same product: for people to decide")
    problems: list[str] = Field(description="what of the post could not be used")


class FoundTold(_Told):
    """What is like a post that was looked up."""

    id: str = Field(description='as given, "" where none was')
    group: str | None = Field(description="where it would be attached; null: it would found a group")
    candidates: list[CandidateTold]
    problems: list[str]


class PlacedPosts(BaseModel):
    """Where posts were placed, in the order given."""

    placed: list[PlacedTold]


class FoundPosts(BaseModel):
    """What was found, in the order given."""

    found: list[FoundTold]


class OneEvent(BaseModel):
    """What was recorded."""

    event: Event


class Events(BaseModel):
    """A page of the log; `next` is the `after` of the next page, null at the end."""

    events: list[Event]
    next: int | None


class Contradictions(BaseModel):
    """Decisions that cannot all hold."""

    contradictions: list[Contradiction]


class GroupSize(BaseModel):
    """A group without its posts."""

    id: str
    size: int


class Groups(BaseModel):
    """A page of groups by id; `next` is the `after` of the next page, null at the end."""

    groups: list[GroupSize]
    next: str | None


class Health(BaseModel):
    """Whether the service is there."""

    status: Literal["alive", "ready"]


def check_posts(posts: list[Any], settings: Settings, *, photo: bool = False) -> None:
    """Refuse too many posts, too long texts, where the length is the operator's choice, and posts that say nothing.

    Args:
        posts: of one request.
        settings: of the service.
        photo: there is a photo beside them.

    Raises:
        InputError: likewise.
    """
    check_number(len(posts), "posts", settings)
    for post in posts:
        if not (photo or post.title or post.image or post.hash):
            raise InputError(
                f"post {quoted(post.id)} with nothing to match by", "a title, an image or a hash", "Give one of them."
            )
        longest = max((post.title, *post.texts.values(), *post.texts), key=len)
        if len(longest) > settings.max_title:
            raise InputError(
                f"a text of {len(longest):,} characters in post {quoted(post.id)}",
                f"at most {settings.max_title:,}",
                "Shorten it; words beyond that tell nothing.",
            )


def check_number(number: int, what: str, settings: Settings) -> None:
    """Refuse a list that is too long for one request.

    Raises:
        InputError: likewise.
    """
    if number > settings.max_posts:
        raise InputError(f"{number:,} {what}", f"at most {settings.max_posts:,} in a request", "Send several requests.")
