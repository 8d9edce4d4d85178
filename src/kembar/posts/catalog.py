"""The catalogue: posts from anywhere, checked once, so that every later stage can trust them."""

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from kembar.arrays import Bools, Doubles, Rows
from kembar.errors import CatalogError, quoted
from kembar.posts.columns import Columns
from kembar.posts.further import read_further, read_shown, read_text
from kembar.posts.hashes import format_hashes, read_hashes
from kembar.posts.identifiers import read_identifiers
from kembar.posts.ids import check_ids, read_ids
from kembar.posts.labels import read_groups
from kembar.posts.layout import Layout
from kembar.posts.notes import Note
from kembar.posts.photo_folder import is_photo_folder, read_photo_folder
from kembar.posts.photo_names import photo_folder, read_images
from kembar.posts.post_photos import Cells, Photos
from kembar.posts.prices import read_prices
from kembar.posts.problems import PROBLEMS, check_problems, ordered
from kembar.posts.reading import read_posts
from kembar.posts.sources import Source, Table
from kembar.posts.stored import MANIFEST, POSTS, TABLES, TEXTS, fields_of, incomplete, read_manifest, write
from kembar.posts.text import read_titles
from kembar.remote import is_path, place, within
from kembar.threads import unforked

__all__ = ["PROBLEMS", "Catalog", "Columns", "Source"]

_CHUNK = 100_000  # rows hashed or formatted in one go

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Catalog:
    """Posts, one row each, in the order they were given.

    Args:
        ids: (n,) String, unique, non-empty.
        titles: (n,) String, raw as given, "" where there is none.
        images: (n,) String, file name of the photo relative to folder, "" where there is none.
        hashes: (n,) uint64, perceptual hash of the photo, 0 where unknown.
        hashed: (n,) bool, True where the hash is known.
        labels: (n,) int64, code of the group, -1 where unknown; None where the source has no labels at all.
        folder: the photo folder, None where there is none.
        problems: one row per damaged cell: posting_id, part, problem (see kembar.posts.problems).
        prices: (n,) float64 above 0, NaN where unknown; None where the source has no prices at all.
        further: (n, c) String, further texts by the names of their columns, "" where missing, that of the brands named
            "brand"; None where there are none.
        identifiers: (n, c) String, codes in normal form by the names of their columns (see kembar.posts.identifiers),
            "" where missing; None where there are none.
        sources: (n,) String, who lists the post, "" where unknown; None where nothing is known of it.
        within: (n,) String, category, "" where unknown; likewise.
        shown: (n, c) String, columns that are carried into the results; None where there are none.
        further_images: (n, c) String, file names of further photos, "" where there are fewer; None where no post has
            more than one.
        further_hashes: (n, c) String, their perceptual hashes as 16 hex digits, "" where unknown.
        notes: what was noticed while the posts were read, and is no damage.

    Raises:
        CatalogError: lengths or types do not fit, an id is empty or repeated, a label is below -1.
    """

    ids: pl.Series
    titles: pl.Series
    images: pl.Series
    hashes: npt.NDArray[np.uint64]
    hashed: Bools
    labels: Rows | None
    folder: Path | None
    problems: pl.DataFrame
    prices: Doubles | None = None
    further: pl.DataFrame | None = None
    identifiers: pl.DataFrame | None = None
    sources: pl.Series | None = None
    within: pl.Series | None = None
    shown: pl.DataFrame | None = None
    further_images: pl.DataFrame | None = None
    further_hashes: pl.DataFrame | None = None
    notes: tuple[Note, ...] = ()

    @unforked
    def __post_init__(self) -> None:
        for name in ("ids", "titles", "images"):
            _check(name, getattr(self, name), len(self.ids), pl.String)
        _check("hashes", self.hashes, len(self.ids), np.dtype(np.uint64))
        _check("hashed", self.hashed, len(self.ids), np.dtype(np.bool_))
        if self.labels is not None:
            _check("labels", self.labels, len(self.ids), np.dtype(np.int64))
            if len(self.labels) and self.labels.min() < -1:
                raise CatalogError(f"a label of {self.labels.min()}", "codes from 0, or -1", "Renumber the labels.")
        if self.prices is not None:
            _check("prices", self.prices, len(self.ids), np.dtype(np.float64))
        for name, texts in self.texts():
            _check(name, texts, len(self.ids), pl.String)
        check_ids(self.ids)
        check_problems(self.problems, self.ids)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        known = f"{int(self.hashed.sum())} hashed, {len(self.problems)} problems"
        return f"Catalog({len(self)} posts, {int(self.has_titles.sum())} with a title, {known})"

    @classmethod
    def read(
        cls,
        source: Source,
        *,
        images: Path | str | None = None,
        columns: Columns | None = None,
        layout: Layout | None = None,
    ) -> "Catalog":
        """Read and check posts.

        Args:
            source: a path to a table, such as CSV, Excel, JSON, a feed or Parquet, gzipped or not; "-" for standard
                input; or a polars, pandas or pyarrow table. Or a folder of photos: each is a post whose id is its name
                (see :mod:`kembar.posts.photo_folder`).
            images: the photo folder, or its address; the names of photos are relative to it.
            columns: which column holds what; by default the names of Kaggle's Shopee data, and where these are absent
                those of the exports of marketplaces and shops.
            layout: what is said about a file, such as its encoding; by default all of it is found by looking.

        Returns:
            The catalogue, rows in the order given; damaged cells are listed in its problems.

        Raises:
            CatalogError: the source cannot be read, has no posts, no usable id or nothing to match by; the photo
                folder does not exist.
        """
        if images is None and is_path(source) and is_photo_folder(place(source)):
            return cls._of_photos(place(source))
        folder = photo_folder(images)
        table, chosen = read_posts(source, columns or Columns(), layout or Layout())
        if folder is not None and not {chosen.image, *chosen.further_images} & set(table.names):
            log.warning("%s has no column of image names, so no photo in %s is used", table.source, folder)
        return cls._from_table(table, chosen, folder)

    @classmethod
    def _of_photos(cls, folder: Path) -> "Catalog":
        posts, notes = read_photo_folder(folder)
        catalog = cls._from_table(Table(folder.name, posts.columns, posts), Columns(), folder)
        return replace(catalog, notes=(*notes, *catalog.notes))

    @classmethod
    def _from_table(cls, table: Table, columns: Columns, folder: Path | None) -> "Catalog":
        def cells(name: str | None) -> pl.Series:
            return table.frame[name] if name in table.frame.columns else _nulls(len(table.frame))

        ids = read_ids(cells(columns.id))
        titles, bad_titles = read_titles(cells(columns.title), ids)
        images = read_images([cells(name) for name in (columns.image, *columns.further_images)], ids, folder)
        hashes, hashed, bad_hashes = read_hashes(cells(columns.hash), ids)
        labels, bad_labels = read_groups(table.frame, columns, ids)
        columns = columns.without_label_as_evidence()
        prices, bad_prices = read_prices(cells(columns.price), ids)
        further, bad_brands = read_further(table.frame, columns.brand, columns.further, ids, titles)
        identifiers, bad_codes = read_identifiers(table.frame, columns.identifiers, ids)
        bad = [bad_titles, images.problems, bad_hashes, bad_labels, bad_prices, bad_brands, bad_codes]
        known = None if np.isnan(prices).all() else prices
        return cls(
            ids,
            titles,
            images.first,
            hashes,
            hashed,
            labels,
            folder,
            ordered(pl.concat(bad), ids),
            known,
            further,
            identifiers,
            sources=None if columns.source is None else read_text(table.frame[columns.source]),
            within=None if columns.within is None else read_text(table.frame[columns.within]),
            shown=read_shown(table.frame, columns.shown, titles, images.first),
            further_images=images.further,
            notes=(*table.notes, *images.notes),
        )

    def texts(self) -> list[tuple[str, pl.Series]]:
        """List all texts that may be absent, by the names they are stored under."""
        tables = [(field, table) for field in TABLES if (table := getattr(self, field)) is not None]
        texts = [(field, text) for field in TEXTS if (text := getattr(self, field)) is not None]
        return [(f"{field} {text.name}", text) for field, table in tables for text in table] + texts

    @property
    @unforked
    def has_titles(self) -> Bools:
        """(n,) bool, True where the title holds more than white space."""
        return (self.titles.str.strip_chars() != "").to_numpy()

    @property
    def has_images(self) -> Bools:
        """(n,) bool, True where a photo is named; whether the file exists is only known when it is read."""
        return (self.images != "").to_numpy()

    @unforked
    def photos(self) -> Photos:
        """Return all photos, those of a post one behind the other, the first one first."""
        cells, first = self._photo_cells(), (self.hashes, self.hashed)
        return Photos(self.images, *first) if cells is None else cells.photos(*first)

    @unforked
    def with_photos(self, photos: Photos, problems: pl.DataFrame) -> "Catalog":
        """Return the same posts with other names or hashes of their photos, and further problems.

        Args:
            photos: as many as :meth:`photos` gives, in the same order.
            problems: as in :meth:`with_hashes`.

        Returns:
            A new catalogue; this one is left as it is.

        Raises:
            CatalogError: lengths, types or ids do not fit.
        """
        cells = self._photo_cells()
        own: dict[str, Any] = {"images": photos.images, "hashes": photos.hashes, "hashed": photos.hashed}
        kept = own if cells is None else cells.filled(photos)
        hashes, hashed = kept.pop("hashes"), kept.pop("hashed")
        return replace(self, **kept).with_hashes(hashes, hashed, problems)

    def _photo_cells(self) -> Cells | None:
        if self.further_images is None:
            return None
        return Cells.of(self.images, self.further_images, self.further_hashes)

    def photo_paths(self) -> list[Path | None]:
        """Return the path of each first photo, None where no photo is named or there is no photo folder."""
        if self.folder is None:
            return [None] * len(self)
        return [within(self.folder, name) if name else None for name in self.images]

    @unforked
    def take(self, rows: Iterable[int] | npt.NDArray[np.integer[Any]]) -> "Catalog":
        """Return some of the posts.

        Args:
            rows: row numbers from 0, each at most once, in the order wanted.

        Returns:
            A catalogue of these posts. Labels keep their codes, so they compare with those of this one.

        Raises:
            CatalogError: a row is out of range or given twice.
        """
        given = np.asarray(rows if isinstance(rows, np.ndarray) else list(rows))
        outside = given[(given < 0) | (given >= len(self))]
        if given.size and (given.dtype.kind not in "iu" or outside.size):
            raise CatalogError(
                f"row {outside[0]}" if outside.size else f"rows of type {given.dtype}",
                f"whole numbers from 0 to {len(self) - 1}, one per post wanted",
                "Give row numbers of this catalogue; np.flatnonzero makes them from a mask.",
            )
        chosen = given.astype(np.int64)
        taken = {name: _taken(getattr(self, name), chosen) for name in _COLUMNS}
        return replace(self, **taken, problems=ordered(self.problems, taken["ids"]))

    @unforked
    def with_hashes(self, hashes: npt.NDArray[np.uint64], hashed: Bools, problems: pl.DataFrame) -> "Catalog":
        """Return the same posts with other perceptual hashes of their first photos and further problems.

        Args:
            hashes: (n,) uint64, 0 where unknown.
            hashed: (n,) bool, True where known.
            problems: what was found meanwhile, columns posting_id, part, problem; added to those known.

        Returns:
            A new catalogue; this one is left as it is.

        Raises:
            CatalogError: lengths, types or ids do not fit.
        """
        check_problems(problems, self.ids)
        found = ordered(pl.concat([self.problems, problems.select(*PROBLEMS)]), self.ids)
        return replace(self, hashes=hashes, hashed=hashed, problems=found)

    @unforked
    def frame(self) -> pl.DataFrame:
        """Return the posts under Shopee's names: posting_id, image, image_phash, title and, if any, label_group.

        image_phash is 16 hex digits, null where unknown; label_group is the Int64 code, null where unknown.
        """
        columns = {
            "posting_id": self.ids,
            "image": self.images,
            "image_phash": format_hashes(self.hashes).set(pl.Series(~self.hashed), None),
            "title": self.titles,
        }
        if self.labels is not None:
            columns["label_group"] = pl.Series(self.labels).set(pl.Series(self.labels < 0), None)
        return pl.DataFrame(columns)

    @unforked
    def fingerprint(self) -> str:
        """Return the SHA-256 of the posts as 64 hex digits.

        It covers ids, titles, images, hashes, labels, prices and all further texts; not the order of rows, the folder
        or the problems.
        """
        digest = hashlib.sha256(b"labels" if self.labels is not None else b"")
        digest.update("\n".join(name for name, _ in self.texts()).encode())
        order = self.ids.arg_sort()
        for start in range(0, len(self), _CHUNK):
            rows = order[start : start + _CHUNK].to_numpy()
            for column in (self.ids, self.titles, self.images, *(text for _, text in self.texts())):
                text = column.gather(rows)
                digest.update(text.str.len_bytes().to_numpy().astype("<u8").tobytes())
                digest.update(text.str.join("").item().encode())
            digest.update(self.hashes[rows].astype("<u8").tobytes())
            digest.update(self.hashed[rows].tobytes())
            if self.labels is not None:
                digest.update(self.labels[rows].astype("<i8").tobytes())
            if self.prices is not None:
                digest.update(self.prices[rows].astype("<f8").tobytes())
        return digest.hexdigest()

    @unforked
    def save(self, folder: Path | str) -> None:
        """Write catalog.parquet and catalog.json (last: it marks the pair as complete), replacing older ones.

        Args:
            folder: where to; made if missing.

        Raises:
            FolderError: the folder cannot be written.
        """
        write(self, Path(folder))

    @classmethod
    @unforked
    def load(cls, folder: Path | str, *, images: Path | str | None = None) -> "Catalog":
        """Read what :meth:`save` wrote.

        Args:
            folder: the folder it was saved to.
            images: where the photo folder is now, if it has moved.

        Returns:
            The catalogue as it was saved.

        Raises:
            FolderError: there is no complete catalogue in the folder, or it is of another version.
            CatalogError: images is not a folder.
        """
        target = Path(folder)
        manifest = read_manifest(target)
        try:
            posts = pl.read_parquet(target / POSTS, glob=False)
            catalog = cls(**fields_of(posts, manifest, photo_folder(images)))
        except (OSError, pl.exceptions.PolarsError, CatalogError) as error:
            raise incomplete(target, f"{POSTS}, which cannot be read ({quoted(str(error))})") from error
        if catalog.fingerprint() != manifest["fingerprint"]:
            raise incomplete(target, f"{POSTS}, which is not the one that {MANIFEST} describes")
        return catalog


def _taken(values: Any, rows: Rows) -> Any:
    """Take some rows of an array, a series or a table; nothing of nothing."""
    return None if values is None else values[rows]


_COLUMNS = tuple(field.name for field in fields(Catalog) if field.name not in ("folder", "problems", "notes"))
"""The fields with a value for each post."""


def _check(name: str, values: Any, length: int, dtype: object) -> None:
    if getattr(values, "dtype", None) != dtype or values.shape != (length,):
        found = f"{getattr(values, 'dtype', type(values).__name__)} of shape {getattr(values, 'shape', '?')}"
        raise CatalogError(
            f"{name} as {found}",
            f"{dtype} of shape ({length},), one per id",
            "Use Catalog.read, or give arrays of these types.",
        )
    if isinstance(values, pl.Series) and values.null_count():
        raise CatalogError(f"{name} with nulls", 'text, "" where there is none', 'Fill the nulls with "" first.')


def _nulls(length: int) -> pl.Series:
    return pl.repeat(None, length, dtype=pl.String, eager=True)
