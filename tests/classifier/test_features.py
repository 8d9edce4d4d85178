import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kembar.classifier import features as features_module
from kembar.classifier.features import Features
from kembar.errors import EvidenceError
from kembar.evidence.pairs import Pairs
from kembar.evidence.scorers import scorers_of
from properties import examples

WORDS = ["sabun", "lux", "dove", "250ml", "100ml", "2kg", "promo", "ori", "kotak", "merah", "biru", "anak"]


def described(pairs: Pairs, titles: pl.Series) -> Features:
    return Features.of(pairs, len(titles), scorers_of(titles))


def drawn(seed: int, n: int = 14) -> tuple[Pairs, pl.Series]:
    rng = np.random.default_rng(seed)
    left, right = np.nonzero(np.triu(rng.random((n, n)) < 0.6, 1))
    titles = [" ".join(rng.choice(WORDS, rng.integers(0, 5), replace=False)) for _ in range(n)]
    columns = {name: rng.random(len(left)).astype(np.float32).round(1) for name in ("word", "hash", "similarity")}
    columns["hash"][rng.random(len(left)) < 0.3] = np.nan
    columns["conflict"] = np.zeros(len(left), np.float32)
    return Pairs(left, right, columns), pl.Series(titles, dtype=pl.String)


def moved(pairs: Pairs, titles: pl.Series, seed: int) -> tuple[Pairs, pl.Series, np.ndarray]:
    """The same posts in another order, and for each pair there the place it had."""
    order = np.random.default_rng(seed).permutation(len(titles))
    place = np.argsort(order)
    a, b = place[pairs.left], place[pairs.right]
    low, high = np.minimum(a, b), np.maximum(a, b)
    rank = np.lexsort((high, low))
    columns = {name: column[rank] for name, column in pairs.evidence.items()}
    return Pairs(low[rank], high[rank], columns), titles.gather(order), rank


@examples(30)
@given(st.integers(0, 10**6))
def test_the_order_of_posts_changes_nothing(seed: int) -> None:
    pairs, titles = drawn(seed)
    other, shuffled, rank = moved(pairs, titles, seed)
    here, there = described(pairs, titles), described(other, shuffled)
    assert here.names == there.names
    np.testing.assert_allclose(there.table(), here.table()[rank], rtol=1e-5, atol=1e-6)


def test_rows_in_parts_of_any_size_make_the_same_table(monkeypatch: pytest.MonkeyPatch) -> None:
    features = described(*drawn(3))
    whole = features.table()
    for size in (1, 7, 1000):
        monkeypatch.setattr(features_module, "_CHUNK", size)
        np.testing.assert_array_equal(features.table(), whole)
    rows = np.array([0, 3, len(features) - 1])
    np.testing.assert_array_equal(features.table(rows=rows), whole[rows])


def test_columns_come_by_name_and_unknown_ones_are_missing() -> None:
    features = described(*drawn(4))
    names = ["edit ratio", "title", "word rank low"]
    table = features.table(names)
    assert np.isnan(table[:, 1]).all()
    np.testing.assert_array_equal(table[:, 0], features.table()[:, features.names.index("edit ratio")])


def test_names_are_unique_and_flags_are_no_similarity() -> None:
    names = described(*drawn(5)).names
    assert len(set(names)) == len(names)
    assert "similarity company" in names
    assert "conflict rank low" not in names


def test_pairs_beyond_the_titles_are_refused() -> None:
    pairs, titles = drawn(6)
    with pytest.raises(EvidenceError, match="rows below 3"):
        described(pairs, titles.head(3))
