"""Numbers for texts: those that a catalogue knows by their place, others by the order in which they turned up."""

import threading
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import polars as pl

from kembar.arrays import Rows, Sparse
from kembar.posts.patterns import FEW


class Vocabulary:
    """The columns that texts stand for; the same text has the same column ever after. Safe in several threads.

    Args:
        known: (v,) String, distinct, sorted by code point: columns 0 to v - 1.
        before: numbers that are taken as they are, by text.
    """

    def __init__(self, known: pl.Series, before: Mapping[str, int] | None = None) -> None:
        self.known = known
        self._place: dict[str, int] | None = None
        self._before = before or {}
        self._begin = len(self._before)
        self._further: dict[str, int] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.known) + self._begin + len(self._further)

    def further(self) -> list[str]:
        """List the texts that the catalogue did not know, in the order of their columns."""
        return [*list(self._before)[: self._begin], *self._further]

    def passing(self) -> "Vocabulary":
        """Give one that knows what this knows now, and keeps further texts to itself: for what is only asked about."""
        found = Vocabulary(self.known, self._further)
        found._place = self._placed()
        return found

    def columns(self, texts: pl.Series | Sequence[str]) -> Rows:
        """Give the columns of texts: (m,) String to (m,) int64, those from v on of texts that were not known."""
        places = self.places(texts) if isinstance(texts, pl.Series) else self._places_of(texts)
        unknown = np.flatnonzero(places < 0)
        if len(unknown):
            new = [texts[at] for at in unknown.tolist()]
            with self._lock:
                column = {text: len(self.known) + self._number(text) for text in sorted(set(new))}
            places[unknown] = [column[text] for text in new]
        return places

    def _number(self, text: str) -> int:
        """Number a text that the catalogue does not know."""
        known = self._before.get(text, self._begin)
        if known >= self._begin:  # later ones have come to it since
            known = self._further.setdefault(text, self._begin + len(self._further))
        return known

    def places(self, texts: pl.Series) -> Rows:
        """Find texts among the known ones: (m,) String to (m,) int64, -1 where they are not there."""
        if not len(self.known) or not len(texts):
            return np.full(len(texts), -1, dtype=np.int64)
        if len(texts) <= FEW:
            begins = [(bisect_left(self.known, text), text) for text in texts.to_list()]
            found = [at if at < len(self.known) and self.known[at] == text else -1 for at, text in begins]
            return np.array(found, dtype=np.int64)
        at = np.minimum(self.known.search_sorted(texts).to_numpy().astype(np.int64), len(self.known) - 1)
        return np.where((self.known.gather(at) == texts).to_numpy(), at, -1)

    def holds(self, text: str) -> bool:
        """Tell whether a text is one of the known ones."""
        return text in self._placed()

    def _places_of(self, texts: Sequence[str]) -> Rows:
        """Do what `places` does with a few texts."""
        place = self._placed()
        return np.array([place.get(text, -1) for text in texts], dtype=np.int64)

    def _placed(self) -> dict[str, int]:
        """Give the places of the known texts, made when they are first asked for."""
        if self._place is None:
            self._place = {text: at for at, text in enumerate(self.known)}
        return self._place


def summed(counts: Iterable[pl.DataFrame], *keys: str) -> pl.DataFrame:
    """Add up the column df of the counts of slices, by the other columns; sorted by these."""
    return pl.concat(counts).group_by(*keys).agg(pl.col("df").sum()).sort(*keys)


def stacked_rows(tables: "list[Sparse]") -> Sparse:
    """Put sparse rows over the columns of one vocabulary below one another.

    Args:
        tables: CSR; one that was made later can have more columns.

    Returns:
        CSR with the columns of the widest.
    """
    import scipy.sparse as sp

    width = max(table.shape[1] for table in tables)
    wide = [sp.csr_matrix((t.data, t.indices, t.indptr), shape=(t.shape[0], width)) for t in tables]
    return wide[0] if len(wide) == 1 else sp.vstack(wide, format="csr")


def narrowed(table: Sparse) -> tuple[Sparse, Rows]:
    """Keep the columns in use alone; such rows stand beside no others of the vocabulary any more.

    Returns:
        (n, u) CSR, and the (u,) columns that it has, rising.
    """
    import scipy.sparse as sp

    used, indices = np.unique(table.indices, return_inverse=True)
    shape = (table.shape[0], max(1, len(used)))
    return sp.csr_matrix((table.data, indices.astype(np.int32), table.indptr), shape=shape), used.astype(np.int64)
