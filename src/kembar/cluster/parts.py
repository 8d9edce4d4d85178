"""Parts of the posts: ranges of rows in the order of posting ids, and how many of them a memory asks for."""

import re
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from kembar.arrays import Rows, default_threads
from kembar.errors import ConfigError

START: Final = 400 << 20
"""Bytes that a process holds before the first post: the libraries, the classifier and the title encoder."""
POST: Final = 2_000
"""Bytes for each post that searching and judging hold, however small the parts are."""
END_POST: Final = 3_300
"""Bytes for each post that grouping and writing hold, which have no parts."""
PART_POST: Final = 40_000
"""Bytes for each post of a part: its candidate pairs with their evidence."""
AT_ONCE: Final = 30_000
"""Bytes for each post of titles and hashes that are matched at once."""
FEWEST: Final = 1_000
"""Posts of the smallest part."""
AT_MOST: Final = 4
"""Tasks side by side in one process: more of them wait for Python's lock."""

_UNITS: Final = {"k": 10, "m": 20, "g": 30, "t": 40}
_SIZE: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt])i?b\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Parts:
    """Ranges of n rows.

    Attributes:
        bounds: (p + 1,) int64, from 0 to n, not falling.
    """

    bounds: Rows

    @classmethod
    def of(cls, posts: int, number: int) -> "Parts":
        """Cut rows into ranges of nearly one length."""
        return cls(np.arange(number + 1, dtype=np.int64) * posts // number)

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def rows(self, part: int) -> Rows:
        """List the rows of a part."""
        return np.arange(self.bounds[part], self.bounds[part + 1])

    def holding(self, rows: npt.NDArray[np.integer]) -> Rows:
        """Find the part of each row: (m,) int64."""
        return np.searchsorted(self.bounds, rows, side="right").astype(np.int64) - 1

    def among(self, part: int, rows: npt.NDArray[np.integer]) -> Rows:
        """Find the places of those rows that are of a part: (k,) int64, rising."""
        return np.flatnonzero((rows >= self.bounds[part]) & (rows < self.bounds[part + 1]))


def memory_of(text: str) -> int:
    """Read an amount of memory, such as "4GiB" or "500 MB" (the same as MiB), in bytes.

    Raises:
        ConfigError: it is none.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ConfigError(f"memory {text!r}", "a number with a unit, such as 4GiB or 800MiB", "Write it so.")
    return int(float(match[1]) * (1 << _UNITS[match[2].lower()]))


def tasks_at_once() -> int:
    """Tell how many tasks one process does side by side."""
    return min(default_threads(), AT_MOST)


def parts_within(memory: int, posts: int, at_once: int = 1) -> int:
    """Tell into how many parts to cut posts, so that a run stays within a memory.

    Args:
        memory: bytes.
        posts: their number.
        at_once: tasks side by side, each of them with a part.

    Returns:
        The least number of parts.

    Raises:
        ConfigError: the memory is too small even for the smallest parts.
    """
    least = least_memory(posts, at_once)
    if memory < least:
        needed = -(-least >> 20)
        raise ConfigError(
            f"memory of {memory >> 20:,} MiB for {posts:,} posts", f"at least {needed:,} MiB", "Give more memory."
        )
    return max(1, -(-posts * PART_POST * at_once // (memory - START - posts * POST)))


def least_memory(posts: int, at_once: int = 1) -> int:
    """Tell which memory a run needs in the smallest parts, so many of them side by side: bytes."""
    return START + max(posts * POST + at_once * FEWEST * PART_POST, posts * END_POST)
