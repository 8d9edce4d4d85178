"""Whose posts a group has, and of which category: what keeps two groups from joining, kept through merges."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from kembar.arrays import Bools, Rows
from kembar.grouping.limits import Limits

if TYPE_CHECKING:
    import scipy.sparse as sp

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
        sources: (n, s) bool, whose posts are in the group of each name; settled groups share a source of their own.
        within: (n,) int64 category of each group, -1 unknown, -2 several.
    """

    sources: "sp.csr_matrix"
    within: Rows

    @classmethod
    def of(cls, name: Rows, limits: Limits) -> "Marks":
        """Read the marks of groups off their posts, of which each has the name of its group: (n,) rows."""
        import scipy.sparse as sp

        posts, code = np.zeros((2, 0), dtype=np.int64)
        within = np.full(len(name), _UNKNOWN)
        if limits.scope is not None:
            posts = np.flatnonzero(limits.scope.sources >= 0)
            code = limits.scope.sources[posts]
            within = _categories(name, limits.scope.within)
        own = code.max(initial=-1) + 1
        if limits.settled is not None:
            settled = np.flatnonzero(limits.settled)
            posts, code = np.r_[posts, settled], np.r_[code, np.full(len(settled), own)]
        shape = (len(name), own + 1)
        return cls(sp.coo_matrix((np.ones(len(posts), dtype=bool), (name[posts], code)), shape).tocsr(), within)

    @property
    def empty(self) -> bool:
        """Whether any two groups may join."""
        return not self.sources.nnz and not (self.within != _UNKNOWN).any()

    def apart(self, low: Names, high: Names) -> Bools:
        """Tell which pairs of groups may not join: (m,) and (m,) names to (m,) bool."""
        shared = self.sources[low].multiply(self.sources[high]).getnnz(axis=1) > 0
        return np.asarray(shared | _differ(self.within[low], self.within[high]))

    def merged(self, kept: Names, gone: Names) -> "Marks":
        """Give groups also what those have that join them: (q,) and (q,) names, none twice."""
        import scipy.sparse as sp

        if self.empty:
            return self
        n, within = len(self.within), self.within.copy()
        one, other = within[kept], within[gone]
        within[kept] = np.where(_differ(one, other), _SEVERAL, np.where(one == _UNKNOWN, other, one))
        joins = sp.csr_matrix((np.ones(len(kept), dtype=bool), (kept, gone)), (n, n))
        return Marks((self.sources + joins @ self.sources).tocsr(), within)

    def take(self, names: Rows) -> "Marks":
        """Keep some groups, which are then named by their places."""
        return Marks(self.sources[names], self.within[names])


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
