from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kembar import CatalogError, Columns, EvidenceError
from kembar.posts.labels import contradictions, read_pairs, read_truth, super_components
from properties import examples

IDS = pl.Series(["a", "b", "c", "d", "007"])


def write(folder: Path, **columns: list[object]) -> Path:
    path = folder / "truth.csv"
    pl.DataFrame(columns).write_csv(path)
    return path


def test_labels_come_in_the_order_of_the_catalogue(tmp_path: Path) -> None:
    path = write(tmp_path, posting_id=["d", "x", "a", "007", "b"], label_group=[9, 9, 5, 9, None])
    labels = read_truth(path, IDS)
    assert labels.dtype == "int64"
    assert labels[3] == labels[4] >= 0
    assert labels[0] >= 0
    assert labels[0] != labels[3]
    assert labels[1] == labels[2] == -1  # unknown in the file, absent from it


def test_groups_may_be_names_and_files_parquet(tmp_path: Path) -> None:
    frame = pl.DataFrame({"sku": ["a", "b", "c"], "model": ["x1", "x2", "x1"], "price": [1.5, 2.5, 3.5]})
    frame.write_parquet(tmp_path / "truth.parquet")
    labels = read_truth(tmp_path / "truth.parquet", IDS, Columns("sku", label="model"))
    assert labels.tolist() == [0, 1, 0, -1, -1]


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="does not exist"):
        read_truth(tmp_path / "none.csv", IDS)
    path = write(tmp_path, posting_id=["a"], group=[1])
    with pytest.raises(CatalogError, match=r"without a column 'label_group'.*Columns\(label="):
        read_truth(path, IDS)
    with pytest.raises(CatalogError, match="without a column 'sku'"):
        read_truth(path, IDS, Columns("sku", label="group"))
    path = write(tmp_path, posting_id=["x", "y"], label_group=[1, 1])
    with pytest.raises(CatalogError, match="none of the 5 posts"):
        read_truth(path, IDS)
    path = write(tmp_path, posting_id=["a", "a"], label_group=[1, 2])
    with pytest.raises(CatalogError, match="'a' in rows 1, 2"):
        read_truth(path, IDS)
    path = write(tmp_path, posting_id=["a", "b"], label_group=[0.5, 1.5])
    with pytest.raises(CatalogError, match="not whole numbers"):
        read_truth(path, IDS)


def test_groups_that_share_a_hash_are_one_component() -> None:
    labels = np.array([0, 0, 1, 2, 2, -1, -1, 3])
    hashes = np.array([7, 8, 8, 9, 5, 9, 6, 8], np.uint64)
    hashed = np.array([True, True, True, True, True, True, True, False])
    found = super_components(labels, hashes, hashed)
    assert len(set(found.tolist())) == 4
    assert len({found[0], found[1], found[2]}) == 1, "hash 8 joins groups 0 and 1"
    assert found[3] == found[4] == found[5], "a post without a label follows its hash"
    assert found[7] not in found[:7], "a missing hash joins nothing"


@examples(80)
@given(st.lists(st.tuples(st.integers(-1, 5), st.integers(0, 6), st.booleans()), min_size=1, max_size=15))
def test_components_are_those_of_repeated_joining(posts: list[tuple[int, int, bool]]) -> None:
    labels = np.array([label for label, _, _ in posts])
    hashes = np.array([code for _, code, _ in posts], np.uint64)
    hashed = np.array([known for _, _, known in posts])
    found = super_components(labels, hashes, hashed)
    slow = list(range(len(posts)))
    for _ in posts:
        for i, (a, code, known) in enumerate(posts):
            for j, (b, other, also) in enumerate(posts):
                if (a == b >= 0) or (code == other and known and also):
                    slow[i] = slow[j] = min(slow[i], slow[j])
    assert (np.equal.outer(found, found) == np.equal.outer(slow, slow)).all()


def test_pairs_that_contradict_the_others_are_listed() -> None:
    left, right = np.array([0, 1, 0, 3, 4]), np.array([1, 2, 2, 4, 5])
    same = np.array([True, True, False, True, False])
    assert contradictions(left, right, same, 6).tolist() == [2]
    assert contradictions(left, right, np.ones(5, bool), 6).tolist() == []


def test_labelled_pairs_are_read_whatever_their_order_and_words(tmp_path: Path) -> None:
    answers = ["yes", "0", "TRUE", "", "1", "no"]
    path = tmp_path / "pairs.csv"
    pl.DataFrame(
        {"left": ["b", "a", "d", "a", "b", "x"], "right": ["a", "c", "007", "d", "a", "b"], "same": answers}
    ).write_csv(path)
    found = read_pairs(path, IDS)
    assert list(zip(found.left, found.right, found.same, strict=True)) == [(0, 1, True), (0, 2, False), (3, 4, True)]
    groups = found.groups(len(IDS))
    assert groups[0] == groups[1] != groups[2]
    assert groups[3] == groups[4]
    assert read_pairs(path, pl.Series(["b", "a", "z"])).groups(3)[2] == -1


def test_answers_that_contradict_are_named(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    pl.DataFrame({"left": ["a", "b", "c"], "right": ["b", "c", "a"], "same": [1, 1, 0]}).write_csv(path)
    with pytest.raises(EvidenceError, match=r"1 pairs .* 'a' and 'c'"):
        read_pairs(path, IDS)
    pl.DataFrame({"left": ["a", "b"], "right": ["b", "a"], "same": [1, 0]}).write_csv(path)
    with pytest.raises(EvidenceError, match="'a' and 'b'"):
        read_pairs(path, IDS)


@pytest.mark.parametrize(
    ("columns", "word"),
    [
        ({"left": ["a"], "right": ["b"]}, "'same'"),
        ({"left": ["a"], "right": ["b"], "same": ["perhaps"]}, "'perhaps'"),
        ({"left": ["a", "b"], "right": ["b", "c"], "same": ["", ""]}, "same is empty"),
        ({"left": ["a"], "right": ["x"], "same": ["1"]}, "no pair"),
        ({"left": ["a"], "right": ["a"], "same": ["1"]}, "no pair"),
    ],
)
def test_pairs_that_cannot_be_read_are_refused(tmp_path: Path, columns: dict[str, list[str]], word: str) -> None:
    pl.DataFrame(columns).write_csv(tmp_path / "pairs.csv")
    with pytest.raises(CatalogError, match=word):
        read_pairs(tmp_path / "pairs.csv", IDS)
