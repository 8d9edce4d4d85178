"""Known groups: read from a file of their own, joined for a split that leaks nothing, checked for contradictions."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from kembar.arrays import Bools, Rows, connected
from kembar.errors import CatalogError, EvidenceError, quoted
from kembar.posts.cells import unguarded
from kembar.posts.columns import Columns
from kembar.posts.further import read_text
from kembar.posts.identifiers import holds_gtins, normalized
from kembar.posts.ids import check_ids, read_ids
from kembar.posts.problems import PROBLEMS
from kembar.posts.sources import read_table
from kembar.posts.text import as_text, wrong_type

_NUMBER = r"^-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]*)?$"  # with a leading zero it is a name
_WHOLE = r"^-?[0-9]+(?:\.0*)?$"


def read_labels(cells: pl.Series) -> Rows:
    """Number the groups 0, 1, 2, ... by their sorted names, so that the order of rows does not matter.

    Args:
        cells: (n,) whole numbers (floats and text may hold them) or text; null, NaN, "" and -1 are unknown.

    Returns:
        (n,) int64 codes, dense from 0; -1 where unknown.

    Raises:
        CatalogError: numbers that are not whole, or cells of another type.
    """
    if cells.dtype == pl.Boolean:
        raise wrong_type(cells, "label")
    labels = cells if cells.dtype.is_integer() else as_text(cells, "label")
    if labels.dtype == pl.String:
        labels = _whole(labels.set(labels.is_in(["", "-1", "-1.0"]), None))
    elif labels.dtype.is_signed_integer():
        labels = labels.set(labels == -1, None)
    return (labels.rank("dense").cast(pl.Int64) - 1).fill_null(-1).to_numpy()


def read_groups(frame: pl.DataFrame, columns: Columns, ids: pl.Series) -> tuple[Rows | None, pl.DataFrame]:
    """Number the groups of the column of labels.

    Args:
        frame: n rows, the cells as they were read.
        columns: the name of the column. Where it is also named as an identifier, or most of its values are GTINs, posts
            with an equal code in normal form are a group (see kembar.posts.identifiers).
        ids: (n,) ids, for the problems.

    Returns:
        (n,) int64 codes as of `read_labels`, None where there is no such column; and the problems: codes that cannot be
        used, which leave the group unknown.

    Raises:
        CatalogError: see `read_labels`.
    """
    none = pl.DataFrame(schema=PROBLEMS)
    if columns.label not in frame.columns:
        return None, none
    cells = frame[columns.label]
    labels = read_labels(cells)
    if columns.label in columns.identifiers or holds_gtins(read_text(cells)):
        codes, found = normalized(cells, ids, "label")
        return read_labels(codes), found
    return labels, none


def _whole(labels: pl.Series) -> pl.Series:
    """Read text as whole numbers where all of it is, so that a CSV file and a typed one give the same codes."""
    given = labels.drop_nulls()
    if not given.str.contains(_NUMBER).all():
        return labels
    whole = given.str.contains(_WHOLE)
    if not whole.all():
        raise CatalogError(
            f"labels that are not whole numbers, such as {quoted(given.filter(~whole)[0])}",
            "whole numbers or names of groups",
            "Name the column of groups, Columns(label=...), or ignore it, Columns(label=None).",
        )
    return labels.str.replace(r"\.0*$", "").cast(pl.Int64)


def read_truth(path: Path | str, ids: pl.Series, columns: Columns | None = None) -> Rows:
    """Read the groups of posts.

    Args:
        path: CSV, TSV, Parquet or Arrow with a column of ids and one of labels, in any order; other posts may be in it.
        ids: (n,) String posting ids of the catalogue.
        columns: the names of the two columns; Shopee's by default.

    Returns:
        (n,) int64 group codes >= 0, -1 where the file does not say.

    Raises:
        CatalogError: an unreadable file, a missing column, repeated ids, or none of the catalogue's posts in it.
    """
    columns = columns or Columns()
    wanted = [columns.id, columns.label or ""]
    table = read_table(Path(path), wanted)
    for name in wanted:
        if name not in table.frame.columns:
            raise CatalogError(
                f"{quoted(Path(path))} without a column {quoted(name)}",
                f"columns {quoted(wanted[0])} and {quoted(wanted[1])}",
                "Name the columns: Columns(id=...), Columns(label=...).",
            )
    given = read_ids(table.frame[columns.id])
    check_ids(given)
    labels, _ = read_groups(table.frame, columns, given)
    known = pl.DataFrame({"id": given, "label": labels})
    found = pl.DataFrame({"id": ids}).join(known, on="id", how="left", maintain_order="left")["label"]
    if found.null_count() == len(found):
        raise CatalogError(
            f"{quoted(Path(path))}, which holds none of the {len(ids)} posts of the run",
            "labels for the same posting ids",
            "Check the file and the id column.",
        )
    return found.fill_null(-1).to_numpy().astype(np.int64)


@dataclass(frozen=True, slots=True)
class LabelledPairs:
    """Pairs of posts that somebody has labelled as the same product or not.

    Attributes:
        left: (m,) int64 rows.
        right: (m,) int64 rows, left < right, each pair once.
        same: (m,) bool, whether the two sell one product.
    """

    left: Rows
    right: Rows
    same: Bools

    def groups(self, n: int) -> Rows:
        """Join the posts that are said to be the same: (n,) int64 group codes, -1 for posts in no pair."""
        group = connected(self.left[self.same], self.right[self.same], n)
        asked = np.zeros(n, dtype=bool)
        asked[self.left] = asked[self.right] = True
        return np.where(asked, group, -1)


def read_pairs(path: Path | str, ids: pl.Series) -> LabelledPairs:
    """Read labelled pairs, such as the answers to `kembar label-queue`.

    Args:
        path: CSV, TSV, Parquet or Arrow with the columns left and right (posting ids) and same (1 or 0, true or false,
            yes or no; empty where nobody knows). An apostrophe before an id that begins with = + - or @ is left out,
            as `kembar label-queue` puts it there for spreadsheets.
        ids: (n,) String posting ids of the catalogue; pairs with other posts are left out.

    Returns:
        The pairs, ordered by left, then right.

    Raises:
        CatalogError: an unreadable file, a missing column, an unknown answer, or no pair of the catalogue's posts.
        EvidenceError: answers that contradict each other; the first five are named.
    """
    frame = read_table(Path(path), ["left", "right", "same"]).frame
    missing = [name for name in ("left", "right", "same") if name not in frame.columns]
    if missing:
        raise CatalogError(
            f"{quoted(Path(path))} without a column {quoted(missing[0])}",
            "columns left, right and same",
            "Rename the columns of the file.",
        )
    rows = pl.DataFrame({"id": ids}).with_row_index("row")
    ends = [_rows(unguarded(read_ids(frame[end])), rows) for end in ("left", "right")]
    same = _answers(frame["same"], path)
    if len(same) and not (same >= 0).any():
        raise CatalogError(
            f"{quoted(Path(path))}, whose column same is empty",
            "1 (same product) or 0 (not) in some rows",
            "Answer some of the questions, save the file, and try again.",
        )
    known = (ends[0] >= 0) & (ends[1] >= 0) & (ends[0] != ends[1]) & (same >= 0)
    if not known.any():
        raise CatalogError(
            f"{quoted(Path(path))}, which holds no pair of the posts", "pairs of ids of the posts", "Check the ids."
        )
    low, high = np.minimum(*ends)[known], np.maximum(*ends)[known]
    found = np.unique(np.stack([low, high, same[known]], axis=1), axis=0)
    pairs = LabelledPairs(found[:, 0], found[:, 1], found[:, 2] == 1)
    wrong = contradictions(pairs.left, pairs.right, pairs.same, len(ids))
    if len(wrong):
        named = ", ".join(f"{ids[int(pairs.left[at])]!r} and {ids[int(pairs.right[at])]!r}" for at in wrong[:5])
        raise EvidenceError(
            f"{len(wrong)} pairs said to differ although others say that they are the same: {named}",
            "answers that agree (A = B and B = C, so A = C)",
            "Look at these pairs again.",
        )
    return pairs


def _rows(ids: pl.Series, rows: pl.DataFrame) -> Rows:
    found = pl.DataFrame({"id": ids}).join(rows, on="id", how="left", maintain_order="left")["row"]
    return found.cast(pl.Int64).fill_null(-1).to_numpy()


def _answers(cells: pl.Series, path: Path | str) -> Rows:
    text = cells.cast(pl.String).fill_null("").str.strip_chars().str.to_lowercase()
    unclear = text.filter(~text.is_in([*_ANSWERS, ""]))
    if len(unclear):
        raise CatalogError(
            f"the answer {quoted(unclear[0])} in {quoted(Path(path))}",
            "1 or 0, true or false, yes or no",
            "Correct it.",
        )
    return text.replace_strict(_ANSWERS, default=-1, return_dtype=pl.Int64).to_numpy()


_ANSWERS: Final = {"1": 1, "1.0": 1, "true": 1, "yes": 1, "0": 0, "0.0": 0, "false": 0, "no": 0}


def super_components(labels: Rows, hashes: npt.NDArray[np.uint64], hashed: Bools) -> Rows:
    """Join groups that share a photo's hash: the units of a split in which no fold leaks into another.

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
    size = int(max(groups.max(initial=-1), codes.max(initial=-1))) + 1
    found = connected(groups[hashed], codes[hashed], size)[groups]
    return np.unique(found, return_inverse=True)[1].astype(np.int64)


def contradictions(left: Rows, right: Rows, same: Bools, n: int) -> Rows:
    """Find labelled pairs that contradict the others: A = B and B = C, but A is not C.

    Args:
        left: (m,) rows.
        right: (m,) rows.
        same: (m,) bool, whether the pair is said to be one product.
        n: number of posts.

    Returns:
        Places in the m pairs of those said to differ although a chain of others says that they are the same, rising.
    """
    group = connected(left[same], right[same], n)
    return np.flatnonzero(~same & (group[left] == group[right]))
