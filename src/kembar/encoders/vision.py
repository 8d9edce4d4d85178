"""Photo encoders of transformers: vision backbones, and the vision towers of CLIP and SigLIP."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from kembar.encoders.backbones import Backbone, PhotoModel
from kembar.encoders.devices import Precision
from kembar.encoders.pixels import Frame
from kembar.encoders.transformer import check_pooling, load_model, loading, local_folder, saved_pooling
from kembar.errors import ConfigError, EncoderError, quoted

POOLINGS = ("cls", "mean", "max", "pooler")
_CLASS_TOKENS = ("cls_token", "class_embedding")
_FILTERS = {1: "lanczos", 2: "bilinear", 3: "bicubic"}


def open_vision(
    name: str | Path, *, device: str = "auto", precision: Precision = "float32", pooling: str | None = None
) -> PhotoModel:
    """Open a vision backbone of transformers, preprocessing photos as its processor says.

    Args:
        name: on the hub, such as "facebook/dinov2-small", or a local folder.
        device: see `kembar.encoders.devices.resolve`.
        precision: of the model's numbers.
        pooling: "cls", "mean" or "max" over the tokens of patches, or "pooler", the model's own; None: "cls", and
            "pooler" where there is no class token and for the towers of CLIP and SigLIP.

    Returns:
        The encoder.

    Raises:
        EncoderError: no such model, no weights, or weights of another architecture.
        ConfigError: an unknown device, or a pooling that the model does not have.
        MissingExtraError: transformers is not installed.
    """
    check_pooling(pooling, POOLINGS)
    folder, spec = local_folder(name, "hf")
    pooling = pooling or saved_pooling(folder)
    model = load_model(folder, lenient=() if pooling == "pooler" else ("pooler",))
    tower = getattr(model, "vision_model", model)
    special = _class_tokens(tower)
    pooling = pooling or ("cls" if special and tower is model else "pooler")
    processor = _processor(folder)
    frame, mean, std = _preprocessing(processor.to_dict(), folder)

    def save(target: Path) -> None:
        model.float().save_pretrained(str(target))
        processor.save_pretrained(str(target))

    settings = {"family": "hf", "architecture": type(tower).__name__, "pooling": pooling}
    backbone = Backbone(tower, frame, mean, std, settings, save, _pooling(tower, pooling, special))
    return PhotoModel(backbone, spec, device=device, precision=precision)


def _class_tokens(tower: Any) -> int:
    """Count the tokens that are not patches: the class token and registers behind it."""
    if not any(name.endswith(_CLASS_TOKENS) for name in tower.state_dict()):
        return 0
    return 1 + int(getattr(tower.config, "num_register_tokens", 0) or 0)


def _pooling(tower: Any, pooling: str, special: int) -> Callable[[Any, Any], Any]:
    """Make the function from a backbone and photos to (b, d) features."""
    if pooling == "cls" and not special:
        raise _no_pooling(pooling, tower)

    def forward(model: Any, photos: Any) -> Any:
        """Give the features of a batch of photos."""
        output = model(pixel_values=photos)
        if pooling == "pooler":
            features = getattr(output, "pooler_output", None)
            if features is None:
                raise _no_pooling(pooling, tower)
            return features.flatten(1)
        states = output.last_hidden_state
        if states.ndim == 4:  # the map of a convolutional backbone
            states = states.flatten(2).transpose(1, 2)
        if pooling == "cls":
            return states[:, 0]
        patches = states[:, special:].float()
        return patches.amax(1) if pooling == "max" else patches.mean(1)

    return forward


def _no_pooling(pooling: str, tower: Any) -> ConfigError:
    return ConfigError(f"pooling {pooling!r} of a {type(tower).__name__}", "one that this model has", "Try 'mean'.")


def _processor(folder: Path) -> Any:
    with loading(folder):
        from transformers import AutoImageProcessor

        return AutoImageProcessor.from_pretrained(str(folder), local_files_only=True)


def _preprocessing(processor: dict[str, Any], folder: Path) -> tuple[Frame, tuple[float, ...], tuple[float, ...]]:
    """Read from an image processor the preprocessing that the model was trained with."""
    size, cut = processor.get("size") or {}, processor.get("crop_size") or {}
    short = size.get("shortest_edge") or size.get("height")
    side = cut.get("height") if processor.get("do_center_crop") and cut else short
    if not side or not short or side > short or {size.get("height"), size.get("width")} - {None, short}:
        raise EncoderError(
            f"the preprocessor of {quoted(folder)} with size {size} and crop {cut}",
            "a square input, no larger than what it is cut from",
            "Use a model of square photos, or export it to ONNX with its preprocessing.",
        )
    crop = side / short if cut and processor.get("do_center_crop") else processor.get("crop_pct") or 1.0
    squash = "shortest_edge" not in size and crop == 1.0
    interpolation = _FILTERS.get(processor.get("resample", 3), "bicubic")
    frame = Frame(side, "squash" if squash else "crop", interpolation, crop)  # type: ignore[arg-type]
    if not processor.get("do_normalize", True):
        return frame, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    return frame, tuple(processor["image_mean"]), tuple(processor["image_std"])
