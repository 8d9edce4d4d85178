import random
import re
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from kembar.errors import ConfigError, FolderError
from kembar.synthesis import Drawing, Shop, group_sizes, synthesize, write_shop
from kembar.synthesis.shop import _balanced, _flips
from kembar.synthesis.vocabulary import FAMILIES, VARIANTS, coin_words, misspell, spell_size
from kembar.synthesis.wording import banks
from properties import examples

# Groups by size on the Shopee posts.
SHOPEE = {2: 6979, 3: 1779, 4: 862, 5: 468, 6: 282, 7: 154, 8: 118, 9: 91, 10: 48}
SHOPEE_GROUPS = sum(SHOPEE.values()) + 226 + 7


def mean_f1(matches: list[set[int]], labels: list[int]) -> float:
    """The definition, word by word: 2|P∩T| / (|P|+|T|) with the post in both sets, averaged over posts."""
    groups: dict[int, set[int]] = {}
    for post, label in enumerate(labels):
        groups.setdefault(label, set()).add(post)
    scores = []
    for post, label in enumerate(labels):
        found, truth = matches[post] | {post}, groups[label]
        scores.append(2 * len(found & truth) / (len(found) + len(truth)))
    return sum(scores) / len(scores)


def equal_sets(values: list[str]) -> list[set[int]]:
    holders: dict[str, set[int]] = {}
    for post, value in enumerate(values):
        holders.setdefault(value, set()).add(post)
    return [holders[value] for value in values]


@pytest.fixture(scope="module")
def shop() -> Shop:
    return synthesize(20_000, seed=5, hashes=True)


@examples(40)
@given(n=st.integers(1, 400), seed=st.integers(0, 2**40), singles=st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_any_n_gives_exactly_n_posts_and_labels_that_partition_them(n: int, seed: int, singles: float) -> None:
    shop = synthesize(n, seed=seed, singles=singles)
    posts = shop.posts
    assert posts.columns == ["posting_id", "image", "image_phash", "title", "label_group"]
    assert posts.height == n == len(shop.product) == len(shop.view) == len(shop.edit) == len(shop.quality)
    assert posts["posting_id"].n_unique() == posts["image"].n_unique() == n
    assert posts["title"].null_count() == 0
    counts = Counter(posts["label_group"].to_list())
    assert sorted(counts) == shop.products["label_group"].to_list()
    assert sum(1 for size in counts.values() if size == 1) in (lonely := round(n * singles), lonely + 1)
    assert max(counts.values()) <= 51


@examples(60)
@given(n=st.integers(1, 3000), seed=st.integers(0, 2**32))
def test_group_sizes_add_up(n: int, seed: int) -> None:
    sizes = group_sizes(np.random.default_rng(seed), n)
    assert sizes.sum() == n
    assert sizes.max() <= 51
    assert sizes.min() >= (1 if n == 1 else 2)


def test_group_sizes_follow_the_shopee_table() -> None:
    sizes = group_sizes(np.random.default_rng(0), 200_000)
    counts = Counter(sizes.tolist())
    for size, expected in SHOPEE.items():
        share = expected / SHOPEE_GROUPS
        # Four standard deviations of a binomial, so that no seed but a broken one fails.
        assert abs(counts[size] / len(sizes) - share) < 4 * (share / len(sizes)) ** 0.5
    tail = sizes[(sizes > 10) & (sizes < 51)]
    assert abs(tail.mean() - 16.8) < 1.0
    assert counts[51] > 0


def test_a_left_over_post_joins_a_group_even_when_all_are_full() -> None:
    class Full(np.random.Generator):
        def choice(self, a: object, size: int | None = None, **_: object) -> np.ndarray:  # type: ignore[override]
            return np.full(size or 1, 51)

    assert group_sizes(Full(np.random.PCG64(0)), 103).tolist() == [50, 51, 2]


def test_a_seed_is_a_shop() -> None:
    first, again, other = synthesize(500, seed=1), synthesize(500, seed=1), synthesize(500, seed=2)
    assert first.posts.equals(again.posts)
    assert first.products.equals(again.products)
    assert (first.edit == again.edit).all()
    assert not first.posts["title"].equals(other.posts["title"])
    assert not first.posts["label_group"].equals(other.posts["label_group"])


def test_hashes_do_not_change_titles_or_labels() -> None:
    plain, hashed = synthesize(300, seed=3), synthesize(300, seed=3, hashes=True)
    same = ["posting_id", "title", "label_group"]
    assert plain.posts.select(same).equals(hashed.posts.select(same))
    assert plain.posts["image_phash"].null_count() == hashed.posts["image"].null_count() == 300


def test_rows_are_shuffled(shop: Shop) -> None:
    labels = shop.posts["label_group"].to_numpy()
    assert (labels[1:] == labels[:-1]).mean() < 0.01
    assert abs(np.corrcoef(labels, np.arange(len(labels)))[0, 1]) < 0.05


def test_siblings_differ_in_one_thing_and_in_their_label(shop: Shop) -> None:
    products = shop.products
    lines = products.group_by("line").agg(
        pl.len(), *(pl.col(name).n_unique() for name in ("variant", "quantity", "brand", "name", "silhouette"))
    )
    families = lines.filter(pl.col("len") > 1)
    assert families["len"].max() == 5
    assert families["len"].sum() / products.height == pytest.approx(0.35, abs=0.01)
    assert families.select((pl.max_horizontal("variant", "quantity") == pl.col("len")).all()).item()
    assert families.select((pl.min_horizontal("variant", "quantity") == 1).all()).item()
    assert families.select(pl.col("brand", "name", "silhouette").max()).row(0) == (1, 1, 1)


def test_titles_look_like_those_of_sellers(shop: Shop) -> None:
    titles = shop.posts["title"]
    empty = titles == ""
    assert 0 < empty.mean() < 0.003
    assert titles.str.contains(r"\x", literal=True).mean() == pytest.approx(0.015, abs=0.005)
    written = titles.filter(~empty)
    assert 35 < written.str.len_chars().mean() < 65
    assert written.str.len_chars().max() < 250
    upper = (written == written.str.to_uppercase()).mean()
    assert 0.2 < upper < 0.3
    assert not written.str.contains(r"^\s|\s$|null|None").any()


def test_same_hash_scores_as_on_the_real_posts(shop: Shop) -> None:
    hashes = shop.posts["image_phash"].to_list()
    assert all(re.fullmatch("[0-9a-f]{16}", value) for value in hashes)
    score = mean_f1(equal_sets(hashes), shop.posts["label_group"].to_list())
    assert 0.5 < score < 0.62


def test_word_vectors_score_as_on_the_real_posts() -> None:
    shop = synthesize(4000, seed=11)
    vectors = TfidfVectorizer(token_pattern=r"\w+").fit_transform(shop.posts["title"].to_list())
    similar = (vectors @ vectors.T).tocoo()
    labels = shop.posts["label_group"].to_list()
    scores = []
    for threshold in (0.45, 0.5, 0.55):
        matches: list[set[int]] = [set() for _ in labels]
        kept = similar.data >= threshold
        for left, right in zip(similar.row[kept].tolist(), similar.col[kept].tolist(), strict=True):
            matches[left].add(right)
        scores.append(mean_f1(matches, labels))
    assert 0.74 < max(scores) < 0.86


def test_made_up_hashes_are_balanced_and_flips_bounded() -> None:
    rng = np.random.default_rng(0)
    hashes = _balanced(rng, 500)
    assert set(np.bitwise_count(hashes).tolist()) == {32}
    assert (hashes >> np.uint64(63) == 1).all()
    bits = rng.integers(0, 9, 500)
    flips = np.bitwise_count(_flips(rng, bits))
    assert (flips <= bits).all()
    assert ((flips == 0) == (bits == 0)).all()


def test_the_vocabulary_has_enough_for_siblings() -> None:
    for family in FAMILIES:
        assert len(set(family.sizes)) >= 5
        assert len(VARIANTS[family.variants]) >= 5
        assert len(set(family.nouns)) >= 3
        assert all(text.strip() == text != "" for text in (*family.nouns, *family.attributes))
        assert all(len(spell_size(size)) == 6 for size in family.sizes)
        assert 0.0 <= family.branded <= 1.0
        assert 0.0 <= family.sized <= 1.0
    for bank in banks().values():
        assert bank.table[0] is None
        assert (bank.table[1:].str.len_chars() > 0).all()


def test_sizes_are_spelled_as_one_quantity() -> None:
    assert spell_size("250 g") == ("250gr", "250 gr", "250g", "250 gram", "250gram", "0,25 kg")
    assert spell_size("1 l")[-1] == "1000 ml"
    assert spell_size("7500 mah")[4] == "7.500 mAh"


@examples(30)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 400), known=st.booleans())
def test_coined_words_differ(seed: int, count: int, known: bool) -> None:
    words = coin_words(random.Random(seed), count, known=known)
    assert len(words) == len(set(words)) == count
    assert all(word.isascii() and word.isalpha() and word.islower() for word in words)


@examples(100)
@given(seed=st.integers(0, 2**32), word=st.text("abcdefgh ", min_size=1, max_size=20).filter(str.strip))
def test_a_misspelt_word_stays_close(seed: int, word: str) -> None:
    typed = misspell(random.Random(seed), word)
    assert typed
    assert abs(len(typed) - len(word)) <= max(1, word.count(" "))


def read_all(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_number_of_threads_does_not_change_a_byte(tmp_path: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    for threads in (1, 2):
        drawing = Drawing(32, threads, progress=lambda stage, done, total: calls.append((stage, done, total)))
        write_shop(tmp_path / f"t{threads}", 230, seed=4, photos=drawing)
    one, two = read_all(tmp_path / "t1"), read_all(tmp_path / "t2")
    assert len(one) == 231
    assert one == two
    assert calls == [("photos", done, 230) for done in (50, 100, 150, 200, 230)] * 2
    write_shop(tmp_path / "other", 230, seed=5, photos=Drawing(size=32, threads=1))
    other = read_all(tmp_path / "other")
    assert other.keys() == one.keys()
    assert not set(other.values()) & set(one.values())


def test_what_is_written_is_the_shop(tmp_path: Path) -> None:
    shop = write_shop(tmp_path / "a" / "shop", 40, seed=6, photos=Drawing(size=24, threads=1))
    read = pl.read_csv(tmp_path / "a" / "shop" / "posts.csv", schema_overrides={"image_phash": pl.String})
    assert read.with_columns(pl.col("title").fill_null("")).equals(shop.posts)
    photos = {path.name for path in (tmp_path / "a" / "shop" / "photos").iterdir()}
    assert photos == set(shop.posts["image"].to_list())


def test_without_photos_there_are_hashes(tmp_path: Path) -> None:
    shop = write_shop(tmp_path / "shop", 30, photos=False)
    assert [path.name for path in (tmp_path / "shop").iterdir()] == ["posts.csv"]
    assert shop.posts["image_phash"].str.contains("^[0-9a-f]{16}$").all()


def test_a_folder_in_the_way_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    write_shop(folder, 5, seed=1, photos=False)
    before = read_all(tmp_path)
    with pytest.raises(FolderError, match="overwrite=True"):
        write_shop(folder, 5, seed=2, photos=False)
    assert read_all(tmp_path) == before
    write_shop(folder, 5, seed=2, photos=False, overwrite=True)
    assert read_all(tmp_path).keys() == before.keys()
    assert read_all(tmp_path) != before


@pytest.mark.parametrize("names", [("thesis.doc",), ("posts.csv", "thesis.doc")])
def test_overwrite_replaces_nothing_but_a_shop(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / name).write_text("mine")
    with pytest.raises(FolderError, match="earlier shop"):
        write_shop(tmp_path, 5, photos=False, overwrite=True)
    assert sorted(read_all(tmp_path)) == sorted(names)


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", tmp_path / "file" / "shop"):
        with pytest.raises(FolderError):
            write_shop(folder, 5, photos=False, overwrite=True)
    assert read_all(tmp_path) == {"file": b"mine"}


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    write_shop(tmp_path / "shop", 5, photos=False)
    assert sorted(read_all(tmp_path)) == ["shop/posts.csv"]


def test_an_interrupted_run_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(stage: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shop(tmp_path / "shop", 20, photos=Drawing(size=24, threads=1, progress=interrupt))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "options",
    [
        {"n": 0},
        {"n": -3},
        {"n": 2.5},
        {"n": True},
        {"n": 5, "seed": -1},
        {"n": 5, "singles": 1.5},
        {"n": 5, "singles": float("nan")},
    ],
)
def test_an_option_out_of_range_is_refused(tmp_path: Path, options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=re.escape(repr(list(options.values())[-1]))):
        write_shop(tmp_path / "shop", **options)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [{"size": 8}, {"size": 4096}, {"size": 32.0}, {"threads": 0}])
def test_a_drawing_out_of_range_is_refused(options: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=re.escape(repr(list(options.values())[-1]))):
        Drawing(**options)  # type: ignore[arg-type]


def test_looks_describe_the_products_asked_for(shop: Shop) -> None:
    rows = np.array([3, 0, 3])
    first, second, third = shop.looks(rows)
    assert first == third != second
    wanted = shop.products.row(3, named=True)
    assert (first.brand, first.quantity, first.seed) == (wanted["brand"], wanted["quantity"], wanted["seed"])
    red, green, blue = first.colour
    assert (red << 16) + (green << 8) + blue == wanted["colour"]


def test_a_shop_shows_itself_in_a_line() -> None:
    assert repr(synthesize(30, seed=1)).startswith("Shop of 30 posts that sell ")
