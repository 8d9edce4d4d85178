"""Identifiers as a view: posts with an equal code are candidates, whatever their titles and photos say.

Its column is 1 where both posts have the same code and 0 where both have one and they differ. What that is worth is
estimated from the pairs themselves (see kembar.classifier.agreement); it has no part in the fused similarity.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl

from kembar.arrays import Bools, Floats, Hashes, Rows, Sparse
from kembar.evidence.neighbors import Neighbors
from kembar.evidence.pairs import Pairs
from kembar.evidence.search import HashIndex
from kembar.evidence.several import Search
from kembar.evidence.view_kinds import Modality
from kembar.posts.catalog import Catalog

EQUAL: Final = "equal "
"""What the names of these views begin with; the name of the identifier follows."""
WEIGHT: Final = "_weight"
"""Added to the name of a view that the classifier has not learned from: what it added to the log-odds of a pair."""


@dataclass(frozen=True, slots=True)
class IdentifierView:
    """Codes of one kind: (n,) uint64, equal for equal texts, and (n,) bool telling which posts have one."""

    name: str
    codes: Hashes
    known: Bools
    k: int = 51
    modality: Modality = "identifier"
    floor: float = 0.0
    weight: float = 1.0

    @property
    def blends(self) -> bool:
        """A mean of codes is not a code."""
        return False

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: Rows) -> "IdentifierView":
        """Keep some posts."""
        return replace(self, codes=self.codes[rows], known=self.known[rows])

    def index(self) -> Search:
        """Search for equal codes."""
        base = HashIndex.of(self.codes, self.known)
        return lambda queries, own: base.search(queries.codes, queries.known, self.k, own=own, radius=0)

    def places(self) -> Rows:
        """Give each post as many."""
        return np.full(len(self), self.k)

    def score(self, left: Rows, right: Rows, base: "IdentifierView | None" = None) -> Floats:
        """Compare pairs: 1 for equal codes, 0 for others, NaN where a post has none."""
        other = base or self
        equal = (self.codes[left] == other.codes[right]).astype(np.float32)
        return np.where(self.known[left] & other.known[right], equal, np.float32(np.nan))

    def hidden(self, posts: Bools) -> "IdentifierView":
        """Forget the codes of some posts."""
        return replace(self, known=self.known & ~posts)

    def blended(self, weights: Sparse, base: "IdentifierView | None" = None) -> "IdentifierView":
        """Stay: a mean of codes is not a code."""
        return self

    def joined(self, parts: "Sequence[IdentifierView]", order: Rows) -> "IdentifierView":
        """Stack the codes."""
        codes, known = np.concatenate([part.codes for part in parts]), np.concatenate([part.known for part in parts])
        return replace(self, codes=codes[order], known=known[order])

    def expanded(self, neighbors: Neighbors, k: int, alpha: float) -> "IdentifierView":
        """Stay: a code has nothing to concatenate."""
        return self


def identifier_views(catalog: Catalog) -> tuple[IdentifierView, ...]:
    """Make a view of each column of identifiers that a catalogue has."""
    columns = () if catalog.identifiers is None else tuple(catalog.identifiers)
    return tuple(IdentifierView(EQUAL + codes.name, codes.hash(0).to_numpy(), _known(codes)) for codes in columns)


def identifier_columns(pairs: Pairs) -> dict[str, Floats]:
    """Take the columns of these views: 1, 0 or NaN by the name of the view."""
    return {name: column for name, column in pairs.evidence.items() if name.startswith(EQUAL) and _plain(name, pairs)}


def with_an_equal_one(pairs: Pairs) -> Bools:
    """Mark the pairs that share an identifier: (m,) bool."""
    found = np.zeros(len(pairs), dtype=bool)
    for column in identifier_columns(pairs).values():
        found |= column == 1
    return found


def _known(codes: pl.Series) -> Bools:
    return (codes != "").to_numpy()


def _plain(name: str, pairs: Pairs) -> bool:
    """Tell a view from what it added to the log-odds."""
    return not name.endswith(WEIGHT) or name.removesuffix(WEIGHT) not in pairs.evidence
