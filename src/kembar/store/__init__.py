"""A durable store of posts that are matched as they come, and groups over time."""

from kembar.store.live import Live
from kembar.store.records import (
    APART,
    FLOOR,
    SURE,
    VERDICTS,
    Candidate,
    Contradiction,
    Counts,
    Event,
    Found,
    Group,
    Placed,
    Post,
)

__all__ = [
    "APART", "FLOOR", "SURE", "VERDICTS", "Candidate", "Contradiction", "Counts", "Event", "Found", "Group", "Live",
    "Placed", "Post",
]  # fmt: skip
