"""Groups: one partition of all posts, with ids that outlive row order; connected components, and posts left alone."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from kembar.arrays import Rows, connected, places_where
from kembar.errors import EvidenceError
from kembar.threads import unforked


@dataclass(frozen=True, slots=True)
class Groups:
    """A partition of n posts.

    Attributes:
        labels: (n,) int64 group numbers, dense from 0, by the first row of each group.
        ids: (g,) String, the id of each group. By default the smallest posting id among its members, so that a group
            keeps its name whatever the order of rows, and mostly also when posts are added; any other names will do,
            such as UUIDs that a shop gave to its products.
    """

    labels: Rows
    ids: pl.Series

    def __post_init__(self) -> None:
        top = int(self.labels.max(initial=-1))
        if top + 1 != len(self.ids) or self.labels.min(initial=0) < 0:
            raise EvidenceError(
                f"{len(self.ids)} group ids for labels from {int(self.labels.min(initial=0))} to {top}",
                "one id for each label from 0 up",
                "Build groups with Groups.of.",
            )

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    @unforked
    def of(cls, labels: npt.NDArray[np.integer], post_ids: pl.Series) -> "Groups":
        """Number and name the parts of a partition.

        Args:
            labels: (n,) any numbers, equal within a group.
            post_ids: (n,) String posting ids.

        Returns:
            The groups.

        Raises:
            EvidenceError: the two have different lengths.
        """
        if len(labels) != len(post_ids):
            raise EvidenceError(
                f"{len(labels)} labels for {len(post_ids)} posts", "one label per post", "Pass the labels of all posts."
            )
        dense = number_by_first(labels)
        members = pl.DataFrame({"group": dense, "id": post_ids})
        named = members.group_by("group").agg(pl.col("id").min()).sort("group")
        return cls(dense, named["id"])

    @classmethod
    def named(cls, group_ids: pl.Series) -> "Groups":
        """Take a partition from the name of each post's group.

        Args:
            group_ids: (n,) String, equal within a group; no posting ids need be among them.

        Returns:
            The groups under these names.

        Raises:
            EvidenceError: a post without a group.
        """
        if group_ids.null_count():
            given = f"{group_ids.null_count()} posts without a group id"
            raise EvidenceError(given, "a name for the group of every post", "Give single posts a group of their own.")
        ids = group_ids.unique(maintain_order=True)
        row = pl.DataFrame({"id": ids}).with_row_index("group")
        found = pl.DataFrame({"id": group_ids}).join(row, on="id", how="left", maintain_order="left")["group"]
        return cls(found.to_numpy().astype(np.int64), ids)

    def sizes(self) -> Rows:
        """Count the members of each group: (g,) int64."""
        return np.bincount(self.labels, minlength=len(self.ids)).astype(np.int64)


def number_by_first(labels: npt.NDArray[np.integer]) -> Rows:
    """Renumber labels from 0 in the order of their first rows: (n,) int64."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    return rank[inverse]


def components(left: Rows, right: Rows, n: int) -> Rows:
    """Group posts that any chain of pairs connects.

    Args:
        left: (m,) rows.
        right: (m,) rows.
        n: number of posts.

    Returns:
        (n,) int64 labels, dense from 0, by first row.
    """
    return number_by_first(connected(left, right, n))


def lowered(cut: float) -> float:
    """Lower a cut to float32: a similarity of float32(0.7), which is below 0.7, reaches a cut of 0.7 elsewhere too."""
    return min(cut, float(np.float32(cut)))


def fill_singles(labels: Rows, left: Rows, right: Rows, similarity: npt.NDArray[np.floating], *, cut: float) -> Rows:
    """Let each post that was left alone join the group it is nearest to, if it is near enough.

    What min2 is for lists; Kaggle Shopee's 3rd place fills its groups so, where hardly any post is without a twin.

    Args:
        labels: (n,) group numbers.
        left: (m,) rows.
        right: (m,) rows, each unordered pair once.
        similarity: (m,) scores.
        cut: least mean similarity to the members of the group, an absent pair counted as 0.

    Returns:
        (n,) int64 labels, dense from 0, by first row; of equal groups the one with the smallest number is taken.
    """
    n, size = len(labels), np.bincount(labels)
    alone = size[labels] == 1
    some = places_where(len(left), lambda rows: (alone[left[rows]] | alone[right[rows]]) & (similarity[rows] > 0))
    left, right, similarity = left[some], right[some], similarity[some]
    source, target = np.concatenate([left, right]), np.concatenate([right, left])
    single = alone[source]
    key, place = np.unique(source[single] * (len(size) + 1) + labels[target[single]], return_inverse=True)
    post, group = np.divmod(key, len(size) + 1)
    mean = np.bincount(place, np.tile(similarity, 2)[single]) / size[group]
    order = np.lexsort((group, -mean, post))
    best = order[np.r_[True, np.diff(post[order]) > 0]] if len(order) else order
    best = best[mean[best] >= lowered(cut)]
    return components(labels[post[best]], group[best], len(size))[labels] if n else labels
