"""Columns found by name: in the exports of marketplaces and shops, where the names of `Columns` are absent."""

import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any, Final

from kembar.errors import CatalogError, quoted
from kembar.posts.columns import Columns
from kembar.posts.notes import Note

_FOUND: Final = ("id", "title", "image", "price", "brand")
"""The fields found by name under the name of the field itself; a gtin becomes an identifier."""
_LAWS: Final = {"category": "--within", "seller": "--source"}
_ANY: Final = "other"
_DEFAULT: Final = Columns()


@dataclass(frozen=True, slots=True)
class Headings:
    """The columns of posts, named by the user or found by their names in exports.

    Args:
        columns: what is said of the columns; a name other than the default one must be there.
    """

    columns: Columns

    def fits(self, cells: Sequence[str]) -> bool:
        """Whether a row looks like the header of a table of posts: it names an id, and a title, photo or hash."""
        try:
            found, _ = self.find(cells)
        except CatalogError:  # of two columns nobody can tell which is meant: a header, certainly
            return True
        return found.id in cells and bool({found.title, found.image, found.hash} & set(cells))

    def wanted(self, names: Collection[str]) -> Collection[str]:
        """Return the names of the columns to read, among those of a header."""
        return self.find(names)[0].wanted()

    def plain(self, names: Collection[str]) -> Collection[str]:
        """Return the names of the columns that are text or numbers: no lists, no objects."""
        found, _ = self.find(names)
        return {found.id, found.title, found.hash, found.label, found.price, found.brand} - {None}  # type: ignore[return-value]

    def find(self, names: Collection[str]) -> tuple[Columns, tuple[Note, ...]]:
        """Find the columns that are absent under their default names.

        Args:
            names: all names of a table.

        Returns:
            The columns, and a note of those found by name.

        Raises:
            CatalogError: the names fit two exports that disagree, or two columns may be the id.
        """
        known = {_plain(name): name for name in reversed(list(names)) if name}
        absent = [field for field in _FOUND if self._is_absent(field, names)]
        if not {"id", "title"} & set(absent) or not known:
            return self.columns, ()
        own = {field: known[plain] for field in absent if (plain := _plain(getattr(_DEFAULT, field))) in known}
        if "id" in own or "id" not in absent:
            own |= _one_each(known, [field for field in absent if field not in own])
            return self._with(own, "", known)
        shop, found = _export(known, self._given(names))
        chosen = {field: name for field, name in found.items() if field in absent}
        return self._with(chosen | own, shop, found)

    def _is_absent(self, field: str, names: Collection[str]) -> bool:
        name = getattr(self.columns, field)
        return name == getattr(_DEFAULT, field) and name not in names

    def _given(self, names: Collection[str]) -> set[str]:
        """List the fields that have their column."""
        return {field for field in _FOUND if getattr(self.columns, field) in names}

    def _with(self, chosen: Mapping[str, str], shop: str, found: Mapping[str, str]) -> tuple[Columns, tuple[Note, ...]]:
        changes: dict[str, Any] = {field: name for field, name in chosen.items() if field in _FOUND}
        if not changes:
            return self.columns, ()
        if shop and "gtin" in found and not self.columns.identifiers:
            changes["identifiers"] = (found["gtin"],)
        told = ", ".join(f"{field} {quoted(''.join(name))}" for field, name in changes.items())
        laws = [f"{option} {quoted(found[field])}" for field, option in _LAWS.items() if shop and field in found]
        more = f"; there are also {' and '.join(laws)}" if laws else ""
        named = f"as in exports of {shop}: " if shop and shop != _ANY else ""
        return replace(self.columns, **changes), (Note("columns", f"found by name, {named}{told}{more}"),)


def is_heading(cell: str) -> bool:
    """Whether a cell is the name of a column in some export."""
    return _plain(cell) in _every_name()


def is_instruction(cell: str) -> bool:
    """Whether a cell says what a template wants in its column."""
    plain = _plain(cell)
    return plain in _tables()["instructions"]["words"] or plain.startswith("et title ")


def is_total(cell: str) -> bool:
    """Whether a cell is the word for a total."""
    return _plain(cell) in _tables()["instructions"]["totals"]


def _plain(name: str) -> str:
    """Take a name without case and signs."""
    return re.sub(r"[\W_]+", " ", name).strip().casefold()


@cache
def _tables() -> dict[str, dict[str, list[str]]]:
    return tomllib.loads(files("kembar.posts").joinpath("headings.toml").read_text(encoding="utf-8"))


@cache
def _every_name() -> frozenset[str]:
    shops = [table for name, table in _tables().items() if name != "instructions"]
    return frozenset(name for table in shops for names in table.values() for name in names)


def _export(known: Mapping[str, str], given: set[str]) -> tuple[str, dict[str, str]]:
    """Find the export whose names fit best: its name, and its columns by what they hold."""
    found: dict[str, dict[str, str]] = {}
    for shop, table in _tables().items():
        if shop not in (_ANY, "instructions"):
            first = {field: next((name for name in names if name in known), None) for field, names in table.items()}
            found[shop] = {field: known[name] for field, name in first.items() if name is not None}
    fitting = {shop: columns for shop, columns in found.items() if _is_whole(columns, given) and len(columns) > 2}
    if not fitting:
        return _ANY, _one_each(known, _FOUND)
    most = max(map(len, fitting.values()))
    best = {shop: columns for shop, columns in fitting.items() if len(columns) == most}
    (shop, columns), *others = best.items()
    for other, its in others:
        differ = [field for field in ("id", "title") if its.get(field) != columns.get(field) and field not in given]
        if differ:
            raise CatalogError(
                f"columns as in exports of {shop} and of {other}: the {differ[0]} may be "
                f"{quoted(columns.get(differ[0]))} or {quoted(its.get(differ[0]))}",
                "names that tell",
                f"Name it: --{differ[0]}.",
            )
        columns = its | columns
    return shop, columns


def _is_whole(columns: Mapping[str, str], given: set[str]) -> bool:
    return "id" in {*columns, *given} and bool({"title", "image"} & {*columns, *given})


def _one_each(known: Mapping[str, str], fields: Collection[str]) -> dict[str, str]:
    """Find columns by the names that a catalogue of any origin may have; one for each, or none."""
    found: dict[str, str] = {}
    for field in fields:
        names = [known[name] for name in _tables()[_ANY][field] if name in known]
        if len(names) > 1 and field in ("id", "title"):
            raise CatalogError(
                f"columns {' and '.join(map(quoted, names[:5]))}, any of which may be the {field}",
                f"one column for the {field}",
                f"Name it: --{field}.",
            )
        if len(names) == 1:
            found[field] = names[0]
    return found
