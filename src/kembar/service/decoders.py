"""Photos of strangers are decoded in processes of their own first, which end when one takes too long.

What came through once may then be decoded by any thread of the service: it is known to end.
"""

import logging
import multiprocessing
import queue
import signal
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from kembar.errors import InputError, PhotoError, quoted

_START_SECONDS: Final = 60.0  # until a new process must be there
_READY: Final = "ready"

log = logging.getLogger(__name__)


class Decoders:
    """A number of processes that decode photos; they begin when they are first needed.

    Args:
        number: how many photos are decoded at once.
        seconds: that decoding one may take.
        pixels: width times height of one.
    """

    def __init__(self, number: int, *, seconds: float, pixels: int) -> None:
        self._seconds, self._pixels = seconds, pixels
        self._idle: queue.LifoQueue[_Decoder | None] = queue.LifoQueue()
        for _ in range(number):
            self._idle.put(None)

    def check(self, path: Path) -> tuple[int, int]:
        """Decode a photo; from any thread; waits until a process is free.

        Args:
            path: the file.

        Returns:
            Width and height in pixels, upright.

        Raises:
            PhotoError: it cannot be decoded, is too large, or takes too long.
        """
        decoder = self._idle.get()
        try:
            if decoder is None or not decoder.lives():
                decoder = _Decoder(self._pixels)
            outcome = decoder.decode(path, self._seconds)
        except BaseException:
            if decoder is not None:
                decoder.kill()
            self._idle.put(None)
            raise
        self._idle.put(decoder)
        if isinstance(outcome, InputError):
            raise outcome
        return outcome

    def close(self) -> None:
        """End the processes; those at work when they are done."""
        with suppress(queue.Empty):
            while True:
                decoder = self._idle.get_nowait()
                if decoder is not None:
                    decoder.kill()


class _Decoder:
    """One process and the way to it."""

    def __init__(self, pixels: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._end, far = context.Pipe()
        self._process = context.Process(target=_decode_all, args=(far, pixels), daemon=True, name="kembar-decoder")
        self._process.start()
        far.close()
        try:
            self._answer(_START_SECONDS)
        except TimeoutError:
            self.kill()
            raise

    def lives(self) -> bool:
        """Tell whether the process is there."""
        return self._process.is_alive()

    def decode(self, path: Path, seconds: float) -> "tuple[int, int] | InputError":
        """Have a photo decoded."""
        try:
            self._end.send(path)
            outcome: tuple[int, int] | InputError = self._answer(seconds)
        except TimeoutError:
            raise PhotoError(
                f"photo {quoted(path)}, which was not decoded after {seconds:g} seconds",
                "one that takes less",
                "Save the photo again, or smaller.",
            ) from None
        except (EOFError, OSError) as error:
            log.error("a process that decodes photos ended at %s", path.name)
            raise PhotoError(
                f"photo {quoted(path)}, at which the decoder failed", "an undamaged image", "Save the photo again."
            ) from error
        return outcome

    def kill(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.join()
        self._process.close()
        self._end.close()

    def _answer(self, seconds: float) -> "tuple[int, int] | InputError":
        if not self._end.poll(seconds):
            raise TimeoutError
        outcome: tuple[int, int] | InputError = self._end.recv()
        return outcome


def _decode_all(end: Connection, pixels: int) -> None:
    """Decode photos until there is nobody who asks; the whole life of a process."""
    from PIL import Image

    from kembar.posts.photos import open_photo

    Image.init()  # what the first photo would wait for
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, which ends these
    end.send(_READY)
    with suppress(EOFError):
        while True:
            path = end.recv()
            try:
                end.send(open_photo(path, max_pixels=pixels).size)
            except InputError as error:
                end.send(error)
            except MemoryError:
                end.send(PhotoError(f"photo {quoted(path)}", "one that fits in memory", "Save it smaller."))
