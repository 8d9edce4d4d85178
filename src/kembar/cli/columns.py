"""The options that name the columns of a file: described once, added to each command that reads posts."""

import csv
import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:
    from kembar.posts.columns import Columns

_PANEL: Final = "Columns"
_OPTIONS: Final[dict[str, tuple[str, str, str | None]]] = {  # by field: option, help, name by default
    "id": ("--id", "Column of posting ids.", "posting_id"),
    "title": ("--title", "Column of titles.", "title"),
    "image": ("--image", "Column of photo file names.", "image"),
    "hash": ("--hash", "Column of 64-bit perceptual hashes, 16 hex digits.", "image_phash"),
    "label": ("--label", "Column of known groups.", "label_group"),
    "price": ("--price", "Column of prices, all in one currency.", "price"),
    "brand": ("--brand", "Column of brands.", "brand"),
}
_SEVERAL: Final[dict[str, tuple[str, str]]] = {
    "further": (
        "--column",
        "Another column that describes the post, such as a model number or a description; repeat for more.",
    ),
}
_LISTS: Final[dict[str, tuple[str, str]]] = {  # several names in one option, separated by commas
    "shown": (
        "--with",
        "Columns to carry into groups.csv and matches.parquet, such as `title,price`; `title` and `image` always work. "
        "groups.csv is then for spreadsheets: text that begins with = + - @ has an apostrophe before it.",
    ),
}
ALL: Final = (*_OPTIONS, *_SEVERAL, *_LISTS)


def column_options(*wanted: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options that name columns; it takes them together as its argument `columns`.

    Args:
        wanted: fields of `Columns`; none: all of them.
    """

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        own = [parameter for name, parameter in signature.parameters.items() if name != "columns"]
        added = {f"{field}_column": _parameter(field) for field in wanted or ALL}

        @wraps(command)
        def called(**given: Any) -> None:
            names = {field: given.pop(f"{field}_column") for field in wanted or ALL}
            command(**given, columns=_columns(names))

        parameters = [*own, *added.values()]
        called.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return called

    return decorated


def _parameter(field: str) -> inspect.Parameter:
    """Describe the option of a field as typer reads it."""
    name, kind = f"{field}_column", inspect.Parameter.KEYWORD_ONLY
    if field in _SEVERAL or field in _LISTS:
        option, text = {**_SEVERAL, **_LISTS}[field]
        several = Annotated[list[str] | None, typer.Option(option, help=text, rich_help_panel=_PANEL)]
        return inspect.Parameter(name, kind, default=None, annotation=several)
    option, text, default = _OPTIONS[field]
    single = Annotated[str | None, typer.Option(option, help=text, rich_help_panel=_PANEL)]
    return inspect.Parameter(name, kind, default=default, annotation=single)


def _columns(names: dict[str, Any]) -> "Columns":
    from kembar.posts.columns import Columns

    given: dict[str, Any] = {field: name for field, name in names.items() if field in _OPTIONS}
    given |= {field: tuple(name or ()) for field, name in names.items() if field in _SEVERAL}
    given |= {field: _separated(name or ()) for field, name in names.items() if field in _LISTS}
    return Columns(**given)


def _separated(texts: Iterable[str]) -> tuple[str, ...]:
    """Take names apart at their commas, but for those in double quotes."""
    names = [name.strip() for row in csv.reader(texts, skipinitialspace=True) for name in row]
    return tuple(dict.fromkeys(name for name in names if name))
