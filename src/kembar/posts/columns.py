"""The columns of a catalogue, one by one: cells are checked, and damaged ones listed.

Damage of single posts (a hash of 15 digits, a name that leads out of the photo folder) becomes a row of problems, and
the cell counts as missing. Signs that the wrong column was read (an id twice, labels of 0.37) are errors.
"""

import os
from collections.abc import Collection
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from kembar.arrays import Bools, Rows
from kembar.errors import CatalogError, nearest, quoted
from kembar.posts.problems import problems, quoted_each

_OPTION = {"further": "column"}  # where the command line has another name
_HASH = r"^[0-9a-fA-F]{16}$"
_NUMBER = r"^-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]*)?$"  # with a leading zero it is a name
_WHOLE = r"^-?[0-9]+(?:\.0*)?$"
_MARK = "\ufffd"
# How databases, spreadsheets and shop systems write that there is no title.
_NOTHING = (
    r"null|nan|n\.?/?a\.?|#n/?a|#ref!|#value!|none|nil|undefined|unknown|untitled|no (?:title|name)|missing|empty"
)
_NO_TITLE = rf"(?i)^[\s'\"(\[<]*(?:{_NOTHING}|blank|-?inf)[\s'\")\]>]*$|^[^\p{{L}}\p{{N}}]*$"


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column of a source holds what; the defaults are the names of Kaggle's Shopee data.

    A column under its default name may be absent (except the id). A column named otherwise must be there.

    Args:
        id: name of the post, unique; text or whole numbers.
        title: what the seller wrote; None to ignore titles; likewise below.
        image: file name of the photo, relative to the photo folder.
        hash: 64-bit perceptual hash of the photo, 16 hex digits.
        label: group of the posts that sell the same product.
        price: what the post asks for, in any currency; all posts in the same one.
        brand: who made the product, or its brand.
        further: other columns that describe a post, such as its model number or a description; none by default.

    Raises:
        CatalogError: a name is not a non-empty string.
    """

    id: str = "posting_id"
    title: str | None = "title"
    image: str | None = "image"
    hash: str | None = "image_phash"
    label: str | None = "label_group"
    price: str | None = "price"
    brand: str | None = "brand"
    further: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.further, str):
            raise CatalogError(
                f"{quoted(self.further)} as the further columns", "names in a tuple", f"Give ({self.further!r},)."
            )
        for field, name in self._named():
            if not (isinstance(name, str) and name) and (name is not None or field in ("id", "further")):
                raise CatalogError(
                    f"{quoted(name)} as the name of the {field} column",
                    "the name of a column, or None to ignore it (never for the id)",
                    f"Give Columns({field}=...) a name that the source has.",
                )

    def _named(self) -> list[tuple[str, str | None]]:
        """List what each column holds, and its name."""
        own = [(field.name, getattr(self, field.name)) for field in fields(self) if field.name != "further"]
        return [*own, *(("further", name) for name in self.further)]

    def wanted(self) -> list[str]:
        """Return the names to read, in the order of the fields."""
        return list(dict.fromkeys(name for _, name in self._named() if name is not None))

    def check(self, source: str, names: Collection[str]) -> None:
        """Check the names against those of a source.

        Raises:
            CatalogError: the id, a column that was named, or every one of title, image and hash is missing.
        """
        default = {field.name: field.default for field in fields(self) if field.name not in ("id", "further")}
        for field, name in self._named():
            if name is None or name in names or name == default.get(field):
                continue
            raise CatalogError(
                f"{quoted(source)} without a column {quoted(name)}; it has {_listed(names)}",
                f"a column {quoted(name)} for the {field}" if field != "further" else f"a column {quoted(name)}",
                f"Name the right one: Columns({field}=...), or --{_OPTION.get(field, field)}.{nearest(name, names)}",
            )
        if not {self.title, self.image, self.hash} & set(names):
            raise CatalogError(
                f"{quoted(source)} with nothing to match posts by; it has {_listed(names)}",
                "at least one column of titles, image names or perceptual hashes",
                "Name it: Columns(title=...), Columns(image=...) or Columns(hash=...).",
            )


def _listed(names: Collection[str]) -> str:
    shown = ", ".join(map(repr, list(names)[:20]))
    return f"{shown} and {len(names) - 20} more" if len(names) > 20 else shown or "no columns"


def read_ids(cells: pl.Series) -> pl.Series:
    """Take ids as text; :func:`check_ids` refuses what is empty or repeated.

    Args:
        cells: (n,) text or whole numbers.

    Returns:
        (n,) String, "" where missing.

    Raises:
        CatalogError: cells of another type.
    """
    return as_text(cells, "id").fill_null("")


def check_ids(ids: pl.Series) -> None:
    """Refuse empty and repeated ids.

    Args:
        ids: (n,) String.

    Raises:
        CatalogError: an id is empty or given twice; the first five are named, rows counted from 1.
    """
    empty = (ids.str.strip_chars() == "").arg_true()
    if len(empty):
        raise CatalogError(
            f"{len(empty)} empty ids, in rows {_first(empty)} (the first post is row 1)",
            "an id for every post",
            "Fill in the ids, or drop these rows.",
        )
    if ids.n_unique() == len(ids):
        return
    rows = pl.DataFrame({"id": ids}).with_row_index("row", offset=1)
    twice = rows.filter(pl.col("id").is_duplicated()).group_by("id", maintain_order=True).agg("row")
    shown = "; ".join(f"{quoted(name)} in rows {_first(at, 0)}" for name, at in twice.head(5).iter_rows())
    raise CatalogError(
        f"{len(twice)} ids that several posts share: {shown}",
        "a different id for every post",
        "Drop the repeated rows, or build an id that tells them apart.",
    )


def _first(rows: pl.Series | list[int], offset: int = 1) -> str:
    shown = ", ".join(str(row + offset) for row in list(rows[:5]))
    return f"{shown}, ..." if len(rows) > 5 else shown


def read_titles(cells: pl.Series, ids: pl.Series) -> tuple[pl.Series, pl.DataFrame]:
    """Take titles as text, without null bytes.

    Args:
        cells: (n,) text, or numbers; null and NaN are missing.
        ids: (n,) ids, for the problems.

    Returns:
        (n,) String, "" where missing; and the problems: null bytes, bytes lost in decoding, and texts that say that
        there is no title, such as NULL, nan or "-".

    Raises:
        CatalogError: cells of another type.
    """
    titles = as_text(cells, "title").fill_null("")
    nulls, lost = titles.str.contains("\x00", literal=True), titles.str.contains(_MARK, literal=True)
    found = [
        problems(ids, nulls, "title", "null bytes, removed"),
        problems(ids, lost & ~nulls, "title", "bytes that are not text, each now U+FFFD"),
    ]
    titles = titles.str.replace_all("\x00", "", literal=True)
    bare = no_text(titles)
    found.append(problems(ids, bare & (titles.str.strip_chars() != ""), "title", quoted_each(titles) + " is no title"))
    return titles.set(bare, ""), pl.concat(found)


def photo_folder(images: Path | str | None) -> Path | None:
    """Take the photo folder as given, if any is.

    Raises:
        CatalogError: it is not a folder.
    """
    if images is None:
        return None
    folder = Path(images)
    if folder.is_dir():
        return folder
    beside = [other.name for other in folder.parent.iterdir()] if folder.parent.is_dir() else []
    raise CatalogError(
        f"{quoted(Path(folder))} as the photo folder, which is not a folder",
        "the folder that the names of photos are relative to",
        f"Check the spelling and the folder you run in.{nearest(folder.name, beside)}",
    )


def read_images(cells: pl.Series, ids: pl.Series, folder: Path | None) -> tuple[pl.Series, pl.DataFrame]:
    """Take photo names as text, dropping those that lead out of the photo folder.

    Args:
        cells: (n,) text, names relative to the folder.
        ids: (n,) ids, for the problems.
        folder: the photo folder; without one, links are not looked at.

    Returns:
        (n,) String, "" where missing or dropped; and the problems: absolute names, names with a part ``..``, links
        that lead out, names with a null byte.

    Raises:
        CatalogError: cells of another type.
    """
    names = as_text(cells, "image").fill_null("")
    nulls = names.str.contains("\x00", literal=True)
    leaving = names.str.contains(r"^(?:[/\\]|[A-Za-z]:)|(?:^|[/\\])\.\.(?:[/\\]|$)")
    if folder is not None:
        leaving |= _linked_out(names.set(nulls, ""), folder)
    found = [
        problems(ids, nulls, "image", "a name with a null byte"),
        problems(ids, leaving & ~nulls, "image", quoted_each(names) + " leads out of the photo folder"),
    ]
    return names.set(leaving | nulls, ""), pl.concat(found)


def _linked_out(names: pl.Series, folder: Path) -> pl.Series:
    """Mark the names that a symbolic link takes out of the folder: one listing per folder, no system call per photo."""
    root = os.path.realpath(folder)
    parents = names.str.extract(r"(?s)^(.*)/[^/]*$").fill_null("")
    outside: list[str] = []
    outside_parents: list[str] = []
    for parent in parents.unique().sort():
        real = os.path.realpath(os.path.join(root, parent))  # noqa: PTH118 - the name exactly as given
        if not _is_inside(real, root):
            outside_parents.append(parent)
            continue
        links = [name for name, path in _links(real) if not _is_inside(path, root)]
        outside += [f"{parent}/{name}" if parent else name for name in links]
    return parents.is_in(outside_parents) | names.is_in(outside)


def _links(folder: str) -> list[tuple[str, str]]:
    try:
        with os.scandir(folder) as entries:
            return [(entry.name, entry.path) for entry in entries if entry.is_symlink()]
    except OSError:  # no such folder, or not readable: its photos are found missing later
        return []


def _is_inside(path: str, root: str) -> bool:
    return os.path.commonpath([root, os.path.realpath(path)]) == root


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
    digits = text.set(~good, "0" * 16)
    # in halves: a signed 64-bit integer cannot hold all digits
    high, low = (digits.str.slice(at, 8).str.to_integer(base=16).cast(pl.UInt64).to_numpy() for at in (0, 8))
    found = problems(ids, bad, "hash", quoted_each(text) + " is not 16 hex digits")
    return (high << np.uint64(32)) | low, good.to_numpy(), found


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
        f"{hint}Write them as text, or set Columns(hash=None) to have them computed from the photos.",
    )


def read_labels(cells: pl.Series) -> Rows:
    """Number the groups 0, 1, 2, ... by their sorted names, so that the order of rows does not matter.

    Args:
        cells: (n,) whole numbers (floats and text may hold them) or text; null, NaN, "" and -1 are unknown.

    Returns:
        (n,) int64 codes, dense from 0; -1 where unknown.

    Raises:
        CatalogError: numbers that are not whole, or cells of another type.
    """
    if cells.dtype == pl.Boolean:
        raise _wrong_type(cells, "label")
    labels = cells if cells.dtype.is_integer() else as_text(cells, "label")
    if labels.dtype == pl.String:
        labels = _whole(labels.set(labels.is_in(["", "-1", "-1.0"]), None))
    elif labels.dtype.is_signed_integer():
        labels = labels.set(labels == -1, None)
    return (labels.rank("dense").cast(pl.Int64) - 1).fill_null(-1).to_numpy()


def _whole(labels: pl.Series) -> pl.Series:
    """Read text as whole numbers where all of it is, so that a CSV file and a typed one give the same codes."""
    given = labels.drop_nulls()
    if not given.str.contains(_NUMBER).all():
        return labels
    whole = given.str.contains(_WHOLE)
    if not whole.all():
        raise CatalogError(
            f"labels that are not whole numbers, such as {quoted(given.filter(~whole)[0])}",
            "whole numbers or names of groups",
            "Name the column of groups: Columns(label=...), or set it to None to ignore it.",
        )
    return labels.str.replace(r"\.0*$", "").cast(pl.Int64)


def no_text(texts: pl.Series) -> pl.Series:
    """Tell where text only says that there is none: NULL, nan, "-" and their like. (n,) String to (n,) Boolean."""
    return texts.str.contains(_NO_TITLE)


def as_text(cells: pl.Series, part: str) -> pl.Series:
    """Take text or whole numbers as text, and other numbers where they may be an id, a label, a title or a detail.

    Args:
        cells: (n,) of any type.
        part: what they hold, for the error.

    Returns:
        (n,) String, null where missing.

    Raises:
        CatalogError: cells of another type.
    """
    dtype = cells.dtype
    if dtype in (pl.String, pl.Null, pl.Categorical, pl.Enum) or dtype.is_integer():
        return cells.cast(pl.String)
    if dtype.is_float() and part in ("id", "label", "title", "further"):
        numbers = cells.fill_nan(None)
        whole = (numbers == numbers.round()) & (numbers.abs() < 2**53)  # whole numbers beside missing cells
        return numbers.set(~whole, None).cast(pl.Int64).cast(pl.String).zip_with(whole, numbers.cast(pl.String))
    raise _wrong_type(cells, part)


def _wrong_type(cells: pl.Series, part: str) -> CatalogError:
    return CatalogError(
        f"the {part} column {quoted(cells.name)} of type {cells.dtype}",
        "text or whole numbers",
        f"Cast the column to text, or name another: Columns({part}=...).",
    )
