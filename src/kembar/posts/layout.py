"""How a file is laid out, as far as its user says so."""

from dataclasses import dataclass
from typing import Final

from kembar.errors import CatalogError, quoted

_BAD_ROWS: Final = ("fail", "skip")


@dataclass(frozen=True, slots=True)
class Layout:
    """What is said about a file of posts; the defaults find out.

    Args:
        encoding: of a text file, such as "cp1252"; None: found by looking.
        skip_rows: lines before the header; None: found by the names of the columns.
        skip_after: rows after the header that hold no posts, such as the instructions of a template; None: found.
        bad_rows: "fail" refuses a text file with a row that has more or fewer cells than the header; "skip" leaves such
            rows out and counts them.
        sheet: name of the sheet of a workbook; None: the one that holds posts.

    Raises:
        CatalogError: a value of another kind.
    """

    encoding: str | None = None
    skip_rows: int | None = None
    skip_after: int | None = None
    bad_rows: str = "fail"
    sheet: str | None = None

    def __post_init__(self) -> None:
        if self.bad_rows not in _BAD_ROWS:
            raise CatalogError(f"bad_rows = {quoted(self.bad_rows)}", "'skip' or 'fail'", "Give one of the two.")
        for name in ("skip_rows", "skip_after"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < 0):
                raise CatalogError(f"{name} = {quoted(value)}", "a whole number from 0", "Give a number of rows.")
