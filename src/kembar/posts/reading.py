"""From a source to the rows of posts: read, columns found, what is no post left out, rows of one product joined."""

import logging
from dataclasses import replace
from typing import Final

from kembar.errors import CatalogError, quoted
from kembar.posts.columns import Columns
from kembar.posts.headings import Headings
from kembar.posts.ids import check_padding, read_ids, rewritten_ids
from kembar.posts.layout import Layout
from kembar.posts.notes import Note
from kembar.posts.sources import Source, Table, read_table
from kembar.posts.tidying import joined, tidied

_PLAIN: Final = ("encoding", "container", "header")  # what changes no row and no cell

log = logging.getLogger(__name__)


def read_posts(source: Source, columns: Columns, layout: Layout) -> tuple[Table, Columns]:
    """Read the rows of posts.

    Args:
        source: as `read_table` takes it.
        columns: what is said of its columns.
        layout: what is said about a file.

    Returns:
        The table, one row per post, with a note of all that was not plain; and the columns, those found by name too.

    Raises:
        CatalogError: the source cannot be read, lacks a column or has no posts.
    """
    headings = Headings(columns)
    table = read_table(source, headings, layout)
    found, notes = headings.find(table.names)
    found.check(table.source, table.names)
    frame = table.frame
    if table.is_file:
        frame, rows = tidied(frame, found, layout)
        notes += tuple(rows)
    if not len(frame):
        raise CatalogError(
            f"{quoted(table.source)} with a header and no rows" if table.names else "nothing",
            "at least one post",
            "Export the posts again.",
        )
    frame, products = joined(frame, found)
    ids = read_ids(frame[found.id])
    notes += (*products, *check_padding(ids), *rewritten_ids(ids, workbook=table.is_workbook))
    _tell(table.source, (*table.notes, *notes))
    return replace(table, frame=frame, notes=(*table.notes, *notes)), found


def _tell(source: str, notes: tuple[Note, ...]) -> None:
    for note in notes:
        level = logging.INFO if note.kind in _PLAIN else logging.WARNING
        log.log(level, "%s: %s%s", source, f"{note.count:,} " if note.count else "", note.detail)
