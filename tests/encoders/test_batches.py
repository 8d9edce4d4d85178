"""A vector does not depend on what else is encoded: not on the batch, its size or its order, to the last bit."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kembar import synthesize
from kembar.encoders.protocol import Encoder, batches_by_length
from kembar.encoders.registry import open_encoder
from kembar.posts.titles import normalize
from properties import examples


@pytest.fixture(scope="module")
def titles() -> list[str]:
    posts = synthesize(400, seed=2, hashes=True).posts
    return normalize(pl.concat([posts["title"], pl.Series(["", "a", "kata " * 80])])).to_list()


@pytest.fixture(scope="module")
def encoded(titles: list[str]) -> tuple[Encoder, np.ndarray]:
    encoder = open_encoder("kembar-title", device="cpu")
    return encoder, encoder.encode(titles)


@examples(20)
@given(st.data())
def test_a_title_is_the_same_in_any_company(
    titles: list[str], encoded: tuple[Encoder, np.ndarray], data: st.DataObject
) -> None:
    encoder, whole = encoded
    some = data.draw(st.lists(st.integers(0, len(titles) - 1), min_size=1, max_size=30))
    size = data.draw(st.sampled_from([None, 1, 2, 7]))
    np.testing.assert_array_equal(encoder.encode([titles[at] for at in some], batch_size=size), whole[some])


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_photo_is_the_same_in_any_company(shop: Path, size: int) -> None:
    encoder = open_encoder("kembar-photo", device="cpu")
    photos = sorted((shop / "photos").iterdir())[:7]
    whole = encoder.encode(photos)
    np.testing.assert_array_equal(encoder.encode(photos, batch_size=size), whole)
    np.testing.assert_array_equal(encoder.encode(photos[::-1]), whole[::-1])


@examples(60)
@given(st.lists(st.integers(0, 9), max_size=40), st.integers(1, 6))
def test_batches_without_padding_hold_items_of_one_length(lengths: list[int], size: int) -> None:
    batches = list(batches_by_length(lengths, size, window=16, padded=False))
    assert sorted(row for rows in batches for row in rows.tolist()) == [at for at, each in enumerate(lengths) if each]
    for rows in batches:
        assert 1 <= len(rows) <= size
        assert len({lengths[row] for row in rows.tolist()}) == 1
