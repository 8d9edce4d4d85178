from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kembar.arrays import unit_rows
from kembar.encoders.embeddings import Embeddings
from kembar.errors import EvidenceError
from properties import examples

IDS = pl.Series(["a", "b", "c", "d"])
VECTORS = np.array([[3, 4], [1, 0], [0, 0], [0, -2]], dtype=np.float32)
UNITS = np.array([[0.6, 0.8], [1, 0], [0, 0], [0, -1]], dtype=np.float32)


def refused(path: Path, ids: pl.Series = IDS) -> str:
    with pytest.raises(EvidenceError) as error:
        Embeddings.read(path, ids)
    return str(error.value)


# from arrays


@given(hnp.arrays(np.float32, (5, 3), elements=st.one_of(st.just(0.0), st.floats(-(2.0**126), 2.0**126, width=32))))
def test_rows_of_length_1_or_0(vectors):
    before = vectors.copy()
    found = Embeddings.of(vectors)
    length = np.linalg.norm(found.vectors.astype(np.float64), axis=1)
    known = vectors.any(axis=1)
    np.testing.assert_allclose(length[known], 1, atol=1e-6)
    assert (length[~known] == 0).all()
    np.testing.assert_array_equal(vectors, before)
    assert len(found) == 5
    assert found.vectors.dtype == unit_rows(vectors).dtype == np.float32


@pytest.mark.parametrize("kind", [np.float64, np.float16, np.int64])
def test_any_numbers_will_do(kind):
    np.testing.assert_allclose(Embeddings.of(VECTORS.astype(kind)).vectors, UNITS)
    np.testing.assert_allclose(Embeddings.of(VECTORS.tolist()).vectors, UNITS)


def test_no_posts():
    assert len(Embeddings.of(np.zeros((0, 3)))) == 0


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ([["a", "b"]], "not numbers"),
        ([[1, 2], [3]], "not numbers"),
        ([[None, 1]], "not finite"),
        ([1, 2], r"shape \(2,\)"),
        ([[[1]]], r"shape \(1, 1, 1\)"),
        (np.zeros((3, 0)), r"shape \(3, 0\)"),
        (5, r"shape \(\)"),
        ([[0, 1], [np.nan, 1], [np.inf, 0]], "2 vectors that are not finite, the first in row 1"),
        ([[1, 1], [1e300, 1]], "1 vectors that are not finite, the first in row 1"),
    ],
)
def test_what_is_not_a_table_of_numbers(vectors, message):
    with pytest.raises(EvidenceError, match=message):
        Embeddings.of(vectors)


@pytest.mark.parametrize("vectors", [np.zeros((2, 2)), np.zeros(3, dtype=np.float32)])
def test_the_constructor_takes_finished_rows_alone(vectors):
    with pytest.raises(EvidenceError, match=r"Embeddings\.of"):
        Embeddings(vectors)


# from .npy


def test_npy(tmp_path):
    np.save(tmp_path / "v.npy", VECTORS)
    np.testing.assert_allclose(Embeddings.read(tmp_path / "v.npy", IDS).vectors, UNITS)
    np.testing.assert_allclose(Embeddings.read(str(tmp_path / "v.npy"), IDS).vectors, UNITS)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (VECTORS[:3], r"shape \(3, 2\)"),
        (np.float32(5), r"shape \(\)"),
        (np.zeros(4), r"shape \(4,\)"),
        (np.array([["x"]] * 4), "not numbers"),
        (np.full((4, 2), np.nan), "4 vectors that are not finite"),
    ],
)
def test_npy_that_does_not_fit(tmp_path, array, message):
    np.save(tmp_path / "v.npy", array)
    with pytest.raises(EvidenceError, match=message):
        Embeddings.read(tmp_path / "v.npy", IDS)


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"\x93NUMPY", b"PK\x03\x04 nonsense", b"\x93NUMPY\x01\x00v\x00{"]
)
def test_npy_that_is_none(tmp_path, content):
    (tmp_path / "v.npy").write_bytes(content)
    assert "do not read" in refused(tmp_path / "v.npy")


def test_npy_cut_short_or_of_objects_or_an_archive(tmp_path):
    np.save(tmp_path / "v.npy", VECTORS)
    whole = (tmp_path / "v.npy").read_bytes()
    (tmp_path / "cut.npy").write_bytes(whole[:-5])
    assert "do not read" in refused(tmp_path / "cut.npy")
    np.save(tmp_path / "objects.npy", np.array([[{}]], dtype=object), allow_pickle=True)
    assert "do not read" in refused(tmp_path / "objects.npy")
    np.savez(tmp_path / "v.npz", a=VECTORS)
    (tmp_path / "v.npz").rename(tmp_path / "archive.npy")
    assert "do not read" in refused(tmp_path / "archive.npy")


def test_missing_and_unknown_files(tmp_path):
    assert "gone.npy' that do not read" in refused(tmp_path / "gone.npy")
    assert "gone.parquet' that do not read" in refused(tmp_path / "gone.parquet")
    assert "v.txt'; expected a .npy or .parquet file" in refused(tmp_path / "v.txt")


# from Parquet


def table(ids, vectors, kind=None) -> pl.DataFrame:
    return pl.DataFrame({"posting_id": ids, "vector": pl.Series(vectors, dtype=kind or pl.List(pl.Float64))})


@pytest.mark.parametrize("kind", [pl.List(pl.Float32), pl.List(pl.Int64), pl.Array(pl.Float32, 2)])
def test_parquet_in_another_order_with_missing_and_unknown_posts(tmp_path, kind):
    table(["d", "zz", "a", "b"], [[0, -2], [9, 9], [3, 4], [1, 0]], kind).write_parquet(tmp_path / "v.parquet")
    np.testing.assert_allclose(Embeddings.read(tmp_path / "v.parquet", IDS).vectors, UNITS)


@examples(25)
@given(st.permutations(range(4)), st.integers(1, 4))
def test_order_of_the_file_does_not_matter(tmp_path_factory, order, most):
    path = tmp_path_factory.mktemp("v") / "v.parquet"
    kept = list(order)[:most]
    table(IDS.gather(kept), VECTORS[kept].tolist()).write_parquet(path)
    expected = np.where(np.isin(np.arange(4), kept)[:, None], UNITS, 0)
    np.testing.assert_allclose(Embeddings.read(path, IDS).vectors, expected)


def test_numbers_as_ids_and_posts_without_a_vector(tmp_path):
    table([2, 1, None], [[3, 4], None, [1, 1]]).write_parquet(tmp_path / "v.parquet")
    found = Embeddings.read(tmp_path / "v.parquet", pl.Series(["1", "2"]))
    np.testing.assert_allclose(found.vectors, [[0, 0], [0.6, 0.8]])


def test_parquet_for_no_posts(tmp_path):
    table(["a"], [[3, 4]]).write_parquet(tmp_path / "v.parquet")
    assert Embeddings.read(tmp_path / "v.parquet", pl.Series([], dtype=pl.String)).vectors.shape == (0, 2)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pl.DataFrame({"id": ["a"], "vector": [[1.0]]}), r"columns \['id', 'vector'\]"),
        (pl.DataFrame({"posting_id": ["a"], "vector": [1.0]}), "posting_id and one column of lists"),
        (pl.DataFrame({"posting_id": ["a"], "v": [[1.0]], "w": [[1.0]]}), "posting_id and one column of lists"),
        (table(["a", "b"], [[1, 2], [1]]), r"vectors of \[1, 2\] numbers"),
        (table(["a", "b"], [[], []]), r"vectors of \[0\] numbers"),
        (table([], []), r"vectors of \[\] numbers"),
        (table(["a"], [None]), r"vectors of \[\] numbers"),
        (table(["a", "a"], [[1], [1]]), "a posting_id twice"),
        (table(["a"], [["x"]], pl.List(pl.String)), "do not read"),
        (table(["a"], [[1, None]]), "1 vectors that are not finite"),
    ],
)
def test_parquet_that_does_not_fit(tmp_path, frame, message):
    frame.write_parquet(tmp_path / "v.parquet")
    with pytest.raises(EvidenceError, match=message):
        Embeddings.read(tmp_path / "v.parquet", IDS)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"nonsense"])
def test_parquet_that_is_none(tmp_path, content):
    (tmp_path / "v.parquet").write_bytes(content)
    assert "do not read" in refused(tmp_path / "v.parquet")
