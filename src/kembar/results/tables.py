"""A run as tables: posts, groups, matches and pairs, with the columns of the input that were asked for."""

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from kembar.posts.cells import guarded

if TYPE_CHECKING:
    from kembar.results.result import Result


def groups_table(result: "Result") -> pl.DataFrame:
    """Tell the group of each post and how sure the group is.

    Args:
        result: a run.

    Returns:
        A row for each post, in their order: posting_id, group_id, size, the columns of `cohesion`, then those of the
        input that were asked for (`Columns.shown`).
    """
    labels = result.groups.labels
    names = pl.DataFrame({"posting_id": result.catalog.ids, "group_id": result.groups.ids.gather(labels)})
    sizes = pl.Series("size", result.groups.sizes()[labels])
    named = names.with_columns(sizes)
    return with_shown(pl.concat([named, result.cohesion[labels]], how="horizontal"), result.catalog.shown)


def lists_table(result: "Result") -> pl.DataFrame:
    """Show matches as lists and groups: unlike Kaggle's form, ids may hold blanks.

    Args:
        result: a run.

    Returns:
        A row for each post, in their order: posting_id, matches, group_id, copy_of, cut_off, after a run in parts also
        compared (see `Result`), and the columns of the input that were asked for.
    """
    members = pl.DataFrame(
        {
            "row": np.repeat(np.arange(len(result)), np.diff(result.matches.offsets)),
            "id": result.catalog.ids.gather(result.matches.rows),
        }
    )
    columns = {
        "posting_id": result.catalog.ids,
        "matches": members.group_by("row", maintain_order=True).agg("id")["id"],
        "group_id": result.groups.ids.gather(result.groups.labels),
        "copy_of": result.catalog.ids.gather(result.copy_of),
        **{name: column for name in ("cut_off", "compared") if (column := getattr(result, name)) is not None},
    }
    return with_shown(pl.DataFrame(columns), result.catalog.shown)


def posts_table(result: "Result") -> pl.DataFrame:
    """List the posts: posting_id, group_id, copy_of, title, image, label (null where unknown), price, columns shown."""
    catalog = result.catalog
    columns = {
        "posting_id": catalog.ids,
        "group_id": result.groups.ids.gather(result.groups.labels),
        "copy_of": catalog.ids.gather(result.copy_of),
        "title": catalog.titles,
        "image": catalog.images,
    }
    if catalog.labels is not None:
        columns["label"] = pl.Series(catalog.labels).set(pl.Series(catalog.labels < 0), None)
    if catalog.prices is not None:
        columns["price"] = pl.Series(catalog.prices).fill_nan(None)
    shown = None if catalog.shown is None else catalog.shown.drop("title", "image", strict=False)
    return with_shown(pl.DataFrame(columns), shown)


def one_row_per_group(result: "Result") -> pl.DataFrame:
    """List the groups: group_id, size and the columns of `cohesion`."""
    names = pl.DataFrame({"group_id": result.groups.ids, "size": result.groups.sizes()})
    return pl.concat([names, result.cohesion], how="horizontal")


def one_row_per_match(result: "Result") -> pl.DataFrame:
    """List the matches, without the posts themselves: posting_id, rank from 1, match_id, similarity.

    similarity is null where the two were never compared, as are copies of one post.
    """
    source, target = result.matches.edges()
    rank = np.arange(len(result.matches.rows)) - np.repeat(result.matches.offsets[:-1], np.diff(result.matches.offsets))
    ends = pl.DataFrame({"low": np.minimum(source, target), "high": np.maximum(source, target)})
    known = pl.DataFrame({"low": result.pairs.left, "high": result.pairs.right, "similarity": result.similarity})
    similarity = ends.join(known, on=["low", "high"], how="left", maintain_order="left")["similarity"]
    ids = result.catalog.ids
    names = {"posting_id": ids.gather(source), "rank": rank[rank > 0], "match_id": ids.gather(target)}
    return pl.DataFrame({**names, "similarity": similarity})


def one_row_per_pair(result: "Result") -> pl.DataFrame:
    """List the pairs that were compared: left_id, right_id and all evidence; null where a post lacks it."""
    pairs = result.pairs.frame(result.catalog.ids).rename({"left": "left_id", "right": "right_id"})
    return pairs.fill_nan(None)


def with_shown(frame: pl.DataFrame, shown: pl.DataFrame | None) -> pl.DataFrame:
    """Put columns of the input behind a table's own.

    Args:
        frame: the table.
        shown: as many rows; None: there are none.

    Returns:
        Both; a column of the input whose name the table has, in whatever case, is called input_NAME.
    """
    for column in () if shown is None else shown:
        frame = frame.with_columns(column.alias(free_name(column.name, frame.columns)))
    return frame


def free_name(name: str, taken: Collection[str]) -> str:
    """Put input_ before a name that is taken: databases do not tell names in other case apart."""
    folded = {each.casefold() for each in taken}
    while name.casefold() in folded:
        name = f"input_{name}"
    return name


def for_spreadsheets(frame: pl.DataFrame) -> pl.DataFrame:
    """Put an apostrophe before each cell of text that a spreadsheet would take for a formula."""
    return frame.with_columns(guarded(column) for column in frame.select(pl.col(pl.String)))
