"""Losses over labelled vectors: softmax, margins between classes, triplets and contrast, with one interface.

All compute in float32 whatever the precision of the model, with finite gradients where a vector lies on its centre.
"""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from pytorch_metric_learning import losses, miners
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.reducers import MeanReducer
from torch import Tensor, nn

from kembar.arrays import Floats, Rows
from kembar.errors import TrainingError
from kembar.training.heads import unit
from kembar.training.recipe import Recipe

Sizes = Rows

_HIGHEST_MARGIN = 1.5  # the highest a recipe can ask for; a class-size factor does not go above it either
_EDGE = 1e-6  # how near cosines come to 1 and -1, where the angle has no finite gradient
_MOMENTUM = 0.01  # of CurricularFace's t


class Loss(nn.Module, ABC):
    """A loss over labelled vectors."""

    def forward(self, vectors: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            vectors: (b, d) of any float type, not of length 1.
            labels: (b,) int64 class numbers.

        Returns:
            A scalar, at least float32.
        """
        with torch.autocast(vectors.device.type, enabled=False):
            x = vectors.to(torch.promote_types(vectors.dtype, torch.float32))
            return self.compute(x, labels)

    @abstractmethod
    def compute(self, vectors: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss in the type of the vectors, float32 or float64."""

    def advance(self, share: float) -> None:
        """Update what changes during training.

        Args:
            share: share of the training that is done, in [0, 1].
        """

    def head_parameters(self) -> list[nn.Parameter]:
        """List the parameters of the loss itself; none where it has no classifier."""
        return list(self.parameters())

    def start_at(self, means: Tensor) -> None:
        """Start the centres of the classes at given vectors, where the loss has centres.

        Args:
            means: (classes, d), such as the mean vector of each class before training.
        """


class Softmax(Loss):
    """A linear classifier with cross-entropy, without label smoothing.

    Args:
        classes: number of classes.
        dimension: width of the vectors.
    """

    def __init__(self, classes: int, dimension: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(dimension, classes)

    def compute(self, vectors: Tensor, labels: Tensor) -> Tensor:
        """See `Loss.compute`: mean of -log softmax(W x + b) at the label."""
        logits = nn.functional.linear(vectors, *(p.to(vectors.dtype) for p in self.classifier.parameters()))
        return nn.functional.cross_entropy(logits, labels)


class _Lean:
    """Sets the logit of the target alone, without PML's passes over all classes; one margin for each vector."""

    def init_margin(self) -> None:
        """Leave the margin in radians: it is set before each batch."""

    def compute_loss(self: Any, embeddings: Tensor, labels: Tensor, *_: Any) -> dict[str, dict[str, Any]]:
        """Give the cross entropy of each vector, in the form in which PML reduces it."""
        self.cast_types(embeddings.dtype, embeddings.device)
        cosine = self.get_cosine(embeddings)
        own = cosine.gather(1, labels[:, None])[:, 0]
        target = self.modify_cosine_of_target_classes(own)
        logits = self.against(cosine, own, target).scatter(1, labels[:, None], target[:, None]) * self.scale
        every = self.cross_entropy(logits, labels)
        where = torch.arange(len(labels), device=labels.device)
        return {"loss": {"losses": every, "indices": where, "reduction_type": "element"}}

    def against(self, cosine: Tensor, own: Tensor, target: Tensor) -> Tensor:
        """Leave the cosines to other classes unchanged."""
        return cosine


class _Angle(_Lean):
    """Adds an angle with finite gradients."""

    margin: Tensor

    def modify_cosine_of_target_classes(self, cosine: Tensor) -> Tensor:
        return add_angle(cosine, self.margin)


class _ArcFace(_Angle, losses.ArcFaceLoss):  # type: ignore[misc]
    pass


class _SubCenter(_Angle, losses.SubCenterArcFaceLoss):  # type: ignore[misc]
    pass


class _CosFace(_Lean, losses.CosFaceLoss):  # type: ignore[misc]
    pass


class _Curricular(_ArcFace):
    """CurricularFace, which pytorch-metric-learning lacks."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.t: Tensor
        self.register_buffer("t", torch.zeros(()))

    def against(self, cosine: Tensor, own: Tensor, target: Tensor) -> Tensor:
        if self.training:
            with torch.no_grad():
                self.t += _MOMENTUM * (own.mean() - self.t)
        t = self.t.to(cosine.dtype)
        return torch.where(cosine > target[:, None], cosine * (t + cosine), cosine)


def add_angle(cosine: Tensor, margin: Tensor | float) -> Tensor:
    """Return cos(theta + m), monotone in theta (ArcFace, Deng et al. 2019, eq. 3 and its published code).

    Past theta = pi - m the cosine would rise again; there it is cos(theta) - m sin(m).

    Args:
        cosine: (b,) cos(theta).
        margin: m in radians, a number or (b,).

    Returns:
        (b,) of the type of `cosine`, with a finite gradient also at 1 and -1.
    """
    m = torch.as_tensor(margin, dtype=cosine.dtype, device=cosine.device)
    inner = cosine.clamp(-1 + _EDGE, 1 - _EDGE)
    turned = cosine * torch.cos(m) - torch.sqrt(1 - inner * inner) * torch.sin(m)
    return torch.where(cosine >= -torch.cos(m), turned, cosine - m * torch.sin(m))


class Margin(Loss):
    """A classifier by cosine with a margin that grows during training and may depend on the size of the class.

    - arcface: cross-entropy of s cos(theta_y + m), s cos(theta_j) (Deng et al. 2019, eq. 3).
    - subcenter: the same, cos(theta_j) the largest over K centres of each class (Deng et al. 2020, eq. 3).
    - cosface: s (cos(theta_y) - m) (Wang et al. 2018, eq. 4).
    - curricular: as arcface, and other classes with cos(theta_j) > cos(theta_y + m) count as
      cos(theta_j) (t + cos(theta_j)), t a running mean of cos(theta_y) (Huang et al. 2020, eq. 5-8; of momentum .01 as
      in the published code).

    The margin rises in a straight line from `margin_start` to `margin` over the first `margin_ramp` of the training,
    and is multiplied by `class_factors` (both Kaggle Shopee, 1st place).

    Args:
        recipe: its loss, scale, margin, margin_start, margin_ramp, class_margin and subcenters are used.
        sizes: (classes,) posts of each class, >= 1.
        dimension: width of the vectors.
    """

    def __init__(self, recipe: Recipe, sizes: Sizes, dimension: int) -> None:
        super().__init__()
        self.last, self.ramp = recipe.margin, recipe.margin_ramp
        self.first = recipe.margin_start if recipe.margin_ramp else recipe.margin
        self.factors: Tensor
        self.share: Tensor
        factors = torch.from_numpy(class_factors(sizes, recipe.class_margin))
        self.register_buffer("factors", factors, persistent=False)
        self.register_buffer("share", torch.zeros(()))
        options: dict[str, Any] = {
            "num_classes": len(sizes),
            "embedding_size": dimension,
            "scale": recipe.scale,
            "weight_init_func": _small,
            "reducer": MeanReducer(),
        }
        self.inner: Any = _build_inner(recipe, options)

    def compute(self, vectors: Tensor, labels: Tensor) -> Tensor:
        """See `Loss.compute` and the class."""
        self.inner.margin = self.margins().to(vectors.dtype)[labels]
        loss: Tensor = self.inner(unit(vectors), labels)
        return loss

    def margins(self) -> Tensor:
        """Return the present margin of each class, (classes,) float32, at most 1.5."""
        risen = (self.share / self.ramp).clamp(max=1) if self.ramp else torch.ones_like(self.share)
        return ((self.first + (self.last - self.first) * risen) * self.factors).clamp(max=_HIGHEST_MARGIN)

    def advance(self, share: float) -> None:
        """See `Loss.advance`: updates the margin."""
        self.share.fill_(min(max(share, 0.0), 1.0))

    def start_at(self, means: Tensor) -> None:
        """See `Loss.start_at`; several centres of a class start slightly different."""
        with torch.no_grad():
            centers = self.inner.W.data
            copies = centers.shape[1] // len(means)
            start = unit(means.to(centers)).repeat_interleave(copies, dim=0)
            if copies > 1:
                start = start + 0.1 * unit(centers.T)
            centers.copy_(start.T)


def _build_inner(recipe: Recipe, options: dict[str, Any]) -> Any:
    if recipe.loss == "subcenter":
        return _SubCenter(sub_centers=recipe.subcenters, **options)
    kinds = {"arcface": _ArcFace, "cosface": _CosFace, "curricular": _Curricular}
    return kinds[recipe.loss](**options)


def _small(weight: Tensor, **_: Any) -> None:
    # Only directions count, but a step of the optimizer turns a long centre less: unit normals hardly move.
    nn.init.normal_(weight, std=weight.shape[0] ** -0.5)


def class_factors(sizes: Sizes, power: float) -> Floats:
    """Return what multiplies the margin of each class: n^-power, scaled to mean 1 over the posts.

    Small classes get the larger margins (Kaggle Shopee, 1st place: power .1 for photos, .2 for titles). They do not
    say the scale; the mean over posts (not over classes) keeps the mean margin of an epoch at the recipe's.

    Args:
        sizes: (classes,) posts of each class, >= 1.
        power: >= 0; 0 gives ones.

    Returns:
        (classes,) float32.
    """
    posts = np.asarray(sizes, dtype=np.float64)
    raw = posts**-power
    factors: Floats = (raw * posts.sum() / (raw * posts).sum()).astype(np.float32)
    return factors


class Triplet(Loss):
    """Triplets of a batch by Euclidean distance between unit vectors: mean of max(d(a, p) - d(a, n) + m, 0).

    - hard: for each anchor its farthest positive and its nearest negative (Hermans et al. 2017, eq. 5, averaged).
    - semihard: all triplets with d(a, p) < d(a, n) <= d(a, p) + m (FaceNet, Schroff et al. 2015, eq. 4); a batch
      without any gives zero.

    Args:
        margin: m.
        mining: as above.
    """

    def __init__(self, margin: float, mining: str) -> None:
        super().__init__()
        distance = LpDistance(normalize_embeddings=False)
        self.miner = (
            miners.BatchHardMiner(distance=distance)
            if mining == "hard"
            else miners.TripletMarginMiner(margin=margin, type_of_triplets="semihard", distance=distance)
        )
        self.inner = losses.TripletMarginLoss(margin=margin, distance=distance, reducer=MeanReducer())

    def compute(self, vectors: Tensor, labels: Tensor) -> Tensor:
        """See `Loss.compute` and the class."""
        rows = unit(vectors)
        with torch.no_grad():
            found = self.miner(rows.detach(), labels)
        loss: Tensor = self.inner(rows, labels, found)
        return loss


class Contrastive(Loss):
    """Supervised contrast: mean over anchors of the mean over own posts of -log softmax of cosine / temperature.

    Khosla et al. 2020, eq. 2 (L_out); with two posts of each class it is InfoNCE / NT-Xent (Oord et al. 2018; Chen et
    al. 2020, eq. 1). Anchors alone in the batch do not count.

    Args:
        temperature: > 0.
    """

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.inner = losses.SupConLoss(temperature=temperature)

    def compute(self, vectors: Tensor, labels: Tensor) -> Tensor:
        """See `Loss.compute` and the class."""
        loss: Tensor = self.inner(unit(vectors), labels)
        return loss


def build_loss(recipe: Recipe, sizes: Sizes, dimension: int) -> Loss:
    """Build the loss of a recipe (its objective must be metric).

    Args:
        recipe: the recipe.
        sizes: (classes,) posts of each class; labels are their numbers.
        dimension: width of the vectors.

    Returns:
        The loss.

    Raises:
        TrainingError: fewer than two classes, or an empty one.
    """
    sizes = np.asarray(sizes, dtype=np.int64)
    if len(sizes) < 2 or sizes.min() < 1:
        given = f"{len(sizes)} groups" if len(sizes) < 2 else "a group without posts"
        raise TrainingError(given, "at least two groups, each with posts", "Give labelled posts of several products.")
    if recipe.loss == "softmax":
        return Softmax(len(sizes), dimension)
    if recipe.loss == "triplet":
        return Triplet(recipe.margin, recipe.mining)
    if recipe.loss == "contrastive":
        return Contrastive(recipe.temperature)
    return Margin(recipe, sizes, dimension)
