"""Dense rows in eight bits: a matrix product in a quarter of the time, and how far from the true one it can be.

A search needs matrix products only to tell which pairs may be among the best; these are computed again, each by itself
(see `kembar.evidence.dense`). So a product may be rough, if it is known how rough. Rows are turned by a fixed random
rotation, rounded to whole steps, and multiplied as integers, for which processors have instructions of their own.

How rough: let x be a turned row and x + e the rounded one, scaled so that e . x = 0, and y any other row of length 1.
Then e . y is e times the part of y across x, the direction of which is random, since the rotation is: it is more than
t |e| / sqrt(d - 1) with a probability below 2 exp(-t^2 / 2) (Levy's inequality for the sphere), 3e-8 for the t = 6
that is taken here. The scale is that of RaBitQ (Gao and Long, SIGMOD 2024), which does the same with one bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from kembar.arrays import Floats, Rows
from kembar.evidence.distinct import Table

Codes = npt.NDArray[np.int8]

COLUMNS: Final = range(256, 2049)
"""Lengths of rows for which rounding pays: in short ones too much comes close to a bar, long ones are slow to turn."""

MOST: Final = 127
"""Steps to either side of 0 that eight bits hold."""

_WIDEST: Final = 5.5  # standard deviations of a turned row's values that the steps span; what lies beyond is cut
_UNLIKELY: Final = 6.0
_AT_ONCE: Final = 1 << 13  # rows that are turned at once: bounds the memory


@dataclass(frozen=True, slots=True)
class Rounded:
    """Rows as whole numbers of steps.

    Attributes:
        codes: (n, d) int8, at most `steps` to either side of 0.
        worth: (n,) float32, what a step of each row is worth.
        lost: the largest length of what rounding changed in a row.
        longest: the largest length of a row: 1, as a rule.
        steps: the most of them.
    """

    codes: Codes
    worth: Floats
    lost: float
    longest: float
    steps: int

    @classmethod
    def of(cls, rows: Table, steps: int = MOST) -> "Rounded":
        """Turn and round rows.

        Args:
            rows: (n, d) float32; the steps are those for length 1.
            steps: the most steps to either side of 0; see `right_steps`.
        """
        d = rows.shape[1]
        step, codes = np.float32(_WIDEST / d**0.5 / steps), np.empty(rows.shape, dtype=np.int8)
        worth, lost, longest = np.ones(len(rows), dtype=np.float32), 0.0, 0.0
        for begin in range(0, len(rows), _AT_ONCE):
            part = slice(begin, begin + _AT_ONCE)
            turned = rows[part] @ _rotation(d)
            codes[part] = whole = np.clip(np.rint(turned / step), -steps, steps)
            length, along = (np.einsum("ij,ij->i", turned, other) for other in (turned, whole))
            np.divide(length, along, out=worth[part], where=along > 0)
            whole *= worth[part, None]
            whole -= turned
            lost = max(lost, float(np.einsum("ij,ij->i", whole, whole).max()) ** 0.5)
            longest = max(longest, float(length.max()) ** 0.5)
        return cls(codes, worth, lost, longest, steps)

    def emptied(self) -> "Rounded":
        """Keep only how rough it is."""
        return replace(self, codes=self.codes[:0].copy(), worth=self.worth[:0].copy())

    @property
    def error(self) -> float:
        """The most that rounding changes in an inner product with a row of length 1."""
        return float(_UNLIKELY * self.lost / (self.codes.shape[1] - 1) ** 0.5)

    def slack(self, other: "Rounded") -> float:
        """Tell twice the most by which a product with other rows is wrong."""
        wrong = self.error * other.longest + other.error * self.longest + self.lost * other.lost
        return 2 * wrong + 1e-5

    def raised(self, rows: slice | Rows) -> tuple[npt.NDArray[np.uint8], Floats]:
        """Lay out rows to stand left: (b, d) uint8, codes + 128, and (b, 1) float32, what a step is worth."""
        return np.ascontiguousarray(self.codes[rows]).view(np.uint8) ^ np.uint8(128), self.worth[rows, None]

    def standing(self, rows: slice | Rows) -> tuple[Codes, Floats]:
        """Lay out rows to stand right: (d, c) int8 and (c,) float32."""
        return np.ascontiguousarray(self.codes[rows].T), self.worth[rows]


@dataclass(frozen=True, slots=True)
class Tiles:
    """Blocks of rows that are multiplied with each other.

    Attributes:
        left: see `Rounded.raised`.
        right: see `Rounded.standing`.
        slack: twice the most by which a product is wrong.
    """

    left: Sequence[tuple[npt.NDArray[np.uint8], Floats]]
    right: Sequence[tuple[Codes, Floats]]
    slack: float

    @classmethod
    def of(cls, left: Rounded, blocks: Sequence[slice], right: Rounded, others: Sequence[slice]) -> "Tiles":
        """Lay out blocks of left rows, and other blocks of right ones, which are in at most `right_steps` steps."""
        return cls(
            [left.raised(block) for block in blocks],
            [right.standing(block) for block in others],
            left.slack(right),
        )

    def product(self, one: int, other: int) -> Floats:
        """Multiply two blocks, roughly: (b, c) float32."""
        return rough_product(*self.left[one], *self.right[other])


def rough_product(left: npt.NDArray[np.uint8], worth: Floats, right: Codes, other: Floats) -> Floats:
    """Multiply rows of codes: (b, c) float32, what each step is worth included; the arguments as in `Tiles`."""
    found: Floats = _session().run(None, {"left": left, "worth": worth, "right": right, "other": other})[0]
    return found


@cache
def right_steps() -> int:
    """Tell how many steps a right row may have: half as many where the processor sums pairs of products in 16 bits."""
    left, right = np.full((1, 64), 255, dtype=np.uint8), np.full((64, 1), MOST, dtype=np.int8)
    one = np.ones((1, 1), dtype=np.float32)
    exact = bool((rough_product(left, one, right, one[0]) == 64 * (255 - 128) * MOST).all())
    return MOST if exact else MOST // 2


@cache
def _rotation(d: int) -> Floats:
    """Draw an orthogonal matrix, all alike likely (Stewart 1980, by the QR decomposition of Gaussian numbers)."""
    q, r = np.linalg.qr(np.random.default_rng(d).normal(size=(d, d)))
    return np.ascontiguousarray(q * np.sign(np.diag(r)), dtype=np.float32)


@cache
def _session() -> Any:
    """Load the product, `product.onnx`: one thread, each caller brings its own."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    model = resources.files("kembar.evidence").joinpath("product.onnx").read_bytes()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
