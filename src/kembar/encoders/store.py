"""A cache of vectors on disk, by what was encoded and by what encoded it.

A vector is found by the fingerprint of its encoder and the first 16 bytes of the SHA-256 of its item: of a title's
text, or of a photo's bytes. So a killed run continues where it stopped, a renamed photo is recognised, and a changed
encoder starts anew.

::

    folder/
      <fingerprint>/              32 hex digits of the encoder
        <sha256>.npy              a shard: (m,) records of a 16-byte key and a float32 vector; never changed

Shards are written in one step and named by their content, so several processes may write at once; at worst they encode
the same items twice. A shard whose name does not fit its content is damaged: it is removed and its items are encoded
again.
"""

import hashlib
import io
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from kembar.arrays import Bools, Floats, Progress, Rows, default_threads
from kembar.encoders.protocol import Encoder, Items, Problem, check_paths, check_titles
from kembar.errors import FolderError, quoted
from kembar.folders import new_file, remove_litter
from kembar.remote import is_path, is_remote, read_photo
from kembar.threads import unforked

Keys: TypeAlias = npt.NDArray[np.bytes_]  # 16 bytes each

_KEY = "S16"
_SHARD = "[0-9a-f]" * 64 + ".npy"  # other files are ignored
_FIRST, _LEAST, _MOST = 256, 64, 8192  # items in the first shard of a run, and in any
_SECONDS = 15.0  # of work lost when a run is killed
_log = logging.getLogger(__name__)


class VectorStore:
    """The vectors of earlier runs.

    Args:
        folder: made when the first vectors are put.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self._encoders: dict[str, _EncoderVectors] = {}

    def get(self, fingerprint: str, keys: Keys) -> tuple[Bools, Floats | None]:
        """Look vectors up.

        Args:
            fingerprint: of the encoder.
            keys: (n,) 16 bytes each, see `content_keys`.

        Returns:
            (n,) bool, True where a vector is known; and the vectors of those, in their order, or None without any.
        """
        held = self._of(fingerprint)
        held.refresh()
        return held.find(keys)

    def put(self, fingerprint: str, keys: Keys, vectors: Floats) -> None:
        """Keep vectors, in one new shard.

        Args:
            fingerprint: of the encoder.
            keys: (n,) 16 bytes each.
            vectors: (n, d) float32.

        Raises:
            FolderError: the shard cannot be written, for lack of space or of permission.
        """
        if len(keys):
            self._of(fingerprint).add(keys, vectors)

    def _of(self, fingerprint: str) -> "_EncoderVectors":
        return self._encoders.setdefault(fingerprint, _EncoderVectors(self.folder / fingerprint))


@dataclass(slots=True)
class _EncoderVectors:
    """The shards of one encoder.

    Attributes:
        folder: where the shards are.
        shards: records, by file name; mapped from disk, not read.
        sorted: all keys in order.
        shard: (m,) number of the shard of each key of `sorted`.
        row: (m,) its row there.
    """

    folder: Path
    shards: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    sorted: Keys = field(default_factory=lambda: np.zeros(0, _KEY))
    shard: Rows = field(default_factory=lambda: np.zeros(0, np.int64))
    row: Rows = field(default_factory=lambda: np.zeros(0, np.int64))

    def refresh(self) -> None:
        """Read the shards that were written since the last call, by this process and by others."""
        remove_litter(self.folder)
        paths = [path for path in sorted(self.folder.glob(_SHARD)) if path.name not in self.shards]
        for path in paths:
            records = _read(path)
            if records is not None:
                self.shards[path.name] = records
        if paths:
            self._sort()

    def find(self, keys: Keys) -> tuple[Bools, Floats | None]:
        """Look keys up, all at once."""
        if not len(self.sorted):
            return np.zeros(len(keys), dtype=bool), None
        at = np.minimum(np.searchsorted(self.sorted, keys), len(self.sorted) - 1)
        known = self.sorted[at] == keys
        at = at[known]
        shards = list(self.shards.values())
        vectors = np.empty((len(at), shards[0]["vector"].shape[1]), dtype=np.float32)
        for number in np.unique(self.shard[at]).tolist():
            here = self.shard[at] == number
            vectors[here] = shards[number]["vector"][self.row[at[here]]]
        return known, vectors

    def add(self, keys: Keys, vectors: Floats) -> None:
        """Write a shard."""
        records = np.empty(len(keys), dtype=[("key", _KEY), ("vector", "<f4", (vectors.shape[1],))])
        records["key"], records["vector"] = keys, vectors
        buffer = io.BytesIO()
        np.save(buffer, records, allow_pickle=False)
        content = buffer.getvalue()  # a view of it, in the frames of an error, crashes Python 3.12.1
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FolderError(
                f"{str(self.folder)!r}, which cannot be made ({error.strerror or error})",
                "a folder for vectors that can be written",
                "Choose another folder: VectorStore(...).",
            ) from error
        with new_file(self.folder / f"{hashlib.sha256(content).hexdigest()}.npy") as path:
            path.write_bytes(content)

    def _sort(self) -> None:
        shards = list(self.shards.values())
        keys = np.concatenate([records["key"] for records in shards]) if shards else np.zeros(0, _KEY)
        sizes = [len(records) for records in shards]
        order = np.argsort(keys, kind="stable")
        self.sorted = keys[order]
        self.shard = np.repeat(np.arange(len(shards)), sizes)[order]
        self.row = np.concatenate([np.arange(size) for size in sizes] or [np.zeros(0, np.int64)])[order]


def _read(path: Path) -> npt.NDArray[Any] | None:
    """Map a shard, if its content fits its name."""
    try:
        with path.open("rb") as stream:
            whole = hashlib.file_digest(stream, "sha256").hexdigest() == path.stem
        if whole:
            records: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
            return records
    except (OSError, ValueError) as error:
        _log.warning("vectors in %s cannot be read (%s): their items are encoded again", quoted(path), error)
        return None
    _log.warning("vectors in %s are damaged: the file is removed, and their items are encoded again", quoted(path))
    with suppress(OSError):
        path.unlink()
    return None


def content_keys(items: Items) -> tuple[Keys, Bools]:
    """Hash what items hold.

    Args:
        items: n titles, or n paths of photos.

    Returns:
        (n,) keys of 16 bytes; and (n,) bool, False where an item has no content: an empty title, or a photo that
        cannot be read.
    """
    if items and not isinstance(items[0], str) and is_path(items[0]):
        with ThreadPoolExecutor(default_threads(), thread_name_prefix="kembar-hash") as pool:
            digests = list(pool.map(_photo_digest, check_paths(items)))
    else:
        titles = (title.encode("utf-8", "surrogatepass") for title in check_titles(items))
        digests = [hashlib.sha256(title).digest()[:16] if title else b"" for title in titles]
    known = np.fromiter(map(bool, digests), dtype=bool, count=len(digests))
    return np.array([digest or bytes(16) for digest in digests], dtype=_KEY), known


def _photo_digest(path: Path) -> bytes:
    try:
        if is_remote(path):
            return hashlib.sha256(read_photo(path).read()).digest()[:16]
        if not path.is_file():  # opening a named pipe would wait forever
            return b""
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").digest()[:16]
    except (OSError, ValueError):
        return b""


@unforked
def encode(
    encoder: Encoder,
    items: Items,
    store: VectorStore | None = None,
    *,
    batch_size: int | None = None,
    progress: Progress | None = None,
    problem: Problem | None = None,
) -> Floats:
    """Encode items, each distinct one once, except those that the store has.

    Args:
        encoder: of the items' modality.
        items: n titles in normal form, or n paths of photos.
        store: holds the vectors of earlier runs, and receives new ones every few seconds, but for one that cannot be
            written, of which a warning is logged; None: no store.
        batch_size: see `Encoder.encode`.
        progress: called with (stage, done, total); what the store has counts as done.
        problem: called for every photo that cannot be used; such ones are not stored, so the next run reports them too.

    Returns:
        (n, d) float32, unit rows, or zeros where an item has no vector.
    """
    return _Run(encoder, items, store, batch_size, problem).encode(progress)


class _Run:
    """One call of `encode`."""

    def __init__(
        self, encoder: Encoder, items: Items, store: VectorStore | None, batch_size: int | None, problem: Problem | None
    ) -> None:
        self.encoder = encoder
        self.items = items
        self.store = store
        self.batch_size = batch_size
        self.problem = problem
        keys, self.keyed = content_keys(items)
        self.first, self.place = _distinct(keys, self.keyed)
        self.keys, self.keyed = keys[self.first], self.keyed[self.first]
        self.copies = np.bincount(self.place, minlength=len(self.first))

    def encode(self, progress: Progress | None) -> Floats:
        """Look up what is known, encode the rest in pieces, and keep each piece."""
        vectors = np.zeros((len(self.first), self.encoder.dimension), dtype=np.float32)
        todo = np.arange(len(self.first))
        if self.store is not None:
            known, cached = self.store.get(self.encoder.fingerprint, self.keys)
            if cached is not None:
                vectors[known] = cached
            todo = todo[~known]
        done = len(self.items) - int(self.copies[todo].sum())
        report = _Report(progress, f"encode {self.encoder.modality}s", done, len(self.items))
        for part, fresh in self._pieces(todo, report):
            vectors[part] = fresh
            report.add(int(self.copies[part].sum()))
        return vectors[self.place]

    def _pieces(self, todo: Rows, report: "_Report") -> Iterator[tuple[Rows, Floats]]:
        """Encode pieces that take some seconds each."""
        size = len(todo) if self.store is None else _FIRST
        start = 0
        while start < len(todo):
            part = todo[start : start + size]
            began = time.monotonic()
            yield part, self._piece(part, report)
            start += len(part)
            if self.store is not None:
                rate = len(part) / max(time.monotonic() - began, 1e-6)
                size = int(min(max(rate * _SECONDS, _LEAST), _MOST))

    def _piece(self, part: Rows, report: "_Report") -> Floats:
        bad: list[int] = []

        def note(index: int, message: str) -> None:
            bad.append(index)
            if self.problem is not None:
                for item in np.flatnonzero(self.place == part[index]).tolist():
                    self.problem(item, message)

        items: Any = [self.items[row] for row in self.first[part].tolist()]
        vectors = self.encoder.encode(items, batch_size=self.batch_size, progress=report.within, problem=note)
        if self.store is not None:
            keep = self.keyed[part]
            keep[bad] = False
            self._keep(self.store, self.keys[part][keep], vectors[keep])
        return vectors

    def _keep(self, store: VectorStore, keys: Keys, vectors: Floats) -> None:
        try:
            store.put(self.encoder.fingerprint, keys, vectors)
        except FolderError as error:
            _log.warning("vectors are not kept for the next run: %s", error)
            self.store = None


class _Report:
    """Progress over all items, also from within a piece."""

    def __init__(self, progress: Progress | None, stage: str, done: int, total: int) -> None:
        self.progress = progress
        self.stage = stage
        self.done = done
        self.total = total
        self.add(0)

    def add(self, more: int) -> None:
        """Count items, copies among them, as done."""
        self.done += more
        self.within(self.stage, 0, 0)

    def within(self, _stage: str, done: int, _total: int) -> None:
        """Take the progress of an encoder within a piece."""
        if self.progress is not None:
            self.progress(self.stage, self.done + done, self.total)


def _distinct(keys: Keys, known: Bools) -> tuple[Rows, Rows]:
    """Find equal items; those without a key are equal to no other.

    Returns:
        (m,) the first item of each kind; and (n,) the kind of each item.
    """
    with_key, without = np.flatnonzero(known), np.flatnonzero(~known)
    _, first, kind = np.unique(keys[with_key], return_index=True, return_inverse=True)
    # In the order of the items, so that what is encoded together does not depend on hashes.
    firsts = np.concatenate([with_key[first], without])
    order = np.argsort(firsts, kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    place = np.empty(len(keys), dtype=np.int64)
    place[with_key] = rank[kind]
    place[without] = rank[len(first) :]
    return firsts[order], place
