from pathlib import Path

import numpy as np
import polars as pl

from kembar.posts.catalog import Catalog
from kembar.posts.columns import Columns
from kembar.posts.united import united
from pictures import scene


def shop(folder: Path, name: str, **columns: list[str]) -> Catalog:
    (folder / name).mkdir()
    scene().save(folder / name / "a.png")
    posts = {"posting_id": ["1", "2"], "title": ["soap 50 g", "rice \x00"], "image": ["a.png", ""], **columns}
    named = Columns(within="kind" if "kind" in columns else None, further=("model",) if "model" in columns else ())
    return Catalog.read(pl.DataFrame(posts), images=folder / name, columns=named)


def test_posts_keep_all_that_is_known_of_them(tmp_path):
    one = shop(tmp_path, "one", price=["3", "4"], model=["X1", ""])
    two = shop(tmp_path, "two", brand=["Dove", ""], kind=["care", "food"])
    both = united({"mine": one, "theirs": two})
    assert both.ids.to_list() == ["mine/1", "mine/2", "theirs/1", "theirs/2"]
    assert both.titles.to_list() == [*one.titles, *two.titles]
    assert both.sources is not None
    assert both.within is not None
    assert both.further is not None
    assert both.sources.to_list() == ["mine", "mine", "theirs", "theirs"]
    assert both.within.to_list() == ["", "", "care", "food"]
    assert both.further.to_dict(as_series=False) == {"model": ["X1", "", "", ""], "brand": ["", "", "Dove", ""]}
    np.testing.assert_array_equal(both.prices, [3, 4, np.nan, np.nan])
    assert both.problems["posting_id"].to_list() == ["mine/2", "theirs/2"]
    assert both.photo_paths() == [tmp_path / "one" / "a.png", None, tmp_path / "two" / "a.png", None]
    assert all(path is None or path.is_file() for path in both.photo_paths())


def test_without_a_photo_folder_a_catalogue_has_no_photos(tmp_path):
    one = shop(tmp_path, "one")
    bare = Catalog.read(pl.DataFrame({"posting_id": ["1"], "title": ["x"], "image": ["a.png"]}))
    assert united({"a": one, "b": bare}).photo_paths() == [tmp_path / "one" / "a.png", None, None]
    assert united({"a": bare, "b": bare}).folder is None


def test_one_folder_for_both(tmp_path):
    one = shop(tmp_path, "one")
    assert united({"a": one, "b": one}).images.to_list() == ["a.png", "", "a.png", ""]
