"""Posts as rows of a store, and as a catalogue again."""

import json
import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from kembar.arrays import Rows
from kembar.encoders.embeddings import Embeddings
from kembar.errors import StoreError, quoted
from kembar.posts.catalog import Catalog
from kembar.posts.columns import Columns
from kembar.posts.further import BRAND
from kembar.posts.stored import fields_of, rows_of
from kembar.store.connection import chunks
from kembar.store.records import Post

COLUMNS: Final = "id, title, image, hash, price, brand, source, category, more"
_BRAND: Final = f"further {BRAND}"
_OWN: Final = {"id", "title", "image", "hash", "hashed", "label", "price", _BRAND, "sources", "within"}
_PROBLEMS: Final = "problems"
_LATER: Final = {"label", _PROBLEMS}  # what is not the post's own content
_FIELDS: Final = {"id", "title", "image", "hash", "price", "brand", "source", "category"}

Record = dict[str, Any]
"""A post as the columns of its row, `more` as a dict."""


def records_of(catalog: Catalog) -> list[Record]:
    """Lay out posts as rows of a store."""
    frame = rows_of(catalog)
    others = [name for name in frame.columns if name not in _OWN]
    return [
        {
            "id": row["id"],
            "title": row["title"],
            "image": row["image"],
            "hash": f"{row['hash']:016x}" if row["hashed"] else "",
            "price": _price(row.get("price")),
            "brand": row.get(_BRAND) or "",
            "source": row.get("sources") or "",
            "category": row.get("within") or "",
            "more": {name: row[name] for name in others if row[name]},
        }
        for row in frame.iter_rows(named=True)
    ]


def usable(record: Any) -> Record:
    """Give a record that is one; raises ValueError where it was damaged."""
    texts = ("id", "title", "image", "hash", "brand", "source", "category")
    right = (
        isinstance(record, dict)
        and all(isinstance(record.get(name), str) for name in texts)
        and (record["hash"] == "" or re.fullmatch("[0-9a-f]{16}", record["hash"]) is not None)
        and isinstance(record.get("price"), float | int | None)
        and isinstance(record.get("more"), dict)
    )
    if not right or len(record) != len(texts) + 2:
        raise ValueError("a post that is none")
    return dict(record)


def same_content(a: Record, b: Record) -> bool:
    """Tell whether two records are one post, whatever was found out about its photo."""
    plain = [{**each, "more": {k: v for k, v in each["more"].items() if k not in _LATER}} for each in (a, b)]
    if not all(each["hash"] for each in plain):
        plain = [{**each, "hash": ""} for each in plain]
    return plain[0] == plain[1]


def values_of(record: Record) -> tuple[Any, ...]:
    """Give the columns of a record in their order."""
    more = json.dumps(record["more"], ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return (*(record[name] for name in COLUMNS.split(", ")[:-1]), more)


def record_of(row: Sequence[Any]) -> Record:
    """Read the columns back; raises StoreError where they are damaged."""
    record = dict(zip(COLUMNS.split(", "), row, strict=True))
    try:
        return {**record, "more": json.loads(record["more"])}
    except ValueError as error:
        raise StoreError(
            f"post {quoted(record['id'])}, whose text is damaged",
            "a whole store",
            "See `kembar store check` and `kembar store repair`.",
        ) from error


def catalog_of(records: Sequence[Record], photos: Path) -> Catalog:
    """Make a catalogue of records.

    Args:
        records: the posts.
        photos: the folder of their photos.

    Returns:
        The posts in their order; what none of them has is absent.
    """
    names = sorted({name for record in records for name in record["more"]} - {_PROBLEMS})
    columns: dict[str, Any] = {
        "id": _texts(record["id"] for record in records),
        "title": _texts(record["title"] for record in records),
        "image": _texts(record["image"] for record in records),
        "hash": np.array([int(record["hash"] or "0", 16) for record in records], dtype=np.uint64),
        "hashed": np.array([record["hash"] != "" for record in records], dtype=bool),
    }
    prices = np.array([np.nan if record["price"] is None else record["price"] for record in records], dtype=np.float64)
    if not np.isnan(prices).all():
        columns["price"] = prices
    brands = _texts(record["brand"] for record in records)
    further = {_BRAND: brands} if (brands != "").any() else {}
    for field, key in (("sources", "source"), ("within", "category")):
        texts = _texts(record[key] for record in records)
        if (texts != "").any():
            columns[field] = texts
    more = {name: _texts(record["more"].get(name, "") for record in records) for name in names}
    problems = pl.Series(
        [record["more"].get(_PROBLEMS) for record in records],
        dtype=pl.List(pl.Struct({"part": pl.String, "problem": pl.String})),
    )
    frame = pl.DataFrame({**columns, **further, **more}).with_columns(problems.alias(_PROBLEMS))
    return Catalog(**fields_of(frame, {"labels": False, "folder": str(photos)}, photos))


def read_records(records: Sequence[Mapping[str, Any]], photos: Path) -> Catalog:
    """Read posts as programs give them.

    Args:
        records: each with an id, and any of title, image (a name in the folder of photos), hash, price, brand, source,
            category, and texts under other names.
        photos: the folder.

    Returns:
        The catalogue.

    Raises:
        CatalogError: no usable id, or nothing to match by.
    """
    names = list(dict.fromkeys(name for record in records for name in record))
    cells = {name: pl.Series(name, [record.get(name) for record in records], strict=False) for name in names}
    table = pl.DataFrame({name: cell for name, cell in cells.items() if cell.dtype != pl.Null})
    have = set(table.columns)
    columns = Columns(
        id="id",
        title="title" if "title" in have else None,
        image="image" if "image" in have else None,
        hash="hash" if "hash" in have else None,
        label=None,
        price="price" if "price" in have else None,
        brand="brand" if "brand" in have else None,
        source="source" if "source" in have else None,
        within="category" if "category" in have else None,
        further=tuple(name for name in table.columns if name not in _FIELDS),
    )
    return Catalog.read(table, images=photos if "image" in have else None, columns=columns)


def post_of(record: Record, group: str) -> Post:
    """Make a post as it is shown."""
    plain = {k.removeprefix("further ").removeprefix("shown "): v for k, v in record["more"].items() if k not in _LATER}
    return Post(**{key: record[key] for key in record if key != "more"}, more=plain, group=group)


def vectors_of(read: sqlite3.Connection, rows: Rows) -> dict[str, Embeddings]:
    """Read the stored vectors of posts.

    Args:
        read: a connection.
        rows: (n,) rows of posts.

    Returns:
        Vectors by name, n posts each.
    """
    place = {int(row): at for at, row in enumerate(rows)}
    found: dict[str, list[bytes]] = {}
    widths = dict(read.execute("SELECT substr(key, 11), value FROM about WHERE key LIKE 'dimension %'").fetchall())
    for marks, part in chunks(rows.tolist()):
        asked = f"SELECT post, name, vector FROM vectors WHERE post IN ({marks})"
        for post, name, vector in read.execute(asked, part):
            found.setdefault(name, [b""] * len(rows))[place[post]] = vector
    return {name: _embeddings(blobs, 4 * int(widths[name])) for name, blobs in found.items()}


def _embeddings(blobs: Sequence[bytes], width: int) -> Embeddings:
    """Read blobs of any number of vectors, of so many bytes each."""
    counts = np.array([max(1, len(blob) // width) for blob in blobs])
    rows = np.frombuffer(b"".join(blob or bytes(width) for blob in blobs), dtype="<f4").reshape(-1, width // 4)
    offsets = None if (counts == 1).all() else np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Embeddings(rows.astype(np.float32), offsets)


def blobs_of(given: Embeddings) -> list[bytes]:
    """Give the vectors of each post as bytes; b"" where it has none."""
    bounds = np.arange(len(given) + 1) if given.offsets is None else given.offsets
    known = given.known()
    rows = np.ascontiguousarray(given.vectors, dtype="<f4")
    return [rows[bounds[at] : bounds[at + 1]].tobytes() if known[at] else b"" for at in range(len(given))]


def _texts(values: Iterable[str]) -> pl.Series:
    return pl.Series(list(values), dtype=pl.String)


def _price(value: float | None) -> float | None:
    return None if value is None or np.isnan(value) else float(value)


__all__ = [
    "COLUMNS", "Record", "blobs_of", "catalog_of", "post_of", "read_records", "record_of", "records_of",
    "same_content", "usable", "values_of", "vectors_of",
]  # fmt: skip
