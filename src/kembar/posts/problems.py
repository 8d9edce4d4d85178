"""What is wrong with single posts: a row for each damaged cell, which counts as missing and does not stop a run."""

import polars as pl

from kembar.errors import CatalogError, quoted

PROBLEMS = {"posting_id": pl.String, "part": pl.String, "problem": pl.String}
"""The schema of a table of problems; part is one of :data:`PARTS`."""
PARTS = ("title", "image", "hash", "label", "price", "brand", "identifier")


def problems(ids: pl.Series, damaged: pl.Series, part: str, problem: str | pl.Series) -> pl.DataFrame:
    """List damaged cells.

    Args:
        ids: (n,) String, ids of the posts.
        damaged: (n,) Boolean, True where the cell is damaged.
        part: one of :data:`PARTS`.
        problem: what is wrong; one text for all, or (n,) String.

    Returns:
        One row per damaged cell, columns as in :data:`PROBLEMS`.
    """
    found = ids.filter(damaged)
    text = problem.filter(damaged) if isinstance(problem, pl.Series) else pl.repeat(problem, len(found), eager=True)
    columns = {"posting_id": found, "part": pl.repeat(part, len(found), eager=True), "problem": text}
    return pl.DataFrame(columns, schema=PROBLEMS)


def quoted_each(cells: pl.Series) -> pl.Series:
    """Quote the first 60 characters of each: (n,) String to (n,) String."""
    return "'" + cells.str.head(60) + "'"


def check_problems(problems: pl.DataFrame, ids: pl.Series) -> None:
    """Refuse a table of problems of other columns, parts or posts.

    Args:
        problems: the table.
        ids: (n,) String, ids of the posts.

    Raises:
        CatalogError: it is not one that `problems` makes, or not of these posts.
    """
    if set(problems.columns) != set(PROBLEMS):
        raise CatalogError(
            f"problems with the columns {problems.columns}",
            f"{list(PROBLEMS)}",
            "Build them with kembar.posts.problems.problems.",
        )
    if not len(problems):
        return
    parts = set(problems["part"].unique()) - set(PARTS)
    if parts:
        raise CatalogError(
            f"problems of the part {quoted(min(parts))}", f"one of {PARTS}", "Name the part of the post."
        )
    unknown = problems["posting_id"].filter(~problems["posting_id"].is_in(ids.implode()))
    if len(unknown):
        raise CatalogError(
            f"problems of {quoted(unknown[0])}", "ids of this catalogue", "Leave out posts that are not in it."
        )


def ordered(problems: pl.DataFrame, ids: pl.Series) -> pl.DataFrame:
    """Put problems in the order of the posts, leaving out those of other posts."""
    if not len(problems):
        return problems.select(*PROBLEMS)
    rows = pl.DataFrame({"posting_id": ids}).with_row_index("row")
    found = problems.join(rows, on="posting_id", how="inner", maintain_order="left")
    return found.sort("row", maintain_order=True).select(*PROBLEMS)
