"""A run as a workbook for Excel and its like: groups in bands of colour, photos, doubtful pairs, figures."""

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from kembar.errors import MissingExtraError, visible
from kembar.folders import new_file
from kembar.results.questions import near, one_each
from kembar.results.report import count_lines, estimate_words, note_lines
from kembar.results.tables import groups_table
from kembar.results.thumbnails import thumbnail

if TYPE_CHECKING:
    from kembar.results.result import Result

ROWS: Final = 1_048_575  # of a sheet, below its header
PHOTOS: Final = 5_000  # groups beyond have their photos by name only: a workbook is to open quickly
_SIDE: Final = 64  # pixels of a photo
_TALL: Final = 52.0  # points of a row with a photo
_PAIRS: Final = 200
_CELL: Final = 32_000  # characters that a cell holds
_WIDTHS: Final = {
    **{"title": 60, "left_title": 50, "right_title": 50},
    **{"photo": 10, "left_photo": 10, "right_photo": 10, "size": 8, "mean_similarity": 18, "weakest_similarity": 20},
}
_BANDS: Final = ("#ffffff", "#e4eef5")


def to_workbook(result: "Result", path: Path | str) -> None:
    """Write a workbook: a sheet of groups, the largest first, one of doubtful pairs, one of figures.

    All text is written as text: ids keep their zeros, and nothing becomes a formula or a link.

    Args:
        result: the run.
        path: the file to make or replace.

    Raises:
        FolderError: the file cannot be written.
        MissingExtraError: xlsxwriter is not installed.
    """
    try:
        import xlsxwriter
    except ModuleNotFoundError as error:
        raise MissingExtraError("xlsxwriter", "excel") from error
    plain = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False, "in_memory": True}
    with new_file(path) as target, xlsxwriter.Workbook(str(target), plain) as book:
        _groups(book, result)
        _pairs(book, result)
        _figures(book, result.report)


def _groups(book: Any, result: "Result") -> None:
    """Write the groups: as many sheets as their rows need, no group on two of them if it fits on one."""
    table = groups_table(result).with_row_index("row").with_columns(pl.Series("title", result.catalog.titles))
    ordered = table.sort("size", "group_id", "posting_id", descending=[True, False, False])
    rows = ordered["row"].to_list()
    table = ordered.drop("row").select("group_id", "size", "posting_id", "title", pl.all().exclude(_FIRST))
    paths = result.catalog.photo_paths()
    photos = {"photo": [paths[row] for row in rows[:PHOTOS]]}
    bands = (ordered["group_id"].rle_id() % 2).to_list()
    for number, start in enumerate(range(0, max(1, len(table)), ROWS), 1):
        part = {name: given[start : start + ROWS] for name, given in photos.items()}
        name = "Groups" if number == 1 else f"Groups {number}"
        _sheet(book, name, table[start : start + ROWS], part, bands[start : start + ROWS])


_FIRST: Final = ("group_id", "size", "posting_id", "title")


def _pairs(book: Any, result: "Result") -> None:
    """Write the pairs nearest to the cut, one of each neighbourhood first."""
    pairs, catalog = doubtful_pairs(result, _PAIRS), result.catalog
    paths = catalog.photo_paths()
    photos = {f"{end}_photo": [paths[row] for row in pairs[f"{end}_row"]] for end in ("left", "right")}
    table = pairs.drop("left_row", "right_row")
    _sheet(book, "Doubtful pairs", table, photos, [at % 2 for at in range(len(table))])


def doubtful_pairs(result: "Result", n: int) -> pl.DataFrame:
    """Find the pairs whose similarity is nearest to the cut.

    Args:
        result: the run.
        n: rows wanted.

    Returns:
        Columns similarity, same_group ("yes" or "no"), left, right, left_title, right_title, left_row, right_row.
    """
    order = near(result.similarity, result.cut(), result.draws())
    chosen = one_each(result.pairs, order, result.groups.labels, n)
    left, right = result.pairs.left[chosen], result.pairs.right[chosen]
    ids, titles, labels = result.catalog.ids, result.catalog.titles, result.groups.labels
    return pl.DataFrame(
        {
            "similarity": result.similarity[chosen].astype(float).round(4),
            "same_group": pl.Series(labels[left] == labels[right]).replace_strict({True: "yes", False: "no"}),
            **{"left": ids.gather(left), "right": ids.gather(right)},
            **{"left_title": titles.gather(left), "right_title": titles.gather(right)},
            **{"left_row": left, "right_row": right},
        }
    )


def _sheet(
    book: Any, name: str, table: pl.DataFrame, photos: Mapping[str, Sequence[Path | None]], bands: Sequence[int]
) -> None:
    """Write a table below its header, photos in the first columns."""
    sheet = book.add_worksheet(name)
    shown = {column: paths for column, paths in photos.items() if any(paths)}
    header, bold = [*shown, *table.columns], book.add_format({"bold": True, "bottom": 1})
    for at, column in enumerate(header):
        sheet.set_column(at, at, _WIDTHS.get(column, 16))
        sheet.write_string(0, at, _cell(column), bold)
    style = {"valign": "top", "align": "left", "text_wrap": True}  # numbers too, or they touch the next column's text
    formats = [book.add_format({"bg_color": color, **style}) for color in _BANDS]
    for at, row in enumerate(table.iter_rows(), 1):
        form = formats[bands[at - 1]]
        _row(sheet, at, [*([None] * len(shown)), *row], form)
    for at, paths in enumerate(shown.values()):
        _photos(sheet, at, paths)
    sheet.freeze_panes(1, len(shown))
    sheet.set_landscape()
    sheet.fit_to_pages(1, 0)  # on paper: all columns on one page, as many pages as the rows need
    sheet.repeat_rows(0)
    sheet.set_footer(f"&L{name}&RPage &P of &N")
    sheet.autofilter(0, 0, max(1, len(table)), len(header) - 1)


def _row(sheet: Any, at: int, row: Iterable[Any], form: Any) -> None:
    for place, value in enumerate(row):
        if value is None:
            sheet.write_blank(at, place, None, form)
        elif isinstance(value, str):
            sheet.write_string(at, place, _cell(value), form)
        else:
            sheet.write_number(at, place, value, form)


def _photos(sheet: Any, column: int, paths: Sequence[Path | None]) -> None:
    for at, path in enumerate(paths, 1):
        small = thumbnail(path, _SIDE)
        if small is not None:
            sheet.set_row(at, _TALL)
            given = {"image_data": io.BytesIO(small), "object_position": 1, "x_offset": 2, "y_offset": 2}
            sheet.insert_image(at, column, f"{at}.jpg", given)


def _figures(book: Any, report: Mapping[str, Any]) -> None:
    """Write what report.md tells."""
    sheet = book.add_worksheet("Figures")
    sheet.set_column(0, 0, 110, book.add_format({"text_wrap": True}))
    scores = report["scores"]
    known = (
        []
        if scores is None
        else [
            f"Against the known groups: F1 {scores['f1']:.4f}, precision "
            f"{scores['precision']:.4f}, recall {scores['recall']:.4f} over {scores['posts']:,} posts"
        ]
    )
    told = [] if report["estimate"] is None else [estimate_words(report["estimate"])]
    photos = f"Photos are shown for the first {PHOTOS:,} rows of the groups."
    for at, line in enumerate([*count_lines(report), *note_lines(report), *known, *told, photos]):
        sheet.write_string(at, 0, _cell(line))
    sheet.write_row(at + 2, 0, ["posts in the group", "groups"])
    for down, (size, count) in enumerate(report["groups_by_size"].items(), at + 3):
        sheet.write_row(down, 0, [int(size), count])


def _cell(text: str) -> str:
    return visible(text)[:_CELL]
