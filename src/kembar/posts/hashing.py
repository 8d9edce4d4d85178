"""The perceptual hashes of a whole catalogue's photos, in parallel processes.

A photo that cannot be used is a row of `PhotoHashes.problems` and does not stop the run, not even one whose decoding
kills the process.
"""

import ctypes
import logging
import math
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import connection, current_process, get_context, parent_process
from pathlib import Path
from typing import TypeAlias

import numpy as np
import polars as pl

from kembar.arrays import Bools, Progress
from kembar.errors import EvidenceError, PhotoError, quoted
from kembar.posts.photos import Hashes, check_hashes, check_positive, hash_file, truncation

_Chunk: TypeAlias = Sequence[tuple[int, Path]]  # row and path
_Outcome: TypeAlias = tuple[int, int | None, str | None]  # row, hash if there is one, problem if there is one
_Take: TypeAlias = Callable[[Iterable[_Outcome]], None]

_CHUNK = 64  # photos handed to a worker at once: about a second of work
_PULSE = 0.2  # seconds; polars restarts interrupted waits, so Ctrl-C is only seen between short ones
_FEW = 64  # below this, starting processes takes longer than hashing
_log = logging.getLogger(__name__)
_halt: ctypes.c_bool | None = None  # in a worker process: set by the parent to end the run


@dataclass(frozen=True, slots=True)
class PhotoHashes:
    """The perceptual hashes of a catalogue's photos, in catalogue order.

    Attributes:
        hashes: (n,) uint64; 0 where `hashed` is false.
        hashed: (n,) bool, whether the post has a photo that could be hashed.
        problems: frame of `row` (UInt32, ascending) and `problem` (String), one row per photo that could not
            be used, or that was used although truncated (the text then starts with "truncated").

    Raises:
        EvidenceError: the shapes, dtypes or columns are not these.
    """

    hashes: Hashes
    hashed: Bools
    problems: pl.DataFrame

    def __post_init__(self) -> None:
        """Check that the three parts belong to the same posts."""
        check_hashes(self.hashes, np.uint64, self.hashes.shape[:1])
        check_hashes(self.hashed, np.bool_, self.hashes.shape)
        schema = {"row": pl.UInt32(), "problem": pl.String()}
        if dict(self.problems.schema) != schema:
            given = f"problems with the columns {dict(self.problems.schema)!r}"
            raise EvidenceError(given, repr(schema), "Rename or cast the columns of the frame.")


def hash_photos(
    paths: Sequence[Path | None],
    *,
    workers: int | None = None,
    draft: bool = False,
    progress: Progress | None = None,
) -> PhotoHashes:
    """Hash the photos of a catalogue in parallel processes.

    The result does not depend on the number of workers. A photo that kills the process decoding it is a
    problem like any other (but one worker, or fewer than 64 photos, means the calling process). Workers are
    spawned: a script needs the guard `if __name__ == "__main__":`; without it all is done in the calling
    process, and a warning logged.

    Args:
        paths: (n,) image files; None for a post without a photo, which is no problem.
        workers: number of processes, one per processor by default.
        draft: take `draft_hash` instead of the exact hash.
        progress: called with ("hash photos", photos done, photos in all).

    Returns:
        The hashes, in the order of `paths`.

    Raises:
        ConfigError: `workers` is less than 1.
    """
    jobs: _Chunk = [(row, path) for row, path in enumerate(paths) if path is not None]
    hashes = np.zeros(len(paths), np.uint64)
    hashed = np.zeros(len(paths), np.bool_)
    problems: dict[int, str] = {}
    done = 0

    def take(outcomes: Iterable[_Outcome]) -> None:
        """Record the outcomes of some photos."""
        nonlocal done
        for row, value, problem in outcomes:
            done += 1
            hashes[row], hashed[row] = value or 0, value is not None
            if problem is not None:
                problems[row] = problem
        if progress is not None:
            progress("hash photos", done, len(jobs))

    count = _worker_count(workers, len(jobs))
    step = max(1, min(_CHUNK, math.ceil(len(jobs) / (4 * count))))
    chunks = deque(jobs[start : start + step] for start in range(0, len(jobs), step))
    if count > 1:
        _hash_in_processes(chunks, count, draft, take)
    for chunk in chunks:
        take(_hash_chunk(chunk, draft))
    columns = {"row": sorted(problems), "problem": [problems[row] for row in sorted(problems)]}
    return PhotoHashes(hashes, hashed, pl.DataFrame(columns, schema={"row": pl.UInt32, "problem": pl.String}))


def _hash_chunk(chunk: _Chunk, draft: bool) -> list[_Outcome]:
    outcomes: list[_Outcome] = []
    for row, path in chunk:
        if _halt is not None and _halt.value:
            break
        try:
            value, truncated = hash_file(path, draft=draft)
            outcomes.append((row, value, truncation(path) if truncated else None))
        except PhotoError as error:
            outcomes.append((row, None, error.given))
    return outcomes


def _worker_count(workers: int | None, photos: int) -> int:
    check_positive("workers", workers)
    if photos < _FEW or current_process().daemon:  # a daemonic process may not start others
        return 1
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return workers


def _hash_in_processes(chunks: deque[_Chunk], workers: int, draft: bool, take: _Take) -> None:
    """Take the outcomes of all chunks; if no process can start, leave in `chunks` those to be done in this one."""
    while chunks:
        suspects = _run_pool(chunks, workers, 2 * workers, draft, take)
        # In a fresh process photo by photo; if the empty chunk breaks it, no photo is the cause.
        singles: deque[_Chunk] = deque([[], *([job] for chunk in suspects for job in chunk)] if suspects else [])
        while singles:
            for culprit in _run_pool(singles, 1, 1, draft, take):
                if not culprit:
                    _log.warning(
                        "worker processes do not start, photos are hashed in this one; "
                        "does the calling script lack the guard `if __name__ == '__main__':`?"
                    )
                    chunks.extendleft(suspects)
                    return
                [(row, path)] = culprit
                take([(row, None, f"photo {quoted(path)} stopped the process that decoded it")])


def _run_pool(chunks: deque[_Chunk], workers: int, window: int, draft: bool, take: _Take) -> list[_Chunk]:
    """Work through `chunks`; when a process dies, stop and return those it may have died of."""
    context = get_context("spawn")  # a fork would copy the locks of OpenMP and polars threads, held or not
    halt = context.RawValue(ctypes.c_bool, False)  # a Value's lock could be held by a worker that dies
    flying: dict[Future[list[_Outcome]], _Chunk] = {}
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(halt,)) as pool:
        try:
            while chunks or flying:
                while chunks and len(flying) < window:
                    flying[_submit(pool, chunks[0], draft)] = chunks[0]
                    chunks.popleft()
                for future in wait(flying, _PULSE, FIRST_COMPLETED).done:
                    outcomes = future.result()
                    del flying[future]
                    take(outcomes)
        except BrokenProcessPool:
            return [chunk for future, chunk in flying.items() if not _taken(future, take)]
        except BaseException:
            halt.value = True  # workers stop after their present photo
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return []


def _submit(pool: ProcessPoolExecutor, chunk: _Chunk, draft: bool) -> Future[list[_Outcome]]:
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        return pool.submit(_hash_chunk, chunk, draft)
    # A worker started here inherits the mask: Ctrl-C reaches the parent alone, which then stops the workers.
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(_hash_chunk, chunk, draft)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


def _taken(future: Future[list[_Outcome]], take: _Take) -> bool:
    if isinstance(future.exception(), BrokenProcessPool):
        return False
    take(future.result())
    return True


def _begin(halt: ctypes.c_bool) -> None:
    global _halt
    _halt = halt
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    """End this process when its parent was killed; else it would wait for work forever."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
