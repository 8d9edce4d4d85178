"""Rows in eight bits: no product is further off than is said, and nothing that is found depends on it."""

from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kembar.evidence import dense, probing, rounding, search
from kembar.evidence.neighbors import best
from kembar.evidence.probing import Cells
from kembar.evidence.rounding import MOST, Rounded, Tiles, right_steps
from kembar.evidence.search import DenseIndex
from oracles import units
from properties import examples


def flat(n: int, d: int, seed: int) -> np.ndarray:
    return units(n, d, seed).astype(np.float32)


def single(n: int, d: int, seed: int) -> np.ndarray:
    """Rows of one value each, and one without any."""
    rows = np.zeros((n, d), dtype=np.float32)
    rows[np.arange(1, n), np.random.default_rng(seed).integers(0, d, n - 1)] = 1
    return rows


def copies(n: int, d: int, seed: int) -> np.ndarray:
    """Rows closer to each other than eight bits can tell."""
    rng = np.random.default_rng(seed)
    rows = units(1 + n // 20, d, seed)[rng.integers(0, 1 + n // 20, n)] + 1e-4 * rng.normal(size=(n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def bent(n: int, d: int, seed: int) -> np.ndarray:
    """Rows that share most of their length, with few large values."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, d)) ** 5 + 20
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def longer(n: int, d: int, seed: int) -> np.ndarray:
    """Rows that nobody made of length 1."""
    return np.float32(3) * flat(n, d, seed)


KINDS = st.sampled_from([flat, single, copies, bent])


@examples(60)
@given(
    kind=KINDS | st.just(longer),
    d=st.integers(64, 400),
    seed=st.integers(0, 10_000),
    steps=st.sampled_from([MOST, MOST // 2]),
)
def test_no_product_is_further_off_than_half_the_slack(kind, d, seed, steps):
    rows, others = kind(60, d, seed), kind(90, d, seed + 1)
    left, right = Rounded.of(rows), Rounded.of(others, min(steps, right_steps()))
    every = [slice(None)]
    tiles = Tiles.of(left, every, right, every)
    off = np.abs(tiles.product(0, 0) - rows.astype(np.float64) @ others.T.astype(np.float64))
    assert off.max() <= tiles.slack / 2
    if kind is not longer:  # and it says something
        assert tiles.slack < 36 / d**0.5 * (1 / MOST + 1 / min(steps, right_steps()))


def test_what_rounding_takes_is_across_the_row():
    rows = flat(500, 300, 3)
    rounded = Rounded.of(rows)
    turned = rows @ rounding._rotation(300)
    taken = rounded.codes * rounded.worth[:, None] - turned
    np.testing.assert_allclose(np.einsum("ij,ij->i", taken, turned), 0, atol=1e-6)
    assert np.linalg.norm(taken, axis=1).max() == pytest.approx(rounded.lost, rel=1e-3)
    np.testing.assert_allclose(turned @ turned.T, rows @ rows.T, atol=1e-5)


def test_sums_are_exact_in_the_steps_that_the_processor_allows():
    rng = np.random.default_rng(0)
    left, right = rng.integers(0, 256, (40, 333)), rng.integers(-right_steps(), right_steps() + 1, (333, 50))
    left[0], right[:, 0] = 255, right_steps()
    ones = np.ones((40, 1), dtype=np.float32), np.ones(50, dtype=np.float32)
    found = rounding.rough_product(left.astype(np.uint8), ones[0], right.astype(np.int8), ones[1])
    np.testing.assert_array_equal(found, (left - 128) @ right)


@examples(40)
@given(
    kind=KINDS,
    n=st.integers(1, 300),
    seed=st.integers(0, 10_000),
    k=st.integers(1, 30),
    tile=st.integers(1, 90),
    floor=st.sampled_from([-1.0, 0.2]),
    steps=st.sampled_from([MOST, MOST // 2]),
)
def test_a_rough_join_finds_what_an_exact_one_finds(kind, n, seed, k, tile, floor, steps):
    rows = np.unique(kind(n + 1, 96, seed), axis=0)
    rounded = Rounded.of(rows, min(steps, right_steps()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dense, "TILE", tile)
        joins = [dense.self_join(rows, k, floor, each) for each in (None, rounded)]
        asked = [dense.nearest(rows[::3], rows, k, floor, each) for each in (None, rounded)]
    for exact, rough in (joins, asked):
        for one, other in zip(above(exact, floor, k), above(rough, floor, k), strict=True):
            np.testing.assert_array_equal(one, other)


def above(edges, floor, k):
    kept = edges[2] > floor
    return best(tuple(each[kept] for each in edges), int(edges[0].max(initial=0)) + 1, k)


@pytest.mark.parametrize("floor", [-1.0, 0.3])
def test_cells_keep_what_they_keep_by_exact_products(monkeypatch, floor):
    rows = np.unique(np.concatenate([flat(1500, 64, 1), copies(500, 64, 2)]), axis=0)
    monkeypatch.setattr(probing, "_BATCH", 700)
    plain = Cells.of(rows)
    assert plain.rounded is None
    monkeypatch.setattr(probing, "COLUMNS", range(64, 65))
    rough = Cells.of(rows)
    assert rough.rounded is not None
    found = [above(cells.nearest(rows, 9, floor, 12), floor, 9) for cells in (plain, rough)]
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_search_is_the_same_rounded_or_not(monkeypatch):
    rows = np.concatenate([flat(900, 256, 1), copies(300, 256, 2)])
    expected = DenseIndex.of(rows).search(rows, 12, own=np.arange(len(rows)), floor=0.1)
    monkeypatch.setattr(search, "_ROUNDED_ROWS", 100)
    monkeypatch.setattr(search, "_ROUNDED_QUERIES", 100)
    index = DenseIndex.of(rows)
    assert index.rounded is not None
    for part in (slice(None), slice(0, 700)):
        found = index.search(rows if part == slice(None) else rows[part], 12, own=np.arange(len(rows))[part], floor=0.1)
        np.testing.assert_array_equal(found.index, expected.index[part])
        np.testing.assert_array_equal(found.score, expected.score[part])


def test_the_product_is_the_graph_that_is_written_here(tmp_path: Path):
    from kembar.training.graphs import rough_product

    rough_product(tmp_path / "product.onnx")
    shipped = resources.files("kembar.evidence").joinpath("product.onnx").read_bytes()
    assert (tmp_path / "product.onnx").read_bytes() == shipped
