"""HTML by a function: elements whose text is escaped unless it is an element itself."""

from collections.abc import Sequence
from html import escape
from typing import Final

from kembar.errors import visible

_EMPTY: Final = {"img", "meta", "br"}


class Html(str):
    """Text that is HTML already; any other text is escaped before it becomes a part of some."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        return self


def element(name: str, /, *inside: str, **attributes: str | int) -> Html:
    """Make an element.

    Args:
        name: of the element, such as "p".
        inside: elements, and text, which is escaped; control characters and those that turn the direction of text are
            shown as escapes.
        attributes: their values are escaped; "_" at the end of a name is left out, another one becomes "-".
    """
    given = "".join(f' {key.rstrip("_").replace("_", "-")}="{_text(str(value))}"' for key, value in attributes.items())
    return Html(f"<{name}{given}>" if name in _EMPTY else f"<{name}{given}>{joined(*inside)}</{name}>")


def joined(*parts: str) -> Html:
    """Put elements and texts one behind the other."""
    return Html("".join(part if isinstance(part, Html) else _text(part) for part in parts))


def table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Html:
    """Make a table; cells that are numbers, by their look, stand at the right."""
    head = element("tr", *(element("th", cell) for cell in header))
    body = (element("tr", *(_cell(cell) for cell in row)) for row in rows)
    return element("div", element("table", element("thead", head), element("tbody", *body)), class_="wide")


def _cell(cell: str) -> Html:
    number = not isinstance(cell, Html) and cell.replace(",", "").replace(".", "").replace("%", "").isdigit()
    return element("td", cell, class_="number") if number else element("td", cell)


def _text(text: str) -> str:
    return escape(visible(text))
