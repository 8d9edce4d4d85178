"""Ctrl-C in the middle of a stage of the work, at the same point however fast or busy the machine is."""

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SECONDS = 0.02  # of the process's own work: inside the stage, long before its end


class _Start(logging.Handler):
    """Starts the clock when a stage begins."""

    def __init__(self, stage: str) -> None:
        super().__init__()
        self.stage = stage

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage() == self.stage:
            signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Interrupt, but not in a callback of the garbage collector, as hypothesis has one: nothing rises from there."""
    if frame is not None and frame.f_code.co_name == "gc_callback":
        signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS / 10)
    else:
        os.kill(os.getpid(), signal.SIGINT)


@contextmanager
def interrupted(stage: str) -> Iterator[None]:
    """Send this process SIGINT when it has worked on a stage for a moment; stages are known from the log (`-v`)."""
    log, start = logging.getLogger("kembar"), _Start(stage)
    level, before = log.level, signal.signal(signal.SIGVTALRM, _interrupt)
    log.addHandler(start)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
        log.removeHandler(start)
        log.setLevel(level)
