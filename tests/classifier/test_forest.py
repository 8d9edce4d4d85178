import pickle
import subprocess
import sys
from pathlib import Path

import lightgbm
import numpy as np
import pytest

from kembar.classifier import forest
from kembar.classifier.forest import Forest
from kembar.classifier.trees import Growth, grow, replant
from kembar.errors import EncoderError


def drawn() -> tuple[np.ndarray, np.ndarray]:
    draws = np.random.default_rng(3)
    table = draws.normal(size=(4000, 5)).astype(np.float32)
    table[draws.random(table.shape) < 0.2] = np.nan
    return table, np.nan_to_num(table[:, 0]) + np.nan_to_num(table[:, 1]) ** 2 > draws.normal(size=4000)


def grown() -> Forest:
    table, truth = drawn()
    return grow(table, truth, None, Growth(trees=20, least=20))


def test_the_library_says_what_its_package_says() -> None:
    forest, (table, _) = grown(), drawn()
    booster = lightgbm.Booster(model_str=forest.text())
    np.testing.assert_array_equal(forest.margin(table), booster.predict(table, raw_score=True).astype(np.float32))
    shares = booster.predict(table[:99], pred_contrib=True).astype(np.float32)
    np.testing.assert_array_equal(forest.contributions(table[:99]), shares)
    gains = booster.feature_importance("gain")
    np.testing.assert_allclose(forest.gains(), gains / gains.sum(), atol=1e-6)
    assert forest.margin(table[:0]).shape == (0,)
    np.testing.assert_array_equal(forest.margin(np.asfortranarray(table)), forest.margin(table))


def test_trees_that_never_split_are_worth_nothing() -> None:
    table, truth = drawn()
    forest = grow(table, truth, None, Growth(trees=2, least=100_000))
    assert forest.gains().tolist() == [0] * 5
    assert forest.margin(table).shape == (4000,)


def test_trees_survive_pickle() -> None:
    forest, (table, _) = grown(), drawn()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(forest)).margin(table), forest.margin(table))


def test_a_table_of_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match="4 columns for 5"):
        grown().margin(np.zeros((3, 4), dtype=np.float32))


def test_to_score_pairs_takes_neither_scikit_learn_nor_matplotlib() -> None:
    program = """
import sys
import numpy as np
from kembar.classifier.pair_classifier import PairClassifier

classifier = PairClassifier.load("kembar-classifier")
classifier.probability(np.zeros((3, len(classifier.names)), dtype=np.float32))
print(*sorted({"sklearn", "matplotlib", "pandas"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_library_that_does_not_load_is_told_in_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = grown().text()
    (tmp_path / "lightgbm" / "lib").mkdir(parents=True)
    (tmp_path / "lightgbm" / "__init__.py").touch()
    (tmp_path / "lightgbm" / "lib" / "lib_lightgbm.so").write_text("no library")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "lightgbm")
    monkeypatch.setattr(forest, "_library", forest._library.__wrapped__)  # as in a process that has not loaded it
    with pytest.raises(EncoderError, match=r"lib_lightgbm\.so.* expected .*libgomp.*`apt-get install libgomp1`"):
        replant("lightgbm", written, 5).margin(drawn()[0])
