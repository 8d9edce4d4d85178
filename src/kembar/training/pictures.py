"""Photo encoders: a backbone of timm that takes raw pixels, and the reader of the photos."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kembar.arrays import Rows
from kembar.encoders.pixels import Frame
from kembar.errors import ConfigError
from kembar.posts.photos import open_photo
from kembar.training.augmentation import augment
from kembar.training.heads import Features
from kembar.training.recipe import Recipe

_SPARE = 1.5  # a crop shows a part at the size of the whole: photos are decoded larger by this factor
_BESIDE = 3  # photos that a collage may take from


class PhotoBackbone(nn.Module):
    """A model of timm that takes raw pixels and gives maps or tokens.

    Args:
        model: without a classifier.
        mean: of each channel, on a scale of 0 to 1.
        std: of each channel.
        cls: whether the first token will be taken as the vector; without it, class tokens are left out.

    Raises:
        ConfigError: cls, and the model has no class token.
    """

    def __init__(self, model: Any, mean: Sequence[float], std: Sequence[float], *, cls: bool = False) -> None:
        super().__init__()
        self.model = model
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1) * 255, persistent=False)
        prefix = int(getattr(model, "num_prefix_tokens", 0))
        if cls and not prefix:
            fix = "Choose another pooling: avg, max or gem."
            raise ConfigError("pooling 'cls' for a model without a class token", "a model that has one", fix)
        self.skip = 0 if cls else prefix
        self.channels_last = str(getattr(model, "output_fmt", "NCHW")).endswith("NHWC")

    def forward(self, photos: Tensor) -> Features:
        """Compute features.

        Args:
            photos: (b, s, s, 3) uint8, RGB.

        Returns:
            (b, c, h, w) maps or (b, t, c) tokens.
        """
        x = photos.permute(0, 3, 1, 2).to(self.mean.dtype)
        features: Tensor = self.model.forward_features((x - self.mean) / self.std)
        if features.dim() == 3:
            return features[:, self.skip :]
        return features.permute(0, 3, 1, 2) if self.channels_last and features.dim() == 4 else features

    @torch.no_grad()
    def channels(self, size: int) -> int:
        """Count the channels of the features of photos of a side in pixels."""
        self.eval()
        features = self(torch.zeros(1, size, size, 3, dtype=torch.uint8))
        self.train()
        return int(features.shape[1] if features.dim() == 4 else features.shape[-1])


class PhotoReader:
    """Decodes photos, and edits them at random in training.

    Args:
        paths: n photos that decode.
        frame: how they become squares when encoding.
        recipe: its image_size and augment are used.
    """

    def __init__(self, paths: Sequence[Path], frame: Frame, recipe: Recipe) -> None:
        self._paths, self._frame, self._recipe = list(paths), frame, recipe

    def __len__(self) -> int:
        return len(self._paths)

    def training(self, rows: Rows, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """See `kembar.training.batches.Reader`; collages take other photos of the batch."""
        size, kind = self._recipe.image_size, self._recipe.augment
        side = size if kind in ("none", "flip") else round(_SPARE * size)
        photos = [open_photo(self._paths[row], size=side) for row in rows]
        views = []
        for at, photo in enumerate(photos):
            beside = (at + 1 + rng.choice(max(len(photos) - 1, 1), _BESIDE)) % len(photos)
            others = [photos[other] for other in beside if other != at]
            views.append(augment(photo, rng, kind, size=size, others=others))
        return (torch.from_numpy(np.stack(views)),)

    def plain(self, rows: Rows) -> tuple[Tensor, ...]:
        """See `kembar.training.batches.Reader`."""
        return (torch.from_numpy(np.stack([self._frame.read(self._paths[row]) for row in rows])),)
