"""How good an encoder is on held-out posts: mean sample-wise F1, the threshold chosen on other posts."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from kembar.arrays import Floats, Rows, unit_rows
from kembar.errors import TrainingError
from kembar.evidence.pairs import candidates, dense_similarity
from kembar.evidence.search import dense_neighbors
from kembar.results.scores import curve
from kembar.training.batches import Inputs, Reader

NEIGHBORS = 51  # of a post, itself counted: the longest list of Kaggle Shopee


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The score of held-out posts.

    Attributes:
        f1: mean F1 over the posts of one half of the groups, at the threshold that is best on the other half.
        min2: the same with the best neighbour of a post left alone taken above a second threshold.
        threshold: that threshold.
        posts: how many posts were scored.
        pool: how many could be matched: those of both halves.
        groups: groups of the pool.
    """

    f1: float
    min2: float
    threshold: float
    posts: int
    pool: int
    groups: int

    def __str__(self) -> str:
        return (
            f"F1 {self.f1:.4f} (min2 {self.min2:.4f}) at {self.threshold:.3f}, {self.posts:,} posts in a pool of "
            f"{self.pool:,}, {self.groups:,} groups"
        )


def held_out_score(vectors: Floats, labels: Rows, seed: int) -> HeldOut:
    """Score vectors of held-out posts.

    All posts are one pool with exact neighbours. The groups are cut in halves; the threshold is the best of one, the
    score is that of the other.

    Args:
        vectors: (n, d) float32 unit rows; zeros where a post has no vector.
        labels: (n,) group codes; groups of one are in the pool and count too.
        seed: of the halves.

    Returns:
        The score.

    Raises:
        TrainingError: fewer than two groups.
    """
    groups, code = np.unique(labels, return_inverse=True)
    if len(groups) < 2:
        raise TrainingError(f"{len(groups)} held-out group", "at least two", "Hold out more groups.")
    chosen, scored = _halves(code, seed)
    left, right = candidates([dense_neighbors(vectors, NEIGHBORS)], len(vectors))
    similarity = dense_similarity(vectors, left, right)
    known = curve(left, right, similarity, code, chosen)
    threshold, _ = known.best()
    high, low, _ = known.best_min2()
    other = curve(left, right, similarity, code, scored)
    f1, min2 = other.at(threshold), other.at(high, low)
    return HeldOut(f1, min2, threshold, len(scored), len(labels), len(groups))


def _halves(code: Rows, seed: int) -> tuple[Rows, Rows]:
    """Cut groups in halves, those of several posts and those of one separately."""
    sizes = np.bincount(code)
    rng = np.random.default_rng([seed, 2])
    order = rng.permutation(len(sizes))
    order = order[np.argsort(sizes[order] < 2, kind="stable")]
    first = np.zeros(len(sizes), dtype=bool)
    first[order[::2]] = True
    return np.flatnonzero(first[code]), np.flatnonzero(~first[code])


def embed(model: nn.Module, reader: Reader, *, batch: int = 256) -> Floats:
    """Encode all items of a reader; see `features`.

    Returns:
        (n, d) float32 unit rows.
    """
    vectors: Floats = unit_rows(features(model, reader, batch=batch))
    return vectors


@torch.no_grad()
def features(model: nn.Module, reader: Reader, *, batch: int = 256) -> Floats:
    """Encode all items of a reader on the device where the model is, in float32.

    Args:
        model: gives (b, d) vectors.
        reader: n items.
        batch: items at once; the vectors do not depend on it.

    Returns:
        (n, d) float32, rows not of length 1.
    """
    device = next(model.parameters()).device
    parts = []
    with _at_rest(model), torch.autocast(device.type, enabled=False):
        for start in range(0, len(reader), batch):
            inputs: Inputs = reader.plain(np.arange(start, min(start + batch, len(reader))))
            parts.append(model(*(part.to(device) for part in inputs)).float().cpu().numpy())
    return np.concatenate(parts)


@contextmanager
def _at_rest(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode for a while, and each of its parts back into its own mode."""
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode
