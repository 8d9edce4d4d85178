"""Whose posts a group has, and of which category: what keeps two groups from joining, kept through merges."""

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from kembar.arrays import Bools, Rows, members, offsets_of, places_in
from kembar.grouping.limits import Limits

Names: TypeAlias = npt.NDArray[np.integer[Any]]
"""Names of groups."""

_UNKNOWN: Final = -1  # categories are from 0
_SEVERAL: Final = -2


@dataclass(frozen=True, slots=True)
class Marks:
    """Tells which groups may not join, without a list of the pairs of posts that rule it out.

    Such lists grow with the square of the posts that chains of pairs join, and chains join most of a large catalogue.
    Two groups stay apart where both have posts of one source, where both are settled, and where their categories are
    known and are not one.

    Attributes:
        begin: (n + 1,) int64, where the sources of the group of each name begin.
        sources: (s,) int64, whose posts are in it, each once, rising; settled groups share a source of their own.
        within: (n,) int64 category of each group, -1 unknown, -2 several.
    """

    begin: Rows
    sources: Rows
    within: Rows

    @classmethod
    def of(cls, name: Rows, limits: Limits) -> "Marks":
        """Read the marks of groups off their posts, of which each has the name of its group: (n,) rows."""
        posts, code = np.zeros((2, 0), dtype=np.int64)
        within = np.full(len(name), _UNKNOWN)
        if limits.scope is not None:
            posts = np.flatnonzero(limits.scope.sources >= 0)
            code = limits.scope.sources[posts]
            within = _categories(name, limits.scope.within)
        if limits.settled is not None:
            settled = np.flatnonzero(limits.settled)
            posts, code = np.r_[posts, settled], np.r_[code, np.full(len(settled), code.max(initial=-1) + 1)]
        return cls._sorted(name[posts], code, within)

    @classmethod
    def _sorted(cls, owner: Rows, code: Rows, within: Rows) -> "Marks":
        kinds = code.max(initial=0) + 1
        owner, code = np.divmod(np.unique(owner * kinds + code), kinds)
        return cls(offsets_of(np.bincount(owner, minlength=len(within))), code, within)

    @property
    def empty(self) -> bool:
        """Whether any two groups may join."""
        return not len(self.sources) and not (self.within != _UNKNOWN).any()

    def apart(self, low: Names, high: Names) -> Bools:
        """Tell which pairs of groups may not join: (m,) and (m,) names to (m,) bool."""
        found = _differ(self.within[low], self.within[high])
        count = np.diff(self.begin)
        single = np.flatnonzero((count[low] == 1) & (count[high] == 1))  # most of them
        one, other = (self.sources[self.begin[ends[single]]] for ends in (low, high))
        found[single] |= one == other
        rest = np.flatnonzero((count[low] > 0) & (count[high] > 0) & (count[low] + count[high] > 2))
        found[rest] |= self._share(low[rest], high[rest])
        return found

    def _share(self, low: Names, high: Names) -> Bools:
        """Tell which pairs of groups have posts of one source: those of the one are looked up among the other's."""
        count = np.diff(self.begin)
        kinds = self.sources.max(initial=0) + 1
        keys = np.repeat(np.arange(len(count)), count) * kinds + self.sources
        fewer = count[low] <= count[high]
        few, many = np.where(fewer, low, high), np.where(fewer, high, low)
        places, bounds = members(self.begin, few)
        pair = np.repeat(np.arange(len(few)), np.diff(bounds))
        there = places_in(keys, many[pair] * kinds + self.sources[places]) >= 0
        return np.bincount(pair[there], minlength=len(few)) > 0

    def merged(self, kept: Names, gone: Names) -> "Marks":
        """Give groups also what those have that join them: (q,) and (q,) names, none twice."""
        if self.empty:
            return self
        within, name = self.within.copy(), np.arange(len(self.within))
        one, other = within[kept], within[gone]
        within[kept] = np.where(_differ(one, other), _SEVERAL, np.where(one == _UNKNOWN, other, one))
        name[gone] = kept
        return self._sorted(np.repeat(name, np.diff(self.begin)), self.sources, within)

    def take(self, names: Rows) -> "Marks":
        """Keep some groups, which are then named by their places."""
        places, begin = members(self.begin, names)
        return Marks(begin, self.sources[places], self.within[names])


def _categories(name: Rows, code: Rows) -> Rows:
    """Find the category of each group: (n,) names and categories of posts to (n,) int64."""
    known = np.flatnonzero(code >= 0)
    least, most = np.full(len(name), np.iinfo(np.int64).max), np.full(len(name), _UNKNOWN)
    np.minimum.at(least, name[known], code[known])
    np.maximum.at(most, name[known], code[known])
    return np.where((most != _UNKNOWN) & (least != most), _SEVERAL, most)


def _differ(one: Rows, other: Rows) -> Bools:
    """Tell where both categories are known and are not one."""
    known: Bools = (one != _UNKNOWN) & (other != _UNKNOWN)
    known &= (one != other) | (one == _SEVERAL)
    return known
