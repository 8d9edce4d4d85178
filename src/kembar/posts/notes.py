"""What was noticed while posts were read and compared: taken otherwise than it stands there, but no damage."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Note:
    """One thing noticed.

    Args:
        kind: what it is about: "encoding", "container", "header", "rows", "cells", "columns", "products", "photos",
            "files" or "search".
        detail: it, in words.
        count: of how many rows, cells or files; 0 where nothing is counted.
    """

    kind: str
    detail: str
    count: int = 0
