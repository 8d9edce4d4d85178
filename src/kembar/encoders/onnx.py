"""Encoders exported to ONNX: a folder that runs on onnxruntime alone, without torch.

The folder holds `model.onnx`, `encoder.json`, optionally `card.md` (what it is, how it was trained, its figures) and,
for some title models, `tokenizer.json`. `encoder.json` says::

    {
     "format": 1,
     "family": "onnx",
     "modality": "photo",        # or "title"
     "dimension": 256,           # numbers in a vector
     "precision": "int8",        # of the weights, for the reader; optional
     "input": {                  # of photos
      "size": 224,               # side of the square, in pixels
      "resize": "squash",        # "squash", "crop" or "pad"
      "interpolation": "bicubic",   # "bicubic", "bilinear" or "lanczos"
      "crop": 1.0                # for "crop": share of the shorter side that is kept
     },
     "tokenizer": {              # of titles: words in their order (see kembar.encoders.words), or their n-grams ...
      "kind": "words", "shortest": 2, "longest": 4, "most": 64, "apart": false
     }, {
      "kind": "ngrams", "buckets": 65536, "shortest": 3, "longest": 5, "words": true, "pairs": true
     }                           # ... or {"kind": "tokenizers", "file": "tokenizer.json", "max_length": 64}
    }

Other fields are kept and ignored. Inputs and outputs of the model:

- photo: one input (b, size, size, 3) uint8, RGB; the normalisation is in the graph;
- title, "words": the five arrays of `kembar.encoders.words.Batch`, by their names;
- title, "ngrams": `ids` (b, L) int64, padded with 0, and if the model has it `weights` (b, L) float32, 1 for a feature
  and 0 for padding;
- title, "tokenizers": `input_ids`, `attention_mask` and if the model has it `token_type_ids`, (b, L) int64;
- one output (b, dimension) float, scaled to length 1 here. b must be free, and so must L.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kembar.arrays import Bools, Floats, Progress, Rows, default_threads, offsets_of
from kembar.encoders.devices import Worker, out_of_memory, parse, spread
from kembar.encoders.hub import first_line
from kembar.encoders.ngrams import NGrams
from kembar.encoders.pixels import Frame, pixel_batches
from kembar.encoders.protocol import (
    Items,
    Modality,
    Problem,
    batches_by_length,
    check_batch,
    check_paths,
    check_titles,
    collect,
    counted,
    digest,
    file_parts,
    read_manifest,
    stepper,
)
from kembar.encoders.words import INPUTS, Batch, Words
from kembar.errors import ConfigError, EncoderError, MissingExtraError, quoted
from kembar.threads import unforked

MODEL = "model.onnx"
_WINDOW = 8192  # titles whose features are made at once
_MOST = 8  # batches that are computed at once: each needs memory of its own
_TYPES = {
    "ids": "int64",
    "weights": "float",
    "input_ids": "int64",
    "attention_mask": "int64",
    "token_type_ids": "int64",
    **{name: "float" if name == "shapes" else "int64" for name in INPUTS},
}
_SHAPES = {name: (None, columns) for name, columns in INPUTS.items() if columns}
_NEEDED = {"words": tuple(INPUTS), "ngrams": ("ids",), "tokenizers": ("input_ids", "attention_mask")}
_ALLOWED = {
    "words": tuple(INPUTS),
    "ngrams": ("ids", "weights"),
    "tokenizers": ("input_ids", "attention_mask", "token_type_ids"),
}
_AGAIN = "Export the model again, or correct encoder.json."


class OnnxEncoder:
    """An encoder in a folder, run by onnxruntime.

    Args:
        folder: as described at the top of this module.
        name: what it is called; None: the folder.
        device: "cpu", "cuda", "cuda:1", "cuda:0,1", or "auto": a GPU where this onnxruntime can use one.
        threads: of the model, and of the decoding of photos; None: OMP_NUM_THREADS, or one per core.

    Attributes:
        folder: where it is.
        manifest: its `encoder.json`.

    Raises:
        EncoderError: files are missing or damaged, or model and `encoder.json` do not fit together.
        ConfigError: a device that is not there.
    """

    def __init__(
        self, folder: Path, *, name: str | None = None, device: str = "auto", threads: int | None = None
    ) -> None:
        self.folder = folder
        self.name = name or str(folder)
        self.manifest = read_manifest(folder)
        self.modality, self.dimension = _described(self.manifest, folder)
        self._threads = threads or default_threads()
        self._source: Frame | Tokens | Words = _source(self.manifest, self.modality, folder)
        sessions = [_session(folder, place) for place in _places(device)]
        self._inputs = _inputs(sessions[0], self._source, folder)
        _check_output(sessions[0], self.dimension, folder)
        on_cpu = sessions[0].get_providers()[0].startswith("CPU")
        sessions *= min(self._threads, _MOST) if on_cpu else 1  # one, which several threads may run
        self._workers: list[Worker[Any]] = [Worker(partial(self._run, each), "the device") for each in sessions]
        self.fingerprint = _fingerprint(folder, self.manifest)

    @unforked
    def encode(
        self,
        items: Items,
        *,
        batch_size: int | None = None,
        progress: Progress | None = None,
        problem: Problem | None = None,
    ) -> Floats:
        """Encode titles or photos; see `kembar.encoders.protocol.Encoder`."""
        step = stepper(progress, f"encode {self.modality}s", len(items))
        batches: Iterator[tuple[Rows, Any]]
        if isinstance(self._source, Frame):
            size, report = check_batch(batch_size, 16), counted(problem, step)
            batches = pixel_batches(check_paths(items), self._source, size, problem=report, threads=self._threads)
        elif isinstance(self._source, Words):
            # Large batches: a word that many titles share is computed once in each.
            batches = self._source.batches(check_titles(items), check_batch(batch_size, 2048), step)
        else:
            # Small batches: the rows that n-grams gather from a table then stay in the cache.
            batches = _title_batches(check_titles(items), self._source, check_batch(batch_size, 16), step)
        return collect(spread(batches, self._workers), len(items), self.dimension, self.name, step)

    def _run(self, session: Any, batch: Any) -> Floats:
        if len(batch) == 1 and not isinstance(batch, Batch):
            # A product with a single row is summed in another order: no post is alone in a batch.
            return self._run(session, batch[[0, 0]])[:1]
        feed = batch.feed(self._inputs) if isinstance(batch, _Padded | Batch) else {self._inputs[0]: batch}
        try:
            (vectors,) = session.run(None, feed)
        except Exception as error:
            if out_of_memory(error):
                raise
            raise EncoderError(
                f"model {quoted(self.folder / MODEL)}, which fails on its input ({first_line(error)})",
                "a model that takes what the top of kembar.encoders.onnx describes",
                _AGAIN,
            ) from error
        return np.asarray(vectors, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class _Padded:
    """A batch of titles.

    Attributes:
        ids: (b, L) int64, padded.
        there: (b, L) bool, False for padding.
    """

    ids: Rows
    there: Bools

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, part: slice | list[int]) -> "_Padded":
        return _Padded(self.ids[part], self.there[part])

    def feed(self, names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
        """Make the inputs of these names."""
        every: dict[str, npt.NDArray[Any]] = {
            "weights": self.there.astype(np.float32),
            "attention_mask": self.there.astype(np.int64),
            "token_type_ids": np.zeros_like(self.ids),
        }
        return {name: every.get(name, self.ids) for name in names}


class Tokens:
    """What turns titles into numbers.

    Args:
        kind: "ngrams" or "tokenizers".
        split: turns n titles into (n + 1,) offsets and (m,) numbers.
        padding: the number for padding.
    """

    def __init__(
        self, kind: str, split: Callable[[Sequence[str]], tuple[npt.NDArray[Any], npt.NDArray[Any]]], padding: int = 0
    ) -> None:
        self.kind = kind
        self.split = split
        self.padding = padding


def _title_batches(
    titles: Sequence[str], tokens: Tokens, size: int, step: Callable[[int], None]
) -> Iterator[tuple[Rows, _Padded]]:
    """Give titles in padded batches of like length; those without a single token are left out."""
    for start in range(0, len(titles), _WINDOW):
        part = titles[start : start + _WINDOW]
        offsets, ids = tokens.split(part)
        lengths = np.diff(offsets) * np.fromiter(map(bool, part), dtype=bool, count=len(part))
        step(len(part) - int(np.count_nonzero(lengths)))
        for rows in batches_by_length(lengths, size, padded=False):
            longest = int(lengths[rows[0]])
            there = np.arange(longest) < lengths[rows, None]
            padded = np.full(there.shape, tokens.padding, dtype=np.int64)
            padded[there] = ids[(offsets[rows, None] + np.arange(longest))[there]]
            yield rows + start, _Padded(padded, there)


def _source(manifest: Mapping[str, Any], modality: Modality, folder: Path) -> Frame | Tokens | Words:
    """Read how items become inputs."""
    key = "input" if modality == "photo" else "tokenizer"
    given = manifest.get(key)
    kind = given.get("kind") if isinstance(given, dict) else None
    if not isinstance(given, dict) or (modality == "title" and kind not in _NEEDED):
        raise _unfit(folder, f"{key} {given!r}", f"a table, for titles with a kind, one of {', '.join(_NEEDED)}")
    options = {name: value for name, value in given.items() if name != "kind"}
    try:
        if modality == "photo":
            return Frame(**options)
        if kind == "words":
            return Words(**_checked(Words, options))
        if kind == "ngrams":
            return Tokens("ngrams", NGrams(**_checked(NGrams, options)).features)
        return _tokenizer(folder, **options)
    except TypeError as error:
        raise _unfit(
            folder, f"{key} {given!r} ({first_line(error)})", "the fields that kembar.encoders.onnx lists"
        ) from error


def _checked(reader: type[Words | NGrams], options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Refuse options of another type than the reader's defaults: the text "no" would count as true."""
    for field in fields(reader):
        given = options.get(field.name, field.default)
        if type(given) is not type(field.default):
            raise TypeError(f"{field.name} is {given!r}, not {type(field.default).__name__}")
    return options


def _tokenizer(folder: Path, file: str = "tokenizer.json", max_length: int = 64) -> Tokens:
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise MissingExtraError("tokenizers", "text") from None
    try:
        tokenizer = Tokenizer.from_file(str(folder / file))
    except Exception as error:
        raise _unfit(folder, f"tokenizer {file!r} that does not load ({first_line(error)})", "its file") from error
    padding = (tokenizer.padding or {}).get("pad_id")
    if padding is None:
        known = (tokenizer.token_to_id(token) for token in ("[PAD]", "<pad>"))
        padding = next((number for number in known if number is not None), 0)
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)

    def split(titles: Sequence[str]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        found = [encoding.ids for encoding in tokenizer.encode_batch(list(titles))]
        offsets = offsets_of(np.fromiter(map(len, found), dtype=np.int64, count=len(found)))
        return offsets, np.fromiter(chain.from_iterable(found), dtype=np.int64, count=int(offsets[-1]))

    return Tokens("tokenizers", split, padding)


def _described(manifest: Mapping[str, Any], folder: Path) -> tuple[Modality, int]:
    modality, dimension = manifest.get("modality"), manifest.get("dimension")
    if modality not in ("title", "photo"):
        raise _unfit(folder, f"modality {modality!r}", "'title' or 'photo'")
    if not isinstance(dimension, int) or dimension < 1:
        raise _unfit(folder, f"dimension {dimension!r}", "a positive whole number")
    return modality, dimension


def _places(device: str) -> list[tuple[str, dict[str, Any]]]:
    """Choose the provider of onnxruntime, and its options, for each device."""
    kind, numbers = parse(device)
    there = "CUDAExecutionProvider" in _runtime().get_available_providers()
    if kind == "cpu" or (kind == "auto" and not there):
        return [("CPUExecutionProvider", {})]
    if not there:
        raise ConfigError(
            f"device {device!r}, and this onnxruntime has no CUDA",
            "a GPU that onnxruntime can use",
            "Use device='cpu' (or 'auto'), or install onnxruntime-gpu in place of onnxruntime.",
        )
    return [("CUDAExecutionProvider", {"device_id": number}) for number in numbers]


def _runtime() -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtraError("onnxruntime", "text") from None
    return onnxruntime


def _session(folder: Path, place: tuple[str, dict[str, Any]]) -> Any:
    """Load the model, to compute a batch in one thread: shared among several, it would be summed in another order."""
    runtime, path = _runtime(), folder / MODEL
    if not path.is_file():
        raise EncoderError(
            f"folder {quoted(folder)} without {MODEL}", "the weights", "Copy or export the folder again."
        )
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = 1, 1
    options.log_severity_level = 3
    options.use_deterministic_compute = True
    rest = [] if place[0].startswith("CPU") else ["CPUExecutionProvider"]
    try:
        session = runtime.InferenceSession(str(path), options, providers=[place, *rest])
    except Exception as error:
        raise EncoderError(
            f"model {quoted(path)}, which does not load ({first_line(error)})",
            "a complete ONNX file that this onnxruntime reads",
            "Copy or export it again, or update onnxruntime.",
        ) from error
    if place[0] not in session.get_providers():
        raise ConfigError(
            f"device cuda:{place[1]['device_id']}, which onnxruntime cannot start",
            "a GPU with the libraries of CUDA that onnxruntime-gpu asks for",
            "Use device='cpu', or install them.",
        )
    return session


def _inputs(session: Any, source: Frame | Tokens | Words, folder: Path) -> list[str]:
    """Check the inputs of a model and give their names."""
    inputs = {each.name: each for each in session.get_inputs()}
    if isinstance(source, Frame):
        for each in inputs.values():
            _check_input(each, "uint8", (None, source.size, source.size, 3), folder)
        if len(inputs) == 1:
            return list(inputs)
        raise _unfit(folder, f"inputs {list(inputs)}", "one, of photos")
    kind = "words" if isinstance(source, Words) else source.kind
    needed, allowed = _NEEDED[kind], _ALLOWED[kind]
    if not set(needed) <= set(inputs) <= set(allowed):
        raise _unfit(folder, f"inputs {list(inputs)}", f"{', '.join(needed)} and at most {', '.join(allowed)}")
    for name, each in inputs.items():
        _check_input(each, _TYPES[name], _SHAPES.get(name, (None, None)), folder)
    return list(inputs)


def _check_input(given: Any, kind: str, shape: tuple[int | None, ...], folder: Path) -> None:
    """Refuse an input of another type or shape; None stands for a dimension that must be free."""
    same = given.type == f"tensor({kind})" and len(given.shape) == len(shape)
    for has, wants in zip(given.shape, shape, strict=False):
        same = same and (has == wants or not isinstance(has, int))
    if not same:
        wanted = tuple("free" if side is None else side for side in shape)
        raise _unfit(folder, f"input {given.name!r}, {given.type} {given.shape}", f"tensor({kind}) {wanted}")


def _check_output(session: Any, dimension: int, folder: Path) -> None:
    outputs = session.get_outputs()
    if len(outputs) != 1:
        raise _unfit(folder, f"outputs {[each.name for each in outputs]}", "one, of vectors")
    given = outputs[0]
    last = given.shape[-1] if given.shape else 0
    floats = given.type in ("tensor(float)", "tensor(float16)")
    if not floats or len(given.shape) != 2 or (isinstance(last, int) and last != dimension):
        raise _unfit(folder, f"output {given.name!r}, {given.type} {given.shape}", f"tensor(float) (free, {dimension})")


def _unfit(folder: Path, given: str, expected: str) -> EncoderError:
    return EncoderError(f"encoder folder {quoted(folder)} with {given}", expected, _AGAIN)


def _fingerprint(folder: Path, manifest: Mapping[str, Any]) -> str:
    """Fingerprint the model, its tokenizer and what decides the inputs; not the card."""
    files = sorted(folder.glob(f"{MODEL}*"))
    tokenizer = manifest.get("tokenizer")
    if isinstance(tokenizer, dict) and tokenizer.get("kind") == "tokenizers":
        files.append(folder / tokenizer.get("file", "tokenizer.json"))
    kept = {key: manifest.get(key) for key in ("modality", "dimension", "input", "tokenizer")}
    return digest(file_parts(files), kept)
