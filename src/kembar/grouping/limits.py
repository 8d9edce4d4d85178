"""What is known of posts beside the similarities of pairs: what groups may not join, and what is one from the start."""

from dataclasses import dataclass
from typing import Final

from kembar.arrays import Bools, Rows
from kembar.evidence.scope import Scope


@dataclass(frozen=True, slots=True)
class Limits:
    """What is known of posts beside the similarities of pairs.

    Attributes:
        crowded: (n,) bool, posts whose lists were cut among their own kind, see `crowded_posts`; None: there are none.
        scope: which posts may be one product; two groups with a pair that may not never join. None: all.
        start: (n,) labels of groups that are there already and stay whole, whatever `scope` says of pairs within them;
            None: each post is one of its own.
        settled: (n,) bool, posts whose groups at the start never join each other; None: there are none.
        apart: (a,) and (a,) rows of posts that may never be in one group, whatever else; None: there are none.
        compared: (n,) candidates of each post, where pairs that are 0 may have been left out; None: all are given.
    """

    crowded: Bools | None = None
    scope: Scope | None = None
    start: Rows | None = None
    settled: Bools | None = None
    apart: tuple[Rows, Rows] | None = None
    compared: Rows | None = None


NO_LIMITS: Final = Limits()
