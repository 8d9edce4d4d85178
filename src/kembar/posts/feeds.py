"""Product feeds in XML: RSS and Atom as Google Merchant Center takes them, and offers as Yandex does."""

from typing import Final
from xml.parsers import expat

import polars as pl

from kembar.errors import CatalogError, quoted
from kembar.posts.layout import Layout
from kembar.posts.notes import Note
from kembar.posts.table import Table, Wanted, present

_RECORDS: Final = {"item", "entry", "offer"}
_BLOCK: Final = 1 << 20


class _Parser:
    """Collects the elements of each product that hold text, by their names without the namespace."""

    def __init__(self, encoding: str | None) -> None:
        self.records: list[dict[str, list[str]]] = []
        self.root = ""
        self.record: dict[str, list[str]] | None = None
        self.depth = 0  # below the product
        self.nested = False
        self.text: list[str] = []
        self.expat = expat.ParserCreate(encoding, namespace_separator=" ")
        self.expat.buffer_text = True
        self.expat.StartElementHandler = self.start
        self.expat.EndElementHandler = self.end
        self.expat.CharacterDataHandler = self.text.append
        self.expat.EntityDeclHandler = self.entity

    def entity(self, name: str, *_: object) -> None:
        """Refuse entities: a few lines of them unpack to gigabytes."""
        raise CatalogError(
            f"a feed that declares the entity {quoted(name)}",
            "a feed without entities of its own; this looks like a bomb",
            "Export the feed again without a DOCTYPE.",
        )

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Begin an element: a record, or a part of one."""
        name = name.rpartition(" ")[2]
        self.root = self.root or name
        self.text.clear()
        if self.record is not None:
            self.depth += 1
            self.nested = False
        elif name in _RECORDS:
            self.record = {key: [value] for key, value in attributes.items()}

    def end(self, name: str) -> None:
        """Take the text of a part into its record, or the record into the list."""
        name = name.rpartition(" ")[2]
        if self.record is None:
            return
        if not self.depth:
            self.records.append(self.record)
            self.record = None
            return
        if self.depth == 1 and not self.nested:
            self.record.setdefault(name, []).append("".join(self.text).strip())
        self.nested = True  # what encloses this element
        self.depth -= 1
        if not self.depth:
            self.nested = False
        self.text.clear()


def read_feed(raw: bytes, source: str, wanted: Wanted, layout: Layout) -> Table:
    """Read the wanted elements of the products of a feed.

    Args:
        raw: the bytes of the file.
        source: what the file is called in messages.
        wanted: the columns that are looked for.
        layout: what is said about the file.

    Returns:
        The table, all String. Of repeated elements the first counts, except photos: these are joined by "|".

    Raises:
        CatalogError: no well-formed XML, no products in it, or entities of its own.
    """
    parser = _Parser(layout.encoding)
    try:
        for start in range(0, len(raw), _BLOCK):
            parser.expat.Parse(raw[start : start + _BLOCK], False)
        parser.expat.Parse(b"", True)
    except (expat.ExpatError, LookupError, ValueError) as error:
        if isinstance(error, CatalogError):
            raise
        raise CatalogError(
            f"{quoted(source)}, which is no well-formed XML ({error})",
            "a feed of products: RSS or Atom",
            "Export the feed again; the file is cut short, damaged or of another kind.",
        ) from error
    if not parser.records:
        raise CatalogError(
            f"{quoted(source)}, XML of <{parser.root}> without products",
            f"a feed with elements {', '.join(f'<{name}>' for name in sorted(_RECORDS))}",
            "Export the posts as CSV, or as a feed for Google Merchant Center.",
        )
    names = list(dict.fromkeys(name for record in parser.records for name in record))
    chosen = present(names, wanted)
    columns = {name: [_cell(name, record.get(name, [])) for record in parser.records] for name in chosen}
    note = Note("container", f"the products of a feed of <{parser.root}>")
    return Table(source, names, pl.DataFrame(columns, schema=dict.fromkeys(chosen, pl.String)), (note,), is_file=True)


def _cell(name: str, values: list[str]) -> str | None:
    if "image" in name or "picture" in name:
        return "|".join(filter(None, values)) or None
    return next(filter(None, values), None)
