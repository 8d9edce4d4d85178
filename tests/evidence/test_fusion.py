import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles
from kembar.config import FUSION_RULES as RULES
from kembar.errors import ConfigError, EvidenceError
from kembar.evidence.fusion import fuse, rescale
from properties import examples

NAN = float("nan")
SIMILARITIES = st.one_of(st.just(NAN), st.sampled_from([0.0, 0.5, 1.0]), st.floats(0, 1, width=32))
WEIGHTED = ("mean", "product", "soft_or", "squares")


def column(*numbers: float) -> np.ndarray:
    return np.array(numbers, dtype=np.float32)


@st.composite
def views(draw):
    number, pairs = draw(st.integers(1, 4)), draw(st.integers(0, 6))
    columns = [column(*draw(st.lists(SIMILARITIES, min_size=pairs, max_size=pairs))) for _ in range(number)]
    weights = draw(st.lists(st.floats(0.1, 5), min_size=number, max_size=number))
    thresholds = draw(st.lists(st.floats(0.05, 1), min_size=number, max_size=number))
    return columns, weights, thresholds


@pytest.mark.parametrize("rule", RULES)
@examples(60)
@given(views())
def test_rules_follow_their_formulas(rule, given_views):
    columns, weights, thresholds = given_views
    cuts = thresholds if rule == "union" else None
    found = fuse(columns, rule, weights=weights, thresholds=cuts)
    expected = [oracles.fuse(rule, [float(c[i]) for c in columns], weights, thresholds) for i in range(len(columns[0]))]
    np.testing.assert_allclose(found, expected, atol=2e-5)
    assert found.dtype == np.float32
    assert ((found >= 0) & (found <= 1)).all()


@pytest.mark.parametrize("rule", RULES)
@examples(30)
@given(views())
def test_a_missing_view_is_as_if_it_were_not_there(rule, given_views):
    columns, weights, thresholds = given_views
    missing = np.full(len(columns[0]), np.nan, dtype=np.float32)
    cuts = (lambda t: t) if rule == "union" else (lambda _: None)
    without = fuse(columns, rule, weights=weights, thresholds=cuts(thresholds))
    beside = fuse([*columns, missing], rule, weights=[*weights, 2], thresholds=cuts([*thresholds, 0.3]))
    np.testing.assert_array_equal(without, beside)


@pytest.mark.parametrize("rule", RULES)
def test_one_view_alone_keeps_its_scale(rule):
    alone = column(0, 0.25, 0.5, 1)
    np.testing.assert_allclose(fuse([alone], rule), alone, atol=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_nothing_known_is_0(rule):
    assert fuse([column(NAN, NAN), column(NAN, NAN)], rule).tolist() == [0, 0]


@pytest.mark.parametrize("rule", RULES)
def test_below_0_counts_as_0(rule):
    beside = fuse([column(0.5, -0.3), column(-1, -1)], rule)
    np.testing.assert_array_equal(beside, fuse([column(0.5, 0), column(0, 0)], rule))


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule not in WEIGHTED])
def test_rules_without_weights(rule):
    columns = [column(0.2, 0.9), column(0.7, NAN)]
    np.testing.assert_array_equal(fuse(columns, rule, weights=[3, 0.2]), fuse(columns, rule))


@examples(200)
@given(views())
def test_union_is_the_union_of_each_views_own_matches(given_views):
    columns, _, thresholds = given_views
    fused = fuse(columns, "union", thresholds=thresholds)
    expected = np.any([c >= np.float32(t) for c, t in zip(columns, thresholds, strict=True)], axis=0)
    np.testing.assert_array_equal(fused >= 0.5, expected)


def test_union_on_the_cut_and_one_bit_below_it():
    cut = np.linspace(0.01, 1, 5000).astype(np.float32)
    for t in cut[::50]:
        at = column(t, np.nextafter(t, np.float32(0)))
        assert (fuse([at], "union", thresholds=[float(t)]) >= 0.5).tolist() == [True, False]


def test_no_pairs():
    for rule in RULES:
        assert fuse([column(), column()], rule).shape == (0,)


# rescale


@given(st.lists(SIMILARITIES, max_size=8), st.floats(-1, 0.875), st.floats(0.0625, 1))
def test_rescale_is_linear_between_floor_and_ceiling(values, floor, width):
    found = rescale(column(*values), floor, floor + width)
    for value, scaled in zip(values, found.tolist(), strict=True):
        if math.isnan(value):
            assert math.isnan(scaled)
        else:
            assert scaled == pytest.approx(min(max((value - floor) / width, 0), 1), abs=1e-5)


def test_rescale_gives_float32_for_any_floats():
    assert rescale(np.array([0.25, 0.75]), 0.5).dtype == np.float32


def test_rescale_of_a_hash_is_the_published_rule():
    for bits in range(25):
        similarity = column(1 - bits / 64)
        assert rescale(similarity, 1 - 20 / 64)[0] == pytest.approx(max(0, 1 - bits / 20), abs=1e-6)


# errors


@pytest.mark.parametrize(("floor", "ceiling"), [(1, 1), (0.9, 0.5), (NAN, 1), (0, NAN)])
def test_floor_not_below_ceiling(floor, ceiling):
    with pytest.raises(ConfigError, match=f"floor {floor} and ceiling {ceiling}"):
        rescale(column(0.5), floor, ceiling)


def test_unknown_rule():
    with pytest.raises(ConfigError, match=r"fusion rule 'median'; expected one of mean, max"):
        fuse([column(0.5)], "median")


@pytest.mark.parametrize("weights", [[1], [1, 0], [1, -2], [1, NAN], [1, float("inf")], []])
def test_weights_that_do_not_fit(weights):
    with pytest.raises(ConfigError, match=r"weights .*2 numbers above 0") as error:
        fuse([column(0.5), column(0.5)], weights=weights)
    assert repr(weights) in str(error.value)


@pytest.mark.parametrize("thresholds", [[0.5], [0.5, 0], [0.5, 1.5], [0.5, NAN]])
def test_thresholds_that_do_not_fit(thresholds):
    with pytest.raises(ConfigError, match="thresholds ") as error:
        fuse([column(0.5), column(0.5)], "union", thresholds=thresholds)
    assert repr(thresholds) in str(error.value)


def test_no_views_and_views_of_different_pairs():
    with pytest.raises(EvidenceError, match="no similarities"):
        fuse([])
    with pytest.raises(EvidenceError, match=r"\[1, 2\]"):
        fuse([column(0.5), column(0.5, 0.5)])
