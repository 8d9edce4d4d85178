import random

import numpy as np
import polars as pl
import pytest

from kembar import Catalog, match
from kembar.evidence.placeholders import BLANK, set_aside
from places import DATA

WORDS = (
    "panci",
    "kemeja",
    "lampu",
    "sepatu",
    "tas",
    "jam",
    "kursi",
    "meja",
    "buku",
    "botol",
    "kipas",
    "kabel",
    "sabun",
)


def shop(n: int, seed: int = 0) -> pl.DataFrame:
    """Posts of unlike titles, each with its own photo."""
    draw = random.Random(seed)
    titles = [f"{draw.choice(WORDS)} {draw.choice(WORDS)} kode{draw.randrange(10**6)} seri{row}" for row in range(n)]
    hashes = [f"{draw.getrandbits(64):016x}" for _ in range(n)]
    return pl.DataFrame({"posting_id": [f"p{row:04d}" for row in range(n)], "title": titles, "image_phash": hashes})


def with_column(posts: pl.DataFrame, name: str, value: str, rows: range) -> pl.DataFrame:
    cells = posts[name].to_list()
    for row in rows:
        cells[row] = value
    return posts.with_columns(pl.Series(name, cells))


def test_nothing_is_set_aside_where_all_evidence_speaks() -> None:
    catalog = Catalog.read(shop(40))
    assert set_aside(catalog) is catalog


@pytest.mark.parametrize("blank", BLANK)
def test_a_photo_of_one_color_is_set_aside(blank: int) -> None:
    catalog = set_aside(Catalog.read(with_column(shop(10), "image_phash", f"{blank:016x}", range(2))))
    assert catalog.hashed.tolist() == [False] * 2 + [True] * 8
    assert catalog.problems["problem"].to_list() == ["a photo of one colour, set aside"] * 2


def test_a_photo_that_unlike_posts_share_is_set_aside_and_told() -> None:
    catalog = set_aside(Catalog.read(with_column(shop(40), "image_phash", "e6199966b3c38c99", range(12))))
    assert catalog.hashed.tolist() == [False] * 12 + [True] * 28
    told = catalog.problems["problem"].unique().to_list()
    assert told == ["a photo (hash e6199966b3c38c99) that 12 posts of unlike titles share, set aside"]


def test_a_photo_that_posts_of_one_product_share_stays() -> None:
    posts = with_column(shop(40), "image_phash", "e6199966b3c38c99", range(12))
    for row in range(12):
        posts = with_column(posts, "title", f"panci presto maxim {row}", range(row, row + 1))
    catalog = Catalog.read(posts)
    assert set_aside(catalog) is catalog


def test_a_title_that_posts_of_unlike_photos_share_is_set_aside() -> None:
    catalog = set_aside(Catalog.read(with_column(shop(40), "title", "Baju wanita murah", range(15))))
    assert (catalog.titles == "").to_list() == [True] * 15 + [False] * 25
    assert "'baju wanita murah', which 15 posts" in catalog.problems["problem"][0]


def test_a_title_that_posts_of_one_photo_share_stays() -> None:
    posts = with_column(shop(40), "title", "Baju wanita murah", range(15))
    catalog = Catalog.read(with_column(posts, "image_phash", "e6199966b3c38c99", range(12)))
    assert set_aside(catalog) is catalog


def test_the_order_of_rows_changes_nothing() -> None:
    posts = with_column(shop(60), "image_phash", "e6199966b3c38c99", range(9))
    posts = with_column(posts, "title", "Tas", range(20, 40))
    order = np.random.default_rng(0).permutation(len(posts))
    plain, mixed = set_aside(Catalog.read(posts)), set_aside(Catalog.read(posts[order.tolist()]))
    assert plain.titles.gather(order).to_list() == mixed.titles.to_list()
    assert plain.hashed[order].tolist() == mixed.hashed.tolist()


@pytest.mark.parametrize(
    "text",
    ["NULL", "nan", "N/A", "#N/A", "None", "-", "--", "?", " . ", "'null'", "(none)", "undefined", "no title", "🌸"],
)
def test_a_text_that_says_that_there_is_no_title_is_none(text: str) -> None:
    posts = with_column(shop(6), "title", text, range(3))
    catalog = Catalog.read(posts)
    assert catalog.has_titles.tolist() == [False] * 3 + [True] * 3
    assert catalog.problems["problem"].to_list() == [f"'{text}' is no title"] * 3


@pytest.mark.parametrize("text", ["Nan Fung tea", "None Such", "n", "7", "Null Pointer shirt", "missing piece"])
def test_a_title_that_only_begins_so_stays(text: str) -> None:
    assert Catalog.read(with_column(shop(6), "title", text, range(1))).has_titles.all()


@pytest.mark.skipif(not (DATA / "field").is_dir(), reason="the development data is not beside this checkout")
@pytest.mark.parametrize(
    ("case", "least", "largest"),
    [("photo-placeholder", 0.94, 3), ("title-generic", 0.99, 1), ("title-null-text", 0.96, 3)],
)
def test_field_cases(case: str, least: float, largest: int) -> None:
    result = match(DATA / "field" / case / "posts.csv")
    scores = result.scores()
    assert scores["f1"] >= least
    assert np.bincount(result.groups.labels).max() <= largest


@pytest.mark.skipif(not (DATA / "field").is_dir(), reason="the development data is not beside this checkout")
def test_a_placeholder_does_no_more_harm_than_no_photo() -> None:
    posts = pl.read_csv(DATA / "field" / "photo-placeholder" / "posts.csv")
    most = posts["image_phash"].value_counts(sort=True)["image_phash"][0]
    without = posts.with_columns(pl.when(pl.col("image_phash") != most).then(pl.col("image_phash")))
    given, left_out = (match(each).scores()["f1"] for each in (posts, without))
    assert given >= left_out - 0.01
