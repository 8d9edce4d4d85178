"""Buckets: parts of a catalogue by a hash of the posting ids, in which stages work.

A post's bucket depends on its id and on the number of buckets alone, not on who else is there. Results are put back in
the order of the rows, so the number of buckets changes how much is held at once and nothing else.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from kembar.arrays import Doubles, Rows
from kembar.errors import ConfigError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Buckets:
    """The rows of n posts, in parts.

    Attributes:
        rows: the rows of each bucket, rising; every row is in one of them.
    """

    rows: tuple[Rows, ...]

    @classmethod
    def of(cls, ids: pl.Series, number: int = 1) -> "Buckets":
        """Deal posts to buckets by their ids.

        Args:
            ids: (n,) String posting ids.
            number: of buckets, at least 1.

        Returns:
            The buckets; some may be empty.

        Raises:
            ConfigError: fewer than one bucket.
        """
        if number < 1:
            raise ConfigError(f"{number} buckets", "at least 1", "Choose a positive number of buckets.")
        if number == 1:
            return cls((np.arange(len(ids)),))
        hashed = (int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") for text in ids)
        bucket = np.fromiter((value % number for value in hashed), dtype=np.int64, count=len(ids))
        return cls(tuple(np.flatnonzero(bucket == each) for each in range(number)))

    @classmethod
    def whole(cls, n: int) -> "Buckets":
        """Take n posts as one bucket."""
        return cls((np.arange(n),))

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Rows]:
        return iter(self.rows)

    def among(self, kept: Rows) -> "Buckets":
        """Give the buckets of some of the posts, whose rows are numbered anew: (m,) rising rows."""
        return Buckets(tuple(np.flatnonzero(np.isin(kept, rows)) for rows in self.rows))

    def by_left(self, left: Rows) -> "Buckets":
        """Cut pairs into parts by the bucket of their left post: (m,) rows of posts to places of pairs."""
        if len(self.rows) == 1:
            return Buckets.whole(len(left))
        owner = np.empty(sum(map(len, self.rows)), dtype=np.int64)
        for each, rows in enumerate(self.rows):
            owner[rows] = each
        return Buckets(tuple(np.flatnonzero(owner[left] == each) for each in range(len(self.rows))))

    def arrays(self, work: Callable[[Rows], npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """Make an array bucket by bucket, in the order of the rows.

        Args:
            work: given the rows of a bucket, gives an array of as many.
        """
        return self.put_back([work(rows) for rows in self.rows])

    def put_back(self, parts: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """Put what was made in each bucket back in the order of the rows."""
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts)[self.places()]

    def places(self) -> Rows:
        """Give the place of each row when the buckets stand one behind the other: (n,) int64."""
        order = np.concatenate(self.rows)
        places = np.empty_like(order)
        places[order] = np.arange(len(order))
        return places


def draws_of(ids: pl.Series) -> Doubles:
    """Draw a number in [0, 1) for each posting id, always the same: (n,) float64."""
    numbers = [int.from_bytes(blake2b(text.encode(), digest_size=6).digest(), "big") for text in ids]
    return np.array(numbers, dtype=np.float64) / 2**48
