"""Photos that come with a request: checked, and stored under a name made from their content."""

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from kembar.errors import PhotoError, quoted
from kembar.folders import keep
from kembar.service.decoders import Decoders
from kembar.service.media import HEAD, SUFFIXES, media_type

_COMING: Final = ".coming-"  # before the names of files that are not checked yet
_LOCKS: Final = 64
_FIX: Final = "Save the photo again, smaller where it is too large."


class Uploads:
    """The photos that clients send, in the photo folder of a store.

    Args:
        folder: the photos of the store.
        decoders: which check a photo.
    """

    def __init__(self, folder: Path, decoders: Decoders) -> None:
        self._folder, self._decoders = folder, decoders
        self._locks = [threading.Lock() for _ in range(_LOCKS)]

        for path in folder.glob(f"{_COMING}*"):  # what an earlier process left half
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """End the decoders."""
        self._decoders.close()

    @contextmanager
    def checked(self, data: bytes, name: str) -> Iterator[Path]:
        """Check a photo, and have it in a file for a while.

        Args:
            data: the file.
            name: what the client calls it; for messages alone.

        Yields:
            A file in the photo folder, whose name the store never gave.

        Raises:
            PhotoError: it is none, is too large or takes too long to decode.
        """
        kind = media_type(data[:HEAD])
        if kind is None:
            formats = ", ".join(part.partition("/")[2] for part in SUFFIXES)
            raise PhotoError(f"photo {quoted(name)}, which is no image", f"one of {formats}", "Send an image.")
        path = self._folder / f"{_COMING}{os.urandom(12).hex()}{SUFFIXES[kind]}"
        try:
            write_whole(path, data)
            self._check(path, name)
            yield path
        finally:
            path.unlink(missing_ok=True)

    @contextmanager
    def stored(self, data: bytes, name: str) -> Iterator[str]:
        """Check a photo and store it; it goes again where what follows fails and nothing had stored it before.

        Args:
            data: the file.
            name: what the client calls it; for messages alone.

        Yields:
            Its name within the photo folder, made from its SHA-256. It is on disk.

        Raises:
            PhotoError: as in `checked`.
        """
        digest = hashlib.sha256(data).hexdigest()
        with self.checked(data, name) as path, self._locks[int(digest, 16) % _LOCKS]:
            place = self._folder / digest[:2] / f"{digest}{path.suffix}"
            new = not place.is_file()
            if new:
                place.parent.mkdir(exist_ok=True)
                path.replace(place)
                keep(place.parent)
                keep(self._folder)
            try:
                yield place.relative_to(self._folder).as_posix()
            except BaseException:
                if new:
                    place.unlink(missing_ok=True)
                raise

    def _check(self, path: Path, name: str) -> None:
        """Decode a photo; errors name it as the client does, and no path of this machine."""
        try:
            self._decoders.check(path)
        except PhotoError as error:
            shown = error.given.replace(quoted(path), quoted(name)).replace(str(path), name)
            raise PhotoError(shown, error.expected, _FIX) from None


def photo_path(folder: Path, name: str) -> Path | None:
    """Find a photo of a store.

    Args:
        folder: the photos of the store.
        name: within it, as a client gives it.

    Returns:
        The file; None where there is none, where the name or a link leads out of the folder, or begins with a dot.
    """
    folder = folder.resolve()
    try:
        path = (folder / name).resolve()
        inside = path.is_relative_to(folder) and path.is_file() and not path.name.startswith(".")
    except (OSError, ValueError, RuntimeError):  # a name too long, with NUL, or links in a circle
        return None
    return path if inside else None


def write_whole(path: Path, data: bytes) -> None:
    """Write a new file that is on disk when this returns."""
    with path.open("xb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
