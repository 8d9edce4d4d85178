"""ONNX models in int8: static with calibration for photos, dynamic for tokens, whole numbers for bags of n-grams."""

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
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

Bytes = npt.NDArray[np.uint8]

_STEP = 8  # photos calibrated with at once


def quantize_photos(source: Path, target: Path, photos: Bytes) -> None:
    """Round weights and activations to 8 bits.

    Weights have 7 bits and a scale for each channel: with 8, sums overflow on processors without VNNI instructions.

    Args:
        source: float32 model whose one input is photos.
        target: the file to write.
        photos: (n, s, s, 3) uint8 photos to calibrate with: they tell the range of the activations.
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
    """Round the weights of matrices and tables to 8 bits (7 for matrices, see `quantize_photos`).

    Args:
        source: float32 model.
        target: the file to write.
    """
    with _quiet():
        quantize_dynamic(str(source), str(target), per_channel=True, reduce_range=True, weight_type=QuantType.QInt8)


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
    """Keep advice to users of onnxruntime to itself; it goes to the root logger."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
