"""What became of the posts that were compared, brought back to all posts: matches, groups, pairs.

The posts that are compared are in the order of their ids, and of many copies one stands for all.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from kembar.arrays import Bools, Doubles, Rows
from kembar.config import Config
from kembar.evidence.copies import Copies
from kembar.evidence.edges import Edges
from kembar.evidence.pairs import Pairs
from kembar.evidence.probing import MATTERS
from kembar.grouping.decision import decide
from kembar.grouping.groups import Groups
from kembar.grouping.limits import Limits
from kembar.grouping.matches import Matches, row_shares, shopee_shares
from kembar.posts.catalog import Catalog
from kembar.posts.notes import Note


def decided(
    pairs: Pairs, order: Rows, copies: Copies, config: Config, catalog: Catalog, limits: Limits
) -> tuple[Matches, Groups]:
    """Decide about the posts that were compared, and let copies share their fate.

    Args:
        pairs: between places in `copies.kept`.
        order: (n,) rows of the catalogue, in the order of ids.
        copies: which posts, in the order of ids, were compared.
        config: the rule, the cut and so on.
        catalog: the posts; their labels, if any, shape the lists of rule chisel.
        limits: of the posts that were compared; `crowded` are those cut off, see `Evidence.cut_off`.

    Returns:
        Matches and groups, in the order of the catalogue's rows.
    """
    edges, labels = decide(pairs, len(copies.kept), config, _shares(catalog), limits)
    matches, restored = of_all_posts(edges, labels, order, copies, config)
    return matches, Groups.of(restored, catalog.ids)


def of_all_posts(edges: Edges, labels: Rows, order: Rows, copies: Copies, config: Config) -> tuple[Matches, Rows]:
    """Bring what was decided about the posts that were compared to all posts, in the order of the catalogue's rows.

    Args:
        edges: between places in `copies.kept`, ordered by source, best first.
        labels: (m,) int64 groups of these posts.
        order: (n,) rows of the catalogue, in the order of ids.
        copies: which posts, in the order of ids, were compared.
        config: the longest list.

    Returns:
        The matches, and (n,) int64 groups.
    """
    edges = copies.edges(edges, config.advanced.decide.cap)
    source, target = order[edges[0]], order[edges[1]]
    by_source = np.argsort(source, kind="stable")  # the order within a list stays
    restored = np.empty_like(labels, shape=len(order))
    restored[order] = labels[copies.place]
    return Matches.of(source[by_source], target[by_source], len(order)), restored


def restored(
    catalog: Catalog, given: Catalog, order: Rows, copies: Copies, cut_off: Bools
) -> tuple[Catalog, Rows, Bools]:
    """Go back from the order of ids to the order of the catalogue's rows, and to the posts as they were given.

    Args:
        catalog: the posts with all problems.
        given: the posts as they were given, their photos hashed.
        order: (n,) rows of the catalogue, in the order of ids.
        copies: which posts, in the order of ids, were compared.
        cut_off: (m,) bool of the posts that were compared.

    Returns:
        The posts as they were given with all problems, and for each row the post that stands for it, and whether that
        was cut off.
    """
    kept = order[copies.kept]
    copy_of, limited = np.empty_like(order), np.zeros(len(order), dtype=bool)
    copy_of[order], limited[kept] = kept[copies.place], cut_off
    return replace(given, problems=catalog.problems), copy_of, limited


def of_rows(pairs: Pairs, rows: Rows) -> Pairs:
    """Give pairs other rows: (n,) int64, one for each of the n that they are between."""
    left, right = rows[pairs.left], rows[pairs.right]
    low, high = np.minimum(left, right), np.maximum(left, right)
    rank = np.lexsort((high, low))
    return Pairs(low[rank], high[rank], {name: column[rank] for name, column in pairs.evidence.items()})


def noted(catalog: Catalog, recall: Mapping[str, float]) -> Catalog:
    """Note of which views not all neighbours were found: by name, the share that was, measured on a sample."""
    near = f"(with a cosine above {MATTERS}, where there are enough of these)"
    words = f"posts were compared with those in cells of similar ones, not with all; of their neighbours {near}"
    told = [Note("search", f"by {name!r}, {words} {share:.2%} are found") for name, share in recall.items()]
    return replace(catalog, notes=(*catalog.notes, *told))


def _shares(catalog: Catalog) -> Doubles:
    """Take the shape of the lists from the catalogue's own labels, else from Shopee's."""
    known = catalog.labels is not None and (catalog.labels >= 0).any()
    return row_shares(catalog.labels) if known and catalog.labels is not None else shopee_shares()
