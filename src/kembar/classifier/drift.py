"""Whether pairs are of the kind a model was trained on: the population stability index of every column."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from kembar.arrays import Doubles, Floats
from kembar.errors import EvidenceError

LARGE: Final = 0.25
"""From here on a column counts as changed (Siddiqi 2006, "Credit Risk Scorecards"; .1 is slight)."""
FEWEST: Final = 4_000
"""Of fewer pairs nothing is said: pools of some hundred posts differ too much from one another."""

_TENTHS: Final = np.arange(1, 10) / 10
_TAUGHT: Final = 200_000  # pairs that a profile is made of, evenly spread
LOOKED_AT: Final = 8_192
"""Pairs that are compared with a profile: as many as a verdict needs."""

_RARE: Final = 1e-4  # a share of 0 counts as this


@dataclass(frozen=True, slots=True)
class Profile:
    """How the columns of a table were distributed.

    Attributes:
        names: (c,) the columns.
        edges: for each column, up to 9 rising bounds between its tenths.
        shares: for each column, the share of pairs in each bin, then of those that lack it; sums to 1.
    """

    names: tuple[str, ...]
    edges: tuple[tuple[float, ...], ...]
    shares: tuple[tuple[float, ...], ...]

    @classmethod
    def of(cls, table: Floats, names: tuple[str, ...]) -> "Profile":
        """Describe the columns of a table.

        Args:
            table: (m, c) float32, NaN where missing, m >= 1.
            names: (c,).

        Returns:
            The profile.
        """
        table = sampled(table, _TAUGHT)
        edges = [_tenths(column) for column in table.T]
        shares = [_binned(column, bounds) for column, bounds in zip(table.T, edges, strict=True)]
        return cls(names, tuple(map(tuple, edges)), tuple(map(tuple, shares)))

    def compare(self, table: Floats) -> pl.DataFrame:
        """Measure how far the columns of another table are from this profile.

        With e the shares here and a there, the index is the sum over bins of (a - e) ln(a / e).

        Args:
            table: (m, c) float32 with the same columns; `sampled` makes a large one quick to compare with many.

        Returns:
            Columns column, psi, missing (share of pairs there), missing_before (here), the most changed first.

        Raises:
            EvidenceError: a table of another width.
        """
        if table.shape[1] != len(self.names):
            raise EvidenceError(
                f"a table of {table.shape[1]} columns",
                f"the {len(self.names)} of the profile",
                "Make it by their names.",
            )
        here = [np.array(shares) for shares in self.shares]
        there = [np.array(_binned(column, bounds)) for column, bounds in zip(table.T, self.edges, strict=True)]
        psi = [_index(before, now) for before, now in zip(here, there, strict=True)]
        frame = {
            "column": self.names,
            "psi": psi,
            "missing": [a[-1] for a in there],
            "missing_before": [e[-1] for e in here],
        }
        return pl.DataFrame(frame).sort("psi", "column", descending=[True, False])

    def tree(self) -> dict[str, Any]:
        """Give the profile as plain lists, for JSON."""
        return {"names": list(self.names), "edges": [*map(list, self.edges)], "shares": [*map(list, self.shares)]}

    @classmethod
    def from_tree(cls, tree: dict[str, Any]) -> "Profile":
        """Take the profile from plain lists."""
        return cls(tuple(tree["names"]), tuple(map(tuple, tree["edges"])), tuple(map(tuple, tree["shares"])))


def sampled(table: Floats, most: int = LOOKED_AT) -> Floats:
    """Take an even sample of the rows of a table, and sort each of its columns: (s, c) float32, NaN last."""
    return np.sort(table[:: max(1, -(-len(table) // most))].T, axis=1).T


def _tenths(column: Floats) -> list[float]:
    known = column[~np.isnan(column)]
    if not len(known):
        return []
    bounds = np.unique(np.quantile(known, _TENTHS, method="higher").astype(np.float32))
    return [float(bound) for bound in bounds]


def _binned(column: Floats, edges: Any) -> list[float]:
    known = column[~np.isnan(column)]
    if (known[1:] < known[:-1]).any():  # as a rule it comes sorted
        known = np.sort(known)
    bounds = np.searchsorted(known, np.asarray(edges, dtype=np.float32), side="right")
    counts = np.diff(bounds, prepend=0, append=len(known))
    shares = np.append(counts, len(column) - len(known)) / max(1, len(column))
    return [round(share, 6) for share in shares.tolist()]


def _index(before: Doubles, now: Doubles) -> float:
    e, a = np.maximum(before, _RARE), np.maximum(now, _RARE)
    return float(((a - e) * np.log(a / e)).sum())
