"""A run for other programs: a workbook, or tables in a database."""

from pathlib import Path
from typing import TYPE_CHECKING

from kembar.errors import ConfigError
from kembar.results.databases import is_database, to_database
from kembar.results.workbook import to_workbook

if TYPE_CHECKING:
    from kembar.results.result import Result


def export(result: "Result", target: str, *, overwrite: bool = False) -> None:
    """Write a run somewhere else.

    Args:
        result: the run.
        target: a file whose name ends with .xlsx, "duckdb:FILE", "sqlite:FILE" or "postgresql://...".
        overwrite: replace an earlier export.

    Raises:
        ConfigError: another target.
        FolderError: something is in the way, or cannot be written.
        MissingExtraError: a library that this needs is not installed.
    """
    check_target(target)
    if is_database(target):
        to_database(result, target, overwrite=overwrite)
    else:
        to_workbook(result, Path(target))


def check_target(target: str) -> None:
    """Refuse a target that is none; raises ConfigError."""
    if target.lower().endswith(".xlsx") or (is_database(target) and not target.endswith(":")):
        return
    raise ConfigError(
        f"an export to {target!r}",
        "FILE.xlsx, duckdb:FILE, sqlite:FILE or postgresql://USER@HOST/DATABASE",
        "Begin a database with its kind, end a workbook with .xlsx.",
    )
