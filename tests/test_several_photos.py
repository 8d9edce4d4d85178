"""The whole way with several photos per post."""

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import kembar
from conftest import Cli
from kembar import Catalog, Columns, Config, Drawing, Matcher
from kembar.synthesis import write_shop
from kembar.synthesis.further_views import further_views
from kembar.synthesis.shop import draw_shop, synthesize

ALL = Columns(further_images=("image_2", "image_3"))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[pl.DataFrame, Path]:
    """60 posts with 1 to 3 photos, and the folder of these."""
    folder, drawing = tmp_path_factory.mktemp("several"), Drawing(size=64, threads=1)
    drawn = synthesize(60, seed=2)
    draw_shop(drawn, folder, drawing)
    posts = drawn.posts
    for place, more in enumerate(further_views(drawn, 3), 2):
        draw_shop(more, folder, drawing)
        posts = posts.join(more.posts.rename({"image": f"image_{place}"}), on="posting_id", how="left")
    return posts, folder


def matched(posts: pl.DataFrame, folder: Path, columns: Columns = ALL, **options: int) -> kembar.Result:
    return Matcher(Config(model="rules"), **options).match(Catalog.read(posts, images=folder, columns=columns))


def same(one: kembar.Result, other: kembar.Result) -> None:
    assert one.matches.frame(one.catalog.ids).equals(other.matches.frame(other.catalog.ids))
    assert one.pairs.frame(one.catalog.ids).equals(other.pairs.frame(other.catalog.ids))


def test_neither_buckets_nor_the_order_of_further_photos_change_a_byte(shop: tuple[pl.DataFrame, Path]) -> None:
    posts, folder = shop
    result = matched(posts, folder)
    same(matched(posts, folder, buckets=3), result)
    same(matched(posts, folder, Columns(further_images=("image_3", "image_2"))), result)
    assert result.catalog.photos().hashed.all()
    assert result.report["with"]["several photos"] == posts["image_2"].count()


def test_similarities_are_those_of_the_best_pair_of_photos(shop: tuple[pl.DataFrame, Path]) -> None:
    posts, folder = shop
    result = matched(posts, folder)
    pairs = result.pairs
    photos = result.catalog.photos()
    bounds = photos.offsets
    for left, right, found in zip(pairs.left, pairs.right, pairs.evidence["hash"], strict=True):
        apart = [
            int(one ^ other).bit_count()
            for one in photos.hashes[bounds[left] : bounds[left + 1]]
            for other in photos.hashes[bounds[right] : bounds[right + 1]]
        ]
        assert found == np.float32(1 - min(apart) / 64)


def test_a_column_of_further_photos_that_is_empty_changes_nothing(shop: tuple[pl.DataFrame, Path]) -> None:
    posts, folder = shop
    bare = posts.with_columns(image_2=pl.lit(None, pl.String), image_3=pl.lit(""))
    one, other = matched(bare, folder), matched(posts, folder, Columns())
    same(one, other)
    assert one.catalog.fingerprint() == other.catalog.fingerprint()


def test_a_damaged_photo_leaves_the_others(shop: tuple[pl.DataFrame, Path], tmp_path: Path) -> None:
    posts, folder = shop
    broken = tmp_path / "photos"
    shutil.copytree(folder, broken)
    row = int(posts["image_2"].is_not_null().arg_max())
    (broken / posts["image"][row]).write_bytes(b"no photo")
    result = matched(posts, broken)
    assert result.catalog.problems["posting_id"].to_list() == [posts["posting_id"][row]]
    photos = result.catalog.take([row]).photos()
    assert photos.hashed.tolist() == [False, *[True] * (len(photos.images) - 1)]
    one = result.catalog.take([row])
    one.save(tmp_path / "saved")
    assert Catalog.load(tmp_path / "saved").photos().hashes.tolist() == photos.hashes.tolist()


def test_a_picture_that_unlike_posts_share_is_set_aside_wherever_it_stands(
    shop: tuple[pl.DataFrame, Path], tmp_path: Path
) -> None:
    posts, folder = shop
    banner = "banner.jpg"
    write_shop(tmp_path / "other", 1, seed=9, photos=Drawing(size=64, threads=1))
    photos = tmp_path / "photos"
    shutil.copytree(folder, photos)
    shutil.copy(tmp_path / "other" / "photos" / "0000000.jpg", photos / banner)
    marked = posts.with_columns(image_3=pl.lit(banner))
    result = matched(marked, photos)
    told = result.catalog.problems.filter(pl.col("problem").str.contains("60 posts of unlike titles share"))
    assert len(told) == 60
    same(result, matched(posts.with_columns(image_3=pl.lit(None, pl.String)), folder))


def test_the_command_line_takes_several_columns_and_a_folder(
    shop: tuple[pl.DataFrame, Path], cli: Cli, tmp_path: Path
) -> None:
    posts, folder = shop
    posts.head(12).write_csv(tmp_path / "posts.csv")
    columns = ("--image", "image", "--image", "image_2", "--image", "image_3")
    done = cli("match", tmp_path / "posts.csv", "-o", tmp_path / "run", *columns, "--quiet")
    assert done.exit_code == 2
    assert "--image 'image' without --images" in done.output
    done = cli("match", tmp_path / "posts.csv", "-o", tmp_path / "run", *columns, "--images", folder)
    assert done.exit_code == 0, done.output
    assert "with several photos" in done.output
    done = cli("match", folder, "-o", tmp_path / "folder", "--set", "photo=false", "--set", "model=rules")
    assert done.exit_code == 0, done.output
    ids = pl.read_csv(tmp_path / "folder" / "groups.csv")["posting_id"]
    assert sorted(ids) == sorted(path.name for path in folder.iterdir())
