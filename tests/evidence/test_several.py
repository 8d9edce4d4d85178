"""Posts with several photos: the best pair of photos decides."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

import oracles
from kembar.arrays import offsets_of
from kembar.evidence import several
from kembar.evidence.views import DenseView, HashView, search

View = DenseView | HashView
_HASHES = np.array([0, 1, 3, 7, 0xFF, 0xFFFF, (1 << 64) - 1, 0xF0F0F0F0F0F0F0F0], dtype=np.uint64)
_COUNTS = st.lists(st.integers(1, 4), min_size=1, max_size=7)


def hash_view(counts: list[int], seed: int, k: int = 51) -> HashView:
    rng = np.random.default_rng(seed)
    offsets = offsets_of(np.array(counts))
    hashes, hashed = rng.choice(_HASHES, offsets[-1]), rng.random(offsets[-1]) < 0.8
    return HashView("hash", hashes, hashed, k, radius=16, offsets=offsets)


def dense_view(counts: list[int], seed: int, k: int = 51) -> DenseView:
    rng = np.random.default_rng(seed)
    offsets = offsets_of(np.array(counts))
    vectors = rng.integers(-1, 2, (offsets[-1], 3)).astype(np.float32)  # few different ones: ties, copies, zeros
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return DenseView("photo", (vectors / np.where(length > 0, length, 1)).astype(np.float32), k, offsets=offsets)


MAKERS = pytest.mark.parametrize("make", [hash_view, dense_view])


def every_pair(view: View, base: View) -> np.ndarray:
    """(posts, posts of the base): the similarities, one pair of posts after the other."""
    left, right = np.indices((len(view), len(base))).reshape(2, -1)
    return view.score(left, right, base).reshape(len(view), len(base))


@MAKERS
@given(counts=_COUNTS, others=_COUNTS, seed=st.integers(0, 99))
def test_the_best_pair_of_photos_decides(make, counts: list[int], others: list[int], seed: int) -> None:
    view, base = make(counts, seed), make(others, seed + 1)
    expected = oracles.best_of_rows(view.score_rows, view.offsets, base, base.offsets)
    np.testing.assert_array_equal(every_pair(view, base), expected)


@MAKERS
@given(counts=_COUNTS, seed=st.integers(0, 99), k=st.integers(1, 5))
def test_a_search_finds_posts_by_any_of_their_photos(make, counts: list[int], seed: int, k: int) -> None:
    view = make(counts, seed, k)
    table = np.nan_to_num(every_pair(view, view), nan=-9)
    floor = 1 - 16.5 / 64 if make is hash_view else 0
    index, score = oracles.neighbors(table, min(k, len(view)), floor)
    found = search(view, view, np.arange(len(view)))
    np.testing.assert_array_equal(found.index, index)
    np.testing.assert_array_equal(found.score[found.index >= 0], score[index >= 0].astype(np.float32))


@MAKERS
@given(counts=_COUNTS, others=_COUNTS, seed=st.integers(0, 99), k=st.integers(1, 5))
def test_other_posts_are_found_too_and_slices_find_the_same(make, counts, others, seed: int, k: int) -> None:
    view, base = make(counts, seed, k), make(others, seed + 1, k)
    table = np.nan_to_num(every_pair(view, base), nan=-9)
    floor = 1 - 16.5 / 64 if make is hash_view else 0
    found = search(view, base)
    for post, row in enumerate(table):
        near = sorted((j for j in range(len(row)) if row[j] > floor), key=lambda j: (-row[j], j))
        assert [each for each in found.index[post, 1:] if each >= 0] == near[: found.index.shape[1] - 1]
        alone = search(view.take(np.array([post])), base)
        np.testing.assert_array_equal(alone.index[0], found.index[post])


@MAKERS
@given(counts=_COUNTS, seed=st.integers(0, 99))
def test_one_photo_per_post_is_as_if_nobody_had_counted(make, counts: list[int], seed: int) -> None:
    counted = make([1] * len(counts), seed)
    plain = replace(counted, offsets=None)
    own = np.arange(len(counts))
    np.testing.assert_array_equal(every_pair(counted, plain), every_pair(plain, plain))
    for queries, base in ((counted, plain), (plain, counted), (counted, counted)):
        found, expected = search(queries, base, own), search(plain, plain, own)
        np.testing.assert_array_equal(found.index, expected.index)
        np.testing.assert_array_equal(found.score, expected.score)
    weights = sp.csr_matrix(np.eye(len(counts), dtype=np.float32) + np.float32(0.25))
    if isinstance(plain, DenseView):
        np.testing.assert_array_equal(counted.blended(weights).vectors, plain.blended(weights).vectors)


@MAKERS
@given(counts=_COUNTS, seed=st.integers(0, 99), data=st.data())
def test_a_further_photo_never_lowers_a_similarity(make, counts: list[int], seed: int, data: st.DataObject) -> None:
    view = make(counts, seed)
    post = data.draw(st.integers(0, len(counts) - 1))
    rows = list(range(view.rows()))
    rows.insert(int(view.offsets[post + 1]), data.draw(st.sampled_from(rows)))  # any photo of the catalogue
    grown = [count + (place == post) for place, count in enumerate(counts)]
    more = replace(view.take_rows(np.array(rows)), offsets=offsets_of(np.array(grown)))
    before, after = every_pair(view, view), every_pair(more, more)
    assert np.all((after >= before) | np.isnan(before))


@MAKERS
@given(counts=_COUNTS, seed=st.integers(0, 99), k=st.integers(1, 5))
def test_the_order_of_photos_changes_nothing(make, counts: list[int], seed: int, k: int) -> None:
    view = make(counts, seed, k)
    backwards = np.concatenate([np.arange(a, b)[::-1] for a, b in zip(view.offsets, view.offsets[1:], strict=False)])
    other = replace(view.take_rows(backwards), offsets=view.offsets)
    np.testing.assert_array_equal(every_pair(other, other), every_pair(view, view))
    own = np.arange(len(view))
    np.testing.assert_array_equal(search(other, other, own).index, search(view, view, own).index)


@MAKERS
@given(counts=_COUNTS, seed=st.integers(0, 99), data=st.data())
def test_posts_are_taken_hidden_and_joined_with_all_their_photos(make, counts, seed: int, data: st.DataObject) -> None:
    view = make(counts, seed)
    order = np.array(data.draw(st.permutations(range(len(view)))))
    table = every_pair(view, view)
    np.testing.assert_array_equal(every_pair(view.take(order), view), table[order])
    parts = [view.take(order[:2]), view.take(order[2:])]
    np.testing.assert_array_equal(every_pair(view.joined(parts, np.argsort(order)), view), table)
    hidden = np.arange(len(view)) % 2 == 0
    assert np.isnan(every_pair(view.hidden(hidden), view)[hidden]).all()


def test_a_photo_learns_from_the_photos_that_make_two_posts_alike() -> None:
    turn = np.float32([[1, 0, 0], [0, 0, 1], [0.8, 0.6, 0], [0, -1, 0]])
    view = DenseView("photo", turn, offsets=np.array([0, 2, 4]))
    weights = sp.csr_matrix(np.float32([[1, 0.5], [0, 1]]))
    blended = view.blended(weights).vectors
    together = turn[0] + 0.5 * turn[2]
    np.testing.assert_allclose(blended[0], together / np.linalg.norm(together), rtol=1e-6)
    np.testing.assert_array_equal(blended[1:], turn[1:])
    np.testing.assert_array_equal(view.take(np.array([0])).blended(weights[:1], view).vectors, blended[:2])


@MAKERS
def test_work_cut_into_parts_gives_the_same(make, monkeypatch: pytest.MonkeyPatch) -> None:
    view = make([1, 3, 2, 4, 1, 2], 7, 3)
    table, own = every_pair(view, view), np.arange(6)
    near = search(view, view, own)
    monkeypatch.setattr(several, "CELLS", 5)
    np.testing.assert_array_equal(every_pair(view, view), table)
    np.testing.assert_array_equal(search(view, view, own).index, near.index)
