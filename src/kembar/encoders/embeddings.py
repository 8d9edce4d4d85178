"""Vectors that users bring: from .npy or Parquet to unit rows in the catalogue's order."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from kembar.arrays import Bools, Floats, Rows, members, offsets_of, unit_rows
from kembar.errors import EvidenceError
from kembar.threads import unforked


@dataclass(frozen=True, slots=True)
class Embeddings:
    """One vector per post, or several.

    Attributes:
        vectors: (n, d) float32 unit rows; all zero where a post has no vector.
        offsets: None, or (posts + 1,) int64 where posts have several, one per photo: the bounds of each post's rows.
    """

    vectors: Floats
    offsets: Rows | None = None

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or self.vectors.dtype != np.float32:
            raise EvidenceError(
                f"vectors of shape {self.vectors.shape} and type {self.vectors.dtype}",
                "an (n, d) float32 array",
                "Build embeddings with Embeddings.of.",
            )

    def __len__(self) -> int:
        return len(self.vectors) if self.offsets is None else len(self.offsets) - 1

    def take(self, posts: Rows) -> "Embeddings":
        """Keep some posts: (m,) their numbers."""
        if self.offsets is None:
            return Embeddings(self.vectors[posts])
        rows, offsets = members(self.offsets, posts)
        return Embeddings(self.vectors[rows], offsets)

    @classmethod
    def joined(cls, parts: "Sequence[Embeddings]") -> "Embeddings":
        """Put the vectors of posts one behind the other."""
        vectors = np.concatenate([part.vectors for part in parts])
        if all(part.offsets is None for part in parts):
            return cls(vectors)
        counts = [np.ones(len(part), np.int64) if part.offsets is None else np.diff(part.offsets) for part in parts]
        return cls(vectors, offsets_of(np.concatenate(counts)))

    def known(self) -> Bools:
        """Tell which posts have a vector: (n,) bool."""
        some: Bools = np.any(self.vectors, axis=1)
        return some if self.offsets is None else np.logical_or.reduceat(some, self.offsets[:-1])

    @classmethod
    def of(cls, vectors: npt.ArrayLike) -> "Embeddings":
        """Scale rows to length 1.

        Args:
            vectors: (n, d) numbers; a row of zeros means that the post has no vector.

        Returns:
            The embeddings.

        Raises:
            EvidenceError: not a table of finite numbers.
        """
        try:
            with np.errstate(over="ignore"):  # what float32 cannot hold is reported below
                array = np.asarray(vectors, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise EvidenceError(
                "vectors that are not numbers", "an (n, d) table of numbers", f"Correct them: {error}."
            ) from None
        if array.ndim != 2 or array.shape[1] == 0:
            raise EvidenceError(
                f"vectors of shape {array.shape}", "an (n, d) table, one row per post", "Give vectors of one length."
            )
        finite = np.isfinite(array).all(axis=1)
        if not finite.all():
            raise EvidenceError(
                f"{int((~finite).sum())} vectors that are not finite, the first in row {int((~finite).argmax())}",
                "finite numbers; zeros where a post has no vector",
                "Replace NaN and infinity in such rows by zeros.",
            )
        return cls(unit_rows(array))

    @classmethod
    @unforked
    def read(cls, path: Path | str, ids: pl.Series) -> "Embeddings":
        """Read vectors for the posts of a catalogue.

        Args:
            path: .npy with one row per post in the catalogue's order, or .parquet with a column posting_id and one
                column of lists (in any order; posts that are not in it have no vector).
            ids: (n,) String posting ids.

        Returns:
            (n, d) embeddings in the order of `ids`.

        Raises:
            EvidenceError: a missing or unreadable file, another number of rows, or no column of lists.
        """
        path = Path(path)
        try:
            if path.suffix == ".npy":
                with path.open("rb") as file:
                    return cls._aligned(np.lib.format.read_array(file, allow_pickle=False), path, len(ids))
            if path.suffix == ".parquet":
                return cls._joined(pl.read_parquet(path, glob=False), path, ids)
        except EvidenceError:
            raise
        except (OSError, ValueError, pl.exceptions.PolarsError) as error:
            raise EvidenceError(
                f"vectors {str(path)!r} that do not read", "a .npy or .parquet file of vectors", f"Check it: {error}."
            ) from None
        raise EvidenceError(f"vectors {str(path)!r}", "a .npy or .parquet file", "Save them in one of these forms.")

    @classmethod
    def _aligned(cls, vectors: npt.NDArray[np.generic], path: Path, n: int) -> "Embeddings":
        if vectors.shape[:1] != (n,):
            raise EvidenceError(
                f"an array of shape {vectors.shape} in {str(path)!r}",
                f"{n}, one per post",
                "Write the vectors in the order of the posts, or use Parquet with a posting_id column.",
            )
        return cls.of(vectors)

    @classmethod
    def _joined(cls, table: pl.DataFrame, path: Path, ids: pl.Series) -> "Embeddings":
        columns = [name for name, kind in table.schema.items() if isinstance(kind, pl.List | pl.Array)]
        if "posting_id" not in table.columns or len(columns) != 1:
            raise EvidenceError(
                f"columns {table.columns} in {str(path)!r}",
                "posting_id and one column of lists",
                "Name the columns so.",
            )
        given = table.select(pl.col("posting_id").cast(pl.String), pl.col(columns[0]).alias("vector")).drop_nulls()
        vector = given["vector"].arr.to_list() if isinstance(given.schema["vector"], pl.Array) else given["vector"]
        lengths = vector.list.len().unique().sort().to_list()
        if len(lengths) != 1 or lengths == [0]:
            raise EvidenceError(
                f"vectors of {lengths[:5]} numbers in {str(path)!r}",
                "at least one vector, and one length above 0 for all",
                "Give vectors of one length; leave posts without one out.",
            )
        if given["posting_id"].is_duplicated().any():
            raise EvidenceError(f"a posting_id twice in {str(path)!r}", "one vector per post", "Remove the doubles.")
        found = np.array(vector.explode().cast(pl.Float32), dtype=np.float32).reshape(len(given), -1)
        rows = pl.DataFrame({"posting_id": ids}).join(
            given.select("posting_id").with_row_index("row"), on="posting_id", how="left", maintain_order="left"
        )["row"]
        known = rows.is_not_null().to_numpy()
        vectors = np.zeros((len(ids), found.shape[1]), dtype=np.float32)
        vectors[known] = found[rows.drop_nulls().to_numpy()]
        return cls.of(vectors)
