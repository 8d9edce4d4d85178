"""Models as ONNX graphs: traced from torch, or built node by node, as for hashed n-grams."""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from kembar.errors import TrainingError
from kembar.training.bags import NGramBag
from kembar.training.heads import Embedder, unit

Array = npt.NDArray[Any]

OPSET = 17
_LEVELS = 255  # steps of the lengths of int8 rows
_LARGE = 1_800_000_000  # bytes; above 2 GB a single ONNX file cannot be written
log = logging.getLogger(__name__)


class _Unit(nn.Module):
    """An encoder whose rows have length 1."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> Tensor:
        return unit(self.model(*inputs))


def traced(model: nn.Module, inputs: tuple[Tensor, ...], names: Sequence[str], free: int, path: Path) -> None:
    """Export a torch model.

    Args:
        model: gives (b, d) vectors; it is put into evaluation mode.
        inputs: an example, on the CPU.
        names: of the inputs.
        free: how many leading dimensions of the inputs may have another size later: 1 the batch, 2 the length too.
        path: the file to write.

    Raises:
        TrainingError: neither of torch's exporters supports the model.
    """
    whole = _Unit(model).eval()
    raw = path.with_name(f"raw-{path.name}")
    try:
        _by_trace(whole, inputs, names, free, raw)
    except Exception as first:
        log.info("the tracing exporter fails (%s); trying the other", first)
        try:
            _by_graph(whole, inputs, names, free, raw)
        except Exception as error:
            reason = str(error).strip().splitlines()[0]
            raise TrainingError(
                f"a model that does not export to ONNX ({reason})", "a model that does", "Choose another architecture."
            ) from error
    _fold(raw, path)


def _fold(raw: Path, path: Path) -> None:
    """Compute once what does not depend on the input, such as the standardised weights of NFNets."""
    if raw.stat().st_size > _LARGE:
        raw.rename(path)
        return
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(raw), options, providers=["CPUExecutionProvider"])
    raw.unlink()


def _by_trace(model: nn.Module, inputs: tuple[Tensor, ...], names: Sequence[str], free: int, path: Path) -> None:
    """Export with the tracing exporter: ten times faster, and it folds batch-norms."""
    axes = {name: dict(list(enumerate(("b", "l")))[:free]) for name in names} | {"vectors": {0: "b"}}
    with _quiet(), torch.no_grad():
        torch.onnx.export(
            model,
            inputs,
            str(path),
            input_names=list(names),
            output_names=["vectors"],
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )


def _by_graph(model: nn.Module, inputs: tuple[Tensor, ...], names: Sequence[str], free: int, path: Path) -> None:
    dims = tuple(dict.fromkeys(range(free), torch.export.Dim.DYNAMIC) for _ in inputs)
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            model,
            inputs,
            input_names=list(names),
            output_names=["vectors"],
            dynamic_shapes=(dims,),
            opset_version=18,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise TrainingError("no graph", "one", "Choose another architecture.")
    program.save(str(path), external_data=False)


@contextmanager
def _quiet() -> Iterator[None]:
    loud = logging.getLogger("torch.onnx")
    level = loud.level
    loud.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tracing and of deprecation; the result is compared with torch's
            yield
    finally:
        loud.setLevel(level)


def bag_graph(embedder: Embedder, path: Path, *, int8: bool) -> None:
    """Write the graph of an encoder over hashed n-grams; see `NGramBag`.

    It takes `ids`, (b, L) int64 padded with 0, and gives (b, d) unit rows. In int8 a row of the table is a length in
    255 steps times 8-bit numbers, and a title's rows are summed as whole numbers: four times as fast as floats.

    Args:
        embedder: with an `NGramBag`.
        path: the file to write.
        int8: whether to round the table; the layers after it stay float32.

    Raises:
        TrainingError: the backbone is another.
    """
    if not isinstance(embedder.backbone, NGramBag):
        raise TrainingError("a backbone that is not a bag of n-grams", "NGramBag", "Export it with traced.")
    graph = _Graph()
    table = embedder.backbone.folded()
    vectors = _int8_sum(graph, table) if int8 else _float_sum(graph, table)
    embedder.eval()
    vectors = _layer(graph, vectors, embedder.backbone)
    matrix, bias = _affine(embedder)
    if matrix is not None:
        vectors = graph.node("MatMul", vectors, matrix)
    if bias is not None:
        vectors = graph.node("Add", vectors, bias)
    _normal(graph, vectors, out="vectors")
    graph.save(path, {"ids": (TensorProto.INT64, ["b", "l"])}, embedder.dimension)


def rounded_rows(table: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.uint8], float]:
    """Round a table row by row.

    Args:
        table: (n, d) float32.

    Returns:
        rows (n, d) int8, lengths (n,) uint8 and a scale, so that scale * lengths * rows is nearly the table.
    """
    largest = np.abs(table).max(1)
    scale = float(max(largest.max(), 1e-12)) / 127 / _LEVELS
    lengths = np.ceil(largest / (127 * scale) - 1e-6).clip(0, _LEVELS)
    step = np.where(lengths > 0, lengths * scale, 1)[:, None]
    return np.rint(table / step).clip(-127, 127).astype(np.int8), lengths.astype(np.uint8), scale


def _float_sum(graph: "_Graph", table: npt.NDArray[np.float32]) -> str:
    return graph.node("ReduceSum", graph.node("Gather", graph.constant(table), "ids"), np.array([1]), keepdims=0)


def _int8_sum(graph: "_Graph", table: npt.NDArray[np.float32]) -> str:
    rows, lengths, scale = rounded_rows(table)
    gathered = graph.node("Gather", graph.constant(rows), "ids")
    weights = graph.node("Transpose", graph.node("Gather", graph.constant(lengths[:, None]), "ids"), perm=[0, 2, 1])
    total = graph.node("Squeeze", graph.node("MatMulInteger", weights, gathered), np.array([1]))
    return graph.node("Mul", graph.node("Cast", total, to=TensorProto.FLOAT), np.float32(scale))


def _layer(graph: "_Graph", z: str, bag: NGramBag) -> str:
    """Add the hidden layer, where there is one: unit(z) + W2 gelu(W1 norm(z))."""
    if bag.layer is None:
        return z
    norm, first, _, last = bag.layer
    weight: Any = [_numpy(p) for part in (norm, first, last) for p in part.parameters()]
    x = graph.node("LayerNormalization", z, weight[0], weight[1], axis=-1, epsilon=float(norm.eps))  # type: ignore[arg-type]
    x = graph.node("Add", graph.node("MatMul", x, weight[2].T), weight[3])
    half = graph.node("Mul", x, np.float32(0.5))
    erf = graph.node("Erf", graph.node("Mul", x, np.float32(2**-0.5)))
    x = graph.node("Mul", half, graph.node("Add", erf, np.float32(1)))
    x = graph.node("Add", graph.node("MatMul", x, weight[4].T), weight[5])
    return graph.node("Add", _normal(graph, z), x)


def _normal(graph: "_Graph", z: str, out: str = "") -> str:
    length = graph.node("ReduceL2", z, axes=[1], keepdims=1)
    return graph.node("Div", z, graph.node("Max", length, np.float32(1e-12)), out=out)


def _affine(embedder: Embedder) -> tuple[Array | None, Array | None]:
    """Fold projection and batch-norm into one matrix and one bias."""
    matrix, bias = None, None
    if isinstance(embedder.projection, nn.Linear):
        matrix = _numpy(embedder.projection.weight).T
        bias = None if embedder.projection.bias is None else _numpy(embedder.projection.bias)
    if isinstance(embedder.neck, nn.BatchNorm1d):
        neck: Any = embedder.neck
        gain = _numpy(neck.weight) / np.sqrt(_numpy(neck.running_var) + neck.eps)
        start = np.zeros_like(gain) if bias is None else bias
        matrix = np.diag(gain) if matrix is None else matrix * gain
        bias = (start - _numpy(neck.running_mean)) * gain + _numpy(neck.bias)
    return matrix, bias


def _numpy(tensor: Tensor) -> npt.NDArray[np.float32]:
    array: npt.NDArray[np.float32] = tensor.detach().float().cpu().numpy()
    return array


def rough_product(path: Path) -> None:
    """Write `product.onnx` of `kembar.evidence.rounding`: rows of integers, and what a step of each is worth."""
    graph = _Graph()
    sums = graph.node("MatMulInteger", "left", "right", np.array(128, dtype=np.uint8))
    floats = graph.node("Cast", sums, to=TensorProto.FLOAT)
    graph.node("Mul", graph.node("Mul", floats, "worth"), "other", out="vectors")
    floating = TensorProto.FLOAT
    inputs = {"left": (TensorProto.UINT8, ["b", "d"]), "worth": (floating, ["b", "one"])}
    inputs |= {"right": (TensorProto.INT8, ["d", "c"]), "other": (floating, ["c"])}
    graph.save(path, inputs, "c")


class _Graph:
    """A graph under construction; arrays among the inputs of a node become constants."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def constant(self, value: Any) -> str:
        name = f"constant{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value).reshape(np.shape(value)), name))
        return name

    def node(self, kind: str, *inputs: Any, out: str = "", **attributes: Any) -> str:
        names = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        out = out or f"node{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, names, [out], **attributes))
        return out

    def save(self, path: Path, inputs: Mapping[str, tuple[int, list[str]]], dimension: int | str) -> None:
        """Check the graph and write it: the type and shape of each input, and the vectors' dimension."""
        given = [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()]
        output = helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["b", dimension])
        graph = helper.make_graph(self._nodes, "kembar", given, [output], self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
        onnx.checker.check_model(model)
        onnx.save(model, str(path))
