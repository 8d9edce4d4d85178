"""Title encoders of transformers: sentence-transformers, and plain models with a pooling."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kembar.arrays import Floats, Progress
from kembar.encoders.backbones import fingerprint, replicas, to_numpy, worker
from kembar.encoders.devices import Precision, resolve, spread
from kembar.encoders.hub import fetch, first_line
from kembar.encoders.protocol import (
    MANIFEST,
    Items,
    Modality,
    Problem,
    batches_by_length,
    check_batch,
    check_titles,
    collect,
    read_manifest,
    stepper,
    write_manifest,
)
from kembar.errors import ConfigError, EncoderError, MissingExtraError, nearest, quoted
from kembar.folders import new_folder

TOKENS = 128
"""The most tokens of a title that plain transformers read; sentence-transformers have a limit of their own."""
TITLE_POOLINGS = ("mean", "max", "cls")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that was read from its folder, and how its library uses it.

    Attributes:
        model: a torch module on the CPU.
        forward: turns a list of titles into (b, d) features of the given replica.
        save: writes the model into a folder.
    """

    model: Any
    forward: Callable[[Any, Sequence[str]], Any]
    save: Callable[[Path], None]


class TitleModel:
    """A title encoder on torch, one replica per device.

    Args:
        loaded: the model, and how to use it.
        name: the spec it is opened by.
        settings: what decides the vectors besides the weights, fit for JSON.
        device: see `kembar.encoders.devices.resolve`.
        precision: of weights and activations; vectors are float32 always.
    """

    modality: Modality = "title"

    def __init__(
        self,
        loaded: Loaded,
        name: str,
        settings: dict[str, Any],
        *,
        device: str = "auto",
        precision: Precision = "float32",
    ) -> None:
        self.name = name
        self.model = loaded.model
        self.settings = settings
        self.fingerprint = fingerprint(loaded.model, precision=precision, **settings)
        self._save = loaded.save
        self._workers = [
            worker(_inference(loaded.forward, replica), place)
            for replica, place in replicas(loaded.model, resolve(device), precision)
        ]
        self.dimension = int(self._workers[0](["a"]).shape[1])

    def encode(
        self,
        items: Items,
        *,
        batch_size: int | None = None,
        progress: Progress | None = None,
        problem: Problem | None = None,
    ) -> Floats:
        """Encode titles; see `kembar.encoders.protocol.Encoder`."""
        titles = check_titles(items)
        lengths = np.fromiter(map(len, titles), dtype=np.int64, count=len(titles))
        rows = batches_by_length(lengths, check_batch(batch_size, 32))
        batches = ((part, [titles[row] for row in part.tolist()]) for part in rows)
        step = stepper(progress, "encode titles", len(titles))
        step(len(titles) - int(np.count_nonzero(lengths)))
        return collect(spread(batches, self._workers), len(titles), self.dimension, self.name, step)

    def save(self, folder: Path | str, *, overwrite: bool = False) -> None:
        """Save the encoder as a folder that `open_encoder` opens without a hub.

        Args:
            folder: a new folder.
            overwrite: replace an earlier encoder there.

        Raises:
            FolderError: the folder exists or cannot be written.
        """
        with new_folder(folder, overwrite=overwrite, mark=MANIFEST) as target:
            self._save(target)
            family = {"family": "st", "modality": "title", "dimension": self.dimension}
            write_manifest(target, **family, pooling=self.settings["pooling"])


def _inference(forward: Callable[[Any, Sequence[str]], Any], replica: Any) -> Callable[[Sequence[str]], Floats]:
    import torch

    def run(titles: Sequence[str]) -> Floats:
        with torch.inference_mode():
            return to_numpy(forward(replica, titles))

    return run


def open_titles(
    name: str | Path,
    *,
    device: str = "auto",
    precision: Precision = "float32",
    pooling: str | None = None,
) -> TitleModel:
    """Open a sentence-transformers model, or a plain transformer with a pooling.

    Args:
        name: on the hub, or a local folder. A name without an owner is searched under `sentence-transformers/` first.
        device: see `kembar.encoders.devices.resolve`.
        precision: of the model's numbers.
        pooling: "mean", "max" or "cls"; None: the model's own, and "mean" for plain transformers.

    Returns:
        The encoder.

    Raises:
        EncoderError: no such model, no weights, or weights of another architecture.
        ConfigError: an unknown device or pooling.
        MissingExtraError: transformers or sentence-transformers is not installed.
    """
    check_pooling(pooling, TITLE_POOLINGS)
    folder, spec = local_folder(name, "st")
    pooling = pooling or saved_pooling(folder)
    if (folder / "modules.json").is_file():
        if pooling is None:
            return _sentence_transformer(folder, spec, device, precision)
        folder = _first_module(folder)
    return _plain(folder, spec, pooling or "mean", device, precision)


def check_pooling(pooling: str | None, known: Sequence[str]) -> None:
    """Refuse an unknown pooling; None is allowed.

    Raises:
        ConfigError: another pooling.
    """
    if pooling is not None and pooling not in known:
        fix = nearest(pooling, known).strip() or "Choose one of these."
        raise ConfigError(f"pooling {pooling!r}", f"one of {', '.join(known)}", fix)


def local_folder(name: str | Path, family: str) -> tuple[Path, str]:
    """Find the local folder of a model, and the spec it is known by.

    Raises:
        EncoderError: no such folder; or a name, and neither the cache nor the hub has it.
    """
    local = Path(name)
    if local.is_dir():
        return local, str(local)
    if isinstance(name, Path):
        raise EncoderError(f"model folder {quoted(name)}, which does not exist", "a folder", "Check the path.")
    names = [f"sentence-transformers/{name}", name] if family == "st" and "/" not in name else [name]
    return fetch(names, fix=f"Give its local folder: '{family}:/path/to/folder'."), f"{family}:{name}"


def saved_pooling(folder: Path) -> str | None:
    """Read the pooling from the `encoder.json` of a folder, where it has one."""
    return read_manifest(folder).get("pooling") if (folder / MANIFEST).is_file() else None


def _first_module(folder: Path) -> Path:
    """Find the transformer within a sentence-transformers model."""
    modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    return folder / str(modules[0]["path"])


def _sentence_transformer(folder: Path, spec: str, device: str, precision: Precision) -> TitleModel:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise MissingExtraError("sentence-transformers", "train") from None
    with loading(folder):
        model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    first: Any = model[0]
    if hasattr(first, "auto_model") and hasattr(model.tokenizer, "vocab_files_names"):
        rows = first.auto_model.get_input_embeddings().num_embeddings
        _check_tokenizer(model.tokenizer, _first_module(folder), rows)

    def forward(replica: Any, titles: Sequence[str]) -> Any:
        return replica.encode(list(titles), batch_size=len(titles), convert_to_tensor=True, show_progress_bar=False)

    def save(target: Path) -> None:
        model.float().save_pretrained(str(target), create_model_card=False)

    limits = {"tokens": model.max_seq_length, "prompt": model.default_prompt_name, "prompts": model.prompts}
    settings = {"pooling": None, "modules": [type(module).__name__ for module in model], **limits}
    return TitleModel(Loaded(model, forward, save), spec, settings, device=device, precision=precision)


def _plain(folder: Path, spec: str, pooling: str, device: str, precision: Precision) -> TitleModel:
    model = load_model(folder)
    with loading(folder):
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    _check_tokenizer(tokenizer, folder, model.get_input_embeddings().num_embeddings)
    tokens = min(TOKENS, tokenizer.model_max_length)

    def forward(replica: Any, titles: Sequence[str]) -> Any:
        batch = tokenizer(list(titles), padding=True, truncation=True, max_length=tokens, return_tensors="pt")
        batch = batch.to(replica.device)
        return pool_tokens(replica(**batch).last_hidden_state, batch["attention_mask"], pooling)

    def save(target: Path) -> None:
        model.float().save_pretrained(str(target))
        tokenizer.save_pretrained(str(target))

    settings = {"pooling": pooling, "architecture": type(model).__name__, "tokens": tokens}
    settings["vocabulary"] = hashlib.sha256(json.dumps(tokenizer.get_vocab(), sort_keys=True).encode()).hexdigest()
    return TitleModel(Loaded(model, forward, save), spec, settings, device=device, precision=precision)


def _check_tokenizer(tokenizer: Any, folder: Path, rows: int) -> None:
    """Refuse a tokenizer without words, which transformers invents where files are missing, or of another model."""
    files = [name for name in tokenizer.vocab_files_names.values() if (folder / name).is_file()]
    largest = max(tokenizer.get_vocab().values(), default=0)
    if not files or largest >= rows:
        reason = f"with token {largest} for a model of {rows}" if files else "without the vocabulary of its tokenizer"
        raise EncoderError(
            f"model folder {quoted(folder)} {reason}",
            f"{' or '.join(tokenizer.vocab_files_names.values())} of the same model",
            "Download all of it again, or save its tokenizer there.",
        )


def pool_tokens(states: Any, mask: Any, pooling: str) -> Any:
    """Make one vector of the vectors of a text's tokens (Reimers and Gurevych 2019, section 3).

    Args:
        states: (b, t, c) tensor, the last hidden states.
        mask: (b, t) tensor, 1 for tokens and 0 for padding.
        pooling: "mean", "max" or "cls".

    Returns:
        (b, c) tensor.
    """
    if pooling == "cls":
        return states[:, 0]
    there = mask.unsqueeze(-1).to(states.device, bool)
    if pooling == "max":
        return states.masked_fill(~there, float("-inf")).amax(1)
    return states.float().masked_fill(~there, 0).sum(1) / there.sum(1)  # in float16 the sum would lose digits


def load_model(folder: Path, *, lenient: Sequence[str] = ("pooler",)) -> Any:
    """Load a model of transformers, refusing one with missing weights.

    Args:
        folder: config.json and weights.
        lenient: parts that may be missing; they become zeros, where transformers would draw them at random.

    Returns:
        The model, on the CPU.

    Raises:
        EncoderError: the folder or its weights cannot be used.
        MissingExtraError: transformers is not installed.
    """
    with loading(folder):
        from transformers import AutoModel

        model, report = AutoModel.from_pretrained(str(folder), local_files_only=True, output_loading_info=True)
    missing = sorted(report["missing_keys"])
    lost = [name for name in missing if not any(part in name.split(".") for part in lenient)]
    if lost:
        raise EncoderError(
            f"weights in {quoted(folder)}, which lack {len(lost)} parts of {type(model).__name__}, such as {lost[0]!r}",
            "weights of the architecture in config.json",
            "Check which model the weights were saved from.",
        )
    state = model.state_dict()
    for name in missing:
        state[name].zero_()
    return model


@contextmanager
def loading(folder: Path) -> Iterator[None]:
    """Turn what transformers raises on a bad folder into one line, and hide its progress bars and reports.

    Raises:
        EncoderError: the body failed.
        MissingExtraError: transformers is not installed.
    """
    try:
        from transformers.utils import logging as chatter
    except ImportError:
        raise MissingExtraError("transformers", "train") from None
    level, bars = chatter.get_verbosity(), chatter.is_progress_bar_enabled()
    chatter.set_verbosity_error()
    chatter.disable_progress_bar()
    try:
        yield
    except (EncoderError, MissingExtraError):
        raise
    except Exception as error:
        raise EncoderError(
            f"model folder {quoted(folder)}, which does not load ({first_line(error)})",
            "config.json, weights of that architecture, and a tokenizer or preprocessor",
            "Download all of it again, or save it with save_pretrained.",
        ) from error
    finally:
        chatter.set_verbosity(level)
        if bars:
            chatter.enable_progress_bar()
