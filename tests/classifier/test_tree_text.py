"""Edited texts of trees: LightGBM and XGBoost end the process over these, hang or predict nonsense."""

import json
import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kembar.classifier.trees import KINDS, Growth, Trees, grow, replant
from kembar.errors import FolderError

COLUMNS = 5


def grown(kind: str, trees: int = 4) -> Trees:
    rng = np.random.default_rng(0)
    table = rng.normal(size=(2000, COLUMNS)).astype(np.float32)
    table[rng.random(table.shape) < 0.2] = np.nan
    growth = Growth(kind=kind, trees=trees, leaves=7, least=20, columns=1.0, others=1.0)
    return grow(table, np.nan_to_num(table[:, 0]) > 0.2, None, growth)


@pytest.fixture(scope="module")
def text() -> str:
    return grown("lightgbm").text()


def line(key: str, change: Callable[[str], str]) -> Callable[[str], str]:
    """Change the first line KEY=VALUE."""
    return lambda text: re.sub(rf"^{key}=(.*)$", lambda found: f"{key}={change(found[1])}", text, count=1, flags=re.M)


def first(value: str) -> Callable[[str], str]:
    return lambda numbers: f"{value} {numbers.partition(' ')[2]}"


EDITS = {
    "a column that is not there": line("split_feature", first("5")),
    "a negative column": line("split_feature", first("-1")),
    "a child that is not there": line("left_child", first("99")),
    "a leaf that is not there": line("left_child", first("-99")),
    "a loop": line("left_child", first("0")),
    "a number too few": line("threshold", lambda numbers: numbers.partition(" ")[2]),
    "a word": line("threshold", first("abc")),
    "digits of another kind": line("threshold", first("1_0")),
    "no number": line("leaf_value", first("nan")),
    "more leaves than numbers": line("num_leaves", lambda _: "100000"),
    "no leaves": line("num_leaves", lambda _: "0"),
    "categories": line("num_cat", lambda _: "1"),
    "a split by category": line("decision_type", first("1")),
    "linear leaves": line("is_linear", lambda _: "1"),
    "another objective": line("objective", lambda _: "regression"),
    "no trees per round": line("num_tree_per_iteration", lambda _: "0"),
    "a wrong length": line("tree_sizes", lambda sizes: f"9{sizes}"),
    "more columns": line("max_feature_idx", lambda _: "99999999"),
    "a line twice": lambda text: text.replace("\nnum_cat=0", "\nnum_cat=0\nnum_cat=0", 1),
    "a line without a value": lambda text: text.replace("\n\n\nTree=1", "\n0\nTree=1", 1),
    "a tree too few": lambda text: re.sub(r"Tree=1\n.*?(?=Tree=2\n)", "", text, count=1, flags=re.S),
    "no end": lambda text: text[: len(text) // 2],
    "another end": lambda text: text[: len(text) // 2] + "\nend of trees\n",
    "nothing": lambda _: "",
}


@pytest.mark.parametrize("edit", EDITS)
def test_edited_trees_of_lightgbm_are_refused(text: str, edit: str) -> None:
    assert EDITS[edit](text) != text
    with pytest.raises(FolderError, match="expected a whole model file"):
        replant("lightgbm", EDITS[edit](text), COLUMNS)


def test_what_follows_the_trees_is_not_read(text: str) -> None:
    """LightGBM ends the process over a parameter that it does not know how to read."""
    ruined = text.partition("end of trees")[0] + "end of trees\n\nparameters:\n[lambdarank\nregularization: 0]\n"
    table = np.random.default_rng(1).normal(size=(50, COLUMNS)).astype(np.float32)
    again = replant("lightgbm", ruined, COLUMNS)
    np.testing.assert_array_equal(again.margin(table), replant("lightgbm", text, COLUMNS).margin(table))
    assert again.text() == replant("lightgbm", text, COLUMNS).text()


def node(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Change the root of the first tree."""

    def change(model: dict[str, Any]) -> None:
        model["learner"]["gradient_booster"]["model"]["trees"][0][key][0] = value

    return change


XGBOOST: dict[str, Callable[[dict[str, Any]], None]] = {
    "a column that is not there": node("split_indices", COLUMNS),
    "a child that is not there": node("left_children", 999),
    "a loop": node("left_children", 0),
    "half a leaf": node("left_children", -1),
    "another parent": node("parents", 1),
    "a category": node("split_type", 1),
    "no number": node("split_conditions", float("nan")),
    "no trees": lambda model: model["learner"]["gradient_booster"]["model"]["trees"].clear(),
    "no learner": lambda model: model.pop("learner"),
    "three classes": lambda model: model["learner"]["learner_model_param"].update(num_class="3"),
}


@pytest.mark.parametrize("edit", XGBOOST)
def test_edited_trees_of_xgboost_are_refused(edit: str) -> None:
    model = json.loads(grown("xgboost").text())
    XGBOOST[edit](model)
    with pytest.raises(FolderError, match="expected a whole model file"):
        replant("xgboost", json.dumps(model), COLUMNS)


@pytest.mark.parametrize("kind", KINDS)
def test_trees_without_any_split_are_read(kind: str) -> None:
    alike = np.zeros((60, 3), np.float32)
    trees = grow(alike, np.arange(60) % 2 == 0, None, Growth(kind=kind, trees=3, others=1.0))
    np.testing.assert_array_equal(replant(kind, trees.text(), 3).margin(alike), trees.margin(alike))


MANY = """
import random, sys
import numpy as np
from test_tree_text import COLUMNS, damaged, grown
from kembar.classifier.trees import replant
from kembar.errors import FolderError

text, table, read = grown(sys.argv[1]).text(), np.zeros((5, COLUMNS), np.float32), 0
for seed in range(200):
    try:
        trees = replant(sys.argv[1], damaged(text, random.Random(seed)), COLUMNS)
        trees.margin(table), trees.contributions(table), trees.gains()
        read += 1
    except FolderError:
        pass
print(read)
"""


def damaged(text: str, chance: random.Random) -> str:
    """Change, cut out or put in a few characters anywhere."""
    letters = list(text)
    for _ in range(chance.choice((1, 1, 2, 8))):
        at, how = chance.randrange(len(letters)), chance.random()
        if how < 0.6:
            letters[at] = chance.choice('0123456789 -=.,\nexnaif[]{}"')
        elif how < 0.8:
            del letters[at : at + chance.choice((1, 3, 50))]
        else:
            letters[at:at] = chance.choice(("9", "-", "99999 ", " 1", "\n"))
    return "".join(letters)


@pytest.mark.parametrize("kind", KINDS)
def test_no_damage_ends_the_process(kind: str) -> None:
    words = [sys.executable, "-c", MANY, kind]
    done = subprocess.run(words, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    assert 0 < int(done.stdout.split()[-1]) < 100  # some damage changes a number into another, and cannot be seen
