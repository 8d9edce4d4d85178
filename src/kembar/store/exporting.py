"""The posts of a store with their groups, as a file."""

import json
from pathlib import Path
from typing import Any

import polars as pl

from kembar.errors import ConfigError
from kembar.folders import new_file
from kembar.posts.cells import guarded
from kembar.store.checking import looked_at
from kembar.store.posts import COLUMNS, post_of, record_of


def exported(folder: Path) -> pl.DataFrame:
    """Lay out the posts of a store that are there, by id; others may write to it meanwhile; raises StoreError."""
    asked = f"SELECT groups.id, {', '.join(f'posts.{name}' for name in COLUMNS.split(', '))} FROM posts "
    asked += "JOIN groups ON groups.row = group_row WHERE removed IS NULL ORDER BY posts.id"
    with looked_at(folder) as read:
        posts = [post_of(record_of(values), group) for group, *values in read.execute(asked)]
    columns: dict[str, list[Any]] = {
        "posting_id": [post.id for post in posts],
        "group": [post.group for post in posts],
        "title": [post.title for post in posts],
        "image": [post.image for post in posts],
        "image_phash": [post.hash or None for post in posts],
        "price": [post.price for post in posts],
        "brand": [post.brand for post in posts],
        "source": [post.source for post in posts],
        "category": [post.category for post in posts],
    }
    for name in sorted({name for post in posts for name in post.more} - set(columns)):
        columns[name] = [_text(post.more.get(name, "")) for post in posts]
    schema = {name: pl.Float64 if name == "price" else pl.String for name in columns}
    return pl.DataFrame(columns, schema=schema)


def written(table: pl.DataFrame, target: Path) -> None:
    """Write a table as .csv or .parquet; raises ConfigError for another ending, FolderError where it cannot."""
    ending = target.suffix.lower()
    if ending not in (".csv", ".parquet"):
        raise ConfigError(f"an export to {target.name!r}", "a name that ends with .csv or .parquet", "Choose one.")
    with new_file(target) as path:
        if ending == ".parquet":
            table.write_parquet(path)
        else:
            texts = [name for name, kind in table.schema.items() if kind == pl.String]
            table.with_columns(guarded(table[name]) for name in texts).write_csv(path)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
