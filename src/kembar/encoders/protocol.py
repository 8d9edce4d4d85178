"""What an encoder is: one protocol for every family, and the checks that all of them share."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from kembar.arrays import Floats, Progress, Rows, unit_rows
from kembar.errors import ConfigError, EncoderError, EvidenceError, quoted
from kembar.remote import is_path

Modality: TypeAlias = Literal["title", "photo"]
Items: TypeAlias = Sequence[str] | Sequence[Path]
Problem: TypeAlias = Callable[[int, str], None]
"""Called with (index of the item, what is wrong with it); such an item gets a row of zeros."""

FORMAT = 1
"""The number of the form of `encoder.json`; folders of a later form are refused."""
MANIFEST = "encoder.json"


class Encoder(Protocol):
    """What turns titles or photos into vectors.

    Titles are given in normal form (`kembar.posts.titles.normalize`); an empty one has no vector. A photo that cannot
    be decoded has none either, and `problem` is called. No vector means a row of zeros.
    """

    @property
    def name(self) -> str:
        """The spec by which `open_encoder` opens it: a name or a folder."""

    @property
    def modality(self) -> Modality:
        """What it encodes."""

    @property
    def dimension(self) -> int:
        """Numbers in a vector."""

    @property
    def fingerprint(self) -> str:
        """32 hex digits over weights and preprocessing: vectors of equal fingerprints can be compared and cached."""

    def encode(
        self,
        items: Items,
        *,
        batch_size: int | None = None,
        progress: Progress | None = None,
        problem: Problem | None = None,
    ) -> Floats:
        """Encode titles or photos.

        Args:
            items: n titles in normal form, or n paths of photos.
            batch_size: items given to the model at once; None leaves the choice to the encoder.
            progress: called with (stage, done, total).
            problem: called for each photo that cannot be used.

        Returns:
            (n, d) float32, unit rows, or zeros where an item has no vector.
        """
        ...


def check_titles(items: Items) -> Sequence[str]:
    """Refuse everything but titles.

    Raises:
        EvidenceError: one string, or an item that is not a string.
    """
    wrong = [items] if isinstance(items, str) else [item for item in items if not isinstance(item, str)]
    if wrong:
        raise EvidenceError(
            f"{quoted(wrong[0])} to an encoder of titles", "a list of titles", "Give a list of strings, in normal form."
        )
    return items  # type: ignore[return-value]


def check_paths(items: Items) -> Sequence[Path]:
    """Refuse everything but paths of photos.

    Raises:
        EvidenceError: an item that is not a `pathlib.Path`.
    """
    wrong = next((item for item in items if isinstance(item, str) or not is_path(item)), None)
    if wrong is not None:
        raise EvidenceError(
            f"{quoted(wrong)} to an encoder of photos", "a list of pathlib.Path", "Wrap file names: [Path(name), ...]."
        )
    return items  # type: ignore[return-value]


def check_batch(batch_size: int | None, otherwise: int) -> int:
    """Return the size of batches, or the default.

    Raises:
        ConfigError: a size below 1.
    """
    if batch_size is not None and batch_size < 1:
        raise ConfigError(f"batch_size {batch_size}", "at least 1", "Give a positive batch size, or leave it out.")
    return batch_size or otherwise


def batches_by_length(
    lengths: npt.ArrayLike, batch_size: int, *, window: int = 16_384, padded: bool = True
) -> Iterator[Rows]:
    """Batch items of like length together, so that little is padded; the longest come first.

    Items of length 0 have no vector and are left out. None is padded by more than half its length, or 8 where that
    is more. Items are sorted within windows of consecutive ones only, so that results come more or less in order.
    Padding moves the last bits of a sum: without it, a vector does not depend on what else is in the batch.

    Args:
        lengths: (n,) lengths, in characters or tokens.
        batch_size: items in a batch at most.
        window: items sorted together.
        padded: whether items of different lengths may be in one batch.

    Yields:
        Rows of one batch each.
    """
    sizes = np.asarray(lengths)
    for start in range(0, len(sizes), window):
        part = sizes[start : start + window]
        order = np.argsort(-part, kind="stable")[: np.count_nonzero(part)]
        falling = -part[order]
        first = 0
        while first < len(order):
            longest = -falling[first]
            shortest = min(longest - 8, longest / 1.5) if padded else longest
            like = int(np.searchsorted(falling, -shortest, side="right"))
            last = min(first + batch_size, like)
            yield order[first:last] + start
            first = last


def collect(
    results: Iterable[tuple[Rows, Floats]], n: int, dimension: int, name: str, step: Callable[[int], None]
) -> Floats:
    """Put the vectors of batches in their rows, scaled to length 1.

    Args:
        results: rows and vectors of each batch, in any order.
        n: rows of the whole; those of no batch stay zero.
        dimension: numbers in a vector.
        name: of the encoder, for messages.
        step: called with the number of finished rows, batch by batch.

    Returns:
        (n, dimension) float32.

    Raises:
        EncoderError: vectors of another shape, or not finite.
    """
    out = np.zeros((n, dimension), dtype=np.float32)
    for rows, vectors in results:
        if vectors.shape != (len(rows), dimension):
            raise EncoderError(
                f"vectors of shape {vectors.shape} from {quoted(name)} for {len(rows)} items",
                f"({len(rows)}, {dimension})",
                "Export the model again, with one vector per item and the dimension that its folder states.",
            )
        if not np.isfinite(vectors).all():
            raise EncoderError(
                f"vectors that are not finite from {quoted(name)}",
                "finite numbers",
                "Use precision float32 (or bfloat16 on a GPU), or other weights.",
            )
        out[rows] = unit_rows(vectors)
        step(len(rows))
    return out


def stepper(progress: Progress | None, stage: str, total: int) -> Callable[[int], None]:
    """Turn a progress callback into one that is called with the number of finished items.

    Args:
        progress: called with (stage, done, total), or None.
        stage: of the work.
        total: items in all.

    Returns:
        A function of the number of items finished since it was last called.
    """
    done = 0

    def step(more: int) -> None:
        nonlocal done
        done += more
        if progress is not None:
            progress(stage, done, total)

    step(0)
    return step


def counted(problem: Problem | None, step: Callable[[int], None]) -> Problem:
    """Count items with a problem as done, so that the progress reaches its end."""

    def report(index: int, message: str) -> None:
        step(1)
        if problem is not None:
            problem(index, message)

    return report


def digest(parts: Iterable[bytes | memoryview | npt.NDArray[Any]], settings: Mapping[str, object]) -> str:
    """Fingerprint weights and preprocessing.

    Args:
        parts: the weights, in a fixed order.
        settings: what else decides the vectors; must be fit for JSON.

    Returns:
        32 hex digits: the first half of a SHA-256.
    """
    sha = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for part in parts:
        sha.update(part)  # type: ignore[arg-type]  # arrays are buffers too
    return sha.hexdigest()[:32]


def file_parts(paths: Iterable[Path]) -> Iterator[bytes]:
    """Read files in pieces of a mebibyte, for `digest`."""
    for path in paths:
        with path.open("rb") as stream:
            while piece := stream.read(1 << 20):
                yield piece


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the `encoder.json` of a folder.

    Raises:
        EncoderError: missing, not JSON, without a family, or of a later form.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EncoderError(
            f"{quoted(path)}, which cannot be read ({str(error).splitlines()[0]})",
            "a JSON file that describes the encoder",
            "Copy or export the folder again.",
        ) from None
    if not isinstance(manifest, dict) or not isinstance(manifest.get("family"), str):
        raise EncoderError(f"{quoted(path)} without a family", "the encoder.json of an encoder", "Export it again.")
    if manifest.get("format") != FORMAT:
        raise EncoderError(
            f"{quoted(path)} of format {manifest.get('format')!r}",
            f"format {FORMAT}",
            "Use a newer kembar, or export it again.",
        )
    return manifest


def write_manifest(folder: Path, **fields: object) -> None:
    """Write the `encoder.json` of a folder.

    Args:
        folder: an existing folder.
        fields: family, modality, dimension and what the family needs to open it.
    """
    text = json.dumps({"format": FORMAT, **fields}, indent=1)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
