"""The links of a run over two catalogues: who links to whom, how surely, and who is left over."""

from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from kembar.arrays import Rows
from kembar.errors import EvidenceError
from kembar.evidence.pairs import SIMILARITY, Pairs
from kembar.grouping.matches import Matches
from kembar.posts.catalog import Catalog
from kembar.results.tables import for_spreadsheets

LINKS_FILE: Final = "links.csv"
UNMATCHED: Final = ("unmatched-left.csv", "unmatched-right.csv")


def links_frame(catalog: Catalog, pairs: Pairs, matches: Matches) -> pl.DataFrame:
    """List links, by the order of the left posts, the most probable first.

    Args:
        catalog: the posts of both, their sources known.
        pairs: the candidates with the column `similarity`.
        matches: of all posts.

    Returns:
        Columns left_id, right_id (as in the catalogues that were linked), probability, left_title, right_title.

    Raises:
        EvidenceError: the posts are not of two catalogues.
    """
    side = _sides(catalog)
    source, target = matches.edges()
    forward = side[source] == 0
    left, right = source[forward], target[forward]
    key = pairs.left * len(catalog) + pairs.right  # rising: pairs are ordered
    wanted = np.minimum(left, right) * len(catalog) + np.maximum(left, right)
    own = original_ids(catalog)
    return pl.DataFrame(
        {
            "left_id": own.gather(left),
            "right_id": own.gather(right),
            "probability": pairs.evidence[SIMILARITY][np.searchsorted(key, wanted)],
            "left_title": catalog.titles.gather(left),
            "right_title": catalog.titles.gather(right),
        }
    )


def unmatched(catalog: Catalog, matches: Matches) -> tuple[pl.DataFrame, pl.DataFrame]:
    """List the posts of each catalogue that link to none: columns id, title, for the left and for the right one."""
    side, alone = _sides(catalog), np.diff(matches.offsets) == 1
    rows = [np.flatnonzero(alone & (side == which)) for which in (0, 1)]
    own = original_ids(catalog)
    left, right = (pl.DataFrame({"id": own.gather(some), "title": catalog.titles.gather(some)}) for some in rows)
    return left, right


def original_ids(catalog: Catalog) -> pl.Series:
    """Give the ids that posts had before their catalogues were united: (n,) String."""
    own = pl.DataFrame({"id": catalog.ids, "source": catalog.sources})
    return own.select(pl.col("id").str.slice(pl.col("source").str.len_chars() + 1)).to_series()


def write_links(folder: Path, catalog: Catalog, pairs: Pairs, matches: Matches) -> None:
    """Write links.csv and the two lists of posts without a link, for people and their spreadsheets."""
    for_spreadsheets(links_frame(catalog, pairs, matches)).write_csv(folder / LINKS_FILE)
    for name, frame in zip(UNMATCHED, unmatched(catalog, matches), strict=True):
        for_spreadsheets(frame).write_csv(folder / name)


def _sides(catalog: Catalog) -> Rows:
    """Number the two catalogues of posts by their names: (n,) int64, 0 or 1."""
    known = pl.Series(dtype=pl.String) if catalog.sources is None else catalog.sources
    if known.n_unique() != 2:
        raise EvidenceError(f"posts of {known.n_unique()} sources", "posts of two catalogues", "Use kembar.link.")
    return known.rank("dense").cast(pl.Int64).to_numpy() - 1
