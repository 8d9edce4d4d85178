import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kembar.classifier.calibration import Calibration, calibration_error, reliability, sure_cut
from kembar.errors import EvidenceError
from properties import examples


def drawn(seed: int, m: int = 20_000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log-odds that are twice too sure of themselves, and what is true."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(-1, 2, m).astype(np.float32)
    return 2 * odds, rng.random(m) < 1 / (1 + np.exp(-odds)), odds


def test_probabilities_mean_what_they_say_on_new_pairs() -> None:
    score, truth, _ = drawn(0)
    calibration = Calibration.fit(score, truth)
    score, truth, odds = drawn(1)
    found = calibration(score)
    assert calibration_error(found, truth) < 0.015
    assert calibration_error((1 / (1 + np.exp(-score))).astype(np.float32), truth) > 0.05
    assert np.abs(found - 1 / (1 + np.exp(-odds))).mean() < 0.02


def test_order_is_kept_also_on_level_ground_and_beyond_what_was_seen() -> None:
    calibration = Calibration.fit(np.array([0, 1, 2, 3], np.float32), np.array([False, True, False, True]))
    found = calibration(np.linspace(-5, 8, 50).astype(np.float32))
    assert (np.diff(found) > 0).all()
    assert ((found >= 0) & (found <= 1)).all()


PAIR = st.tuples(st.integers(-36, 36).map(lambda quarters: quarters / 4), st.booleans(), st.floats(0.1, 9))


@examples(80)
@given(st.lists(PAIR, min_size=1, max_size=40), st.booleans())
def test_the_map_is_that_of_scikit_learn(drawn: list[tuple[float, bool, float]], weighed: bool) -> None:
    from sklearn.isotonic import IsotonicRegression

    score, truth, weight = (np.array(each) for each in zip(*drawn, strict=True))
    twin = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(score, truth, weight if weighed else None)
    found = Calibration.fit(score.astype(np.float32), truth, weight if weighed else None)
    there = np.linspace(-10, 10, 300)
    np.testing.assert_allclose(np.interp(there, found.score, found.probability), twin.predict(there), atol=1e-6)
    assert len(found.score) <= len(twin.X_thresholds_) + 1


@examples(60)
@given(st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=1, max_size=40), st.integers(1, 12))
def test_the_error_is_that_of_the_slow_twin(drawn: list[tuple[float, bool]], bins: int) -> None:
    probability = np.array([p for p, _ in drawn], np.float32)
    truth = np.array([t for _, t in drawn])
    members: dict[int, list[tuple[float, bool]]] = {}
    for p, t in drawn:
        members.setdefault(min(int(p * bins), bins - 1), []).append((p, t))
    expected = sum(abs(sum(p for p, _ in each) - sum(t for _, t in each)) for each in members.values()) / len(drawn)
    assert calibration_error(probability, truth, bins=bins) == pytest.approx(expected, abs=1e-6)
    table = reliability(probability, truth, bins=bins)
    assert table["pairs"].to_list() == [len(members[b]) for b in sorted(members)]


@examples(60)
@given(st.lists(st.tuples(st.sampled_from([0.1, 0.4, 0.6, 0.9]), st.booleans()), min_size=1, max_size=30))
def test_the_sure_cut_is_the_lowest_that_is_precise_enough(drawn: list[tuple[float, bool]]) -> None:
    probability, truth = np.array([p for p, _ in drawn], np.float32), np.array([t for _, t in drawn])
    cut, share = sure_cut(probability, truth, 0.8)
    good = [c for c in np.unique(probability) if truth[probability >= c].mean() >= 0.8]
    assert cut == pytest.approx(min(good, default=np.inf))
    assert share == pytest.approx(truth[probability >= cut].sum() / max(1, truth.sum()) if good else 0.0)


@pytest.mark.parametrize("wrong", [np.nan, 1.5, -0.5])
def test_what_is_no_probability_is_refused(wrong: float) -> None:
    with pytest.raises(EvidenceError, match="out of range"):
        reliability(np.array([0.5, wrong], np.float32), np.array([True, False]))
