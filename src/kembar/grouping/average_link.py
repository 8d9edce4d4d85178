"""Average link: groups merge while the mean similarity between two of them is high enough, so that nothing chains."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from kembar.arrays import Bools, Doubles, Rows, connected, offsets_of, run_starts, slices
from kembar.errors import ConfigError
from kembar.grouping.groups import components, lowered
from kembar.grouping.limits import NO_LIMITS, Limits
from kembar.grouping.marks import Marks

EXCUSED: Final = 0.006
"""What a pair of two crowded posts that was never compared counts in a mean, where another such pair counts 1 (and 0).

Not 0: a few strong pairs between two large groups must not join them. At .006 two groups can join at a cut of .4 from
about one compared pair in 250 on, if all of these agree.
"""

_LINKS: Final = 1 << 21  # of a piece: those that are worked on at once bound the memory
_Names: TypeAlias = npt.NDArray[np.int32]
_Scored: TypeAlias = tuple[Rows, Rows, npt.NDArray[np.floating]]
_Reached: TypeAlias = tuple[_Names, _Names, Doubles]
_Item = TypeVar("_Item")


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
        merges = int(np.searchsorted(-self.height, -lowered(cut), side="right"))
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
    cut = max(lowered(cut), float(np.finfo(np.float64).tiny))
    crowd = np.zeros(n) if limits.crowded is None else limits.crowded.astype(np.float64)
    name = np.arange(n) if limits.start is None else _first_rows(limits.start)
    marks = Marks.of(name, limits)
    read = partial(_Piece.read, (left, right, similarity), name, crowd)
    links = _Links.reachable(read, _Piece.barred(name, limits), cut, marks)
    sizes, crowds = (np.bincount(name, weights, n).astype(np.float64) for weights in (None, crowd))
    height, kept, gone = _merges(links, sizes, crowds, marks, cut)
    order, inside = np.argsort(-height, kind="stable"), np.flatnonzero(name != np.arange(n))
    height = np.r_[np.full(len(inside), np.inf), height[order]]  # what is together from the start
    return Tree(height, np.r_[name[inside], kept[order]], np.r_[inside, gone[order]], n)


def _first_rows(labels: Rows) -> Rows:
    """Name each row by the first one of its group: (n,)."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return first[inverse]


@dataclass(frozen=True, slots=True)
class _Piece:
    """What is known between some groups, each named by its smallest row.

    Attributes:
        low: (m,) int32 groups.
        high: (m,) int32 groups.
        total: (m,) float64 sums of similarities; -inf where the two may not be one product.
        known: (m,) int32 compared pairs of two crowded posts.
    """

    low: _Names
    high: _Names
    total: Doubles
    known: _Names

    def __len__(self) -> int:
        return len(self.low)

    @classmethod
    def of(cls, low: Rows, high: Rows, total: npt.NDArray[np.floating], known: npt.NDArray[Any]) -> "_Piece":
        """Take columns of any types."""
        return cls(low.astype(np.int32), high.astype(np.int32), total.astype(np.float64), known.astype(np.int32))

    @classmethod
    def read(cls, pairs: _Scored, name: Rows, crowd: Doubles) -> Iterator["_Piece"]:
        """Read pairs of posts in groups of these names, some at a time: most of them are dropped."""
        for rows in slices(len(pairs[0]), _LINKS):
            left, right, similarity = (each[rows] for each in pairs)
            total = np.where(similarity > 0, similarity, 0)
            yield cls.of(name[left], name[right], total, crowd[left] * crowd[right])

    @classmethod
    def barred(cls, name: Rows, limits: Limits) -> "_Piece":
        """List the groups of posts that may never be in one."""
        left, right = np.zeros((2, 0), dtype=np.int64) if limits.apart is None else limits.apart
        return cls.of(name[left], name[right], np.full(len(left), -np.inf), np.zeros(len(left)))

    @classmethod
    def joined(cls, pieces: Sequence["_Piece"]) -> "_Piece":
        """Put pieces one behind the other; at least one."""
        return cls(*(np.concatenate([getattr(piece, each.name) for piece in pieces]) for each in fields(cls)))

    def take(self, rows: Bools | Rows) -> "_Piece":
        """Keep some links."""
        return _Piece(self.low[rows], self.high[rows], self.total[rows], self.known[rows])

    def free(self, marks: Marks) -> "_Piece":
        """Drop the links between groups whose marks keep them apart."""
        return self if marks.empty else self.take(~marks.apart(self.low, self.high))

    def renamed(self, name: Rows, part: Rows) -> "_Piece":
        """Name groups anew, low < high, and drop loops and what is between parts.

        Args:
            name: (n,) of each group.
            part: (n,) of each name: no merge joins groups of two parts.
        """
        one, other = name[self.low], name[self.high]
        keep = (one != other) & (part[one] == part[other])
        one, other = one[keep], other[keep]
        return _Piece.of(np.minimum(one, other), np.maximum(one, other), self.total[keep], self.known[keep])

    def summed(self) -> "_Piece":
        """Sum parallel links: ordered by low, then high.

        One sum serves both directions: two sums in different orders might disagree in a last bit on whose best is
        whose.
        """
        if not len(self):
            return self
        key = self.low.astype(np.int64) << 32 | self.high
        order = np.argsort(key, kind="stable")
        begin = np.flatnonzero(run_starts(key[order]))
        first = order[begin]
        total, known = (np.add.reduceat(each[order], begin, dtype=each.dtype) for each in (self.total, self.known))
        return _Piece(self.low[first], self.high[first], total, known)

    def means(self, size: Doubles, crowd: Doubles) -> Doubles:
        """Divide by the pairs of both groups, of which those that are excused count less."""
        excused = crowd[self.low] * crowd[self.high] - self.known
        means: Doubles = self.total / (size[self.low] * size[self.high] - (1 - EXCUSED) * excused)
        return means

    def reaching(self, cut: float, means: Doubles) -> _Reached:
        """Take the links whose mean reaches the cut."""
        near = means >= cut
        return self.low[near], self.high[near], means[near]


_NONE: Final = _Piece.of(*np.zeros((4, 0)))


@dataclass(frozen=True, slots=True)
class _Links:
    """What is known between all groups, in pieces, so that but one piece at a time is in memory twice.

    Attributes:
        pieces: by rising low names, each ordered by low, then high, no link twice.
        bounds: (p,) int64 lowest names of a piece.
    """

    pieces: list[_Piece]
    bounds: Rows

    @classmethod
    def reachable(cls, read: Callable[[], Iterator[_Piece]], barred: _Piece, cut: float, marks: Marks) -> "_Links":
        """Take the links that a merge can join: a mean reaches the cut only where some single pair does.

        Args:
            read: reads all pairs as links, in pieces, each time that it is called.
            barred: groups that may not join, whatever else is known of them.
            cut: above 0.
            marks: of all n groups.
        """
        n = len(marks.within)
        free = (piece.free(marks) for piece in read())
        part = _parts(*_columns([piece.reaching(cut, piece.total) for piece in free])[:2], n)
        compared = (piece.take((piece.total > 0) | (piece.known > 0)).renamed(np.arange(n), part) for piece in read())
        found = [piece.free(marks) for piece in compared] + [barred.renamed(np.arange(n), part)]
        counts = np.zeros(n, dtype=np.int64)
        for piece in found:
            counts += np.bincount(piece.low, minlength=n)
        within = np.searchsorted(np.cumsum(counts), np.arange(_LINKS, counts.sum(), _LINKS))
        return cls.of(_used_up(found), np.unique(np.r_[0, within]))

    @classmethod
    def of(cls, pieces: Iterable[_Piece], bounds: Rows) -> "_Links":
        """Sum parallel links of any pieces."""
        found = [[_NONE] for _ in bounds]
        for piece in pieces:
            place = np.searchsorted(bounds, piece.low, side="right") - 1
            order, cuts = np.argsort(place, kind="stable"), offsets_of(np.bincount(place, minlength=len(bounds)))
            for at in np.flatnonzero(np.diff(cuts)):
                found[at].append(piece.take(order[cuts[at] : cuts[at + 1]]))
        return cls([_Piece.joined(parts).summed() for parts in _used_up(found)], bounds)

    def renamed(self, name: Rows, part: Rows, marks: Marks) -> "_Links":
        """Name groups anew, drop what no merge can join any more, and sum parallel links; uses up these links."""
        return _Links.of((piece.renamed(name, part).free(marks) for piece in _used_up(self.pieces)), self.bounds)

    def names(self, n: int) -> Rows:
        """List those of n groups that have links, rising."""
        found = np.zeros(n, dtype=bool)
        for piece in self.pieces:
            found[piece.low] = found[piece.high] = True
        return np.flatnonzero(found)

    def numbered(self, names: Rows) -> "_Links":
        """Name groups by their places in these rising names, which are all there are; uses up these links."""
        pieces = [
            _Piece.of(np.searchsorted(names, piece.low), np.searchsorted(names, piece.high), piece.total, piece.known)
            for piece in _used_up(self.pieces)
        ]
        return _Links(pieces, np.searchsorted(names, self.bounds))

    def reaching(self, cut: float, size: Doubles, crowd: Doubles) -> _Reached:
        """Take the links whose mean reaches the cut, by the sizes and crowds of the groups."""
        return _columns([piece.reaching(cut, piece.means(size, crowd)) for piece in self.pieces])


def _columns(found: Sequence[_Reached]) -> _Reached:
    low, high, mean = (np.concatenate(each) for each in zip(*found, strict=True))
    return low, high, mean


def _used_up(items: list[_Item]) -> Iterator[_Item]:
    """Hand out items, each of which leaves the list, so that its memory is free when the next one is asked for."""
    while items:
        yield items.pop(0)


def _parts(low: _Names, high: _Names, n: int) -> Rows:
    """Number the groups that chains of links join: (n,) int64."""
    part = np.arange(n)
    for rows in slices(len(low), _LINKS):
        part = connected(part[low[rows]], part[high[rows]], n)[part]
    return part


def _merges(links: _Links, size: Doubles, crowd: Doubles, marks: Marks, cut: float) -> tuple[Doubles, Rows, Rows]:
    """List all merges at or above the cut: height, surviving and absorbed group (named by their smallest rows).

    A mean of two means is above neither, so that what no chain of links at the cut joins now is never joined.

    Args:
        links: between groups; used up.
        size: (n,) float64 posts of the group of each name; changed.
        crowd: (n,) float64 crowded posts of it; changed.
        marks: of the groups.
        cut: above 0.
    """
    rows = np.arange(len(size))  # a round costs what is left to merge: then names are places among those that are left
    ceiling = np.full(len(size), np.inf)  # rounding must not lift a merge above the merges it rests on
    found = [(np.zeros(0), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))]
    while len((strong := links.reaching(cut, size, crowd))[0]):
        kept, gone, height = _reciprocal(*strong, len(rows))
        height = np.minimum(height, np.minimum(ceiling[kept], ceiling[gone]))
        found.append((height, rows[kept], rows[gone]))
        ceiling[kept] = height
        size[kept] += size[gone]
        crowd[kept] += crowd[gone]
        marks = marks.merged(kept, gone)
        name = np.arange(len(rows))
        name[gone] = kept
        links = links.renamed(name, _parts(*strong[:2], len(rows)), marks)
        names = links.names(len(rows))
        if 2 * len(names) < len(rows):
            links = links.numbered(names)
            rows, size, crowd, ceiling = rows[names], size[names], crowd[names], ceiling[names]
            marks = marks.take(names)
    heights, keeps, gones = zip(*found, strict=True)
    return np.concatenate(heights), np.concatenate(keeps), np.concatenate(gones)


def _reciprocal(low: _Names, high: _Names, mean: Doubles, n: int) -> tuple[_Names, _Names, Doubles]:
    """Find the pairs of groups that are each other's best; the smaller name is kept.

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
    mutual = (choice[low] == high) & (choice[high] == low)
    return low[mutual], high[mutual], mean[mutual]
