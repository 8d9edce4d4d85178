"""From a trained model to a folder that runs without torch: ONNX, compared with what was trained, and a card."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kembar.arrays import Floats
from kembar.encoders.onnx import MODEL, OnnxEncoder
from kembar.encoders.protocol import MANIFEST, write_manifest
from kembar.errors import TrainingError
from kembar.folders import new_folder
from kembar.training.card import card
from kembar.training.data import Examples, Items
from kembar.training.graphs import bag_graph, traced
from kembar.training.models import BagModel, Model, PhotoModel, TokenModel
from kembar.training.quantization import quantize_photos, quantize_weights
from kembar.training.validation import HeldOut, embed, held_out_score

_SAME = 0.999  # least cosine between what torch and its export give
_NEAR, _NEAR_MEAN = 0.9, 0.98  # least and mean cosine between float32 and int8
_LOST, _NOISE = 0.01, 0.25  # F1 that int8 may lose on held-out posts, and the noise of that of a single post
_CHECKED = 128  # items compared
_CALIBRATED = 64  # photos that set the range of activations
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parity:
    """How close the vectors of two forms of an encoder are.

    Attributes:
        least: smallest cosine.
        mean: mean cosine.
        items: how many were compared.
    """

    least: float
    mean: float
    items: int

    @classmethod
    def of(cls, left: Floats, right: Floats) -> "Parity":
        """Compare unit rows; rows without a vector are left out."""
        there = left.any(axis=1) & right.any(axis=1)
        cosine = np.einsum("ij,ij->i", left[there], right[there], dtype=np.float64)
        if not len(cosine):
            return cls(1.0, 1.0, 0)
        return cls(float(cosine.min()), float(cosine.mean()), len(cosine))

    def __str__(self) -> str:
        return f"cosine at least {self.least:.4f}, mean {self.mean:.5f} over {self.items} items"


@dataclass(frozen=True, slots=True)
class Form:
    """One exported form of an encoder.

    Attributes:
        precision: "float32" or "int8".
        parity: float32 against torch, int8 against float32.
        score: of the held-out posts, where there are any.
        bytes: size of its model.
        speed: items encoded per second on this machine, decoding included.
    """

    precision: str
    parity: Parity
    score: HeldOut | None
    bytes: int
    speed: float


@dataclass(frozen=True, slots=True)
class Story:
    """What the folder of an encoder tells about its training.

    Attributes:
        said: what the card says, by heading.
        history: one row per epoch, as `fit` gives it; where there are none, no history.csv is written.
    """

    said: Mapping[str, str] = field(default_factory=dict)
    history: Sequence[Mapping[str, float]] = ()


@dataclass(frozen=True, slots=True)
class Writing:
    """How the folder of an encoder is written.

    Attributes:
        int8: write the model in int8 where that is close enough, with float32 beside it; else in float32 alone.
        overwrite: replace an earlier encoder.
    """

    int8: bool = True
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class _Plain:
    """The float32 form, which the int8 form is made of and compared with.

    Attributes:
        folder: where it is written.
        form: what was measured.
        checked: the items compared.
        vectors: of these items.
        held_out: posts that score the forms.
    """

    folder: Path
    form: Form
    checked: Items
    vectors: Floats
    held_out: Examples | None


def export(
    model: Model,
    folder: Path,
    items: Items,
    *,
    held_out: Examples | None = None,
    story: Story | None = None,
    writing: Writing | None = None,
) -> list[Form]:
    """Write an encoder's folder: model.onnx, encoder.json, card.md, recipe.toml and history.csv.

    In int8 where that is asked for and close enough, with the float32 form in a folder `float32` inside; else in
    float32 alone.

    Args:
        model: the trained model; it is moved to the CPU.
        folder: a new folder.
        items: training items: to calibrate int8, and to compare with where nothing is held out.
        held_out: posts to compare and to score the forms on.
        story: what the card and history.csv tell about the training; None: nothing.
        writing: whether to quantise and to overwrite; None: the defaults.

    Returns:
        The forms, the main one first.

    Raises:
        TrainingError: the export does not give what torch gives.
        FolderError: the folder exists or cannot be written.
    """
    story, writing = story or Story(), writing or Writing()
    model.embedder.cpu().eval()
    with new_folder(folder, overwrite=writing.overwrite, mark=MANIFEST) as target:
        plain = _plain(model, target / "float32", items, held_out)
        forms = [plain.form]
        if writing.int8 and (rounded := _rounded(model, target, items, plain)):
            forms.insert(0, rounded)
        else:
            for path in plain.folder.iterdir():
                path.rename(target / path.name)
            plain.folder.rmdir()
        text = card(model, story.said, [_row(each) for each in forms])
        (target / "card.md").write_text(text, encoding="utf-8")
        (target / "recipe.toml").write_text(model.recipe.text(), encoding="utf-8")
        _write_history(target / "history.csv", story.history)
    return forms


def _plain(model: Model, folder: Path, items: Items, held_out: Examples | None) -> _Plain:
    """Write the float32 form, and measure that it gives what torch gives."""
    folder.mkdir()
    _write_plain(model, folder / MODEL, items)
    _describe(model, folder, "float32")
    checked = (held_out.items if held_out is not None else items)[:_CHECKED]
    expected = embed(model.embedder, model.reader(checked), batch=32)
    form, vectors = _measured(folder, "float32", checked, expected, held_out, model.recipe.seed)
    if form.parity.least < _SAME:
        raise TrainingError(
            f"an ONNX export that gives other vectors than torch ({form.parity})",
            f"a cosine of at least {_SAME}",
            "Choose another architecture, or report this.",
        )
    return _Plain(folder, form, checked, vectors, held_out)


def _write_plain(model: Model, path: Path, items: Items) -> None:
    if isinstance(model, BagModel):
        bag_graph(model.embedder, path, int8=False)
        return
    inputs = model.reader(items[:4]).plain(np.arange(min(len(items), 4)))
    if isinstance(model, PhotoModel):
        traced(model.embedder, inputs, ["photos"], 1, path)
    else:
        traced(model.embedder, inputs, ["input_ids", "attention_mask"], 2, path)


def _describe(model: Model, folder: Path, precision: str) -> None:
    """Write encoder.json, and the tokenizer where there is one."""
    recipe = model.recipe
    fields: dict[str, Any] = {"modality": recipe.modality, "dimension": model.embedder.dimension}
    if isinstance(model, PhotoModel):
        fields["input"] = model.frame.settings()
    elif isinstance(model, BagModel):
        ngrams = model.ngrams
        kept = {name: getattr(ngrams, name) for name in ("buckets", "shortest", "longest", "words", "pairs")}
        fields["tokenizer"] = {"kind": "ngrams", **kept}
    elif isinstance(model, TokenModel):
        model.tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
        fields["tokenizer"] = {"kind": "tokenizers", "file": "tokenizer.json", "max_length": recipe.length}
    write_manifest(folder, family="onnx", precision=precision, trained={"model": recipe.model}, **fields)


def _measured(
    folder: Path, precision: str, items: Items, expected: Floats, held_out: Examples | None, seed: int
) -> tuple[Form, Floats]:
    """Open a written form as users do, and compare, score and time it."""
    encoder = OnnxEncoder(folder, device="cpu")
    scored = held_out.items if held_out is not None else items
    started = time.perf_counter()
    vectors = encoder.encode(scored)
    speed = len(scored) / (time.perf_counter() - started)
    score = None if held_out is None else held_out_score(vectors, held_out.labels, seed)
    parity = Parity.of(expected, vectors[: len(items)])
    size = sum(path.stat().st_size for path in folder.glob(f"{MODEL}*"))
    return Form(precision, parity, score, size, speed), vectors[: len(items)]


def _rounded(model: Model, folder: Path, items: Items, plain: _Plain) -> Form | None:
    """Write the int8 form in the first way that is close enough; None where none is."""
    for way in _ways(model, items):
        try:
            way(plain.folder / MODEL, folder / MODEL)
            _describe(model, folder, "int8")
            rounded, _ = _measured(folder, "int8", plain.checked, plain.vectors, plain.held_out, model.recipe.seed)
        except Exception as error:  # onnxruntime raises exceptions of many kinds
            log.warning("int8 fails: %s", str(error).strip().splitlines()[0])
            continue
        lost, allowed = _lost(plain.form.score, rounded.score)
        if rounded.parity.least >= _NEAR and rounded.parity.mean >= _NEAR_MEAN and lost <= allowed:
            return rounded
        log.warning("int8 is too far from float32 (%s, F1 lost %.4f)", rounded.parity, lost)
    for path in folder.iterdir():
        if path.is_file():
            path.unlink()
    log.warning("the encoder is written in float32")
    return None


def _lost(before: HeldOut | None, after: HeldOut | None) -> tuple[float, float]:
    """Compare two scores: what is lost, and how much may be lost."""
    if before is None or after is None:
        return 0.0, 0.0
    return before.f1 - after.f1, _LOST + _NOISE / before.posts**0.5


def _ways(model: Model, items: Items) -> list[Callable[[Path, Path], None]]:
    if isinstance(model, BagModel):
        return [lambda _, target: bag_graph(model.embedder, target, int8=True)]
    if not isinstance(model, PhotoModel):
        return [quantize_weights]
    rows = np.random.default_rng(0).permutation(len(items))[:_CALIBRATED]
    photos = model.reader(items).plain(rows)[0].numpy()
    return [lambda source, target: quantize_photos(source, target, photos), quantize_weights]


def _row(form: Form) -> dict[str, str]:
    score = form.score
    return {
        "form": form.precision,
        "size": f"{form.bytes / 1e6:.1f} MB",
        "against": "torch" if form.precision == "float32" else "float32",
        "cosine, least": f"{form.parity.least:.4f}",
        "cosine, mean": f"{form.parity.mean:.5f}",
        "items per second": f"{form.speed:,.0f}",
        "F1": "" if score is None else f"{score.f1:.4f}",
        "F1 with min2": "" if score is None else f"{score.min2:.4f}",
        "threshold": "" if score is None else f"{score.threshold:.3f}",
        "posts scored": "" if score is None else f"{score.posts:,}",
        "pool": "" if score is None else f"{score.pool:,}",
    }


def _write_history(path: Path, history: Sequence[Mapping[str, float]]) -> None:
    if not history:
        return
    names = list(history[0])
    lines = [",".join(names), *(",".join(f"{row[name]:.6g}" for name in names) for row in history)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
