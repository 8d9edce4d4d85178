import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kembar.classifier.pair_classifier import PairClassifier
from kembar.classifier.training_pairs import TrainingPairs, pair_weights
from kembar.classifier.trees import KINDS, Growth, grow, replant
from kembar.errors import ConfigError, EvidenceError, FolderError, TrainingError

NAMES = ("a", "b", "noise", "often missing")
SMALL = Growth(trees=30, leaves=7, rate=0.2, least=20, columns=1.0, others=1.0, threads=1)


def drawn(seed: int, m: int = 3000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs whose truth follows from two columns, with chance; the truth's log-odds are 3 a + 2 b - 3."""
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(m, 4)).astype(np.float32)
    odds = 3 * table[:, 0] + 2 * table[:, 1] - 3
    truth = rng.random(m) < 1 / (1 + np.exp(-odds))
    table[rng.random(m) < 0.6, 3] = np.nan
    folds = np.sort(rng.integers(0, 3, (m, 2)), axis=1)
    return table, truth, folds


@pytest.fixture(scope="module", params=KINDS)
def classifier(request: pytest.FixtureRequest) -> PairClassifier:
    table, truth, folds = drawn(0)
    return PairClassifier.fit(TrainingPairs(table, truth, folds, NAMES), growth=replace(SMALL, kind=request.param))


def test_it_tells_true_pairs_from_others_and_means_its_probabilities(classifier: PairClassifier) -> None:
    table, truth, _ = drawn(1)
    found = classifier.probability(table)
    assert found.dtype == np.float32
    assert found[truth].mean() > found[~truth].mean() + 0.4
    odds = 3 * table[:, 0] + 2 * table[:, 1] - 3
    assert np.abs(found - 1 / (1 + np.exp(-odds))).mean() < 0.06
    assert classifier.card["calibration_error"] < 0.05


def test_held_out_probabilities_come_from_trees_that_had_not_seen_either_end() -> None:
    """Truth by coin: trees that had seen the pairs would know the answer, others can not."""
    rng = np.random.default_rng(2)
    table, _, folds = drawn(2, 1500)
    truth = rng.random(1500) < 0.5
    growth = replace(SMALL, least=1, leaves=63, trees=60)
    classifier = PairClassifier.fit(TrainingPairs(table, truth, folds, NAMES), growth=growth)
    seen = grow(table, truth, None, growth).margin(table) > 0
    assert (seen == truth).mean() > 0.95
    assert classifier.held_out is not None
    by_rank = np.argsort(-classifier.held_out, kind="stable")
    assert abs(truth[by_rank[:300]].mean() - 0.5) < 0.12


def test_contributions_sum_to_the_log_odds_and_name_what_matters(classifier: PairClassifier) -> None:
    table, _, _ = drawn(3, 200)
    shared = classifier.contributions(table)
    np.testing.assert_allclose(shared.sum(axis=1), classifier.trees.margin(table), rtol=1e-3, atol=1e-3)
    weight = np.abs(shared[:, :-1]).mean(axis=0)
    assert weight[0] > weight[1] > 5 * weight[2]
    gains = classifier.trees.gains()
    assert gains.sum() == pytest.approx(1)
    assert gains.argmax() == 0


def test_saved_and_loaded_it_is_the_same(classifier: PairClassifier, tmp_path: Path) -> None:
    classifier.save(tmp_path / "model")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["classifier.json", "trees.txt"]
    loaded = PairClassifier.load(tmp_path / "model")
    table, _, _ = drawn(4)
    np.testing.assert_array_equal(loaded.probability(table), classifier.probability(table))
    np.testing.assert_array_equal(loaded.contributions(table), classifier.contributions(table))
    assert (loaded.names, loaded.card, loaded.profiles) == (classifier.names, classifier.card, classifier.profiles)
    loaded.save(tmp_path / "again")
    for name in ("classifier.json", "trees.txt"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "model" / name).read_bytes()


def test_training_twice_gives_the_same(classifier: PairClassifier) -> None:
    table, truth, folds = drawn(0)
    again = PairClassifier.fit(
        TrainingPairs(table, truth, folds, NAMES), growth=replace(SMALL, kind=classifier.trees.kind)
    )
    np.testing.assert_array_equal(again.probability(table), classifier.probability(table))


def test_order_of_scores_survives_calibration(classifier: PairClassifier) -> None:
    table, _, _ = drawn(5)
    margin, probability = classifier.trees.margin(table), classifier.probability(table)
    order = np.argsort(margin)
    assert (np.diff(probability[order]) >= 0).all()
    assert len(np.unique(probability)) > 0.5 * len(np.unique(margin))


def test_no_pairs_no_probabilities(classifier: PairClassifier) -> None:
    nothing = np.zeros((0, 4), np.float32)
    assert classifier.probability(nothing).shape == (0,)
    assert classifier.contributions(nothing).shape == (0, 5)


def test_an_unlike_catalogue_is_told_by_the_columns_that_changed(
    classifier: PairClassifier, caplog: pytest.LogCaptureFixture
) -> None:
    table, _, _ = drawn(6, 5000)
    with caplog.at_level(logging.WARNING):
        assert classifier.drift(table).is_empty()
    assert not caplog.records
    table[:, 0] += 2
    table[:, 1] = np.nan
    with caplog.at_level(logging.WARNING):
        found = classifier.drift(table)
    assert found["column"].to_list() == ["a", "b"]
    assert found.filter(column="b")["missing"].to_list() == [1.0]
    assert "'a', 'b'" in caplog.text
    assert classifier.drift(table[:100]).is_empty(), "too few to say"


def test_of_columns_that_do_not_matter_only_those_that_are_gone_are_told(classifier: PairClassifier) -> None:
    table, _, _ = drawn(6, 5000)
    table[:, 2] += 5
    assert classifier.drift(table).is_empty()
    table[:, 2] = np.nan
    assert classifier.drift(table)["column"].to_list() == ["noise"]


def test_others_are_thinned_but_the_probabilities_stay_true() -> None:
    table, truth, folds = drawn(7, 6000)
    thin = PairClassifier.fit(TrainingPairs(table, truth, folds, NAMES), growth=replace(SMALL, others=0.3))
    assert thin.probability(table).mean() == pytest.approx(truth.mean(), abs=0.03)


def test_a_table_of_other_columns_is_refused(classifier: PairClassifier) -> None:
    for wrong in (np.zeros((5, 3), np.float32), np.zeros(4, np.float32)):
        with pytest.raises(EvidenceError, match="the 4 evidence columns"):
            classifier.probability(wrong)
        with pytest.raises(EvidenceError, match="the 4 evidence columns"):
            classifier.contributions(wrong)


@pytest.mark.parametrize("true", [0, 49, 3000])
def test_too_few_true_pairs_or_no_others_are_refused(true: int) -> None:
    table, _, folds = drawn(8)
    with pytest.raises(TrainingError, match=f"{true} true pairs"):
        PairClassifier.fit(TrainingPairs(table, np.arange(3000) < true, folds, NAMES), growth=SMALL)


def test_one_fold_leaves_nothing_to_hold_out() -> None:
    table, truth, _ = drawn(9)
    with pytest.raises(TrainingError, match="outside fold 0"):
        PairClassifier.fit(TrainingPairs(table, truth, np.zeros((3000, 2), np.int64), NAMES), growth=SMALL)


def test_arrays_that_do_not_fit_are_refused() -> None:
    table, truth, folds = drawn(10)
    for wrong in (
        (table[:-1], truth, folds, NAMES),
        (table, truth, folds[:, :1], NAMES),
        (table, truth, folds, ("a",)),
    ):
        with pytest.raises(EvidenceError, match="one row per pair"):
            TrainingPairs(*wrong)


def without_calibration(tree: dict[str, Any]) -> None:
    del tree["calibration"]


def with_a_fifth_column(tree: dict[str, Any]) -> None:
    for key in ("names", "edges", "shares"):
        tree["profiles"][0][key].append(tree["profiles"][0][key][0])


DAMAGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "another version": lambda tree: tree.update(version=99),
    "another format": lambda tree: tree.update(format="kembar run"),
    "another kind": lambda tree: tree.update(kind="oak"),
    "no calibration": without_calibration,
    "one column more": with_a_fifth_column,
}


@pytest.mark.parametrize("how", DAMAGES)
def test_a_folder_of_another_make_is_refused(classifier: PairClassifier, tmp_path: Path, how: str) -> None:
    classifier.save(tmp_path / "model")
    path = tmp_path / "model" / "classifier.json"
    tree = json.loads(path.read_text())
    DAMAGES[how](tree)
    path.write_text(json.dumps(tree))
    with pytest.raises(FolderError):
        PairClassifier.load(tmp_path / "model")


def test_a_broken_folder_is_refused(classifier: PairClassifier, tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="no readable"):
        PairClassifier.load(tmp_path / "nowhere")
    for name in ("trees.txt", "classifier.json"):
        classifier.save(tmp_path / name)
        path = tmp_path / name / name
        path.write_text(path.read_text()[: path.stat().st_size // 2])
        with pytest.raises(FolderError):
            PairClassifier.load(tmp_path / name)
        path.unlink()
        with pytest.raises(FolderError):
            PairClassifier.load(tmp_path / name)


def test_a_folder_in_the_way_is_left_alone(classifier: PairClassifier, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letters.txt").write_text("dear")
    with pytest.raises(FolderError):
        classifier.save(tmp_path / "mine", overwrite=True)
    classifier.save(tmp_path / "model")
    with pytest.raises(FolderError):
        classifier.save(tmp_path / "model")
    classifier.save(tmp_path / "model", overwrite=True)


@pytest.mark.parametrize("wrong", [{"kind": "oak"}, {"trees": 0}, {"leaves": 1}, {"rate": 0}, {"columns": 1.5}])
def test_growth_out_of_range_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Growth(**wrong)  # type: ignore[arg-type]


def test_an_unknown_kind_of_trees_is_not_planted() -> None:
    with pytest.raises(FolderError, match="'oak'"):
        replant("oak", "tree", 3)


def test_a_pair_of_large_groups_weighs_less() -> None:
    labels = np.array([0, 0, 0, 0, 1, -1])
    found = pair_weights(np.array([0, 0, 4]), np.array([1, 4, 5]), labels, power=0.5)
    np.testing.assert_allclose(found, [0.5, 0.75, 1.0])


def test_pools_of_a_size_that_training_knew_are_not_unlike() -> None:
    """Each size of pool has its own profile; pairs are unlike only if they are unlike all of them."""
    table, truth, folds = drawn(9, 12_000)
    density = np.repeat([0, 1], 6000)
    table[density == 1, 0] += 4
    both = PairClassifier.fit(TrainingPairs(table, truth, folds, NAMES, density=density), growth=SMALL)
    one = PairClassifier.fit(TrainingPairs(table, truth, folds, NAMES), growth=SMALL)
    other = drawn(10, 5000)[0]
    assert (len(both.profiles), len(one.profiles)) == (2, 1)
    assert both.drift(other).is_empty()
    assert one.drift(other)["column"].to_list() == ["a"]
