"""Posts to learn from: labelled ones of one modality, cleaned, and split into a training and a held-out part."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from kembar.arrays import Progress, Rows, connected
from kembar.errors import TrainingError, quoted
from kembar.posts.catalog import Catalog
from kembar.posts.hashing import hash_photos
from kembar.posts.titles import normalize
from kembar.training.recipe import Modality

Items: TypeAlias = Sequence[str] | Sequence[Path]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Labelled posts of one modality, in the order of their catalogue.

    Attributes:
        modality: what the items are.
        items: n titles in normal form, or n paths of photos that decode.
        labels: (n,) int64 group codes >= 0.
        parts: (n,) int64: posts with the same number share a group, a title or a photo, directly or through others;
            a split must not separate them.
        dropped: the posts that cannot be learned from, as (posting id, why).
    """

    modality: Modality
    items: Items
    labels: Rows
    parts: Rows
    dropped: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.items)

    @property
    def groups(self) -> int:
        """The number of groups, those of one post included."""
        return len(np.unique(self.labels))

    def take(self, rows: Rows) -> "Examples":
        """Return some of the posts; labels and parts keep their numbers."""
        items: Any = [self.items[row] for row in rows]
        return replace(self, items=items, labels=self.labels[rows], parts=self.parts[rows])

    def trainable(self) -> "Examples":
        """Leave out groups of one and number the others from 0.

        Returns:
            The posts whose group has at least two.

        Raises:
            TrainingError: fewer than two such groups.
        """
        _, code, sizes = np.unique(self.labels, return_inverse=True, return_counts=True)
        kept = np.flatnonzero(sizes[code] >= 2)
        alone = len(self) - len(kept)
        _check_groups(self, int((sizes >= 2).sum()), alone)
        if alone:
            log.info("%d of %d posts are left out: no other post of their group is given", alone, len(self))
        chosen = self.take(kept)
        return replace(chosen, labels=np.unique(chosen.labels, return_inverse=True)[1].astype(np.int64))

    def sizes(self) -> Rows:
        """Count the posts of each label from 0 to the largest: (classes,) int64."""
        return np.bincount(self.labels).astype(np.int64)


def read_examples(
    catalog: Catalog, modality: Modality, *, relabel: bool = True, progress: Progress | None = None
) -> Examples:
    """Take the posts of a catalogue that can be learned from.

    Left out are posts without a label, without a title (or a photo), and photos that do not decode. Photos are the same
    where their perceptual hashes are equal, titles where their normal forms are.

    Args:
        catalog: the posts.
        modality: title or photo.
        relabel: same photos (or titles) of several groups all go to the group that most of them have, as the 2nd place
            of Kaggle Shopee did; of several such groups to the one with the most posts, then to the lowest code.
        progress: called with ("hash photos", done, in all).

    Returns:
        The posts.

    Raises:
        TrainingError: no labels, no titles or photos, an empty photo folder, or fewer than two groups.
    """
    if catalog.labels is None or not (catalog.labels >= 0).any():
        given = "posts without a column of labels" if catalog.labels is None else "an empty column of labels"
        raise TrainingError(given, "the known group of each post", "Name the column: Columns(label=...).")
    if modality == "photo":
        catalog, dropped = _with_photos(catalog, progress)
    else:
        catalog, dropped = catalog.take(np.flatnonzero(catalog.has_titles)), ()
    catalog = catalog.take(np.flatnonzero(_labels(catalog) >= 0))
    if not len(catalog):
        raise TrainingError(f"no post with both a label and a {modality}", "some", "Check the columns.")
    titles = normalize(catalog.titles)
    text = titles.rank("dense").to_numpy().astype(np.int64)
    text[(titles == "").to_numpy()] = -1
    photo = np.unique(catalog.hashes, return_inverse=True)[1].astype(np.int64)
    photo[~catalog.hashed] = -1
    same = photo if modality == "photo" else text
    labels = to_the_commonest(_labels(catalog), same) if relabel else _labels(catalog)
    items: Any = [path for path in catalog.photo_paths() if path] if modality == "photo" else titles.to_list()
    examples = Examples(modality, items, labels, _joined(labels, text, photo), dropped)
    if examples.groups < 2:
        raise TrainingError("posts of one group", "posts of at least two groups", "Give posts of several products.")
    return examples


def to_the_commonest(labels: Rows, same: Rows) -> Rows:
    """Give items that are the same the label that most of them have.

    Args:
        labels: (n,) group codes.
        same: (n,) a number for each distinct item, -1 where it is unknown and the label stays.

    Returns:
        (n,) group codes.
    """
    known = np.flatnonzero(same >= 0)
    if not len(known):
        return labels.copy()
    width = int(labels.max()) + 1
    cells, counts = np.unique(same[known] * width + labels[known], return_counts=True)
    item, label = np.divmod(cells, width)
    order = np.lexsort((label, -np.bincount(labels)[label], -counts, item))
    first = order[np.r_[True, np.diff(item[order]) != 0]]  # one for each item, which are in rising order
    found = labels.copy()
    found[known] = label[first][np.searchsorted(item[first], same[known])]
    if (moved := int((found != labels).sum())) > 0:
        log.info("%d posts go to the group that most posts with the same item have", moved)
    return found


def split(examples: Examples, share: float, seed: int) -> tuple[Rows, Rows]:
    """Hold out a share of the groups; no group, photo or title is on both sides.

    Args:
        examples: the posts.
        share: share of the groups to hold out, in [0, 1).
        seed: the same seed holds out the same posts.

    Returns:
        Rows to train on and held-out rows, both ascending.

    Raises:
        TrainingError: fewer than two groups of several posts are left on either side.
    """
    if share == 0:
        return np.arange(len(examples)), np.zeros(0, dtype=np.int64)
    group_part = np.unique(np.stack([examples.labels, examples.parts], axis=1), axis=0)[:, 1]
    parts, weight = np.unique(group_part, return_counts=True)
    wanted = max(round(share * len(group_part)), 2)
    held: set[int] = set()
    total = 0
    for at in np.random.default_rng(seed).permutation(len(parts)):
        if total + weight[at] <= wanted:
            held.add(int(parts[at]))
            total += int(weight[at])
    apart = np.isin(examples.parts, list(held))
    rows = np.flatnonzero(~apart), np.flatnonzero(apart)
    for side, name in zip(rows, ("to train on", "held out"), strict=True):
        several = int((np.unique(examples.labels[side], return_counts=True)[1] >= 2).sum())
        if several < 2:
            raise TrainingError(
                f"{several} groups of several posts {name}, of {examples.groups} in all with holdout {share}",
                "at least two on either side",
                "Give more groups, or set another holdout; holdout=0 trains on all, unscored.",
            )
    return rows


def _labels(catalog: Catalog) -> Rows:
    return catalog.labels if catalog.labels is not None else np.full(len(catalog), -1, dtype=np.int64)


def _with_photos(catalog: Catalog, progress: Progress | None) -> tuple[Catalog, tuple[tuple[str, str], ...]]:
    """Keep the posts whose photo decodes, with hashes; also return which were dropped and why."""
    paths = catalog.photo_paths()
    if catalog.folder is None or not any(paths):
        given = "no photo folder" if catalog.folder is None else "posts without names of photos"
        raise TrainingError(
            given, "photos to learn from", "Name the folder, images=..., and the column, Columns(image=...)."
        )
    if not any(catalog.folder.iterdir()):
        raise TrainingError(f"{quoted(catalog.folder)}, an empty folder", "photos", "Fill it, or name another.")
    wanted = _labels(catalog) >= 0
    # The catalogue's own hashes are kept; a draft is enough to see whether a photo decodes.
    exact = hash_photos([p if w and not h else None for p, w, h in _three(paths, wanted, catalog)], progress=progress)
    draft = hash_photos(
        [p if w and h else None for p, w, h in _three(paths, wanted, catalog)], draft=True, progress=progress
    )
    decoded = exact.hashed | draft.hashed
    ids = catalog.ids
    dropped = [
        (ids[row], problem)
        for found in (exact, draft)
        for row, problem in found.problems.iter_rows()
        if not decoded[row]
    ]
    for post, problem in dropped:
        log.warning("post %s is left out: %s", post, problem)
    if not decoded.any():
        raise TrainingError(
            f"{quoted(catalog.folder)}, which holds none of {int(wanted.sum())} photos that the posts name",
            "photos that decode",
            f"Check the folder: {dropped[0][1]}." if dropped else "Check the column of photo names.",
        )
    hashes = np.where(exact.hashed, exact.hashes, catalog.hashes)
    hashed = exact.hashed | catalog.hashed
    chosen = catalog.with_hashes(hashes, hashed, catalog.problems.clear()).take(np.flatnonzero(decoded))
    return chosen, tuple(dropped)


def _three(paths: Sequence[Path | None], wanted: Any, catalog: Catalog) -> Any:
    return zip(paths, wanted, catalog.hashed, strict=True)


def _joined(*kinds: Rows) -> Rows:
    """Number the posts that are joined, through others too, by an equal number of some kind; -1 joins nothing."""
    n = len(kinds[0])
    posts, nodes, start = [], [], n
    for kind in kinds:
        known = np.flatnonzero(kind >= 0)
        posts.append(known)
        nodes.append(kind[known] + start)
        start += int(kind.max(initial=-1)) + 1
    left, right = np.concatenate(posts), np.concatenate(nodes)
    return connected(left, right, start)[:n]


def _check_groups(examples: Examples, several: int, alone: int) -> None:
    if several >= 2:
        return
    if alone == len(examples):
        given = f"{alone} posts, all in groups of one"
    else:
        given = f"{len(examples)} posts, of which {several} group has several"
    raise TrainingError(given, "at least two groups of two or more posts", "Give labelled posts of several products.")
