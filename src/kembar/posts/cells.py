"""Cells of text that other programs would take for something else: formulas of spreadsheets, separators of lists."""

import polars as pl

_FORMULA = r"^'*[=+\-@\t\r]"


def guarded(cells: pl.Series) -> pl.Series:
    """Put an apostrophe before cells that a spreadsheet would take for formulas: those that begin with = + - or @.

    Args:
        cells: (n,) String.

    Returns:
        (n,) String; `unguarded` gives the cells back, also those that begin with an apostrophe themselves.
    """
    return cells.str.replace(_FORMULA, "'${0}")


def unguarded(cells: pl.Series) -> pl.Series:
    """Take off the apostrophe that `guarded` put there: (n,) String."""
    formulas = cells.str.contains(r"^'+[=+\-@\t\r]")
    return cells.str.slice(1).zip_with(formulas, cells)


def listed(ids: pl.Series) -> pl.Series:
    """Write ids so that blanks can separate them, as CSV does with commas.

    Args:
        ids: (n,) String.

    Returns:
        (n,) String; one with white space or a double quote is in double quotes, those inside it doubled. Joined by
        blanks, `csv.reader` reads them again with a blank as its delimiter.
    """
    odd = ids.str.contains(r'[\s"]')
    return ('"' + ids.str.replace_all('"', '""', literal=True) + '"').zip_with(odd, ids)
