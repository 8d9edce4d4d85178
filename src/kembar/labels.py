"""Known groups: read from a file of their own, joined for a split that leaks nothing, checked for contradictions."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

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


def super_components(
    labels: npt.NDArray[np.int64], hashes: npt.NDArray[np.uint64], hashed: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int64]:
    """Join groups that share a photo's hash: the units of a split in which no fold can tell on another.

    Of 34,250 labelled Shopee posts 147 hashes appear in more than one group.

    Args:
        labels: (n,) group codes >= 0, -1 where unknown: such a post is a group of its own.
        hashes: (n,) uint64 hashes of photos.
        hashed: (n,) bool, False where there is none.

    Returns:
        (n,) int64 numbers, dense from 0, equal within a component.
    """
    n = len(labels)
    groups = np.where(labels >= 0, labels, labels.max(initial=-1) + 1 + np.arange(n))
    groups = np.unique(groups, return_inverse=True)[1]
    codes = groups.max(initial=-1) + 1 + np.unique(hashes, return_inverse=True)[1]
    links = (np.ones(int(hashed.sum()), dtype=np.int8), (groups[hashed], codes[hashed]))
    size = int(max(groups.max(initial=-1), codes.max(initial=-1))) + 1
    found = connected_components(sp.coo_matrix(links, shape=(size, size)), directed=False)[1][groups]
    return np.unique(found, return_inverse=True)[1].astype(np.int64)


def contradictions(
    left: npt.NDArray[np.int64], right: npt.NDArray[np.int64], same: npt.NDArray[np.bool_], n: int
) -> npt.NDArray[np.int64]:
    """Find labelled pairs that contradict the others: A = B and B = C, but A is not C.

    Args:
        left: (m,) rows.
        right: (m,) rows.
        same: (m,) bool, whether the pair is said to be one product.
        n: number of posts.

    Returns:
        Places in the m pairs of those said to differ although a chain of others says that they are the same, rising.
    """
    links = (np.ones(int(same.sum()), dtype=np.int8), (left[same], right[same]))
    group = connected_components(sp.coo_matrix(links, shape=(n, n)), directed=False)[1]
    return np.flatnonzero(~same & (group[left] == group[right]))
