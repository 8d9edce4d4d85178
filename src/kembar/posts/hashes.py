"""The column of perceptual hashes, read and written."""

import numpy as np
import numpy.typing as npt
import polars as pl

from kembar.arrays import Bools
from kembar.errors import CatalogError, quoted
from kembar.posts.problems import problems, quoted_each
from kembar.posts.text import as_text

_HASH = r"^[0-9a-fA-F]{16}$"


def read_hashes(cells: pl.Series, ids: pl.Series) -> tuple[npt.NDArray[np.uint64], Bools, pl.DataFrame]:
    """Parse perceptual hashes.

    Args:
        cells: (n,) text of 16 hex digits, or UInt64 hashes; null and "" are missing.
        ids: (n,) ids, for the problems.

    Returns:
        (n,) uint64 hashes, 0 where unknown; (n,) bool, True where known; and the problems: malformed hashes.

    Raises:
        CatalogError: no hash at all is well formed, or cells of another type.
    """
    if cells.dtype == pl.UInt64:
        known = cells.is_not_null()
        return cells.fill_null(0).to_numpy(), known.to_numpy(), problems(ids, ~known & False, "hash", "")
    text = as_text(cells, "hash").fill_null("").str.strip_chars()
    good = text.str.contains(_HASH)
    bad = ~good & (text != "")
    if bad.any() and not good.any():
        raise _no_hash(text.filter(bad))
    found = problems(ids, bad, "hash", quoted_each(text) + " is not 16 hex digits")
    return *parse_hashes(text), found


def parse_hashes(text: pl.Series) -> tuple[npt.NDArray[np.uint64], Bools]:
    """Parse 16 hex digits each: (n,) String to (n,) uint64, and (n,) bool, False (and 0) where it is anything else."""
    good = text.str.contains(_HASH)
    digits = text.set(~good, "0" * 16)
    # in halves: a signed 64-bit integer cannot hold all digits
    high, low = (digits.str.slice(at, 8).str.to_integer(base=16).cast(pl.UInt64).to_numpy() for at in (0, 8))
    return (high << np.uint64(32)) | low, good.to_numpy()


def format_hashes(hashes: npt.NDArray[np.uint64]) -> pl.Series:
    """Write hashes as text, without a Python object per hash.

    Args:
        hashes: (n,) uint64.

    Returns:
        (n,) String, 16 lower-case hex digits each.
    """
    digits = np.frombuffer(b"0123456789abcdef", np.uint8)
    octets = hashes.astype(">u8").view(np.uint8).reshape(-1, 8)
    text = np.empty((len(hashes), 16), np.uint8)
    text[:, 0::2], text[:, 1::2] = digits[octets >> 4], digits[octets & 15]
    return pl.Series(text.view("S16").reshape(-1)).cast(pl.String)


def _no_hash(bad: pl.Series) -> CatalogError:
    short = bad.str.contains(r"^[0-9a-fA-F]{13,15}$").any()
    hint = "A leading zero was probably lost; pad with zeros to 16 digits. " if short else ""
    return CatalogError(
        f"{len(bad)} perceptual hashes, none well formed, the first {quoted(bad[0])} of {len(bad[0])} characters",
        "16 hex digits each, as imagehash.phash writes them",
        f"{hint}Write them as text, or ignore the column, Columns(hash=None): then the photos are hashed.",
    )
