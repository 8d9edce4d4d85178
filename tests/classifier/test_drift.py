import math

import numpy as np
import pytest

from kembar.classifier.drift import LARGE, Profile
from kembar.errors import EvidenceError


def drawn(seed: int, m: int = 5000) -> np.ndarray:
    rng = np.random.default_rng(seed)
    table = np.stack([rng.normal(size=m), rng.integers(0, 3, m), rng.random(m)], axis=1).astype(np.float32)
    table[rng.random(m) < 0.3, 2] = np.nan
    return table


def slow(before: np.ndarray, now: np.ndarray) -> float:
    """The index of one column, bin by bin."""
    known = np.sort(before[~np.isnan(before)])
    bounds = sorted({float(known[math.ceil(q * (len(known) - 1) / 10 - 1e-9)]) for q in range(1, 10)})

    def share(column: np.ndarray, at: int) -> float:
        if at > len(bounds):
            inside = sum(math.isnan(value) for value in column)
        else:
            low = bounds[at - 1] if at else -math.inf
            high = bounds[at] if at < len(bounds) else math.inf
            inside = sum(low < value <= high for value in column)
        return max(inside / len(column), 1e-4)

    parts = [(share(before, at), share(now, at)) for at in range(len(bounds) + 2)]
    return sum((a - e) * math.log(a / e) for e, a in parts)


def test_the_index_is_that_of_the_slow_twin() -> None:
    before, now = drawn(0, 700), drawn(1, 400) * np.float32(1.3)
    found = Profile.of(before, ("a", "b", "c")).compare(now)
    for at, name in enumerate("abc"):
        assert found.filter(column=name)["psi"].item() == pytest.approx(slow(before[:, at], now[:, at]), rel=1e-3)


def test_the_same_kind_of_pairs_is_near_and_another_is_far() -> None:
    profile = Profile.of(drawn(0), ("a", "b", "c"))
    assert profile.compare(drawn(0))["psi"].max() == pytest.approx(0, abs=1e-4)
    assert profile.compare(drawn(1))["psi"].max() < 0.02
    other = drawn(1)
    other[:, 0] += 1.5
    other[:, 2] = np.nan
    found = profile.compare(other)
    assert set(found.filter(found["psi"] > LARGE)["column"]) == {"a", "c"}
    assert found.filter(column="c")["missing"].item() == 1
    assert found.filter(column="c")["missing_before"].item() == pytest.approx(0.3, abs=0.03)


def test_a_column_that_was_never_there_is_noticed_when_it_comes() -> None:
    table = drawn(0)
    table[:, 1] = np.nan
    found = Profile.of(table, ("a", "b", "c")).compare(drawn(0))
    assert found["column"][0] == "b"


def test_a_profile_survives_json() -> None:
    profile = Profile.of(drawn(0), ("a", "b", "c"))
    assert Profile.from_tree(profile.tree()) == profile


def test_a_table_of_another_width_is_refused() -> None:
    with pytest.raises(EvidenceError, match="2 columns"):
        Profile.of(drawn(0), ("a", "b", "c")).compare(drawn(0)[:, :2])
