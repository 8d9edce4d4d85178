"""The texts of trees, checked before their packages see them.

Over a damaged text LightGBM ends the process or never returns, and XGBoost reads outside of its memory. What is checked
is the form: that every number is there and is a number, that children make a tree, that columns exist.
"""

import json
import math
from typing import Any, Final

_HEAD: Final = {"num_class": "1", "num_tree_per_iteration": "1", "objective": "binary sigmoid:1"}
END: Final = "end of trees"
"""The line after the trees of LightGBM; below it is how they grew, over which it ends the process too."""
_WHOLE: Final = ("split_feature", "decision_type", "left_child", "right_child", "internal_count")
_SPLITS: Final = (*_WHOLE, "threshold", "split_gain", "internal_value", "internal_weight")  # one number per split
_FIXED: Final = {"num_cat": "0", "is_linear": "0"}
_KINDS: Final = ("0", "2", "4", "6", "8", "10")  # decision types without categories: missing values, default side
_ROOT: Final = 2**31 - 1  # what XGBoost calls the parent of a root


def check_lightgbm(text: str, columns: int) -> None:
    """Check what LightGBM wrote.

    Args:
        text: the model, for two classes, without categories and linear leaves.
        columns: of the table.

    Raises:
        ValueError: anything in it that LightGBM would not have written.
    """
    top, *blocks = text.partition(END)[0].split("\nTree=")
    _demand(top.startswith("tree\n") and END in text and bool(blocks), f"'tree', trees and '{END}'")
    head = _entries(top.removeprefix("tree\n").removesuffix("\n"))
    _demand(head.get("max_feature_idx") == str(columns - 1), f"trees over {columns} columns")
    for key, value in _HEAD.items():
        _demand(head.get(key) == value, f"{key}={value}")
    for key in ("feature_names", "feature_infos"):
        _demand(len(head.get(key, "").split()) == columns, f"{columns} {key}")
    blocks[-1] = blocks[-1].removesuffix("\n")
    sizes = [len(f"Tree={block}\n".encode()) for block in blocks]
    _demand(_numbers(head.get("tree_sizes", ""), whole=True) == sizes, "trees as long as tree_sizes tells")
    for at, block in enumerate(blocks):
        number, _, rest = block.partition("\n")
        _demand(number == str(at) and rest.endswith("\n\n"), f"tree {at}")
        try:
            _check_block(_entries(rest.removesuffix("\n\n")), columns)
        except ValueError as error:
            raise ValueError(f"tree {at}: {error}") from None


def _check_block(lines: dict[str, str], columns: int) -> None:
    (leaves,) = _numbers(lines.get("num_leaves", ""), whole=True) or (0,)
    _demand(leaves >= 1, "num_leaves of 1 or more")
    for key, value in _FIXED.items():
        _demand(lines.get(key) == value, f"{key}={value}")
    splits = {key: _numbers(lines.get(key, ""), whole=key in _WHOLE) for key in _SPLITS}
    for key, found in splits.items():
        _demand(len(found) == leaves - 1, f"{leaves - 1} numbers of {key}")
    values = _numbers(lines.get("leaf_value", ""))
    _demand(len(values) == leaves and all(map(math.isfinite, values)), f"{leaves} finite numbers of leaf_value")
    for key in ("leaf_weight", "leaf_count"):
        _demand(len(_numbers(lines.get(key, ""))) == leaves or leaves == 1, f"{leaves} numbers of {key}")
    _demand(len(_numbers(lines.get("shrinkage", ""))) == 1, "one number of shrinkage")
    _demand(all(0 <= each < columns for each in splits["split_feature"]), f"split_feature from 0 to {columns - 1}")
    _demand(set(lines["decision_type"].split()) <= set(_KINDS), f"decision_type of {', '.join(_KINDS)}")
    left, right = splits["left_child"], splits["right_child"]
    # Splits count from 0, leaves from -1 down; a split comes after its parent, each but the first has one.
    nodes = [*range(-leaves, 0), *range(1, leaves - 1)] if leaves > 1 else []
    _demand(sorted([*left, *right]) == nodes, "each node the child of one other")
    _demand(all(child < 0 or child > at for side in (left, right) for at, child in enumerate(side)), "parents first")


def check_xgboost(text: str, columns: int) -> None:
    """Check what XGBoost wrote; arguments and errors as in `check_lightgbm`."""
    try:
        learner = json.loads(text)["learner"]
        forest = learner["gradient_booster"]["model"]
        _demand(learner["objective"]["name"] == "binary:logistic", "objective binary:logistic")
        _demand(learner["gradient_booster"]["name"] == "gbtree", "trees")
        sizes = learner["learner_model_param"]
        _demand(int(sizes["num_feature"]) == columns, f"trees over {columns} columns")
        _demand((int(sizes["num_class"]), int(sizes["num_target"])) == (0, 1), "two classes")
        trees = forest["trees"]
        _demand(int(forest["gbtree_model_param"]["num_trees"]) == len(trees) > 0, "as many trees as num_trees tells")
        _demand(forest["tree_info"] == [0] * len(trees), "trees of one class")
        bounds = forest["iteration_indptr"]
        _demand(bounds == list(range(len(trees) + 1)), "one tree per round")
        for tree in trees:
            _check_nodes(tree, columns)
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"no {error}") from None


def _check_nodes(tree: dict[str, Any], columns: int) -> None:
    count = len(tree["left_children"])
    _demand(int(tree["tree_param"]["num_nodes"]) == count > 0, "as many nodes as num_nodes tells")
    _demand(int(tree["tree_param"]["num_feature"]) == columns, f"trees over {columns} columns")
    _demand(int(tree["tree_param"]["size_leaf_vector"]) <= 1, "one number per leaf")
    for key in ("right_children", "parents", "split_indices", "split_type", "default_left"):
        _demand(len(tree[key]) == count and all(type(each) is int for each in tree[key]), f"{count} {key}")
    for key in ("split_conditions", "base_weights", "loss_changes", "sum_hessian"):
        _demand(len(tree[key]) == count and not any(map(math.isnan, tree[key])), f"{count} numbers of {key}")
    _demand(not any(tree["split_type"]) and not tree["categories"], "no categories")
    parents = [_ROOT] * count
    for at, (left, right) in enumerate(zip(tree["left_children"], tree["right_children"], strict=True)):
        leaf = left == right == -1
        _demand(leaf or (at < left < count and at < right < count and left != right), "children after their parents")
        for child in () if leaf else (left, right):
            parents[child] = at
        _demand(0 <= tree["split_indices"][at] < columns, f"split_indices from 0 to {columns - 1}")
    _demand(tree["parents"] == parents and parents.count(_ROOT) == 1, "each node the child of one other")


def _entries(text: str) -> dict[str, str]:
    """Read lines KEY=VALUE, each key once; raises ValueError over others."""
    lines = [line.partition("=") for line in text.split("\n")]
    found = {key: value for key, sign, value in lines if sign}
    _demand(len(found) == len(lines), "lines KEY=VALUE, each key once")
    return found


def _numbers(text: str, *, whole: bool = False) -> list[Any]:
    """Read numbers that blanks separate; raises ValueError over others. A threshold may be infinite."""
    _demand(text.isascii() and "_" not in text, "plain digits")  # Python reads more than that
    values: list[Any] = [int(each) if whole else float(each) for each in text.split()]
    _demand(not any(map(math.isnan, values)), "numbers")
    return values


def _demand(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(f"expected {what}")
