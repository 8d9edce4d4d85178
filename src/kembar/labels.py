"""Known groups from a file of their own, brought to the order of a catalogue."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from kembar.columns import Columns, check_ids, read_ids, read_labels
from kembar.errors import CatalogError, quoted
from kembar.sources import read_table


def read_truth(path: Path | str, ids: pl.Series, columns: Columns | None = None) -> npt.NDArray[np.int64]:
    """Read the groups of posts.

    Args:
        path: CSV, TSV, Parquet or Arrow with a column of ids and one of labels, in any order; other posts may be in it.
        ids: (n,) String posting ids of the catalogue.
        columns: the names of the two columns; Shopee's by default.

    Returns:
        (n,) int64 group codes >= 0, -1 where the file does not tell.

    Raises:
        CatalogError: an unreadable file, a missing column, doubled ids, or none of the catalogue's posts in it.
    """
    columns = columns or Columns()
    wanted = [columns.id, columns.label or ""]
    table = read_table(Path(path), wanted)
    for name in wanted:
        if name not in table.frame.columns:
            raise CatalogError(
                f"{quoted(str(path))} without a column {quoted(name)}",
                f"columns {quoted(wanted[0])} and {quoted(wanted[1])}",
                "Name the columns with --id and --label.",
            )
    given = read_ids(table.frame[columns.id])
    check_ids(given)
    known = pl.DataFrame({"id": given, "label": read_labels(table.frame[wanted[1]])})
    found = pl.DataFrame({"id": ids}).join(known, on="id", how="left", maintain_order="left")["label"]
    if found.null_count() == len(found):
        raise CatalogError(
            f"{quoted(str(path))}, which holds none of the {len(ids)} posts of the run",
            "labels for the same posting ids",
            "Check the file and the id column.",
        )
    return found.fill_null(-1).to_numpy().astype(np.int64)
