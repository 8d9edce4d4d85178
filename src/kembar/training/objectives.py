"""Sentence-BERT's objectives over pairs and triplets of titles, and the miner that draws them from groups.

Source: Reimers and Gurevych 2019, section 3 and table 6. The losses are torch's. Those of sentence-transformers take a
model of its own rather than vectors, the one for pairs has a bias that the paper's lacks, and importing them takes ten
CPU-seconds, which training on n-grams need not wait for.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from kembar.arrays import Bools, Rows, ragged, run_starts
from kembar.errors import ConfigError, EvidenceError, TrainingError, nearest
from kembar.training.recipe import Recipe

CONCATENATIONS = ("u,v", "|u-v|", "u*v", "|u-v|,u*v", "u,v,u*v", "u,v,|u-v|", "u,v,|u-v|,u*v")
"""The inputs of the classifier of pairs: table 6 of the paper."""


def concatenate(u: Tensor, v: Tensor, concatenation: str) -> Tensor:
    """Concatenate the parts (Reimers and Gurevych 2019, table 6).

    Args:
        u: (b, d).
        v: (b, d).
        concatenation: one of `CONCATENATIONS`.

    Returns:
        (b, parts * d).

    Raises:
        ConfigError: another concatenation.
    """
    parts = {"u": u, "v": v, "|u-v|": (u - v).abs(), "u*v": u * v}
    return torch.cat([parts[part] for part in _parts(concatenation)], dim=1)


def _parts(concatenation: str) -> list[str]:
    if concatenation not in CONCATENATIONS:
        fix = nearest(concatenation, CONCATENATIONS).strip() or "Choose one of these."
        raise ConfigError(f"concatenation {concatenation!r}", f"one of {'; '.join(CONCATENATIONS)}", fix)
    return concatenation.split(",")


class PairObjective(nn.Module, ABC):
    """A loss over pairs of vectors.

    `forward(u, v, same)` takes (b, d), (b, d) not of length 1 and (b,) 1 for a true pair, 0 for a false one, and
    gives a scalar in at least float32.
    """

    def forward(self, u: Tensor, v: Tensor, same: Tensor) -> Tensor:
        """See the class."""
        with torch.autocast(u.device.type, enabled=False):
            return self.compute(_wide(u), _wide(v), same)

    @abstractmethod
    def compute(self, u: Tensor, v: Tensor, same: Tensor) -> Tensor:
        """Compute the loss in the type of the vectors, float32 or float64."""

    def head_parameters(self) -> list[nn.Parameter]:
        """List the parameters of the objective itself."""
        return list(self.parameters())


class PairClassification(PairObjective):
    """Cross-entropy of softmax(W · concatenation(u, v)) (Reimers and Gurevych 2019, section 3; W without bias).

    Args:
        dimension: d.
        concatenation: one of `CONCATENATIONS`.
        classes: number of answers; 2: different, same.

    Raises:
        ConfigError: another concatenation.
    """

    def __init__(self, dimension: int, concatenation: str = "u,v,|u-v|", classes: int = 2) -> None:
        super().__init__()
        self.concatenation = concatenation
        self.classifier = nn.Linear(len(_parts(concatenation)) * dimension, classes, bias=False)

    def compute(self, u: Tensor, v: Tensor, same: Tensor) -> Tensor:
        """See `PairObjective.compute` and the class."""
        seen = concatenate(u, v, self.concatenation)
        logits = nn.functional.linear(seen, self.classifier.weight.to(seen.dtype))
        return nn.functional.cross_entropy(logits, same.long())


class CosineRegression(PairObjective):
    """Mean squared error of cos(u, v) against 1 for a true pair, 0 for a false one (section 3 of the paper)."""

    def compute(self, u: Tensor, v: Tensor, same: Tensor) -> Tensor:
        """See `PairObjective.compute` and the class; `same` may hold any wanted cosine."""
        cosine = nn.functional.cosine_similarity(u, v, eps=1e-6)
        return nn.functional.mse_loss(cosine, same.to(cosine.dtype))


class TripletObjective(nn.Module):
    """Mean of max(||a - p|| - ||a - n|| + eps, 0), Euclidean, of unscaled vectors (section 3 of the paper).

    Args:
        margin: eps, 1 in the paper.
    """

    def __init__(self, margin: float = 1.0) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            anchor: (b, d) of any float type.
            positive: (b, d), of the anchor's group.
            negative: (b, d), of another.

        Returns:
            A scalar, at least float32; its gradient is finite also where two vectors are equal.
        """
        with torch.autocast(anchor.device.type, enabled=False):
            ends = _wide(anchor), _wide(positive), _wide(negative)
            return nn.functional.triplet_margin_loss(*ends, margin=self.margin)

    def head_parameters(self) -> list[nn.Parameter]:
        """List the parameters of the objective itself: none."""
        return []


def build_objective(recipe: Recipe, dimension: int) -> PairObjective | TripletObjective:
    """Build the objective of a recipe whose objective is pair, cosine or triplet.

    Args:
        recipe: objective, concatenation and margin of it are used.
        dimension: width of the vectors.

    Returns:
        The objective.

    Raises:
        ConfigError: the objective is metric; that one is `kembar.training.losses.build_loss`.
    """
    if recipe.objective == "pair":
        return PairClassification(dimension, recipe.concatenation)
    if recipe.objective == "cosine":
        return CosineRegression()
    if recipe.objective == "triplet":
        return TripletObjective(recipe.margin)
    raise ConfigError("objective 'metric'", "'pair', 'cosine' or 'triplet'", "Build its loss instead.")


@dataclass(frozen=True)
class MinedPairs:
    """Pairs of posts to learn from: left, right (m,) int64 rows, same (m,) bool."""

    left: Rows
    right: Rows
    same: Bools

    def __len__(self) -> int:
        return len(self.left)


@dataclass(frozen=True)
class MinedTriplets:
    """Triplets of posts to learn from: anchor, positive, negative (m,) int64 rows."""

    anchor: Rows
    positive: Rows
    negative: Rows

    def __len__(self) -> int:
        return len(self.anchor)


def mine_pairs(
    labels: Rows,
    negatives_per_positive: int = 2,
    seed: int = 0,
    hard: Rows | None = None,
    *,
    most: int = 0,
) -> MinedPairs:
    """Draw true and false pairs from groups: every true pair once, with negatives of one of its ends.

    Args:
        labels: (n,) group numbers.
        negatives_per_positive: negatives for each true pair, >= 0.
        seed: seed; the same input gives the same pairs. Another seed per epoch draws other negatives.
        hard: (n, k) rows of the nearest neighbours of each post, nearest first, -1 for none; negatives are taken
            from there, nearest first, and at random where they do not suffice. All at random where None.
        most: true pairs of a group at most, drawn at random; 0: all. A group of 51 has 1,275.

    Returns:
        The pairs, in random order.

    Raises:
        TrainingError: no two posts of one group, or no two groups.
        EvidenceError: `hard` of another length than the labels, or a row out of range.
    """
    triplets = mine_triplets(labels, max(negatives_per_positive, 1), seed, hard, most=most)
    times = max(negatives_per_positive, 1)
    same = np.arange(len(triplets)) % times == 0  # each true pair stands `times` times in a row
    left, right = triplets.anchor[same], triplets.positive[same]
    negatives = triplets if negatives_per_positive else MinedTriplets(*np.empty((3, 0), dtype=np.int64))
    truth = np.repeat([True, False], [len(left), len(negatives)])
    order = np.random.default_rng([seed, 1]).permutation(len(truth))
    return MinedPairs(
        np.concatenate([left, negatives.anchor])[order],
        np.concatenate([right, negatives.negative])[order],
        truth[order],
    )


def mine_triplets(
    labels: Rows,
    negatives_per_positive: int = 1,
    seed: int = 0,
    hard: Rows | None = None,
    *,
    most: int = 0,
) -> MinedTriplets:
    """Draw triplets from groups: every true pair, its anchor one of both ends at random, with negatives.

    Args:
        labels: (n,) group numbers.
        negatives_per_positive: negatives for each true pair, >= 1.
        seed: as for `mine_pairs`.
        hard: as for `mine_pairs`.
        most: as for `mine_pairs`.

    Returns:
        The triplets; those of one true pair are consecutive.

    Raises:
        TrainingError: no two posts of one group, or no two groups.
        EvidenceError: `hard` of another length than the labels, or a row out of range.
    """
    labels = np.asarray(labels)
    _check(labels, hard)
    rng = np.random.default_rng(seed)
    left, right = _true_pairs(labels, most, rng)
    turned = rng.random(len(left)) < 0.5
    anchor, positive = np.where(turned, right, left), np.where(turned, left, right)
    order = rng.permutation(len(anchor))
    anchor = np.repeat(anchor[order], negatives_per_positive)
    positive = np.repeat(positive[order], negatives_per_positive)
    return MinedTriplets(anchor, positive, _strangers(labels, anchor, hard, rng))


def _wide(vectors: Tensor) -> Tensor:
    return vectors.to(torch.promote_types(vectors.dtype, torch.float32))


def _check(labels: Rows, hard: Rows | None) -> None:
    sizes = np.unique(labels, return_counts=True)[1]
    if len(sizes) < 2 or sizes.max() < 2:
        given = f"{len(labels)} posts in {len(sizes)} groups, none of two or more" if len(sizes) > 1 else "one group"
        fix = "Give labelled posts of several products, some of them posted twice."
        raise TrainingError(given, "at least two groups, one of them of two posts", fix)
    if hard is not None and (hard.ndim != 2 or len(hard) != len(labels) or hard.max(initial=0) >= len(labels)):
        given = f"neighbours {hard.shape} up to row {hard.max(initial=-1)}"
        raise EvidenceError(given, f"one row for each of {len(labels)} posts", "Search among the same posts.")


def _true_pairs(labels: Rows, most: int, rng: np.random.Generator) -> tuple[Rows, Rows]:
    order = np.argsort(labels, kind="stable")
    bounds = np.flatnonzero(np.r_[True, np.diff(labels[order]) != 0, True])
    lefts, rights = [], []
    for start, end in pairwise(bounds.tolist()):
        a, b = np.triu_indices(end - start, 1)
        if most and len(a) > most:
            kept = np.sort(rng.choice(len(a), most, replace=False))
            a, b = a[kept], b[kept]
        lefts.append(order[start + a])
        rights.append(order[start + b])
    return np.concatenate(lefts), np.concatenate(rights)


def _strangers(labels: Rows, anchor: Rows, hard: Rows | None, rng: np.random.Generator) -> Rows:
    """Draw a post of another group for each anchor: its next unused hard one, else one at random."""
    order = np.argsort(labels, kind="stable")
    _, group, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    start = np.concatenate([[0], np.cumsum(sizes)[:-1]])[group]
    drawn = (rng.random(len(anchor)) * (len(labels) - sizes[group[anchor]])).astype(np.int64)
    drawn += np.where(drawn >= start[anchor], sizes[group[anchor]], 0)  # step over the anchor's own group
    chosen: Rows = order[drawn]
    if hard is None:
        return chosen
    other = (hard >= 0) & (labels[hard] != labels[:, None])
    place = np.argsort(~other, axis=1, kind="stable")  # other groups first, still nearest first
    turn = _occurrence(anchor)
    there = turn < other.sum(axis=1)[anchor]
    chosen[there] = hard[anchor[there], place[anchor[there], turn[there]]]
    return chosen


def _occurrence(values: Rows) -> Rows:
    """Count, for each entry, the equal ones before it."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    counts = np.diff(np.append(np.flatnonzero(run_starts(ordered)), len(values)))
    turn = np.empty(len(values), dtype=np.int64)
    turn[order] = ragged(counts)[1]
    return turn
