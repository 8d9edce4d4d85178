"""The run folder: its files, written together and read back."""

import json
import platform
import shutil
from collections.abc import Collection, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
from polars.io.plugins import register_io_source

from kembar.arrays import Rows, offsets_of, slices
from kembar.config import CONFIG_FILE, Config
from kembar.errors import FolderError
from kembar.evidence.pairs import Pairs
from kembar.grouping.groups import Groups
from kembar.grouping.links import LINKS
from kembar.grouping.matches import Matches, row_shares
from kembar.memory import let_go
from kembar.posts.catalog import Catalog
from kembar.posts.stored import read_manifest
from kembar.results import charts
from kembar.results.links import write_links
from kembar.results.page import page
from kembar.results.report import summary
from kembar.results.tables import for_spreadsheets, groups_table, lists_table

if TYPE_CHECKING:
    from kembar.results.result import Result

_FORMAT: Final = "kembar run"
_VERSION: Final = 1
_PAIRS: Final = 1 << 18  # written at once: bounds the memory
_READ: Final = 1 << 21  # pairs whose ids are read at once
_PACKAGES: Final = (*("kembar", "numpy", "scipy", "polars", "lightgbm", "onnxruntime", "sparse-dot-topn", "pillow"),)


def write_run(result: "Result", target: Path, like: Path | None = None) -> None:
    """Write all files of a run.

    Args:
        result: the run.
        target: an empty folder.
        like: a run folder with the same posts and pairs, whose files are copied.
    """
    result.matches.frame(result.catalog.ids).write_csv(target / "matches.csv")
    groups = groups_table(result)
    people = groups if result.catalog.shown is None else for_spreadsheets(groups)
    people.write_csv(target / "groups.csv")
    lists_table(result).write_parquet(target / "matches.parquet")
    if result.config.rule in LINKS:
        write_links(target, result.catalog, result.pairs, result.matches)
    if like is None:
        _write_pairs(result.pairs, result.catalog.ids, target / "pairs.parquet")
        result.catalog.save(target / "catalog")
    else:
        shutil.copyfile(like / "pairs.parquet", target / "pairs.parquet")
        shutil.copytree(like / "catalog", target / "catalog")
    (target / CONFIG_FILE).write_text(result.config.text(), encoding="utf-8")
    _write_json(target / "report.json", result.report)
    (target / "report.md").write_text(summary(result.report), encoding="utf-8")
    sizes, labels = np.bincount(result.groups.sizes()), result.labels()
    known = row_shares(labels) if (labels >= 0).any() else None
    chart = target / "group-sizes.svg"
    charts.group_sizes(sizes * np.arange(len(sizes)), known, chart)
    (target / "report.html").write_text(page(result, chart.read_text(encoding="utf-8")), encoding="utf-8")
    fingerprint = read_manifest(target / "catalog")["fingerprint"]
    _write_json(target / "manifest.json", _manifest(result, fingerprint))  # last: it marks the folder as complete


def read_run(source: Path, evidence: Collection[str] | None = None) -> dict[str, Any]:
    """Read a run folder.

    Args:
        source: what `write_run` wrote.
        evidence: columns of the pairs; what is not there is left out. None: all.

    Returns:
        The fields of a `Result`.

    Raises:
        FolderError: there is no whole run in the folder, or it is of another version.
    """
    manifest = _read_manifest(source)
    try:
        catalog = Catalog.load(source / "catalog")
        rows = pl.DataFrame({"id": catalog.ids}).with_row_index("row")
        answers = pl.read_parquet(source / "matches.parquet", glob=False)
        offsets = offsets_of(answers["matches"].list.len().to_numpy())
        return {
            "catalog": catalog,
            "config": Config.read(source / CONFIG_FILE),
            "pairs": _pairs(source / "pairs.parquet", rows, evidence),
            "matches": Matches(offsets, _rows_of(answers["matches"].explode(), rows)),
            "groups": Groups.named(answers["group_id"].rename("id")),
            "copy_of": _rows_of(answers["copy_of"], rows),
            "cut_off": answers["cut_off"].to_numpy() if "cut_off" in answers.columns else None,
            "seconds": manifest["seconds"],
            "peak_memory": manifest["peak_memory"],
            "compared": answers["compared"].to_numpy() if "compared" in answers.columns else None,
        }
    except (OSError, pl.exceptions.PolarsError, KeyError) as error:
        raise _incomplete(source, str(error).splitlines()[0]) from error


def _write_pairs(pairs: Pairs, ids: pl.Series, path: Path) -> None:
    """Write a table of pairs, some at a time: in memory, the ids alone would be larger than all evidence."""
    schema, parts = pairs.take(slice(0)).frame(ids).schema, _tables(pairs, ids)
    register_io_source(lambda *_: parts, schema=schema).sink_parquet(path, row_group_size=_PAIRS, maintain_order=True)


def _tables(pairs: Pairs, ids: pl.Series) -> Iterator[pl.DataFrame]:
    """Cut a table of pairs into pieces; what was read of mapped columns does not stay in memory."""
    columns: list[npt.NDArray[Any]] = [pairs.left, pairs.right, *pairs.evidence.values()]
    for rows in slices(len(pairs), _PAIRS):
        yield pairs.take(rows).frame(ids)
        for column in columns:
            let_go(column)


def _pairs(path: Path, rows: pl.DataFrame, evidence: Collection[str] | None) -> Pairs:
    """Read pairs; their ids some at a time: in memory, these alone would be larger than all evidence."""
    table = pl.scan_parquet(path, glob=False)
    names = [name for name in table.collect_schema().names()[2:] if evidence is None or name in evidence]
    columns = table.select(names).collect() if names else pl.DataFrame()
    ends = np.empty((2, table.select(pl.len()).collect().item()), dtype=np.int64)
    for part in slices(ends.shape[1], _READ):
        ids = table.select("left", "right").slice(part.start, part.stop - part.start).collect()
        ends[:, part] = [_rows_of(ids[end], rows) for end in ("left", "right")]
    return Pairs(ends[0], ends[1], {name: columns[name].to_numpy() for name in names})


def _manifest(result: "Result", fingerprint: str) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "version": _VERSION,
        "catalog": fingerprint,
        "posts": len(result),
        "config": result.config.model_dump(mode="json"),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        "seconds": {name: round(value, 3) for name, value in result.seconds.items()},
        "peak_memory": result.peak_memory,
    }


def _rows_of(ids: pl.Series, rows: pl.DataFrame) -> Rows:
    """Find the row of each posting id."""
    found = pl.DataFrame({"id": ids}).join(rows, on="id", how="left", maintain_order="left")["row"]
    if found.null_count():
        raise KeyError("a posting id that is not in the catalogue")
    return found.to_numpy().astype(np.int64)


def _write_json(path: Path, tree: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(tree, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _read_manifest(source: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((source / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        if not source.exists():
            raise FolderError(
                f"{str(source)!r}, which does not exist", "a run folder of `kembar match`", "Check the path."
            ) from None
        raise _incomplete(source, "no readable manifest.json") from error
    if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT or manifest.get("version") != _VERSION:
        raise FolderError(
            f"{str(source)!r}, another kind or version of folder",
            f"a run folder of version {_VERSION}",
            "Run `kembar match` again with this version.",
        )
    return manifest


def _incomplete(source: Path, found: str) -> FolderError:
    return FolderError(
        f"{str(source)!r}, with {found}", "a run folder of `kembar match`", "Check the path, or run it again."
    )
