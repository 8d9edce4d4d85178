"""A new store: empty, or begun with the posts, pairs and groups of a finished run."""

import json
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np

from kembar.config import Config
from kembar.errors import ConfigError, StoreError, quoted
from kembar.grouping.links import LINKS
from kembar.results.result import Result
from kembar.store.database import PHOTOS, Database
from kembar.store.photos import taken_in
from kembar.store.posts import COLUMNS, records_of, values_of
from kembar.store.reports import begun_with
from kembar.store.tables import put_pairs

_TOLD: Final = 1000
"""Posts of a run that one event tells of."""


def founded(folder: Path, run: Result | None, config: Config) -> Database:
    """Make a store; arguments as of `kembar.store.Live.create`.

    Returns:
        The store; where anything fails there is none.
    """
    chosen = config if run is None else run.config
    _check(folder, chosen)
    there = folder.is_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"{quoted(folder)}, which cannot be made ({error.strerror})", "a folder that can be made", "Choose another."
        ) from error
    try:
        database = Database.create(folder, {"config": json.dumps(chosen.model_dump(mode="json"))})
        try:
            _begun(database, run)
        except BaseException:
            database.close()
            raise
    except BaseException:
        for path in folder.iterdir() if there else ():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if not there:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    return database


def config_of(database: Database) -> Config:
    """Read the configuration of a store; raises StoreError where it is damaged."""
    try:
        return Config.of(json.loads(database.about()["config"]))
    except (KeyError, ValueError) as error:
        raise StoreError(
            f"{quoted(database.folder)}: a damaged configuration ({error})",
            "a whole store",
            "Repair it with `kembar store repair`, or take a copy that is whole.",
        ) from error


def _check(folder: Path, config: Config) -> None:
    with suppress(OSError):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise StoreError(f"{quoted(folder)}, which is there already", "a new folder", "Choose another name.")
    if config.rule != "group" and config.rule not in LINKS:
        raise ConfigError(
            f"rule {config.rule!r}, which makes lists",
            "rule 'group', which makes groups",
            "Regroup the run first.",
        )


def _begun(database: Database, run: Result | None) -> None:
    posts = None if run is None else taken_in(run.catalog, database.folder / PHOTOS)
    with database.change("create") as change:
        change.body["posts"] = 0 if run is None else len(run)
        if run is None or posts is None:
            return
        write, records = change.write, records_of(posts)
        names, groups = run.groups.ids.to_list(), run.groups.labels.tolist()
        for begin in range(0, len(records), _TOLD):  # an event each, so that none is too long
            some = slice(begin, begin + _TOLD)
            change.also("create", begun_with(records[some], [names[group] for group in groups[some]]))
        write.executemany("INSERT INTO groups (row, id) VALUES (?, ?)", enumerate(names, start=1))
        full = np.zeros(len(run), dtype=bool) if run.cut_off is None else run.cut_off
        rows = (
            (row, *values_of(record), group + 1, int(is_full))
            for row, (record, group, is_full) in enumerate(zip(records, groups, full.tolist(), strict=True), start=1)
        )
        marks = ", ".join("?" * (len(COLUMNS.split(", ")) + 3))
        write.executemany(f"INSERT INTO posts (row, {COLUMNS}, group_row, full) VALUES ({marks})", rows)
        put_pairs(write, run.pairs.left + 1, run.pairs.right + 1, run.similarity)
