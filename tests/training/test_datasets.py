import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kembar import Catalog, CatalogError, TrainingError
from kembar.training.bags import NGramReader
from kembar.training.batches import Feed, Lessons, Plan
from kembar.training.data import Examples, read_examples, split, to_the_commonest
from kembar.training.models import NGrams
from kembar.training.recipe import Recipe


def posts_of(**columns: object) -> Catalog:
    n = len(next(iter(columns.values())))  # type: ignore[arg-type]
    return Catalog.read(pl.DataFrame({"posting_id": [f"p{i}" for i in range(n)], **columns}))


def pictures(shop: Path) -> Catalog:
    return Catalog.read(shop / "posts.csv", images=shop / "photos")


def test_titles_are_taken_in_normal_form_with_their_groups(catalog: Catalog) -> None:
    examples = read_examples(catalog, "title")
    assert len(examples) == catalog.has_titles.sum() == len(catalog) - 1
    assert all(title == title.lower() and title for title in examples.items)
    assert catalog.labels is not None
    assert examples.groups == len(np.unique(catalog.labels[catalog.has_titles]))


def test_photos_that_do_not_decode_are_dropped_and_listed(shop: Path, tmp_path: Path) -> None:
    shutil.copytree(shop, tmp_path / "shop")
    catalog = pictures(tmp_path / "shop")
    paths = catalog.photo_paths()
    paths[3].write_text("<html>404</html>")  # type: ignore[union-attr]
    paths[5].unlink()  # type: ignore[union-attr]
    examples = read_examples(catalog, "photo")
    assert len(examples) == 58
    assert [post for post, _ in examples.dropped] == [catalog.ids[3], catalog.ids[5]]
    assert "not an image" in examples.dropped[0][1]
    assert paths[3] not in examples.items
    assert catalog.labels is not None
    np.testing.assert_array_equal(examples.labels, np.delete(catalog.labels, [3, 5]))


def test_a_photo_posted_twice_goes_to_the_group_that_most_of_its_posts_have(shop: Path, tmp_path: Path) -> None:
    frame = pl.read_csv(shop / "posts.csv")
    one = frame["image"][0]
    posts = pl.DataFrame(
        {
            "posting_id": list("abcdef"),
            "title": list("uvwxyz"),
            "image": [one, one, one, *frame["image"][1:3], frame["image"][3]],
            "label_group": ["A", "A", "B", "B", "B", "C"],
        }
    )
    catalog = Catalog.read(posts, images=shop / "photos")
    assert read_examples(catalog, "photo").labels.tolist() == [0, 0, 0, 1, 1, 2]
    assert read_examples(catalog, "photo", relabel=False).labels.tolist() == [0, 0, 1, 1, 1, 2]
    assert read_examples(catalog, "title").labels.tolist() == [0, 0, 1, 1, 1, 2]


labels_and_items = st.integers(1, 30).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 5), min_size=n, max_size=n), st.lists(st.integers(-1, 6), min_size=n, max_size=n)
    )
)


@given(labels_and_items)
def test_the_commonest_label_against_a_slow_twin(given: tuple[list[int], list[int]]) -> None:
    labels, same = (np.array(part, dtype=np.int64) for part in given)
    expected = labels.copy()
    for item in set(same.tolist()) - {-1}:
        own = labels[same == item].tolist()
        expected[same == item] = min(set(own), key=lambda x: (-own.count(x), -(labels == x).sum(), x))
    np.testing.assert_array_equal(to_the_commonest(labels, same), expected)


@given(labels_and_items, st.floats(0.05, 0.9), st.integers(0, 5))
def test_no_group_is_on_both_sides(given: tuple[list[int], list[int]], share: float, seed: int) -> None:
    labels, titles = given
    catalog = posts_of(title=[f"t{t}" if t >= 0 else f"own{i}" for i, t in enumerate(titles)], label_group=labels)
    if len(set(labels)) < 2:
        return
    examples = read_examples(catalog, "title", relabel=False)
    try:
        train, held = split(examples, share, seed)
    except TrainingError:
        return
    assert sorted([*train, *held]) == list(range(len(labels)))
    for key in (labels, examples.items):
        assert not {key[row] for row in train} & {key[row] for row in held}
    again = split(examples, share, seed)
    np.testing.assert_array_equal(again[1], held)
    for side in (train, held):
        assert (np.unique(np.array(labels)[side], return_counts=True)[1] >= 2).sum() >= 2


def test_half_of_the_groups_are_held_out_when_half_are_asked_for(catalog: Catalog) -> None:
    examples = read_examples(catalog, "title")
    train, held = split(examples, 0.5, 0)
    assert abs(examples.take(held).groups - examples.groups / 2) <= 0.05 * examples.groups
    assert len(np.intersect1d(split(examples, 0.5, 1)[1], held)) < len(held)
    assert len(split(examples, 0, 0)[0]) == len(examples)
    assert len(train) + len(held) == len(examples)


def test_groups_of_one_are_left_out_of_what_is_learned(caplog: pytest.LogCaptureFixture) -> None:
    examples = read_examples(posts_of(title=list("abcdefg"), label_group=[5, 5, 6, 7, 7, 8, 7]), "title")
    with caplog.at_level("INFO", logger="kembar"):
        kept = examples.trainable()
    assert kept.items == ["a", "b", "d", "e", "g"]
    assert kept.labels.tolist() == [0, 0, 1, 1, 1]
    assert kept.sizes().tolist() == [2, 3]
    assert "2 of 7 posts are left out" in caplog.text


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"title": ["a", "b"]}, r"without a column of labels.*Columns\(label=\.\.\.\)"),
        ({"title": ["a", "b"], "label_group": [None, None]}, "an empty column of labels"),
        ({"title": ["a", "b"], "label_group": [1, 1]}, "posts of one group"),
        ({"title": [None, " "], "label_group": [1, 2], "image_phash": ["0" * 16] * 2}, "no post with both"),
    ],
)
def test_titles_that_cannot_be_learned_from(columns: dict[str, list[object]], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        read_examples(posts_of(**columns), "title")


def test_only_groups_of_one() -> None:
    examples = read_examples(posts_of(title=list("abc"), label_group=[1, 2, 3]), "title")
    with pytest.raises(TrainingError, match="3 posts, all in groups of one"):
        examples.trainable()
    with pytest.raises(TrainingError, match="at least two on either side"):
        split(examples, 0.3, 0)


def test_photo_folders_that_cannot_be_learned_from(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"no photo folder.*images="):
        read_examples(Catalog.read(shop / "posts.csv"), "photo")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CatalogError, match="holds none of the 60 photos"):
        read_examples(Catalog.read(shop / "posts.csv", images=tmp_path / "empty"), "photo")


def labels_of(sizes: list[int]) -> np.ndarray:
    return np.repeat(np.arange(len(sizes)), sizes).astype(np.int64)


@given(st.lists(st.integers(2, 6), min_size=2, max_size=12), st.integers(2, 9), st.integers(0, 9))
def test_an_epoch_shows_every_post_once_in_batches_of_like_size(sizes: list[int], batch: int, seed: int) -> None:
    labels = labels_of(sizes)
    plan = Plan(labels, Recipe.title(batch=batch, seed=seed))
    lessons = plan.epoch(3)
    assert len(lessons) == plan.per_epoch
    assert sorted(np.concatenate([lesson.rows for lesson in lessons])) == list(range(len(labels)))
    counts = [len(lesson.rows) for lesson in lessons]
    assert max(counts) <= batch
    assert max(counts) - min(counts) <= 1
    for one, other in zip(lessons, plan.epoch(3), strict=True):
        np.testing.assert_array_equal(one.rows, other.rows)
        np.testing.assert_array_equal(one.target, labels[one.rows])
        assert one.seed == other.seed
    assert len({lesson.seed for epoch in range(3) for lesson in plan.epoch(epoch)}) == 3 * plan.per_epoch


@pytest.mark.parametrize("options", [{}, {"group_size": 2}, {"objective": "pair"}, {"objective": "triplet"}])
def test_processes_share_an_epoch(options: dict[str, object]) -> None:
    labels, recipe = labels_of([4] * 9), Recipe.title(batch=6, **options)
    whole = Plan(labels, recipe).epoch(1)
    parts = [Plan(labels, recipe, process=(rank, 3)) for rank in range(3)]
    assert len({part.per_epoch for part in parts}) == 1
    found = [lesson.rows.tolist() for part in parts for lesson in part.epoch(1)]
    assert all(lesson.rows.tolist() in found for lesson in whole)


def test_pairs_and_triplets_stand_one_end_after_the_other() -> None:
    labels = labels_of([3] * 8)
    for lesson in Plan(labels, Recipe.title(batch=16, objective="pair", negatives=3)).epoch(0):
        left, right = np.split(lesson.rows, 2)
        np.testing.assert_array_equal(labels[left] == labels[right], lesson.target == 1)
    for lesson in Plan(labels, Recipe.title(batch=16, objective="triplet")).epoch(0):
        anchor, positive, negative = labels[np.stack(np.split(lesson.rows, 3))]
        assert (anchor == positive).all()
        assert (anchor != negative).all()


def feed_of(shop: Path, workers: int, **options: object) -> Feed:
    from kembar.encoders.pixels import Frame
    from kembar.training.pictures import PhotoReader

    examples = read_examples(pictures(shop), "photo").trainable()
    recipe = Recipe.photo(image_size=24, batch=16, workers=workers, epochs=2, **options)
    return Feed(Plan(examples.labels, recipe), PhotoReader(examples.items, Frame(24), recipe), recipe, 2)  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # where there is but one core
def test_a_feed_goes_on_from_any_step_whatever_the_number_of_workers(shop: Path) -> None:
    whole = list(feed_of(shop, 0, cutmix=0.5))
    assert len(whole) == len(feed_of(shop, 0)) == 8
    later = feed_of(shop, 2, cutmix=0.5)
    later.load_state_dict({"done": 5})
    for expected, found in zip(whole[5:], list(later), strict=True):
        assert torch.equal(expected[0][0], found[0][0])
        assert torch.equal(expected[1], found[1])
        assert torch.equal(expected[2], found[2])
        assert expected[3] == found[3]
    shares = [batch[3] for batch in whole]
    assert min(shares) < 1
    assert max(shares) == 1
    assert not torch.equal(whole[0][0][0], whole[4][0][0])


def test_titles_lose_features_in_training_only() -> None:
    titles = ["tas wanita murah", "kopi susu 250gr", ""]
    reader = NGramReader(titles, NGrams(1024), drop=0.5)
    rows = np.array([2, 0, 1])
    buckets, starts = reader.plain(rows)
    offsets, whole = NGrams(1024).features(titles)
    assert buckets.tolist() == [*whole[: offsets[1]], *whole[offsets[1] : offsets[2]]]
    assert starts.tolist() == [0, 0, offsets[1]]
    lessons = Lessons(reader)
    lesson = Plan(np.array([0, 0, 1]), Recipe.title(batch=3)).epoch(0)[0]
    (some, _), target, _, _ = lessons[lesson]
    assert 0 < len(some) < len(buckets)
    assert torch.equal(some, lessons[lesson][0][0])
    assert target.tolist() == np.array([0, 0, 1])[lesson.rows].tolist()


def test_examples_keep_their_numbers_when_some_are_taken() -> None:
    examples = Examples("title", list("abc"), np.array([4, 4, 7]), np.array([0, 0, 1]))
    taken = examples.take(np.array([2, 0]))
    assert (taken.items, taken.labels.tolist(), taken.parts.tolist()) == (["c", "a"], [7, 4], [1, 0])
