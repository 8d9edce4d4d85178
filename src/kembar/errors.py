"""The errors that kembar raises.

::

    Exception
    └── KembarError              every error of kembar itself
        ├── ForkedError          a process forked from one that had used kembar (also a RuntimeError)
        ├── InputError           what was given cannot be used (also a ValueError)
        │   ├── CatalogError     a file or frame of posts, its columns, its ids
        │   │   ├── TakenError   an id that is there already, with other content
        │   │   └── UnknownError a post, group or event that is not there
        │   ├── PhotoError       one photo; a run counts it and continues
        │   ├── ConfigError      an option: unknown, of the wrong type or out of range
        │   ├── EvidenceError    vectors, pairs or labels that do not fit the posts
        │   ├── EncoderError     a model: an unknown name, a folder without weights, weights of another shape
        │   ├── TrainingError    a training that cannot start or continue
        │   ├── FolderError      an output or run folder: already there, missing, not writable
        │   └── StoreError       a store: in use, damaged, of a newer version, on a full disk
        └── MissingExtraError    an optional dependency is not installed (also an ImportError)

Every message has three parts: what was given, what was expected, and what to do about it.
The command line prints the message alone and exits with code 2.
"""

import difflib
import re
from collections.abc import Iterable
from pathlib import PurePath
from typing import Final

_CONTROL: Final = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u2028-\u202e\u2066-\u2069]")


class KembarError(Exception):
    """Every error of kembar itself."""


class InputError(KembarError, ValueError):
    """What was given cannot be used.

    Args:
        given: what was given, the offending value quoted.
        expected: what would have been accepted.
        fix: what the reader can do now.
    """

    def __init__(self, given: str, expected: str, fix: str) -> None:
        super().__init__(f"{given}; expected {expected}. {fix}")
        self.given = given
        self.expected = expected
        self.fix = fix

    def __reduce__(self) -> tuple[type["InputError"], tuple[str, str, str]]:
        """Pickle by the three parts, as worker processes need it."""
        return type(self), (self.given, self.expected, self.fix)


class CatalogError(InputError):
    """A file or frame of posts, its columns or its ids cannot be used."""


class TakenError(CatalogError):
    """An id that is there already, with other content."""


class UnknownError(CatalogError):
    """A post, a group or an event that is not there."""


class PhotoError(InputError):
    """One photo cannot be used; a run counts it, reports it and continues."""


class ConfigError(InputError):
    """An option is unknown, of the wrong type or out of range."""


class EvidenceError(InputError):
    """Vectors, pairs or labels do not fit the posts they are meant for."""


class EncoderError(InputError):
    """A model has an unknown name, cannot be reached, has no weights or weights of another shape."""


class TrainingError(InputError):
    """A training cannot start (too few groups or photos) or cannot continue (a loss that is not finite)."""


class FolderError(InputError):
    """An output or run folder is already there, missing, incomplete or not writable."""


class StoreError(InputError):
    """A store is in use by another process, damaged, of a newer version, or on a disk that is full or fails."""


class MissingExtraError(KembarError, ImportError):
    """An optional dependency is not installed.

    Args:
        package: the distribution that is missing.
        extra: the extra of kembar that brings it.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package!r} is not installed; install it with: pip install 'kembar[{extra}]'")


class ForkedError(KembarError, RuntimeError):
    """This process was forked from one that had used kembar, and lacks the threads of its libraries."""

    def __init__(self) -> None:
        super().__init__(
            "process forked from one that had used kembar; expected a process that uses it for the first time, since "
            "the threads of polars and OpenMP do not live on in a fork, and waiting for them would never end. Load and "
            "match in each process itself: gunicorn without --preload, celery with worker_process_init, "
            "multiprocessing with get_context('spawn')."
        )


def quoted(value: object) -> str:
    """Quote an offending value for a message: a path whole, but the end of a very long one; else 80 characters."""
    if isinstance(value, PurePath) or hasattr(value, "joinpath"):  # the second: elsewhere, see kembar.remote
        text = repr(str(value))
        return text if len(text) <= 240 else f"{text[0]}...{text[-236:]}"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:76]}...{text[-1]}"


def visible(text: str) -> str:
    r"""Write control characters as escapes, such as \u001b, so that a terminal shows them and does not obey them.

    Also those that turn the direction of text, and separators of lines but for the line feed. JSON stays what it is.
    """
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def nearest(name: str, names: Iterable[str]) -> str:
    """List the nearest spellings, as a sentence to append to a fix ("" where nothing is near)."""
    lowered = {other.lower(): other for other in sorted(names)}
    near = [lowered[match] for match in difflib.get_close_matches(name.lower(), lowered, n=3)]
    return f" Nearest: {', '.join(map(repr, near))}." if near else ""


def look_up(value: str, known: Iterable[str]) -> str:
    """Suggest what to do about an unknown option: the nearest spellings, or where all are shown."""
    return nearest(value, known).strip() or "`kembar config` shows everything that can be set."
