import pickle
import subprocess
import sys

import lightgbm
import numpy as np
import pytest

from kembar.classifier.forest import Forest
from kembar.classifier.trees import Growth, grow


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
