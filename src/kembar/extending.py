"""New posts against a finished run: only they are compared, with each other and with the posts of the run.

The groups of the run stay whole and apart, under their names. A new post joins one of them, or founds a group.
"""

from dataclasses import dataclass, replace
from functools import reduce
from typing import Final

import numpy as np
import polars as pl

from kembar.arrays import Bools, Floats, Progress, Rows, slices
from kembar.errors import CatalogError, ConfigError, quoted
from kembar.evidence.pairs import SIMILARITY, Pairs
from kembar.grouping.crowds import degrees
from kembar.grouping.decision import decide
from kembar.grouping.groups import Groups
from kembar.grouping.matches import Matches, shopee_shares
from kembar.matcher import Matcher
from kembar.memory import peak_memory
from kembar.newcomers import Base, Part, by_rows, compare, fitted_on, prepared
from kembar.outcome import of_all_posts
from kembar.plan import Clock
from kembar.posts.catalog import Catalog
from kembar.posts.united import stacked
from kembar.regrouping import compared, noted_cut_off
from kembar.results.result import Result

_AT_ONCE: Final = 100_000  # of more posts, old and new, new ones are compared in blocks: bounds the memory
_BLOCK: Final = 1_000


def extend(run: Result, posts: Catalog, matcher: Matcher | None = None, *, progress: Progress | None = None) -> Result:
    """Match new posts among themselves and with those of a finished run.

    What depends on all posts, such as how rare a word is, is that of the old and the new posts together; what was found
    out about pairs of old posts stays as it is.

    Args:
        run: a run with rule group, of posts without sources.
        posts: new posts; none of their ids is in the run.
        matcher: with the configuration of the run, its device and its store; None: a new one.
        progress: called with (stage, done, total).

    Returns:
        A run over all posts, the old ones first, which can be extended again. A group keeps its name.

    Raises:
        CatalogError: posts that are in the run already, or with sources.
        ConfigError: a run with another rule or link.
    """
    _check(run, posts)
    clock = Clock(progress)
    kept = np.flatnonzero(run.copy_of == np.arange(len(run)))  # of many copies one is compared for all
    fresh = _compared(stacked([run.catalog.take(kept), posts]), len(kept), matcher or Matcher(run.config), clock)
    rows = np.append(kept, len(run) + np.arange(len(posts)))  # among all posts, of those that were compared
    everything, new = stacked([run.catalog, fresh.posts]), by_rows(fresh.pairs, rows)
    with clock.stage("decisions"):
        whole = Result(
            catalog=everything,
            config=run.config,
            pairs=_together(_similar(run.pairs), _similar(new)),  # the other columns would fill the memory meanwhile
            matches=Matches(np.arange(len(everything) + 1), np.arange(len(everything))),
            groups=Groups.of(np.arange(len(everything)), everything.ids),
            copy_of=np.append(run.copy_of, len(run) + np.arange(len(posts))),
            cut_off=np.append(noted_cut_off(run), fresh.cut_off),
            compared=None if run.compared is None else _counted(run.compared, new, len(everything)),
        )
        matches, groups = _decided(whole, run.groups)
    found = replace(whole, pairs=_together(run.pairs, new), matches=matches, groups=groups)
    return replace(found, seconds=clock.seconds, peak_memory=peak_memory())


def _check(run: Result, posts: Catalog) -> None:
    if run.config.rule != "group" or run.config.advanced.group.link != "average":
        raise ConfigError(
            f"a run with rule {run.config.rule!r} and link {run.config.advanced.group.link!r}",
            "rule 'group' and link 'average'",
            "Match all posts together.",
        )
    if run.catalog.sources is not None or posts.sources is not None:
        raise CatalogError(
            "posts with sources", "a run and posts without a column of sources", "Match all posts together."
        )
    again = posts.ids.filter(posts.ids.is_in(run.catalog.ids.implode()))
    if len(again):
        raise CatalogError(
            f"{len(again)} posts that are in the run already, such as {quoted(again[0])}",
            "new posts",
            "Leave them out, or match all posts together.",
        )


@dataclass(frozen=True, slots=True)
class _Compared:
    """New posts, compared.

    Attributes:
        posts: the q new posts, with the hashes of their photos.
        pairs: of rows of the known, then the new posts; one end of each is new.
        cut_off: (q,) bool, see `kembar.newcomers.Comparison`.
    """

    posts: Catalog
    pairs: Pairs
    cut_off: Bools


def _compared(everything: Catalog, known: int, matcher: Matcher, clock: Clock) -> _Compared:
    """Compare the new posts, which come after the known ones, among all that is near them."""
    with clock.stage("encoders"):
        ready = prepared(everything, matcher)
    with clock.stage("vectors"):
        model = fitted_on(ready, matcher)
        part = Part.of(ready.compared, ready.vectors, model)
        base = Base.of(part.take(np.arange(known)))
    new = known + everything.ids[known:].arg_sort().to_numpy().astype(np.int64)  # the same blocks in any order
    rows, cut_off = np.append(np.arange(known), new), np.zeros(len(new), dtype=bool)
    pairs: list[Pairs] = []
    with clock.stage("neighbours"):
        for some in slices(len(new), len(new) if len(part) <= _AT_ONCE else _BLOCK):
            if clock.progress:
                clock.progress("neighbours", some.start, len(new))
            mine = part.take(new[some])
            found = compare(mine, base, model)
            pairs.append(by_rows(found.pairs, np.append(rows[found.near], new[some])))
            cut_off[new[some] - known] = found.cut_off
            if some.stop < len(new):
                base = base.with_part(mine)
    return _Compared(ready.posts.take(np.arange(known, len(part))), reduce(_together, pairs), cut_off)


def _together(old: Pairs, new: Pairs) -> Pairs:
    """Put different pairs of the same posts together, in order; a column that one of the two lacks is missing there."""
    n = 1 + max(int(pairs.right.max(initial=0)) for pairs in (old, new))
    at = np.searchsorted(old.left * n + old.right, new.left * n + new.right)
    names = dict.fromkeys([*old.evidence, *new.evidence])
    columns = {name: np.insert(_column(old, name), at, _column(new, name)) for name in names}
    return Pairs(np.insert(old.left, at, new.left), np.insert(old.right, at, new.right), columns)


def _similar(pairs: Pairs) -> Pairs:
    """Keep the column by which posts are grouped."""
    return Pairs(pairs.left, pairs.right, {SIMILARITY: pairs.evidence[SIMILARITY]})


def _counted(before: Rows, new: Pairs, n: int) -> Rows:
    """Count the candidates of old and new posts where the run does not hold all of the old ones: (n,) int64."""
    found = degrees(new.left, new.right, n)
    found[: len(before)] += before
    return found


def _column(pairs: Pairs, name: str) -> Floats:
    return pairs.evidence.get(name, np.full(len(pairs), np.nan, dtype=np.float32))


def _decided(run: Result, groups: Groups) -> tuple[Matches, Groups]:
    """Group all posts, from the groups of the first of them on."""
    found = compared(run)
    order, copies = found.order, found.copies
    old = len(groups.labels)
    start = np.append(groups.labels, len(groups) + np.arange(len(run) - old))
    kept = order[copies.kept]
    limits = replace(found.limits, start=start[kept], settled=kept < old)
    edges, labels = decide(found.pairs, len(kept), run.config, shopee_shares(), limits)
    matches, restored = of_all_posts(edges, labels, order, copies, run.config)
    return matches, _renamed(restored, groups, run.catalog.ids)


def _renamed(labels: Rows, groups: Groups, ids: pl.Series) -> Groups:
    """Name groups as before; those of new posts alone by the smallest id among them."""
    found = Groups.of(labels, ids)
    names = found.ids.to_list()
    for label, name in zip(found.labels[: len(groups.labels)], groups.ids.gather(groups.labels), strict=True):
        names[label] = name
    return Groups(found.labels, pl.Series(names, dtype=pl.String))
