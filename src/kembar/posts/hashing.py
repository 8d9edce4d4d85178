"""The perceptual hashes of a whole catalogue's photos, in threads: decoders let go of Python's lock.

A photo that cannot be used is a row of `PhotoHashes.problems` and does not stop the run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
import polars as pl

from kembar.arrays import Bools, Progress, default_threads
from kembar.errors import EvidenceError, PhotoError
from kembar.posts.photos import Hashes, check_hashes, check_positive, hash_file, truncation
from kembar.threads import in_order

_Job: TypeAlias = tuple[int, Path]  # row and path
_Outcome: TypeAlias = tuple[int, int | None, str | None]  # row, hash if there is one, problem if there is one

_AHEAD = 16  # photos per thread that may be hashed while an earlier one takes long


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
    threads: int | None = None,
    draft: bool = False,
    progress: Progress | None = None,
) -> PhotoHashes:
    """Hash the photos of a catalogue in parallel threads.

    The result does not depend on their number.

    Args:
        paths: (n,) image files; None for a post without a photo, which is no problem.
        threads: photos decoded side by side; None: OMP_NUM_THREADS, or one per core.
        draft: take `draft_hash` instead of the exact hash.
        progress: called with ("hash photos", photos done, photos in all).

    Returns:
        The hashes, in the order of `paths`.

    Raises:
        ConfigError: `threads` is less than 1.
    """
    check_positive("threads", threads)
    jobs: list[_Job] = [(row, path) for row, path in enumerate(paths) if path is not None]
    hashes = np.zeros(len(paths), np.uint64)
    hashed = np.zeros(len(paths), np.bool_)
    problems: dict[int, str] = {}
    threads = threads or default_threads()
    with in_order(partial(_hash, draft=draft), jobs, threads=threads, ahead=_AHEAD * threads) as outcomes:
        for done, (row, value, problem) in enumerate(outcomes, 1):
            hashes[row], hashed[row] = value or 0, value is not None
            if problem is not None:
                problems[row] = problem
            if progress is not None:
                progress("hash photos", done, len(jobs))
    columns = {"row": list(problems), "problem": list(problems.values())}
    return PhotoHashes(hashes, hashed, pl.DataFrame(columns, schema={"row": pl.UInt32, "problem": pl.String}))


def _hash(job: _Job, *, draft: bool) -> _Outcome:
    row, path = job
    try:
        value, truncated = hash_file(path, draft=draft)
    except PhotoError as error:
        return row, None, error.given
    return row, value, truncation(path) if truncated else None
