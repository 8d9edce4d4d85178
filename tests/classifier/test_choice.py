"""Which classifier decides: the one that ships, the one for photos alone, or hand-set rules."""

import logging
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from kembar import Catalog, Config, ConfigError, Embeddings, EvidenceError, Matcher, Result
from kembar.classifier.pair_classifier import PairClassifier, model_folder
from kembar.config import PHOTOS_ALONE, SHIPPED
from kembar.results.report import summary
from pictures import scene

Groups = set[frozenset[str]]


@pytest.fixture(scope="module")
def untitled(shop: Path) -> Catalog:
    """60 posts with photos and no title."""
    posts = pl.read_csv(shop / "posts.csv", infer_schema_length=0)
    return Catalog.read(posts.with_columns(title=pl.lit("")), images=shop / "photos")


@pytest.fixture(scope="module")
def matched(untitled: Catalog) -> Result:
    return Matcher().match(untitled)


def groups(result: Result) -> Groups:
    ids = np.array(result.catalog.ids.to_list())
    return {frozenset(ids[result.groups.labels == group].tolist()) for group in range(len(result.groups))}


def photographed(folder: Path, pictures: list[Image.Image], titles: list[str] | None = None) -> Catalog:
    """Posts with these photos."""
    names = [f"{row}.png" for row in range(len(pictures))]
    for name, picture in zip(names, pictures, strict=True):
        picture.save(folder / name)
    titles = titles or [""] * len(names)
    return Catalog.read(pl.DataFrame({"posting_id": names, "image": names, "title": titles}), images=folder)


# --- posts without titles


def test_posts_without_titles_are_judged_by_photos_alone(untitled: Catalog, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "kembar"):
        result = Matcher().match(untitled)
    told = [record.getMessage() for record in caplog.records if PHOTOS_ALONE in record.getMessage()]
    assert told == [f"no titles can be compared: the classifier {PHOTOS_ALONE} decides, by photos alone"]
    assert result.report["model"] == PHOTOS_ALONE
    assert f"scored by the pair classifier {PHOTOS_ALONE}" in summary(result.report)
    assert {"photo", "photo_blended", "hash", "rules"} <= set(result.pairs.evidence)
    assert "photo_weight" not in result.pairs.evidence


def test_photos_alone_are_judged_better_than_by_matching_nothing(matched: Result, untitled: Catalog) -> None:
    assert untitled.labels is not None
    nothing = float((2 / (1 + np.bincount(untitled.labels)[untitled.labels])).mean())
    assert matched.scores()["f1"] > nothing


def test_the_order_of_rows_changes_nothing(untitled: Catalog, matched: Result) -> None:
    order = np.random.default_rng(4).permutation(len(untitled))
    assert groups(Matcher().match(untitled.take(order))) == groups(matched)


def test_the_number_of_buckets_changes_nothing(untitled: Catalog, matched: Result) -> None:
    assert groups(Matcher(buckets=3).match(untitled)) == groups(matched)


def test_one_post(untitled: Catalog) -> None:
    result = Matcher().match(untitled.take(np.array([7])))
    assert result.report["model"] == PHOTOS_ALONE
    assert len(result.groups) == 1
    assert len(result.pairs) == 0


@pytest.mark.parametrize("copies", [2, 6, 60])
def test_equal_photos_are_one_product(tmp_path: Path, copies: int) -> None:
    result = Matcher().match(photographed(tmp_path, [scene()] * copies))
    assert result.report["model"] == PHOTOS_ALONE
    assert len(result.groups) == 1


def test_photos_of_different_products_stay_apart(shop: Path) -> None:
    posts = pl.read_csv(shop / "posts.csv", infer_schema_length=0).unique("label_group", keep="first").drop("title")
    result = Matcher().match(Catalog.read(posts, images=shop / "photos"))
    assert len(result.groups) >= 0.7 * len(posts)  # siblings look alike


def test_without_a_photo_that_can_be_read_nothing_can_be_compared(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(b"no photo")
    posts = pl.DataFrame({"posting_id": ["a", "b"], "image": ["a.jpg", "b.jpg"], "title": ["", ""]})
    with pytest.raises(EvidenceError, match="at least one kind of evidence"):
        Matcher().match(Catalog.read(posts, images=tmp_path))


def test_posts_whose_photo_cannot_be_read_stay_alone(tmp_path: Path) -> None:
    pictures = [scene(0), scene(0), scene(1)]
    photographed(tmp_path, pictures)
    (tmp_path / "2.png").write_bytes(b"no photo")
    names = ["0.png", "1.png", "2.png"]
    posts = pl.DataFrame({"posting_id": names, "image": names})
    result = Matcher().match(Catalog.read(posts, images=tmp_path))
    assert groups(result) == {frozenset(names[:2]), frozenset(names[2:])}
    assert result.report["model"] == PHOTOS_ALONE


@pytest.mark.parametrize("setting", ["photo=false", "hash=false"])
def test_hashes_or_vectors_may_be_lacking(untitled: Catalog, setting: str) -> None:
    result = Matcher(Config.read(None, [setting])).match(untitled)
    assert result.report["model"] == PHOTOS_ALONE
    assert len(result.groups) < len(untitled)


# --- posts with titles


def test_titles_of_some_posts_keep_the_usual_classifier(shop: Path) -> None:
    posts = pl.read_csv(shop / "posts.csv", infer_schema_length=0)
    some = posts.with_columns(title=pl.when(pl.int_range(pl.len()) % 3 == 0).then("title"))
    result = Matcher().match(Catalog.read(some, images=shop / "photos"))
    assert result.report["model"] == SHIPPED
    assert "photo_weight" in result.pairs.evidence


def test_titles_that_are_not_compared_count_as_none(shop: Path, matched: Result) -> None:
    catalog = Catalog.read(shop / "posts.csv", images=shop / "photos")
    off = Config.read(None, ["word=false", "char=false", "title=false"])
    assert groups(Matcher(off).match(catalog)) == groups(matched)


def test_the_classifier_of_photos_can_be_named(shop: Path, matched: Result) -> None:
    catalog = Catalog.read(shop / "posts.csv", images=shop / "photos")
    result = Matcher(Config(model=PHOTOS_ALONE)).match(catalog)
    assert not {"word", "char", "title"} & set(result.pairs.evidence)
    assert groups(result) == groups(matched)


# --- where it knows nothing of the photos' vectors, or of how pairs are made


def test_rules_stay_rules(untitled: Catalog) -> None:
    assert Matcher(Config(model="rules")).match(untitled).report["model"] == "rules"


def test_vectors_that_were_brought_are_left_to_the_rules(untitled: Catalog) -> None:
    vectors = np.random.default_rng(0).normal(size=(len(untitled), 16)).astype(np.float32)
    result = Matcher().match(untitled, embeddings={"photo": Embeddings.of(vectors)})
    assert result.report["model"] == "rules"


def test_an_option_that_it_learned_otherwise_leaves_the_decision_to_the_rules(
    untitled: Catalog, caplog: pytest.LogCaptureFixture
) -> None:
    config = Config.read(None, ["advanced.photo.floor=0.11"])
    with caplog.at_level(logging.WARNING):
        assert Matcher(config).match(untitled).report["model"] == "rules"
    assert f"{PHOTOS_ALONE} cannot decide about posts without titles" in caplog.text
    with pytest.raises(ConfigError, match=r"advanced\.photo\.floor = 0\.11"):
        Matcher(config.with_model(PHOTOS_ALONE)).match(untitled)


def test_a_configuration_that_names_every_default_changes_nothing(
    untitled: Catalog, matched: Result, tmp_path: Path
) -> None:
    (tmp_path / "config.toml").write_text(Config().text())
    result = Matcher(Config.read(tmp_path / "config.toml")).match(untitled)
    assert result.report["model"] == PHOTOS_ALONE
    assert groups(result) == groups(matched)


# --- what ships, and what is told


def test_the_classifier_that_ships_knows_photos_alone() -> None:
    folder = model_folder(PHOTOS_ALONE)
    assert (folder / "card.md").is_file()
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1_000_000
    assert PairClassifier.load(PHOTOS_ALONE).similarities == {"photo", "photo_blended", "hash", "similarity"}


def test_a_run_tells_what_the_classifier_saw(matched: Result, tmp_path: Path) -> None:
    matched.save(tmp_path / "run")
    loaded = Result.load(tmp_path / "run")
    at = int(matched.pairs.evidence["similarity"].argmax())
    a, b = (str(matched.catalog.ids[int(end[at])]) for end in (matched.pairs.left, matched.pairs.right))
    explanation = loaded.explain(a, b)
    assert {name for name, *_ in explanation.contributions} == {*PairClassifier.load(PHOTOS_ALONE).names, "base"}
    again = Matcher(Config.read(tmp_path / "run" / "config.toml")).match(matched.catalog)
    assert groups(again) == groups(matched)
