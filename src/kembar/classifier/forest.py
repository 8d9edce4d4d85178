"""Trees of LightGBM by its C interface.

Its Python package imports scikit-learn, which takes longer than the trees need for a hundred thousand pairs. To score
pairs nothing but the library is needed (https://lightgbm.readthedocs.io/en/latest/C-API.html).
"""

import ctypes
import re
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np

from kembar.arrays import Doubles, Floats, default_threads
from kembar.errors import EncoderError

_FLOAT32, _ROW_MAJOR = 0, 1
_RAW_SCORE, _CONTRIBUTIONS = 1, 3
_SUFFIXES: Final = (".so", ".dylib", ".dll")


@dataclass(frozen=True)
class Forest:
    """Trees that LightGBM has grown.

    Attributes:
        written: the text of a model of LightGBM.

    Raises:
        ValueError: a text that LightGBM does not accept.
    """

    written: str = field(repr=False)
    kind: str = field(default="lightgbm", init=False)

    def __post_init__(self) -> None:
        _ = self._handle

    def __reduce__(self) -> tuple[Any, ...]:
        return Forest, (self.written,)

    def margin(self, table: Floats) -> Floats:
        """Score pairs: (m, c) float32 to (m,) float32 log-odds."""
        return self._predict(table, _RAW_SCORE, 1).astype(np.float32)

    def contributions(self, table: Floats) -> Floats:
        """Share out the log-odds: (m, c + 1) float32, last what is there without any evidence."""
        found = self._predict(table, _CONTRIBUTIONS, self.columns + 1)
        return found.reshape(len(table), self.columns + 1).astype(np.float32)

    def gains(self) -> Doubles:
        """Tell what each column was worth in training: (c,) float64 shares that sum to 1 (or 0 without any split)."""
        total = np.zeros(self.columns)
        for tree in self.written.split("\nTree=")[1:]:
            column, gain = (_line(tree, key) for key in ("split_feature", "split_gain"))
            np.add.at(total, column.astype(np.int64), gain)
        return total / max(float(total.sum()), np.finfo(np.float64).tiny)

    def text(self) -> str:
        """Give the text of the model."""
        return self.written

    @cached_property
    def columns(self) -> int:
        """Columns of the table."""
        found = ctypes.c_int()
        _call("LGBM_BoosterGetNumFeature", self._handle, ctypes.byref(found))
        return found.value

    @cached_property
    def _handle(self) -> ctypes.c_void_p:
        handle, rounds = ctypes.c_void_p(), ctypes.c_int()
        _call(
            "LGBM_BoosterLoadModelFromString",
            self.written.encode(),
            ctypes.byref(rounds),
            ctypes.byref(handle),
        )
        weakref.finalize(self, _library().LGBM_BoosterFree, handle)
        return handle

    def _predict(self, table: Floats, what: int, width: int) -> Doubles:
        table = np.ascontiguousarray(table, dtype=np.float32)
        found, length = np.empty(len(table) * width, dtype=np.float64), ctypes.c_int64()
        if table.shape[1] != self.columns:
            raise ValueError(f"{table.shape[1]} columns for {self.columns}")
        if not len(table):
            return found
        _call(
            "LGBM_BoosterPredictForMat",
            self._handle,
            table.ctypes.data_as(ctypes.c_void_p),
            _FLOAT32,
            ctypes.c_int32(len(table)),
            ctypes.c_int32(table.shape[1]),
            _ROW_MAJOR,
            what,
            0,
            -1,
            f"num_threads={default_threads(len(table))}".encode(),
            ctypes.byref(length),
            found.ctypes.data_as(ctypes.c_void_p),
        )
        return found


def _line(tree: str, key: str) -> Doubles:
    """Read a line of numbers of a tree; one without a split has none."""
    found = re.search(rf"^{key}=(.*)$", tree, re.MULTILINE)
    return np.array(found[1].split() if found else [], dtype=np.float64)


def _call(name: str, *arguments: Any) -> None:
    call: Callable[..., int] = getattr(_library(), name)
    if call(*arguments):
        raise ValueError(_library().LGBM_GetLastError().decode(errors="replace"))


@cache
def _library() -> Any:
    """Load the library that the package brings, without the package."""
    package = find_spec("lightgbm")
    places = package.submodule_search_locations or () if package else ()
    found = [path for place in places for path in Path(place).rglob("lib_lightgbm.*") if path.suffix in _SUFFIXES]
    try:
        library = ctypes.CDLL(str(found[0]))
    except OSError as error:
        raise EncoderError(
            f"LightGBM, whose library does not load ({error})",
            "the libraries that it needs, such as the OpenMP runtime libgomp",
            "Install it: `apt-get install libgomp1` on Debian and Ubuntu, `dnf install libgomp` on Fedora, "
            "`brew install libomp` on macOS.",
        ) from None
    library.LGBM_GetLastError.restype = ctypes.c_char_p
    return library
