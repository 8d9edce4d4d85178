from dataclasses import replace

import numpy as np
import pytest

from kembar.classifier.calibration import Calibration
from kembar.classifier.pair_classifier import PairClassifier
from kembar.classifier.refining import SURE_CUT, refined, small
from kembar.classifier.training_pairs import TrainingPairs
from kembar.classifier.trees import Growth, grow
from kembar.errors import ConfigError, TrainingError

NAMES = ("a", "b", "c")
GROWTH = Growth(trees=40, leaves=7, rate=0.2, least=20, columns=1.0, others=1.0)


def drawn(seed: int, m: int, odds: tuple[float, float, float, float]) -> TrainingPairs:
    """Pairs whose truth follows from their columns, by these weights and this shift."""
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(m, 3)).astype(np.float32)
    truth = rng.random(m) < 1 / (1 + np.exp(-(table @ np.array(odds[:3]) + odds[3])))
    return TrainingPairs(table, truth, np.sort(rng.integers(0, 4, (m, 2)), axis=1), NAMES)


@pytest.fixture(scope="module")
def start() -> PairClassifier:
    return PairClassifier.fit(drawn(0, 4000, (3, 0, 0, -2)), growth=GROWTH)


def loss(classifier: PairClassifier, pairs: TrainingPairs) -> float:
    p = np.clip(classifier.probability(pairs.table).astype(float), 1e-6, 1 - 1e-6)
    return float(-np.log(np.where(pairs.truth, p, 1 - p)).mean())


def test_some_hundred_answers_teach_where_a_catalogue_differs(start: PairClassifier) -> None:
    elsewhere = (2.0, 3.0, 0.0, 0.0)  # another column counts there, and more pairs are true
    better = refined(start, drawn(1, 300, elsewhere))
    test = drawn(2, 4000, elsewhere)
    alone = PairClassifier.fit(drawn(1, 300, elsewhere), growth=replace(GROWTH, least=5))
    assert loss(better, test) < 0.7 * loss(start, test)
    assert loss(better, test) < loss(alone, test)
    assert better.card["answers"] == 300
    assert SURE_CUT < better.cut < start.cut


def test_a_gate_that_was_measured_without_the_answers_does_not_stay(start: PairClassifier) -> None:
    assert refined(replace(start, gate=0.2), drawn(1, 300, (2.0, 3.0, 0.0, 0.0))).gate == 0


def test_answers_that_say_nothing_new_do_no_harm(start: PairClassifier) -> None:
    same, test = (3.0, 0.0, 0.0, -2.0), drawn(3, 4000, (3, 0, 0, -2))
    assert loss(refined(start, drawn(4, 200, same)), test) < loss(start, test) + 0.03


def test_pairs_that_were_chosen_by_their_probability_do_not_mislead(start: PairClassifier) -> None:
    """Half of the answers are about likely pairs, of which there are few: the calibration stays right."""
    world = drawn(5, 20_000, (3, 0, 0, -2))
    p = start.probability(world.table)
    rng = np.random.default_rng(6)
    likely, others = (rng.choice(np.flatnonzero(mask), 150, replace=False) for mask in (p > 0.5, p <= 0.5))
    rows = np.sort(np.concatenate([likely, others]))
    found = refined(start, TrainingPairs(world.table[rows], world.truth[rows], world.folds[rows], NAMES))
    assert found.probability(world.table).sum() == pytest.approx(world.truth.sum(), rel=0.15)


def test_it_is_saved_and_read_again(start: PairClassifier, tmp_path: object) -> None:
    found = refined(start, drawn(7, 100, (3, 1, 0, 0)))
    found.save(f"{tmp_path}/model")
    test = drawn(8, 50, (3, 1, 0, 0)).table
    assert np.array_equal(PairClassifier.load(f"{tmp_path}/model").probability(test), found.probability(test))


def test_trees_grow_on_over_further_columns() -> None:
    first, wider = drawn(9, 2000, (3, 0, 0, 0)), drawn(9, 2000, (3, 0, 2, 0))
    start = grow(first.table[:, :2], first.truth, None, GROWTH)
    more = grow(wider.table, wider.truth, None, GROWTH, start)
    assert len(more.gains()) == 3
    assert more.gains()[2] > 0
    unchanged = grow(wider.table, wider.truth, None, replace(GROWTH, trees=1, rate=1e-9), start)
    assert np.allclose(unchanged.margin(wider.table), start.margin(wider.table[:, :2]), atol=1e-5)


def test_what_is_refused(start: PairClassifier) -> None:
    few = drawn(10, 40, (3, 0, 0, -2))
    few = TrainingPairs(few.table, np.arange(40) < 4, few.folds, NAMES)
    with pytest.raises(TrainingError, match="4 true pairs and 36 others"):
        refined(start, few)
    with pytest.raises(ConfigError, match="xgboost"):
        grow(few.table, few.truth, None, replace(GROWTH, kind="xgboost"), start.trees)


def test_the_fewer_answers_the_fewer_trees() -> None:
    assert [small(n).trees for n in (8, 100, 300, 5000)] == [10, 25, 75, 100]


def test_a_correction_moves_the_map_and_never_turns_it_round() -> None:
    rng = np.random.default_rng(11)
    score = rng.normal(0, 2, 3000).astype(np.float32)
    plain = Calibration.fit(score, rng.random(3000) < 1 / (1 + np.exp(-score)))
    rarer = rng.random(3000) < 1 / (1 + np.exp(-(score - 2)))
    moved = plain.corrected(score, rarer)
    assert moved(score).sum() == pytest.approx(rarer.sum(), rel=0.05)
    wrong = plain.corrected(score, score < 0)
    assert (np.diff(wrong(np.linspace(-4, 4, 50).astype(np.float32))) > 0).all()
