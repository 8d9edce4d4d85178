"""A run in a database: tables with keys, all of them or nothing, through ADBC."""

import re
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from kembar.errors import FolderError, MissingExtraError, quoted
from kembar.folders import check_file, new_file
from kembar.results.tables import one_row_per_group, one_row_per_match, one_row_per_pair, posts_table

if TYPE_CHECKING:
    from kembar.results.result import Result

_FILES: Final = {"duckdb": "duckdb", "sqlite": "adbc-driver-sqlite"}  # by the beginning of the target: distribution
_POSTGRES: Final = ("postgres://", "postgresql://")
_MARK: Final = "kembar_run"
"""The table by which an earlier export is known."""
_TYPES: Final = {pl.String: "TEXT", pl.Int64: "BIGINT", pl.Float64: "FLOAT8", pl.Float32: "FLOAT4"}
_NAMES: Final = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')",
    "duckdb": "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()",
    "postgresql": "SELECT table_name::text FROM information_schema.tables WHERE table_schema = current_schema()",
}


@dataclass(frozen=True, slots=True)
class _Table:
    """A table: its rows, the columns that are its key, and the tables that columns point into."""

    rows: pl.DataFrame
    key: tuple[str, ...]
    references: Mapping[str, str] = field(default_factory=dict)

    def definition(self, name: str) -> str:
        """Write the statement that creates it."""
        parts = [f"{_name(column)} {_TYPES[type(dtype)]}" for column, dtype in self.rows.schema.items()]
        parts.append(f"PRIMARY KEY ({', '.join(map(_name, self.key))})")
        parts += [f"FOREIGN KEY ({_name(column)}) REFERENCES {_name(to)}" for column, to in self.references.items()]
        return f"CREATE TABLE {_name(name)} ({', '.join(parts)})"


def is_database(target: str) -> bool:
    """Tell whether a target of an export is a database."""
    return target.startswith((*_POSTGRES, *(f"{kind}:" for kind in _FILES)))


def to_database(result: "Result", target: str, *, overwrite: bool = False) -> None:
    """Write the tables groups, posts, matches, pairs and kembar_run, in one transaction.

    Args:
        result: the run.
        target: "duckdb:FILE", "sqlite:FILE" or "postgresql://..."; other tables that are there are left alone.
        overwrite: replace the tables of an earlier export.

    Raises:
        FolderError: the tables are there, or the database cannot be opened or refuses them; nothing was written then.
        MissingExtraError: the driver is not installed.
    """
    tables = _tables(result)
    with (
        _opened(target) as (kind, driver, address),
        _refusals(driver, target),
        closing(driver.connect(address)) as connection,
    ):
        _write(connection, kind, target, tables, overwrite)
        connection.commit()


def _tables(result: "Result") -> dict[str, _Table]:
    """Lay out the tables, each behind those that it points into."""
    config = result.config
    told = {
        "catalog": result.catalog.fingerprint(),
        "model": config.model,
        "rule": config.rule,
        "cut": f"{config.group_cut:g}",
    }
    posts = dict.fromkeys(("posting_id", "match_id"), "posts")
    ends = dict.fromkeys(("left_id", "right_id"), "posts")
    return {
        _MARK: _Table(pl.DataFrame({"key": list(told), "value": list(told.values())}), ("key",)),
        "groups": _Table(one_row_per_group(result), ("group_id",)),
        "posts": _Table(posts_table(result), ("posting_id",), {"group_id": "groups"}),
        "matches": _Table(one_row_per_match(result), ("posting_id", "rank"), posts),
        "pairs": _Table(_distinct(one_row_per_pair(result)), ("left_id", "right_id"), ends),
    }


def _write(connection: Any, kind: str, target: str, tables: Mapping[str, _Table], overwrite: bool) -> None:
    with closing(connection.cursor()) as cursor:
        cursor.execute(_NAMES[kind])
        there = set(pl.DataFrame(cursor.fetch_arrow()).to_series().to_list())
    taken = [name for name in tables if name in there]
    if taken and not (overwrite and _MARK in there):
        raise FolderError(
            f"{_shown(target)}, which has a table {taken[0]!r}",
            f"a database without the tables {', '.join(tables)}, or with those of an earlier export",
            "Name another database or schema" + (", or pass overwrite=True." if _MARK in there else "."),
        )
    with closing(connection.cursor()) as cursor:
        for name in reversed(taken):
            cursor.execute(f"DROP TABLE {_name(name)}")
        for name, table in tables.items():
            cursor.execute(table.definition(name))
            if len(table.rows):
                cursor.adbc_ingest(name, table.rows, mode="append")


@contextmanager
def _opened(target: str) -> Iterator[tuple[str, Any, str]]:
    """Find the kind, the driver and the address of a target; a new file has its name only when it is complete."""
    if target.startswith(_POSTGRES):
        yield "postgresql", _driver("adbc_driver_postgresql", "adbc-driver-postgresql"), target
        return
    kind, _, path = target.partition(":")
    driver = _driver(f"adbc_driver_{kind}", _FILES[kind])
    check_file(path)
    there = Path(path).is_file() and Path(path).stat().st_size > 0
    with nullcontext(Path(path)) if there else new_file(path) as file:
        if not there:
            file.unlink()  # DuckDB takes no empty file for a database
        yield kind, driver, str(file)


def _driver(module: str, distribution: str) -> Any:
    try:
        return import_module(f"{module}.dbapi")
    except ModuleNotFoundError as error:
        raise MissingExtraError(distribution, "export") from error


@contextmanager
def _refusals(driver: Any, target: str) -> Iterator[None]:
    """Say what a database refused, in its own words."""
    try:
        yield
    except driver.Error as error:
        why = " ".join(str(error).split())[:300]
        raise FolderError(
            f"{_shown(target)}, which refused the tables ({why})",
            "a database that can be opened and written",
            "See to what it says; nothing was written.",
        ) from error


def _distinct(frame: pl.DataFrame) -> pl.DataFrame:
    """Rename columns that differ in case alone, which databases do not tell apart."""
    seen: dict[str, str] = {}
    for name in frame.columns:
        free = name
        while free.casefold() in seen:
            free = f"{free}_"
        seen[free.casefold()] = free
    return frame.rename(dict(zip(frame.columns, seen.values(), strict=True)))


def _name(name: str) -> str:
    """Quote a name for SQL."""
    return '"' + name.replace('"', '""') + '"'


def _shown(target: str) -> str:
    """Quote a target without its password."""
    return quoted(re.sub(r"(//[^:/@]*):[^@/]*@", r"\1:***@", target))
