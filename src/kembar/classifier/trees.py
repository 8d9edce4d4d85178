"""Boosted trees over a table of evidence: LightGBM, or XGBoost, behind the same few questions.

Both give log-odds, the contribution of each column to them (exact Shapley values of the trees, Lundberg et al. 2020),
and a text from which the same trees grow again. The packages are imported at the point of use.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from typing import Any, Final, Protocol

import numpy as np

from kembar.arrays import Bools, Doubles, Floats
from kembar.classifier.forest import Forest
from kembar.classifier.tree_text import END, check_lightgbm, check_xgboost
from kembar.errors import ConfigError, FolderError, KembarError, MissingExtraError


@dataclass(frozen=True, slots=True)
class Growth:
    """How trees grow.

    Attributes:
        kind: "lightgbm" or "xgboost".
        trees: how many.
        leaves: most leaves of a tree.
        rate: what a tree adds, in (0, 1].
        least: pairs (LightGBM) or curvature (XGBoost, in units of a quarter pair) that a leaf needs.
        columns: share of the columns that a tree may look at, in (0, 1].
        others: share of the pairs that are not true that trees grow from, each weighed the more; in (0, 1].
        seed: of the shares.
        threads: they do not change what is learned more than rounding does. With few pairs one is safest: more wait for
            each other at every split, seventeen times as long on a machine that is busy with something else.
    """

    kind: str = "lightgbm"
    trees: int = 200
    leaves: int = 31
    rate: float = 0.1
    least: int = 100
    columns: float = 0.3
    others: float = 0.12
    seed: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"trees of kind {self.kind!r}", f"one of {', '.join(KINDS)}", "Choose one of these.")
        if min(self.trees, self.leaves - 1, self.least, self.threads) < 1:
            raise ConfigError(
                f"{self.trees} trees of {self.leaves} leaves, {self.least} pairs a leaf, {self.threads} threads",
                "at least 1 tree, 2 leaves, 1 pair and 1 thread",
                "Raise the numbers.",
            )
        if not all(0 < share <= 1 for share in (self.rate, self.columns, self.others)):
            raise ConfigError(
                f"rate {self.rate}, columns {self.columns}, others {self.others}",
                "shares above 0, at most 1",
                "Correct them.",
            )


class Trees(Protocol):
    """Trees that have grown."""

    @property
    def kind(self) -> str:
        """The package they grew in."""

    def margin(self, table: Floats) -> Floats:
        """Score pairs: (m, c) float32 to (m,) float32 log-odds."""
        ...

    def contributions(self, table: Floats) -> Floats:
        """Share out the log-odds: (m, c + 1) float32, last what is there without any evidence; rows sum to `margin`."""
        ...

    def gains(self) -> Doubles:
        """Tell what each column was worth in training: (c,) float64 shares that sum to 1 (or 0 without any split)."""
        ...

    def text(self) -> str:
        """Write the trees down; `replant` grows the same again."""
        ...


def grow(table: Floats, truth: Bools, weight: Floats | None, growth: Growth, start: Trees | None = None) -> Trees:
    """Grow trees that tell true pairs from others.

    Args:
        table: (m, c) float32, NaN where missing.
        truth: (m,) bool, both values among them.
        weight: (m,) float32 above 0; all alike where None.
        growth: how.
        start: trees of LightGBM over the first columns of the table, which are kept and corrected by new ones.

    Returns:
        The trees, those of the start among them.

    Raises:
        ConfigError: a start of another package than LightGBM, or to grow on in another.
        MissingExtraError: the package is not installed.
    """
    if start is not None and {start.kind, growth.kind} != {"lightgbm"}:
        raise ConfigError(
            f"trees of {start.kind} to start from, growing in {growth.kind}", "LightGBM in both", "Use lightgbm."
        )
    if growth.others < 1:
        chosen = truth | (np.random.default_rng(growth.seed).random(len(truth)) < growth.others)
        heavier = np.where(truth, np.float32(1), np.float32(1 / growth.others))
        weight = (heavier if weight is None else weight * heavier)[chosen]
        table, truth = table[chosen], truth[chosen]
    return _GROWERS[growth.kind](table, truth, weight, growth, start)


@lru_cache(maxsize=2)  # stages and stores of one process open the same classifier again and again
def replant(kind: str, text: str, columns: int) -> Trees:
    """Grow trees from their text.

    Args:
        kind: "lightgbm" or "xgboost".
        text: what `Trees.text` gave.
        columns: columns of the table, to check.

    Returns:
        The same trees.

    Raises:
        FolderError: an unknown kind, a broken text, or one for another number of columns.
        MissingExtraError: the package is not installed.
        EncoderError: the package's library does not load.
    """
    if kind not in _PLANTERS:
        raise FolderError(f"a model of kind {kind!r}", f"one of {', '.join(KINDS)}", "Train it again.")
    try:
        _CHECKS[kind](text, columns)
        return _PLANTERS[kind](text)
    except KembarError:
        raise
    except Exception as error:  # each package has its own, neither documents which
        raise FolderError(
            f"trees of {kind} that cannot be read ({error})",
            f"a whole model file over {columns} columns, as it was written",
            "Copy the folder again, or train it again.",
        ) from error


def _grow_lightgbm(table: Floats, truth: Bools, weight: Floats | None, growth: Growth, start: Trees | None) -> Trees:
    lightgbm: Any = import_module("lightgbm")
    options = {
        "objective": "binary",
        "learning_rate": growth.rate,
        "num_leaves": growth.leaves,
        "min_data_in_leaf": growth.least,
        "feature_fraction": growth.columns,
        "lambda_l2": 5.0,
        "max_bin": 127,
        "seed": growth.seed,
        "num_threads": growth.threads,
        "deterministic": True,
        "force_row_wise": True,
        "verbose": -1,
    }
    data = lightgbm.Dataset(table, truth.astype(np.float32), weight=weight, free_raw_data=True)
    first = lightgbm.Booster(model_str=_widened(start.text(), table.shape[1])) if start else None
    booster = lightgbm.train(options, data, growth.trees, init_model=first)
    return _plant_lightgbm(booster.model_to_string(num_iteration=-1))  # what is saved is what was trained


def _widened(text: str, columns: int) -> str:
    """Give trees of LightGBM, as a text, further columns that none of them looks at."""
    known = int(text.partition("max_feature_idx=")[2].partition("\n")[0]) + 1
    head, mark, rest = text.partition("\ntree_sizes=")
    more = {
        "feature_names=": "".join(f" Column_{at}" for at in range(known, columns)),
        "feature_infos=": " none" * (columns - known),
    }
    lines = [line + next((end for key, end in more.items() if line.startswith(key)), "") for line in head.split("\n")]
    lines = [f"max_feature_idx={columns - 1}" if line.startswith("max_feature_idx=") else line for line in lines]
    return "\n".join(lines) + mark + rest


def _plant_lightgbm(text: str) -> Trees:
    return Forest(f"{text.partition(END)[0]}{END}\n")


@dataclass(frozen=True, slots=True)
class _XGBoost:
    booster: Any
    kind: str = field(default="xgboost", init=False)

    def margin(self, table: Floats) -> Floats:
        return np.asarray(self.booster.inplace_predict(table, predict_type="margin"), dtype=np.float32)

    def contributions(self, table: Floats) -> Floats:
        data = _package("xgboost").DMatrix(table)
        return np.asarray(self.booster.predict(data, pred_contribs=True), dtype=np.float32)

    def gains(self) -> Doubles:
        found = self.booster.get_score(importance_type="total_gain")
        return _shares(np.array([found.get(f"f{at}", 0.0) for at in range(self.booster.num_features())]))

    def text(self) -> str:
        return bytes(self.booster.save_raw("json")).decode()


def _grow_xgboost(table: Floats, truth: Bools, weight: Floats | None, growth: Growth, _start: Trees | None) -> Trees:
    xgboost = _package("xgboost")
    options = {
        "objective": "binary:logistic",
        "base_score": 0.5,
        "eta": growth.rate,
        "grow_policy": "lossguide",
        "max_leaves": growth.leaves,
        "max_depth": 0,
        "min_child_weight": growth.least / 25,
        "colsample_bytree": growth.columns,
        "lambda": 5.0,
        "max_bin": 128,
        "tree_method": "hist",
        "seed": growth.seed,
        "nthread": growth.threads,
        "verbosity": 0,
    }
    data = xgboost.QuantileDMatrix(table, truth.astype(np.float32), weight=weight, max_bin=128)
    booster = xgboost.train(options, data, growth.trees)
    return _plant_xgboost(bytes(booster.save_raw("json")).decode())


def _plant_xgboost(text: str) -> Trees:
    booster = _package("xgboost").Booster()
    booster.load_model(bytearray(text.encode()))
    return _XGBoost(booster)


def _shares(gains: Doubles) -> Doubles:
    return gains / max(float(gains.sum()), np.finfo(np.float64).tiny)


def _package(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingExtraError(f"{name}-cpu", name) from error


_GROWERS: Final[dict[str, Callable[[Floats, Bools, Floats | None, Growth, Trees | None], Trees]]] = {
    "lightgbm": _grow_lightgbm,
    "xgboost": _grow_xgboost,
}
_CHECKS: Final = {"lightgbm": check_lightgbm, "xgboost": check_xgboost}
_PLANTERS: Final[dict[str, Callable[[str], Trees]]] = {"lightgbm": _plant_lightgbm, "xgboost": _plant_xgboost}
KINDS: Final = tuple(_GROWERS)
