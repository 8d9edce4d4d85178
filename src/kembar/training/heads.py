"""From the output of a backbone to one vector: pooling, an optional linear layer, an optional batch-norm neck."""

from typing import TypeAlias

import torch
from torch import Tensor, nn

from kembar.errors import ConfigError
from kembar.training.recipe import PoolingKind, Recipe

Features: TypeAlias = Tensor | tuple[Tensor, Tensor | None]
"""Output of a backbone: (b, c, h, w) maps, (b, t, c) tokens, (b, c) vectors; or a pair of tokens and (b, t) mask."""

_LEAST = 1e-6  # below it GeM counts an activation as this, so that the power has a gradient


class Pooling(nn.Module):
    """Pools maps (b, c, h, w) or tokens (b, t, c) to (b, c); vectors (b, c) stay as they are.

    - avg, mean: the mean over places or tokens (Sentence-BERT, Reimers and Gurevych 2019, for tokens).
    - max: the largest over places or tokens.
    - cls: the first token.
    - gem: (mean of max(x, 1e-6)^p)^(1/p) over places or tokens (Radenovic et al. 2018, eq. 3); p 1 is avg of the
      positive parts, a large p nears max.

    Args:
        kind: as above.
        p: GeM: the power, >= 1.
        learn: GeM: whether p is trained, one for all channels.
        test_p: GeM: another power outside training, as the 2nd place of Kaggle Shopee had (3 and 6); may be changed
            later; the same as in training where None.
    """

    def __init__(self, kind: PoolingKind, *, p: float = 3.0, learn: bool = False, test_p: float | None = None) -> None:
        super().__init__()
        self.kind = kind
        self.test_p = test_p
        self.p = nn.Parameter(torch.tensor(float(p)), requires_grad=learn) if kind == "gem" else None

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """Pool.

        Args:
            features: (b, c, h, w), (b, t, c) or (b, c), of any float type.
            mask: (b, t), nonzero where a token counts; every token counts where None. A row without tokens becomes
                zeros.

        Returns:
            (b, c) of the type of `features`, but float32 from half-precision maps or tokens.

        Raises:
            ConfigError: cls of maps, or features of another shape.
        """
        if features.dim() == 2:
            return features
        if features.dim() not in (3, 4) or (features.dim() == 4 and self.kind == "cls"):
            shape = tuple(features.shape)
            fix = "Choose another pooling, or a model that gives tokens."
            raise ConfigError(f"pooling {self.kind!r} of features {shape}", "tokens (b, t, c); maps have no cls", fix)
        if self.kind == "cls":
            return features[:, 0]
        with torch.autocast(features.device.type, enabled=False):
            return self._pooled(features.to(torch.promote_types(features.dtype, torch.float32)), mask)

    def _pooled(self, x: Tensor, mask: Tensor | None) -> Tensor:
        places = (2, 3) if x.dim() == 4 else (1,)
        keep = None if mask is None or x.dim() == 4 else (mask != 0).unsqueeze(-1)
        if self.kind == "max":
            if keep is None:
                return x.amax(places)
            highest = x.masked_fill(~keep, torch.finfo(x.dtype).min).amax(1)
            return torch.where(keep.any(1), highest, torch.zeros_like(highest))
        if self.kind != "gem":
            return _mean(x, places, keep)
        return self._gem(x.clamp(min=_LEAST), places, keep)

    def _gem(self, x: Tensor, places: tuple[int, ...], keep: Tensor | None) -> Tensor:
        kept = x if keep is None else x * keep
        largest = kept.detach().amax(places, keepdim=True).clamp(min=_LEAST)  # cancels; a power overflows without it
        mean = _mean((x / largest).pow(self.power()), places, keep)
        if keep is None:
            return mean.pow(1 / self.power()) * largest.flatten(1)
        some = keep.any(1)
        pooled = torch.where(some, mean, torch.ones_like(mean)).pow(1 / self.power()) * largest.flatten(1)
        return pooled * some

    def power(self) -> Tensor:
        """Return GeM's power of the present mode, a scalar."""
        if self.p is None:
            raise ConfigError(f"the power of pooling {self.kind!r}", "pooling 'gem'", "Only GeM has one.")
        if self.training or self.test_p is None:
            return self.p
        return torch.full_like(self.p, self.test_p)

    def extra_repr(self) -> str:
        """Describe the pooling."""
        return self.kind


def _mean(x: Tensor, places: tuple[int, ...], keep: Tensor | None) -> Tensor:
    if keep is None:
        return x.mean(places)
    weights = keep.to(x.dtype)
    return (x * weights).sum(places) / weights.sum(places).clamp(min=1)


class Embedder(nn.Module):
    """A backbone with its head: pooling, optional projection, optional batch-norm neck.

    The order is that of the winners of Kaggle Shopee: pooling, linear (2nd place; the 1st had none), batch-norm, and
    the losses scale to length 1. Vectors are not of length 1 here.

    Args:
        backbone: a module that gives `Features`; it gets whatever `forward` gets.
        features: c, the channels of what it gives.
        recipe: its pooling, gem_p, gem_learn, gem_test_p, projection and neck are used.

    Attributes:
        dimension: width of the vectors.
    """

    def __init__(self, backbone: nn.Module, features: int, recipe: Recipe) -> None:
        super().__init__()
        self.backbone = backbone
        self.dimension = recipe.projection or features
        self.pooling = Pooling(recipe.pooling, p=recipe.gem_p, learn=recipe.gem_learn, test_p=recipe.gem_test_p or None)
        self.projection = (
            nn.Linear(features, recipe.projection, bias=not recipe.neck) if recipe.projection else nn.Identity()
        )
        self.neck = nn.BatchNorm1d(self.dimension) if recipe.neck else nn.Identity()

    def forward(self, *inputs: Tensor) -> Tensor:
        """Encode a batch.

        Args:
            inputs: what the backbone takes.

        Returns:
            (b, dimension), not of length 1.
        """
        features: Features = self.backbone(*inputs)
        x, mask = features if isinstance(features, tuple) else (features, None)
        pooled: Tensor = self.neck(self.projection(self.pooling(x, mask)))
        return pooled

    def head_parameters(self) -> list[nn.Parameter]:
        """List the parameters that start at random: those of the pooling, the projection and the neck."""
        return [p for part in (self.pooling, self.projection, self.neck) for p in part.parameters()]


def unit(vectors: Tensor) -> Tensor:
    """Scale every row to length 1, in at least float32.

    Args:
        vectors: (b, d) of any float type.

    Returns:
        (b, d), float32 from half precision; a row shorter than 1e-12 becomes zeros and gets no gradient.
    """
    x = vectors.to(torch.promote_types(vectors.dtype, torch.float32))
    length = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    scale = torch.where(length > 1e-12, 1 / length.clamp(min=1e-12), torch.zeros_like(length))
    return x * scale
