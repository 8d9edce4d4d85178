"""Photo encoders that run on torch: a backbone, how it expects its photos, and the devices it runs on."""

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kembar.arrays import Floats, Progress
from kembar.encoders.devices import Precision, Worker, resolve, spread
from kembar.encoders.pixels import Bytes, Frame, pixel_batches
from kembar.encoders.protocol import (
    MANIFEST,
    Items,
    Modality,
    Problem,
    check_batch,
    check_paths,
    collect,
    counted,
    digest,
    stepper,
    write_manifest,
)
from kembar.errors import ConfigError
from kembar.folders import new_folder


@dataclass(frozen=True, slots=True)
class Backbone:
    """A model that turns photos into features.

    Attributes:
        model: a torch module on the CPU, which takes (b, 3, s, s) normalised floats and gives (b, d) features.
        frame: how a photo becomes a square of pixels.
        mean: of each channel, on a scale of 0 to 1.
        std: of each channel.
        settings: what else decides the features, fit for JSON: family, architecture and pooling.
        save: writes the model into a folder, in the form that its family reads.
        forward: turns a replica of the model and photos into features; if left out, the model itself is called.
    """

    model: Any
    frame: Frame
    mean: tuple[float, ...]
    std: tuple[float, ...]
    settings: Mapping[str, Any]
    save: Callable[[Path], None]
    forward: Callable[[Any, Any], Any] = lambda model, photos: model(photos)


class PhotoModel:
    """A photo encoder on torch, one replica per device.

    Args:
        backbone: the model and its preprocessing.
        name: the spec it is opened by.
        device: see `kembar.encoders.devices.resolve`.
        precision: of weights and activations; vectors are float32 always.

    Raises:
        ConfigError: an unknown device or precision.
    """

    modality: Modality = "photo"

    def __init__(
        self, backbone: Backbone, name: str, *, device: str = "auto", precision: Precision = "float32"
    ) -> None:
        self.name = name
        self.backbone = backbone
        self.fingerprint = fingerprint(
            backbone.model,
            frame=backbone.frame.settings(),
            mean=backbone.mean,
            std=backbone.std,
            precision=precision,
            **backbone.settings,
        )
        self._workers = [
            worker(_prepared(replica, backbone, place, precision), place)
            for replica, place in replicas(backbone.model, resolve(device), precision)
        ]
        blank = np.zeros((1, backbone.frame.size, backbone.frame.size, 3), dtype=np.uint8)
        self.dimension = int(self._workers[0](blank).shape[1])

    def encode(
        self,
        items: Items,
        *,
        batch_size: int | None = None,
        progress: Progress | None = None,
        problem: Problem | None = None,
    ) -> Floats:
        """Encode photos; see `kembar.encoders.protocol.Encoder`."""
        paths = check_paths(items)
        step = stepper(progress, "encode photos", len(paths))
        report = counted(problem, step)
        batches = pixel_batches(paths, self.backbone.frame, check_batch(batch_size, 32), problem=report)
        return collect(spread(batches, self._workers), len(paths), self.dimension, self.name, step)

    def save(self, folder: Path | str, *, overwrite: bool = False) -> None:
        """Save the encoder as a folder that `open_encoder` opens without a hub.

        Args:
            folder: a new folder.
            overwrite: replace an earlier encoder there.

        Raises:
            FolderError: the folder exists or cannot be written.
        """
        with new_folder(folder, overwrite=overwrite, mark=MANIFEST) as target:
            self.backbone.save(target)
            write_manifest(target, modality="photo", dimension=self.dimension, **self.backbone.settings)


def _prepared(model: Any, backbone: Backbone, place: str, precision: Precision) -> Callable[[Bytes], Floats]:
    """Make the function from pixels to features on one device."""
    import torch

    dtype = getattr(torch, precision)
    mean, std = (torch.tensor(part, device=place).view(1, -1, 1, 1) * 255 for part in (backbone.mean, backbone.std))

    def forward(pixels: Bytes) -> Floats:
        with torch.inference_mode():
            photos = torch.from_numpy(pixels).to(place).permute(0, 3, 1, 2).float()
            features = backbone.forward(model, ((photos - mean) / std).to(dtype))
            return to_numpy(features)

    return forward


def to_numpy(features: Any) -> Floats:
    """Bring (b, d) features of any precision to the CPU as float32."""
    array: Floats = features.float().cpu().numpy()
    return array


def replicas(model: Any, places: tuple[str, ...], precision: Precision) -> Iterator[tuple[Any, str]]:
    """Copy a model to each device, ready for inference.

    Yields:
        Models and their devices; the first is the model given, which is moved.

    Raises:
        ConfigError: an unknown precision.
    """
    import torch

    if precision not in ("float32", "float16", "bfloat16"):
        raise ConfigError(f"precision {precision!r}", "float32, float16 or bfloat16", "Choose one of these.")
    model.eval().requires_grad_(False)
    copies = [model, *(deepcopy(model) for _ in places[1:])]
    for copy, place in zip(copies, places, strict=True):
        yield copy.to(place, getattr(torch, precision)), place


def worker(forward: Callable[[Any], Floats], place: str) -> Worker[Any]:
    """Make a worker that frees torch's cached memory when memory runs out."""
    import torch

    return Worker(forward, place, torch.cuda.empty_cache if place.startswith("cuda") else None)


def fingerprint(model: Any, **settings: object) -> str:
    """Fingerprint the weights of a torch module, and what else decides its vectors.

    Args:
        model: a module.
        settings: fit for JSON.

    Returns:
        32 hex digits.
    """
    import torch

    state = model.state_dict()
    layout = [[name, str(state[name].dtype), list(state[name].shape)] for name in sorted(state)]
    flat = (state[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy() for name in sorted(state))
    return digest(flat, {**settings, "layout": layout})
