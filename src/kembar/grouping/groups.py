"""Groups: one partition of all posts, by connected components or by average link, with ids that outlive row order."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from kembar.arrays import Bools, Doubles, Rows, connected, run_starts, slices
from kembar.errors import ConfigError, EvidenceError
from kembar.grouping.limits import NO_LIMITS, Limits, forbidden
from kembar.threads import unforked

EXCUSED: Final = 0.006
"""What a pair of two crowded posts that was never compared counts in a mean, where another such pair counts 1 (and 0).

Not 0: a few strong pairs between two large groups must not join them. At .006 two groups can join at a cut of .4 from
about one compared pair in 250 on, if all of these agree.
"""

_PAIRS: Final = 1 << 20  # looked at at once: bounds the memory
_Scored: TypeAlias = tuple[Rows, Rows, npt.NDArray[np.floating]]


@dataclass(frozen=True, slots=True)
class Groups:
    """A partition of n posts.

    Attributes:
        labels: (n,) int64 group numbers, dense from 0, by the first row of each group.
        ids: (g,) String, the id of each group. By default the smallest posting id among its members, so that a group
            keeps its name whatever the order of rows, and mostly also when posts are added; any other names will do,
            such as UUIDs that a shop gave to its products.
    """

    labels: Rows
    ids: pl.Series

    def __post_init__(self) -> None:
        top = int(self.labels.max(initial=-1))
        if top + 1 != len(self.ids) or self.labels.min(initial=0) < 0:
            raise EvidenceError(
                f"{len(self.ids)} group ids for labels from {int(self.labels.min(initial=0))} to {top}",
                "one id for each label from 0 up",
                "Build groups with Groups.of.",
            )

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    @unforked
    def of(cls, labels: npt.NDArray[np.integer], post_ids: pl.Series) -> "Groups":
        """Number and name the parts of a partition.

        Args:
            labels: (n,) any numbers, equal within a group.
            post_ids: (n,) String posting ids.

        Returns:
            The groups.

        Raises:
            EvidenceError: the two have different lengths.
        """
        if len(labels) != len(post_ids):
            raise EvidenceError(
                f"{len(labels)} labels for {len(post_ids)} posts", "one label per post", "Pass the labels of all posts."
            )
        dense = number_by_first(labels)
        members = pl.DataFrame({"group": dense, "id": post_ids})
        named = members.group_by("group").agg(pl.col("id").min()).sort("group")
        return cls(dense, named["id"])

    @classmethod
    def named(cls, group_ids: pl.Series) -> "Groups":
        """Take a partition from the name of each post's group.

        Args:
            group_ids: (n,) String, equal within a group; no posting ids need be among them.

        Returns:
            The groups under these names.

        Raises:
            EvidenceError: a post without a group.
        """
        if group_ids.null_count():
            given = f"{group_ids.null_count()} posts without a group id"
            raise EvidenceError(given, "a name for the group of every post", "Give single posts a group of their own.")
        ids = group_ids.unique(maintain_order=True)
        row = pl.DataFrame({"id": ids}).with_row_index("group")
        found = pl.DataFrame({"id": group_ids}).join(row, on="id", how="left", maintain_order="left")["group"]
        return cls(found.to_numpy().astype(np.int64), ids)

    def sizes(self) -> Rows:
        """Count the members of each group: (g,) int64."""
        return np.bincount(self.labels, minlength=len(self.ids)).astype(np.int64)


def number_by_first(labels: npt.NDArray[np.integer]) -> Rows:
    """Renumber labels from 0 in the order of their first rows: (n,) int64."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    return rank[inverse]


def components(left: Rows, right: Rows, n: int) -> Rows:
    """Group posts that any chain of pairs connects.

    Args:
        left: (m,) rows.
        right: (m,) rows.
        n: number of posts.

    Returns:
        (n,) int64 labels, dense from 0, by first row.
    """
    return number_by_first(connected(left, right, n))


def average_link(
    left: Rows,
    right: Rows,
    similarity: npt.NDArray[np.floating],
    n: int,
    *,
    cut: float = 0.0,
    target_size: float | None = None,
    limits: Limits = NO_LIMITS,
) -> Rows:
    """Merge groups while the mean similarity between two of them is high enough; an absent pair counts as 0.

    Average link does not chain: one wrong pair cannot join two groups whose other pairs disagree. The rule is the one
    of Kaggle Shopee's 3rd place. Exact, by merging all reciprocal nearest neighbours at once (Sumengen et al. 2021,
    "Scaling hierarchical agglomerative clustering to billion-sized datasets": RAC), which for average link gives the
    tree of one-merge-at-a-time clustering. Equal similarities are broken by row.

    Of a product with more offers than the lists have places, most pairs are never compared. That says nothing where
    both lists were cut among their own kind, so such a pair counts only `EXCUSED` of a pair in the mean. It stays a
    mean, of weighted pairs, so that all of the above holds.

    Args:
        left: (m,) rows.
        right: (m,) rows, each unordered pair once.
        similarity: (m,) scores; those not above 0 count as absent, but as compared.
        n: number of posts.
        cut: no merge below this mean similarity (compared as float32), > 0 unless a target is given.
        target_size: stop as soon as the mean group size reaches this, if that comes before the cut.
        limits: what else is known of the posts.

    Returns:
        (n,) int64 labels, dense from 0, by first row.

    Raises:
        ConfigError: a target below 1, or neither a positive cut nor a target.
    """
    if target_size is not None and not target_size >= 1:
        raise ConfigError(
            f"target_size {target_size}", "a mean group size of at least 1", "Labelled Shopee posts have 3.1."
        )
    if np.isnan(cut) or (target_size is None and cut <= 0):
        raise ConfigError(f"cut {cut}", "a mean similarity above 0", "Give a cut, a target_size, or both.")
    tree = average_link_tree(left, right, similarity, n, cut=cut, limits=limits)
    return tree.labels(target_size=target_size)


@dataclass(frozen=True, slots=True)
class Tree:
    """The merges of average link, highest first, from which every partition above its cut can be read.

    Attributes:
        height: (q,) float64 mean similarities at which two groups merged, not rising.
        kept: (q,) int64 smallest row of the one group.
        gone: (q,) int64 smallest row of the other.
        posts: number of posts.
    """

    height: Doubles
    kept: Rows
    gone: Rows
    posts: int

    def labels(self, *, cut: float = 0.0, target_size: float | None = None) -> Rows:
        """Read a partition off the tree.

        Args:
            cut: only merges at or above it.
            target_size: stop as soon as the mean group size reaches this.

        Returns:
            (n,) int64 labels, dense from 0, by first row.
        """
        merges = int(np.searchsorted(-self.height, -_lowered(cut), side="right"))
        if target_size is not None:
            # The mean of n posts in g groups is at least t where g <= n / t.
            merges = min(merges, self.posts - int(self.posts / target_size + 1e-9))
        return components(self.kept[:merges], self.gone[:merges], self.posts)


def average_link_tree(
    left: Rows,
    right: Rows,
    similarity: npt.NDArray[np.floating],
    n: int,
    *,
    cut: float = 0.0,
    limits: Limits = NO_LIMITS,
) -> Tree:
    """Run average link once for all cuts: arguments as in `average_link`; no merge below the cut is kept."""
    cut = max(_lowered(cut), float(np.finfo(np.float64).tiny))
    crowd = np.zeros(n) if limits.crowded is None else limits.crowded.astype(np.float64)
    name = np.arange(n) if limits.start is None else _first_rows(limits.start)
    links = _Links.reachable((left, right, similarity), name, crowd, cut, limits).contracted(n)
    height, kept, gone = _merges(
        links, np.bincount(name, minlength=n), np.bincount(name, crowd, n).astype(np.float64), cut
    )
    order, inside = np.argsort(-height, kind="stable"), np.flatnonzero(name != np.arange(n))
    height = np.r_[np.full(len(inside), np.inf), height[order]]  # what is together from the start
    return Tree(height, np.r_[name[inside], kept[order]], np.r_[inside, gone[order]], n)


def _first_rows(labels: Rows) -> Rows:
    """Name each row by the first one of its group: (n,)."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return first[inverse]


def _lowered(cut: float) -> float:
    """Lower a cut to float32: a similarity of float32(0.7), which is below 0.7, reaches a cut of 0.7 elsewhere too."""
    return min(cut, float(np.float32(cut)))


@dataclass(frozen=True, slots=True)
class _Links:
    """What is known between groups, each named by its smallest row.

    Attributes:
        low: (m,) int64 groups.
        high: (m,) int64 groups.
        total: (m,) float64 sums of similarities.
        known: (m,) float64 compared pairs of two crowded posts.
        barred: (m,) float64 pairs that may not be one product.
    """

    low: Rows
    high: Rows
    total: Doubles
    known: Doubles
    barred: Doubles

    def take(self, keep: Bools) -> "_Links":
        """Keep some of them."""
        return _Links(self.low[keep], self.high[keep], self.total[keep], self.known[keep], self.barred[keep])

    @classmethod
    def reachable(cls, pairs: _Scored, name: Rows, crowd: Doubles, cut: float, limits: Limits) -> "_Links":
        """Take the pairs that a merge can join: a mean reaches the cut only where some single pair does.

        Pairs that are out of scope or to stay apart are added where a chain of others could join them.

        Args:
            pairs: left and right rows and their similarity.
            name: (n,) the names of the groups that rows are in.
            crowd: (n,) float64, 1 for crowded posts.
            cut: above 0.
            limits: what else is known of the posts.
        """
        strong = [links.take(links.total >= cut) for links in cls._sliced(pairs, name, crowd)]
        low, high = (np.concatenate([getattr(links, end) for links in strong]) for end in ("low", "high"))
        part = components(low, high, len(name))
        found = [
            links.take((part[links.low] == part[links.high]) & ((links.total > 0) | (links.known > 0)))
            for links in cls._sliced(pairs, name, crowd)
        ]
        left, right = forbidden(name, part, limits)
        nothing = np.zeros(len(left))
        found.append(cls(left, right, nothing, nothing, nothing + 1))
        return cls(*(np.concatenate([getattr(links, each.name) for links in found]) for each in fields(cls)))

    @classmethod
    def _sliced(cls, pairs: _Scored, name: Rows, crowd: Doubles) -> "Iterator[_Links]":
        """Look at pairs, some at a time: most of them are dropped."""
        for rows in slices(len(pairs[0]), _PAIRS):
            left, right, similarity = (each[rows] for each in pairs)
            total, nothing = np.where(similarity > 0, similarity, 0).astype(np.float64), np.zeros(len(left))
            yield cls(name[left], name[right], total, crowd[left] * crowd[right], nothing)

    def contracted(self, n: int) -> "_Links":
        """Sum parallel links and drop loops: low < high, ordered by low, then high.

        One sum serves both directions: two sums in different orders might disagree in a last bit on whose best is
        whose.
        """
        keep = self.low != self.high
        low, high, sums = self.low[keep], self.high[keep], (self.total[keep], self.known[keep], self.barred[keep])
        key = np.minimum(low, high) * n + np.maximum(low, high)
        if not len(key):
            return _Links(key, key, *sums)
        order = np.argsort(key, kind="stable")
        begin = np.flatnonzero(run_starts(key[order]))
        low, high = np.divmod(key[order][begin], n)
        return _Links(low, high, *(np.add.reduceat(each[order], begin) for each in sums))

    def means(self, size: Doubles, crowd: Doubles) -> Doubles:
        """Divide by the pairs of both groups, of which those that are excused count less; 0 where one is barred."""
        excused = crowd[self.low] * crowd[self.high] - self.known
        means = self.total / (size[self.low] * size[self.high] - (1 - EXCUSED) * excused)
        return np.where(self.barred > 0, 0.0, means)


def _merges(links: _Links, sizes: Rows, crowd: Doubles, cut: float) -> tuple[Doubles, Rows, Rows]:
    """List all merges at or above the cut: height, surviving and absorbed group (named by their smallest rows).

    Args:
        links: between groups.
        sizes: (n,) int64 posts of the group of each name.
        crowd: (n,) float64 crowded posts of it.
        cut: above 0.
    """
    n, size, crowd = len(crowd), sizes.astype(np.float64), crowd.copy()
    ceiling = np.full(n, np.inf)  # rounding must not lift a merge above the merges it rests on
    found: list[tuple[Doubles, Rows, Rows]] = []
    while len(links.low):
        kept, gone, height = _reciprocal(links.low, links.high, links.means(size, crowd), n, cut)
        if not len(kept):
            break
        height = np.minimum(height, np.minimum(ceiling[kept], ceiling[gone]))
        found.append((height, kept, gone))
        ceiling[kept] = height
        size[kept] += size[gone]
        crowd[kept] += crowd[gone]
        name = np.arange(n)
        name[gone] = kept
        links = replace(links, low=name[links.low], high=name[links.high]).contracted(n)
    if not found:
        return np.zeros(0), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    heights, keeps, gones = zip(*found, strict=True)
    return np.concatenate(heights), np.concatenate(keeps), np.concatenate(gones)


def _reciprocal(low: Rows, high: Rows, mean: Doubles, n: int, cut: float) -> tuple[Rows, Rows, Doubles]:
    """Find the pairs of groups that are each other's best, at or above the cut; the smaller name is kept.

    Among equal means a group chooses the smallest name. So the smallest of all groups that reach the highest mean and
    the group it chooses always choose each other, and no round passes without a merge.
    """
    top = np.zeros(n)
    np.maximum.at(top, low, mean)
    np.maximum.at(top, high, mean)
    choice = np.full(n, n)
    for own, other in ((low, high), (high, low)):
        best = mean == top[own]
        np.minimum.at(choice, own[best], other[best])
    mutual = (choice[low] == high) & (choice[high] == low) & (mean >= cut)
    return low[mutual], high[mutual], mean[mutual]


def fill_singles(labels: Rows, left: Rows, right: Rows, similarity: npt.NDArray[np.floating], *, cut: float) -> Rows:
    """Let each post that was left alone join the group it is nearest to, if it is near enough.

    What min2 is for lists; Kaggle Shopee's 3rd place fills its groups so, where hardly any post is without a twin.

    Args:
        labels: (n,) group numbers.
        left: (m,) rows.
        right: (m,) rows, each unordered pair once.
        similarity: (m,) scores.
        cut: least mean similarity to the members of the group, an absent pair counted as 0.

    Returns:
        (n,) int64 labels, dense from 0, by first row; of equal groups the one with the smallest number is taken.
    """
    n, size = len(labels), np.bincount(labels)
    source, target = np.concatenate([left, right]), np.concatenate([right, left])
    single = (size[labels[source]] == 1) & (np.tile(similarity, 2) > 0)
    key, place = np.unique(source[single] * (len(size) + 1) + labels[target[single]], return_inverse=True)
    post, group = np.divmod(key, len(size) + 1)
    mean = np.bincount(place, np.tile(similarity, 2)[single]) / size[group]
    order = np.lexsort((group, -mean, post))
    best = order[np.r_[True, np.diff(post[order]) > 0]] if len(order) else order
    best = best[mean[best] >= _lowered(cut)]
    return components(labels[post[best]], group[best], len(size))[labels] if n else labels
