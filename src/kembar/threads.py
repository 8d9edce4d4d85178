"""Work in threads, ahead of whoever takes the outcomes."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


@contextmanager
def in_order(
    work: Callable[[Item], Outcome], items: Iterable[Item], *, threads: int, ahead: int
) -> Iterator[Iterator[Outcome]]:
    """Apply a function to items in threads.

    Args:
        work: the function; it pays where it lets go of Python's lock, as decoders of photos do.
        items: drawn as there is room.
        threads: how many items are worked on at once.
        ahead: outcomes that may wait to be taken, at least 1: bounds the memory.

    Yields:
        The outcomes in the order of the items. On leaving early, by an error or Ctrl-C, what has not begun is dropped.
    """
    waiting: deque[Future[Outcome]] = deque()

    def outcomes() -> Iterator[Outcome]:
        """Take the oldest outcome whenever no more may wait."""
        for item in items:
            if len(waiting) == ahead:
                yield waiting.popleft().result()
            waiting.append(pool.submit(work, item))
        while waiting:
            yield waiting.popleft().result()

    with ThreadPoolExecutor(threads, thread_name_prefix="kembar") as pool:
        try:
            yield outcomes()
        finally:
            for future in waiting:
                future.cancel()
