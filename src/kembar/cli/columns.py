"""The options that name the columns of a file: described once, added to each command that reads posts."""

import csv
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
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
    "hash": ("--hash", "Column of 64-bit perceptual hashes, 16 hex digits.", "image_phash"),
    "label": ("--label", "Column of known groups.", "label_group"),
    "price": ("--price", "Column of prices, all in one currency.", "price"),
    "brand": ("--brand", "Column of brands.", "brand"),
    "source": ("--source", "Column of sellers or shops, each of which lists a product at most once.", None),
    "within": ("--within", "Column of categories; posts of two categories are never the same product.", None),
}
_SEVERAL: Final[dict[str, tuple[str, str]]] = {
    "image": ("--image", "Column of photo file names, `image` by default; repeat for further photos."),
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
_LISTS: Final[dict[str, tuple[str, str]]] = {  # several names in one option, separated by commas
    "shown": (
        "--with",
        "Columns to carry into groups.csv and matches.parquet, such as `title,price`; `title` and `image` always work. "
        "groups.csv is then for spreadsheets: text that begins with = + - @ has an apostrophe before it.",
    ),
}
ALL: Final = tuple(dict.fromkeys(("id", "title", "image", *_OPTIONS, *_SEVERAL, *_LISTS)))
OPTIONS: Final = {
    **{field: named[0] for field, named in (*_OPTIONS.items(), *_SEVERAL.items(), *_LISTS.items())},
    "further_images": "--image",
}
"""The option of each field."""


def column_options(*wanted: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options that name columns; it takes them together as its argument `columns`.

    Args:
        wanted: fields of `Columns`; none: all of them.
    """
    fields = wanted or ALL
    options = [_parameter(field) for field in fields]
    return with_options("columns", options, lambda *names: _columns(fields, names), _check_folder)


def right_column_options(*wanted: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command options such as `--right-title`, for the second of two files.

    It takes those that were given, as changes of `Columns`, as its argument `right_columns`.

    Args:
        wanted: fields of `Columns` that name one column.
    """

    def given(*names: str | None) -> dict[str, str]:
        return {field: name for field, name in zip(wanted, names, strict=True) if name is not None}

    return with_options("right_columns", [_right(field) for field in wanted], given)


def with_options(
    name: str,
    options: Sequence[inspect.Parameter],
    together: Callable[..., object],
    check: Callable[[Mapping[str, Any]], None] | None = None,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command further options, of which one argument is made.

    Args:
        name: of the argument.
        options: the parameters as typer reads them.
        together: makes the argument of their values, in that order.
        check: refuses options of the command that do not go together.
    """

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        """Give this command the options."""
        signature = inspect.signature(command, eval_str=True)
        own = [parameter for own_name, parameter in signature.parameters.items() if own_name != name]

        @wraps(command)
        def called(**given: Any) -> None:
            if check is not None:
                check(given)
            values = [given.pop(option.name) for option in options]
            command(**given, **{name: together(*values)})

        parameters = [*own, *options]
        called.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return called

    return decorated


def _right(field: str) -> inspect.Parameter:
    """Describe the option of a field for the second of two files."""
    option, text = (_OPTIONS.get(field) or _SEVERAL[field])[:2]
    name = option.replace("--", "--right-")
    single = Annotated[str | None, typer.Option(name, help=f"{text} Right file.", rich_help_panel=_RIGHT)]
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(f"{field}_right_column", kind, default=None, annotation=single)


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


def _columns(fields: Sequence[str], names: Sequence[Any]) -> "Columns":
    from kembar.posts.columns import Columns

    named = dict(zip(fields, names, strict=True))
    given: dict[str, Any] = {field: name for field, name in named.items() if field in _OPTIONS}
    given |= {field: None for field, name in given.items() if name == "" and field != "id"}  # `--hash ''` ignores it
    given |= {field: tuple(name or ()) for field, name in named.items() if field in _SEVERAL}
    given |= {field: _separated(name or ()) for field, name in named.items() if field in _LISTS}
    first, *further = given.pop("image", ()) or ("image",)
    return Columns(**given, image=first or None, further_images=tuple(further))


def _separated(texts: Iterable[str]) -> tuple[str, ...]:
    """Take names apart at their commas, but for those in double quotes."""
    names = [name.strip() for row in csv.reader(texts, skipinitialspace=True) for name in row]
    return tuple(dict.fromkeys(name for name in names if name))


def _check_folder(given: Mapping[str, Any]) -> None:
    from kembar.errors import CatalogError, quoted

    columns = given.get("image_column")
    if columns and columns[0] and given.get("images", "") is None:
        raise CatalogError(
            f"--image {quoted(columns[0])} without --images",
            "the folder that holds the photos",
            "Name it: --images FOLDER. Without one no photo is looked at.",
        )
