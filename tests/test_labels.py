from pathlib import Path

import polars as pl
import pytest

from kembar import CatalogError, Columns
from kembar.labels import read_truth

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
    with pytest.raises(CatalogError, match=r"without a column 'label_group'.*--label"):
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
