"""The options that say how a file of posts is laid out: described once, added to each command that reads posts."""

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from kembar.cli.columns import with_options

if TYPE_CHECKING:
    from kembar.posts.layout import Layout

_PANEL: Final = "File of posts"
_OPTIONS: Final[dict[str, tuple[str, Any, Any, str]]] = {  # by field: option, type, default, help
    "encoding": ("--encoding", str | None, None, "Encoding of a text file, such as `cp1252`; found by default."),
    "skip_rows": (
        "--skip-rows",
        int | None,
        None,
        "Lines before the header; found by the names of columns by default.",
    ),
    "skip_after": ("--skip-after", int | None, None, "Rows below the header that are no posts, as in templates."),
    "bad_rows": ("--bad-rows", str, "fail", "Rows with more or fewer cells than the header: `fail` or `skip`."),
    "sheet": ("--sheet", str | None, None, "Sheet of a workbook; the one with posts by default."),
}


def layout_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options on the layout of a file; it takes them together as its argument `layout`."""
    return with_options("layout", [_parameter(field) for field in _OPTIONS], _layout)(command)


def _parameter(field: str) -> inspect.Parameter:
    option, kind, default, text = _OPTIONS[field]
    annotation: Any = Annotated[kind, typer.Option(option, help=text, rich_help_panel=_PANEL)]
    return inspect.Parameter(field, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _layout(*values: Any) -> "Layout":
    from kembar.posts.layout import Layout

    return Layout(*values)
