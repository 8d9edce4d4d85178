"""Threads: work ahead of whoever takes the outcomes; what becomes of threads when a process forks; Ctrl-C put off."""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

from kembar.errors import ForkedError

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")
Given = ParamSpec("Given")

_user: int | None = None  # the process that used kembar first: this one, or one that it was forked from


def unforked(function: Callable[Given, Outcome]) -> Callable[Given, Outcome]:
    """Refuse to run in a process forked from one that had used kembar, where the function would wait for ever.

    Args:
        function: of those through which all goes that needs the threads of polars, OpenMP or onnxruntime.

    Returns:
        The function, which raises ForkedError there.
    """

    @wraps(function)
    def checked(*args: Given.args, **kwargs: Given.kwargs) -> Outcome:
        """Compare this process with the one that used kembar first."""
        global _user
        if _user is None:
            _user = os.getpid()
        if _user != os.getpid():
            raise ForkedError
        return function(*args, **kwargs)

    return checked


@contextmanager
def undisturbed() -> Iterator[None]:
    """Put Ctrl-C off until what must not stop half-way is done."""
    if threading.current_thread() is not threading.main_thread():  # others are never interrupted
        yield
        return
    seen: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: seen.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
        if seen:
            signal.raise_signal(signal.SIGINT)


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
