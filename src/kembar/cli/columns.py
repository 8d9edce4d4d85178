"""The options that name the columns of a file: described once, added to each command that reads posts."""

import inspect
from collections.abc import Callable
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
    "identifiers": (
        "--identifier",
        "Column of codes that name a product everywhere, such as a GTIN (EAN, UPC, ISBN) or a manufacturer's part "
        "number; repeat for more.",
    ),
}
ALL: Final = (*_OPTIONS, *_SEVERAL)
OPTIONS: Final = {field: named[0] for field, named in (*_OPTIONS.items(), *_SEVERAL.items())}
"""The option of each field."""


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
    if field in _SEVERAL:
        option, text = _SEVERAL[field]
        several = Annotated[list[str] | None, typer.Option(option, help=text, rich_help_panel=_PANEL)]
        return inspect.Parameter(name, kind, default=None, annotation=several)
    option, text, default = _OPTIONS[field]
    single = Annotated[str | None, typer.Option(option, help=text, rich_help_panel=_PANEL)]
    return inspect.Parameter(name, kind, default=default, annotation=single)


def _columns(names: dict[str, Any]) -> "Columns":
    from kembar.posts.columns import Columns

    given: dict[str, Any] = {field: tuple(name or ()) if field in _SEVERAL else name for field, name in names.items()}
    given |= {field: None for field, name in given.items() if name == "" and field != "id"}  # `--hash ''` ignores it
    return Columns(**given)
