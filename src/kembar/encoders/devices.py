"""Running models on devices: batches spread over several, and smaller ones where memory runs out.

Nothing here needs torch, except to ask which devices there are.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import chain, islice
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypeVar

import numpy as np

from kembar.arrays import Floats, Rows
from kembar.errors import ConfigError, EncoderError, MissingExtraError

Precision: TypeAlias = Literal["float32", "float16", "bfloat16"]
_FULL = ("out of memory", "can't allocate memory", "failed to allocate memory")
_log = logging.getLogger(__name__)


class Sliceable(Protocol):
    """A list of titles or an array of photos."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> Any: ...


Batch = TypeVar("Batch", bound=Sliceable)


def resolve(device: str) -> tuple[str, ...]:
    """List the torch devices that a name stands for.

    Args:
        device: "cpu", "cuda" (the first GPU), "cuda:N", "cuda:N,M,..." (several), or "auto": a GPU where there is one.

    Returns:
        Names of devices, such as ("cuda:0", "cuda:1").

    Raises:
        ConfigError: no such device.
        MissingExtraError: torch is not installed.
    """
    kind, numbers = parse(device)
    if kind == "cpu":
        return ("cpu",)
    available = _cuda_devices()
    if kind == "auto":
        return ("cuda:0",) if available else ("cpu",)
    if max(numbers) >= available:
        there = f"{available} CUDA device(s)" if available else "no CUDA device that torch can use"
        raise ConfigError(
            f"device {device!r}, and there is {there}",
            "a GPU that is there",
            "Use device='cpu' (or 'auto'), or check the driver and the build of torch.",
        )
    return tuple(f"cuda:{number}" for number in numbers)


def parse(device: str) -> tuple[str, tuple[int, ...]]:
    """Read the name of a device, or of several.

    Args:
        device: as for `resolve`.

    Returns:
        "auto", "cpu" or "cuda", and the numbers of the GPUs; 0 where none are named.

    Raises:
        ConfigError: another form.
    """
    kind, colon, numbers = device.partition(":")
    chosen = numbers.split(",") if colon else ["0"]
    if kind not in ("auto", "cpu", "cuda") or (kind != "cuda" and colon) or not all(map(str.isdecimal, chosen)):
        raise ConfigError(f"device {device!r}", "'auto', 'cpu', 'cuda', 'cuda:1' or 'cuda:0,1'", "Choose one of these.")
    return kind, tuple(dict.fromkeys(map(int, chosen)))


def _cuda_devices() -> int:
    try:
        import torch
    except ImportError:
        raise MissingExtraError("torch", "train") from None
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def out_of_memory(error: BaseException) -> bool:
    """Say whether an error of torch, onnxruntime or Python means that memory ran out."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, Exception) and any(sign in str(error).lower() for sign in _FULL)


class Worker(Generic[Batch]):
    """A model on one device. Where a batch does not fit into memory, it is halved until it does, and stays so.

    Args:
        forward: turns a batch of b items into (b, d) vectors.
        place: the device, for messages.
        release: frees what is cached on the device, after memory ran out.
    """

    def __init__(
        self, forward: Callable[[Batch], Floats], place: str, release: Callable[[], None] | None = None
    ) -> None:
        self._forward = forward
        self._place = place
        self._release = release
        self.limit: int | None = None

    def __call__(self, batch: Batch) -> Floats:
        """Encode a batch.

        Args:
            batch: b items.

        Returns:
            (b, d) float32.

        Raises:
            EncoderError: not even one item fits into memory.
        """
        parts: list[Floats] = []
        done = 0
        while done < len(batch):
            part = batch[done : done + (self.limit or len(batch))]
            vectors = self._attempt(part)
            if vectors is None:
                self._shrink(len(part))
                continue
            parts.append(vectors)
            done += len(part)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _attempt(self, part: Batch) -> Floats | None:
        try:
            return self._forward(part)
        except Exception as error:
            if not out_of_memory(error):
                raise
            _log.debug("%s", error)
        return None  # outside the except block, whose traceback keeps the memory

    def _shrink(self, size: int) -> None:
        if size == 1:
            raise EncoderError(
                f"one item, which does not fit into the memory of {self._place}",
                "a model that fits",
                "Use a smaller model or input, precision='float16', or another device.",
            )
        self.limit = size // 2
        _log.warning("out of memory on %s with batches of %d: continuing with %d", self._place, size, self.limit)
        if self._release is not None:
            self._release()


def spread(batches: Iterable[tuple[Rows, Batch]], workers: Sequence[Worker[Batch]]) -> Iterator[tuple[Rows, Floats]]:
    """Give batches to the workers as they become free.

    Args:
        batches: rows and items of each batch; drawn in this thread.
        workers: one per device; a single one works in this thread, and one of several on a single batch.

    Yields:
        Rows and (b, d) vectors of each batch, in the order in which they finish.
    """
    batches = iter(batches)
    first = list(islice(batches, 2))
    if len(workers) == 1 or len(first) < 2:  # as of one title that is looked up: threads would take longer than it does
        for rows, items in chain(first, batches):
            yield rows, workers[0](items)
        return
    idle = list(workers)
    running: dict[Future[Floats], tuple[Worker[Batch], Rows]] = {}
    with ThreadPoolExecutor(len(workers), thread_name_prefix="kembar-encode") as pool:
        for rows, items in chain(first, batches):
            while not idle:
                yield from _finished(running, idle)
            worker = idle.pop()
            running[pool.submit(worker, items)] = (worker, rows)
        while running:
            yield from _finished(running, idle)


def _finished(
    running: dict[Future[Floats], tuple[Worker[Batch], Rows]], idle: list[Worker[Batch]]
) -> Iterator[tuple[Rows, Floats]]:
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        worker, rows = running.pop(future)
        idle.append(worker)
        yield rows, future.result()
