"""The options that name the columns of a file: described once, added to each command that reads posts."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:
    from kembar.posts.columns import Columns

_PANEL: Final = "Columns"
_RIGHT: Final = "Columns of the right file, where they differ"
_OPTIONS: Final[dict[str, tuple[str, str, str | None]]] = {  # by field: option, help, name by default
    "id": ("--id", "Column of posting ids.", "posting_id"),
    "title": ("--title", "Column of titles.", "title"),
    "image": ("--image", "Column of photo file names.", "image"),
    "hash": ("--hash", "Column of 64-bit perceptual hashes, 16 hex digits.", "image_phash"),
    "label": ("--label", "Column of known groups.", "label_group"),
    "price": ("--price", "Column of prices, all in one currency.", "price"),
    "brand": ("--brand", "Column of brands.", "brand"),
    "source": ("--source", "Column of sellers or shops, each of which lists a product at most once.", None),
    "within": ("--within", "Column of categories; posts of two categories are never the same product.", None),
}
_SEVERAL: Final[dict[str, tuple[str, str]]] = {
    "further": (
        "--column",
        "Another column that describes the post, such as a model number or a description; repeat for more.",
    ),
}
ALL: Final = (*_OPTIONS, *_SEVERAL)


def column_options(*wanted: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options that name columns; it takes them together as its argument `columns`.

    Args:
        wanted: fields of `Columns`; none: all of them.
    """
    return _gathered("columns", {f"{field}_column": _parameter(field) for field in wanted or ALL}, _columns)


def right_column_options(*wanted: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command options such as `--right-title`, for the second of two files.

    It takes those that were given, as changes of `Columns`, as its argument `right_columns`.

    Args:
        wanted: fields of `Columns` that name one column.
    """

    def given(names: dict[str, Any]) -> dict[str, Any]:
        return {field: name for field, name in names.items() if name is not None}

    return _gathered("right_columns", {f"{field}_right_column": _right(field) for field in wanted}, given)


def _gathered(
    argument: str, added: dict[str, inspect.Parameter], gather: Callable[[dict[str, Any]], Any]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Replace an argument of a command by options from which it is gathered, by field."""

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        own = [parameter for name, parameter in signature.parameters.items() if name != argument]

        @wraps(command)
        def called(**given: Any) -> None:
            names = {name.split("_")[0]: given.pop(name) for name in added}
            command(**given, **{argument: gather(names)})

        parameters = [*own, *added.values()]
        called.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return called

    return decorated


def _right(field: str) -> inspect.Parameter:
    """Describe the option of a field for the second of two files."""
    option, text, _ = _OPTIONS[field]
    name = option.replace("--", "--right-")
    single = Annotated[str | None, typer.Option(name, help=f"{text} Right file.", rich_help_panel=_RIGHT)]
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(f"{field}_right_column", kind, default=None, annotation=single)


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
    return Columns(**given)
