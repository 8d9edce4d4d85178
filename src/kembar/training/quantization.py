"""ONNX models in int8: of photo models weights and activations, of others the weights alone."""

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

Bytes = npt.NDArray[np.uint8]

_STEP = 8  # photos calibrated with at once
_SMALL = 1024  # weights below this stay as they are


def quantize_photos(source: Path, target: Path, photos: Bytes) -> None:
    """Round weights and activations to 8 bits.

    Weights have 7 bits and a scale for each channel: with 8, sums overflow on processors without VNNI instructions.

    Args:
        source: float32 model whose one input is photos.
        target: the file to write.
        photos: (n, s, s, 3) uint8 photos to calibrate with: they set the range of the activations.
    """
    name = onnx.load(str(source), load_external_data=False).graph.input[0].name
    with _quiet(), tempfile.TemporaryDirectory(prefix="kembar-") as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(target),
            _Photos(name, photos),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )


def quantize_weights(source: Path, target: Path) -> None:
    """Round the weights of matrices, kernels and tables to 8 bits, a scale for each channel or row.

    The file is a quarter as large; onnxruntime widens the weights once, when it loads them, and computes in float32.
    Its own dynamic quantisation also rounds activations, but by the range of a whole batch: an item's vector would
    depend on its neighbours in the batch.

    Args:
        source: float32 model.
        target: the file to write.
    """
    model = onnx.load(str(source))
    axes = _axes(model.graph)
    widened = []
    for weight in list(model.graph.initializer):
        values = numpy_helper.to_array(weight)
        if weight.name not in axes or values.dtype != np.float32 or values.size < _SMALL:
            continue
        others = tuple(axis for axis in range(values.ndim) if axis != axes[weight.name])
        scale = np.maximum(np.abs(values).max(others, keepdims=True), 1e-12) / 127
        rounded, scales = f"{weight.name}_int8", f"{weight.name}_scale"
        model.graph.initializer.remove(weight)
        parts = (np.rint(values / scale).astype(np.int8), rounded), (scale.astype(np.float32), scales)
        model.graph.initializer.extend(numpy_helper.from_array(*part) for part in parts)
        widened.append(helper.make_node("Cast", [rounded], [f"{rounded}_wide"], to=TensorProto.FLOAT))
        widened.append(helper.make_node("Mul", [f"{rounded}_wide", scales], [weight.name]))
    for node in reversed(widened):
        model.graph.node.insert(0, node)
    onnx.save(model, str(target))


def _axes(graph: onnx.GraphProto) -> dict[str, int]:
    """Find the weights, and the axis of the channels or rows of each."""
    found: dict[str, int] = {}
    for node in graph.node:
        if node.op_type == "Gather":
            found.setdefault(node.input[0], 0)
        elif node.op_type == "Conv":
            found.setdefault(node.input[1], 0)
        elif node.op_type == "MatMul":
            found |= dict.fromkeys(node.input, 1)
        elif node.op_type == "Gemm":
            turned = any(each.name == "transB" and each.i for each in node.attribute)
            found.setdefault(node.input[1], 0 if turned else 1)
    return found


class _Photos(CalibrationDataReader):  # type: ignore[misc]
    """Gives photos a few at a time."""

    def __init__(self, name: str, photos: Bytes) -> None:
        self._name = name
        self._parts = iter([photos[at : at + _STEP] for at in range(0, len(photos), _STEP)])

    def get_next(self) -> dict[str, Any] | None:
        """See onnxruntime."""
        part = next(self._parts, None)
        return None if part is None else {self._name: part}


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence onnxruntime's advice to its users, which goes to the root logger."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
