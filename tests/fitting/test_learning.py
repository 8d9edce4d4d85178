import logging
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from kembar import Catalog, Config, ConfigError, Embeddings, Matcher, synthesize
from kembar.classifier.classify import classify, contributions
from kembar.classifier.features import Features
from kembar.classifier.pair_classifier import PairClassifier, model_folder
from kembar.classifier.trees import Growth
from kembar.errors import FolderError, TrainingError
from kembar.evidence.gathering import blended
from kembar.evidence.pairs import Pairs
from kembar.evidence.scorers import scorers_of
from kembar.fitting.fit import fit
from kembar.fitting.fitted import FittedClassifier
from kembar.fitting.learning import fit_classifier
from kembar.fitting.tuning import Fitting
from kembar.posts.titles import normalize
from kembar.results.result import Result

GROWTH = Growth(trees=40, leaves=15, rate=0.15, least=20, threads=1)
BARE = Config.read(None, ["title=false"])
RULES = Config.read(None, ["title=false", "model=rules"])


@pytest.fixture(scope="module")
def labelled() -> pl.DataFrame:
    return synthesize(700, seed=11, hashes=True).posts


@pytest.fixture(scope="module")
def learned(labelled: pl.DataFrame) -> FittedClassifier:
    return fit_classifier(Catalog.read(labelled), BARE, how=Fitting(folds=3, growth=GROWTH))


@pytest.fixture(scope="module")
def model(learned: FittedClassifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "model"
    learned.save(folder)
    return folder


def with_model(model: Path) -> Config:
    return Config.read(model / "config.toml")


def test_a_learned_judge_beats_the_rules_on_a_shop_it_has_not_seen(model: Path) -> None:
    other = Catalog.read(synthesize(700, seed=12, hashes=True).posts)
    ruled = Matcher(RULES).match(other).scores()
    judged = Matcher(with_model(model)).match(other)
    assert judged.scores()["f1"] > ruled["f1"]
    assert judged.pairs.evidence["similarity"].max() <= 1
    assert "rules" in judged.pairs.evidence
    assert judged.seconds["classifier"] > 0


def test_the_cross_validated_score_is_near_that_on_a_new_shop(learned: FittedClassifier, model: Path) -> None:
    other = Catalog.read(synthesize(700, seed=13, hashes=True).posts)
    assert learned.tuned.f1()[0] == pytest.approx(Matcher(with_model(model)).match(other).scores()["f1"], abs=0.04)


def test_the_order_of_rows_changes_nothing(model: Path, labelled: pl.DataFrame) -> None:
    few = labelled.head(400)
    here = Matcher(with_model(model)).match(Catalog.read(few))
    there = Matcher(with_model(model)).match(Catalog.read(few.sample(fraction=1, shuffle=True, seed=1)))
    assert here.groups_frame().sort("posting_id").equals(there.groups_frame().sort("posting_id"))


def test_expected_f1_decides_by_the_probabilities(model: Path, labelled: pl.DataFrame) -> None:
    catalog = Catalog.read(labelled.head(600))
    config = Config.read(model / "config.toml", ["rule=expected"])
    result = Matcher(config).match(catalog)
    assert result.scores()["f1"] > Matcher(RULES).match(catalog).scores()["f1"] - 0.02
    assert result.matches.offsets[-1] > len(catalog)


def test_cuts_on_probabilities_do_not_move_with_the_pool(model: Path) -> None:
    config = with_model(model)
    assert config.at_pool(10).cut == config.group_cut == config.cut
    assert config.at_pool(10).advanced.blend.threshold < config.advanced.blend.threshold


def test_posts_without_labels_are_strangers(learned: FittedClassifier, labelled: pl.DataFrame) -> None:
    half = labelled.with_columns(
        pl.when(pl.int_range(pl.len()) < 500).then(pl.col("label_group")).otherwise(None).alias("label_group")
    )
    found = fit_classifier(Catalog.read(half), BARE, how=Fitting(folds=2, growth=GROWTH))
    assert found.classifier.card["pairs"] < learned.classifier.card["pairs"]
    assert found.tuned.folds["posts"].sum() == 500


def test_without_any_title_the_rules_judge_and_say_so(
    model: Path, labelled: pl.DataFrame, caplog: pytest.LogCaptureFixture
) -> None:
    catalog = Catalog.read(labelled.drop("title"))
    with caplog.at_level(logging.WARNING):
        result = Matcher(with_model(model)).match(catalog)
    assert "nothing is compared by 'char', 'word'" in caplog.text
    assert result.report["model"] == "rules"
    expected = Matcher(with_model(model).with_model("rules")).match(catalog)
    assert np.array_equal(result.pairs.evidence["similarity"], expected.pairs.evidence["similarity"])
    assert np.array_equal(result.groups.labels, expected.groups.labels)
    cuts = (config.advanced.group.cut for config in (with_model(model), Config()))
    assert next(cuts) < next(cuts) - 0.1, "the rules' cut is that of the pool it learned in"


def test_a_classifier_does_without_what_was_hidden_in_its_training(model: Path, labelled: pl.DataFrame) -> None:
    classifier = PairClassifier.load(model)
    assert classifier.without == (("hash",),)
    other = Catalog.read(synthesize(700, seed=15, hashes=True).posts.drop("image_phash"))
    judged = Matcher(with_model(model)).match(other)
    assert judged.report["model"] != "rules"
    assert judged.scores()["f1"] > Matcher(RULES).match(other).scores()["f1"] - 0.01


def test_the_same_posts_teach_the_same(labelled: pl.DataFrame) -> None:
    twice = [
        fit_classifier(Catalog.read(labelled.head(500)), BARE, how=Fitting(folds=2, growth=GROWTH)).classifier
        for _ in range(2)
    ]
    assert twice[0].trees.text() == twice[1].trees.text()
    assert np.array_equal(twice[0].held_out, twice[1].held_out)
    assert len(twice[0].held_out) == twice[0].card["pairs"], "pairs with hidden evidence choose no cut"


def test_posts_that_lack_some_evidence_are_judged_by_what_is_left(model: Path, labelled: pl.DataFrame) -> None:
    some = pl.int_range(pl.len()) % 5 == 0
    half = labelled.with_columns(image_phash=pl.when(~some).then("image_phash"), title=pl.when(~some).then("title"))
    result = Matcher(with_model(model)).match(Catalog.read(half))
    assert "rules" in result.pairs.evidence
    assert np.isfinite(result.pairs.evidence["similarity"]).all()


def chained(labelled: pl.DataFrame, groups: int) -> tuple[pl.DataFrame, int]:
    """Posts in which each of the first groups shares a photo with the next, so that all are one super-component."""
    names = labelled["label_group"].unique(maintain_order=True)[:groups]
    ends = labelled.with_row_index("row").group_by("label_group").agg(first=pl.min("row"), last=pl.max("row"))
    ends = pl.DataFrame({"label_group": names}).join(ends, on="label_group", maintain_order="left")
    hashes = labelled["image_phash"].to_list()
    for before, after in zip(ends["last"][:-1], ends["first"][1:], strict=True):
        hashes[after] = hashes[before]
    size = int(labelled["label_group"].is_in(names.implode()).sum())
    return labelled.with_columns(image_phash=pl.Series(hashes)), size


def test_folds_do_not_part_groups_that_share_a_photo(labelled: pl.DataFrame) -> None:
    posts, size = chained(labelled.head(400), 90)
    found = fit_classifier(Catalog.read(posts), BARE, how=Fitting(folds=2, growth=GROWTH))
    assert size != 200, "as many as without the photos"
    assert sorted(found.tuned.folds["posts"]) == [400 - size, size]


def test_too_little_to_learn_from_is_refused(labelled: pl.DataFrame) -> None:
    with pytest.raises(TrainingError, match="without known groups"):
        fit_classifier(Catalog.read(labelled.drop("label_group")), BARE)
    with pytest.raises(TrainingError, match="true pairs"):
        fit_classifier(Catalog.read(labelled.head(30)), BARE, how=Fitting(folds=2))


def test_the_command_line_learns_matches_and_explains(cli: object, labelled: pl.DataFrame, tmp_path: Path) -> None:
    labelled.head(260).write_csv(tmp_path / "posts.csv")
    model, run = tmp_path / "model", tmp_path / "run"
    done = cli("tune", tmp_path / "posts.csv", "-o", model, "--set", "title=false", "--folds", 2)  # type: ignore[operator]
    assert done.exit_code == 0, done.output
    assert "Cross-validated F1" in done.output
    assert isinstance(PairClassifier.load(model), PairClassifier)
    done = cli("match", tmp_path / "posts.csv", "--model", model, "-o", run)  # type: ignore[operator]
    assert done.exit_code == 0, done.output
    result = Result.load(run)
    assert "rules" in result.pairs.evidence
    a, b = (str(result.catalog.ids[int(end[0])]) for end in (result.pairs.left, result.pairs.right))
    assert cli("explain", run, a, b).exit_code == 0  # type: ignore[operator]
    assert np.isfinite(result.pairs.evidence["similarity"]).all()


def test_a_model_that_is_not_there_is_refused(cli: object, labelled: pl.DataFrame, tmp_path: Path) -> None:
    labelled.head(20).write_csv(tmp_path / "posts.csv")
    done = cli("match", tmp_path / "posts.csv", "--model", tmp_path / "nowhere", "-o", tmp_path / "run")  # type: ignore[operator]
    assert done.exit_code == 2
    with pytest.raises(FolderError):
        Matcher(Config.read(None, ["model=nowhere"]))


def test_contributions_explain_exactly_the_probability_that_decided(
    model: Path, labelled: pl.DataFrame, tmp_path: Path
) -> None:
    """Also where the rows have another order and some posts are copies that were never compared."""
    many = pl.concat([labelled.head(1)] * 40).with_columns(posting_id="copy " + pl.int_range(pl.len()).cast(pl.String))
    posts = pl.concat([labelled.head(300), many]).sample(fraction=1, shuffle=True, seed=2)
    result = Matcher(with_model(model)).match(Catalog.read(posts))
    assert (result.copy_of != np.arange(len(result))).any()
    classifier = PairClassifier.load(model)
    for at in np.linspace(0, len(result.pairs) - 1, 5).astype(int):
        a, b = (str(result.catalog.ids[int(end[at])]) for end in (result.pairs.left, result.pairs.right))
        explanation = result.explain(a, b)
        assert len(explanation.contributions) == len(classifier.names) + 1
        odds = np.array([sum(share for *_, share in explanation.contributions)], np.float32)
        assert classifier.calibration(odds)[0] == pytest.approx(result.pairs.evidence["similarity"][at], abs=0.02)
        shares = [abs(share) for *_, share in explanation.contributions[:-1]]
        assert shares == sorted(shares, reverse=True)
        assert "What the classifier made of it" in str(explanation)
    explanation.waterfall(tmp_path / "why.svg")
    assert "log-odds" in (tmp_path / "why.svg").read_text(encoding="utf-8")


def test_a_classifier_that_is_gone_is_said_to_be(
    learned: FittedClassifier, labelled: pl.DataFrame, tmp_path: Path
) -> None:
    learned.save(tmp_path / "model")
    result = Matcher(with_model(tmp_path / "model")).match(Catalog.read(labelled.head(100)))
    (tmp_path / "model" / "classifier.json").unlink()
    a, b = (str(result.catalog.ids[int(end[0])]) for end in (result.pairs.left, result.pairs.right))
    explanation = result.explain(a, b)
    assert explanation.contributions == ()
    assert "cannot be told again" in str(explanation)


def test_the_classifier_that_ships_is_small_and_judges_every_default_view(catalog: Catalog) -> None:
    folder = model_folder("kembar-classifier")
    assert sum(path.stat().st_size for path in folder.iterdir()) < 3_000_000
    assert (folder / "card.md").is_file()
    result = Matcher().match(catalog)
    plain = {name: column for name, column in result.pairs.evidence.items() if name != "rules"}
    made = Features.of(
        Pairs(result.pairs.left, result.pairs.right, plain), len(catalog), scorers_of(catalog.titles)
    ).names
    assert set(PairClassifier.load("kembar-classifier").names) <= set(made)
    assert result.scores()["f1"] > 0.5


@pytest.mark.parametrize("lacking", [["hash"], ["title"], ["word"], ["char", "word"], ["hash", "title"]])
def test_the_classifier_that_ships_does_without_some_views(catalog: Catalog, lacking: list[str]) -> None:
    settings = [f"{view}=false" for view in lacking]
    result = Matcher(Config.read(None, settings)).match(catalog.take(np.arange(80)))
    assert result.report["model"] == "kembar-classifier"
    assert "rules" in result.pairs.evidence
    assert not set(lacking) & set(result.pairs.evidence)


def test_the_evidence_of_one_pair_is_that_of_the_whole_table(model: Path, labelled: pl.DataFrame) -> None:
    """Only the pairs of its two posts are described again to explain a pair."""
    result = Matcher(with_model(model)).match(Catalog.read(labelled.head(400)))
    classifier, pairs, titles = PairClassifier.load(model), result.pairs, normalize(result.catalog.titles)
    plain = {name: column for name, column in pairs.evidence.items() if name in classifier.names}
    whole = Features.of(
        Pairs(pairs.left, pairs.right, {**plain, "similarity": pairs.evidence["rules"]}),
        len(titles),
        scorers_of(titles),
    )
    table = whole.table(classifier.names)
    for at in range(0, len(pairs), max(1, len(pairs) // 12)):
        found = contributions(pairs, len(titles), scorers_of(titles), classifier, at)
        value = dict(zip(found["column"], found["value"].fill_null(np.nan), strict=True))
        expected = dict(zip(classifier.names, table[at].tolist(), strict=True))
        assert {name: value[name] for name in expected} == pytest.approx(expected, rel=1e-5, nan_ok=True)


def test_a_veto_parts_what_the_classifier_would_join(labelled: pl.DataFrame) -> None:
    catalog = Catalog.read(labelled.head(300))
    plain, strict = (Matcher(Config.read(None, [f"veto={veto}"])).match(catalog) for veto in ("false", "true"))
    conflict = plain.pairs.evidence["conflict"] > 0
    assert plain.pairs.evidence["similarity"][conflict].max() > 0.5
    assert (strict.pairs.evidence["similarity"][conflict] == 0).all()
    kept = plain.pairs.evidence["similarity"][~conflict]
    assert np.array_equal(strict.pairs.evidence["similarity"][~conflict], kept)
    at = int(np.flatnonzero(conflict)[0])
    a, b = (str(catalog.ids[int(end[at])]) for end in (strict.pairs.left, strict.pairs.right))
    assert "the unit veto sets the similarity to 0" in str(strict.explain(a, b))
    assert "the unit veto is off" in str(plain.explain(a, b))


def test_photos_are_weighed_where_the_classifier_has_seen_none(shop: Path, cli: object, tmp_path: Path) -> None:
    catalog = Catalog.read(shop / "posts.csv", images=shop / "photos")
    result = Matcher().match(catalog)
    evidence = result.pairs.evidence
    assert "photo_blended" not in evidence
    assert {"photo", "photo_weight", "rules"} <= set(evidence)
    order = np.argsort(evidence["photo"])
    far = evidence["hash"] < 1 - 8 / 64
    assert (np.diff(evidence["photo_weight"][order][far[order]]) >= -1e-5).all()
    assert evidence["photo_weight"][far].max() > 1 > -1 > evidence["photo_weight"][far].min()
    at = int(np.argmax(evidence["photo_weight"]))
    a, b = (str(catalog.ids[int(end[at])]) for end in (result.pairs.left, result.pairs.right))
    explanation = result.explain(a, b)
    share = {name: (value, odds) for name, value, odds in explanation.contributions}
    assert share["photo"] == pytest.approx((evidence["photo"][at], evidence["photo_weight"][at]), abs=1e-3)
    assert "what photo added to the log-odds" in str(explanation)
    result.save(tmp_path / "run")
    told = cli("explain", tmp_path / "run", a, b, "--picture", tmp_path / "why.svg")  # type: ignore[operator]
    assert told.exit_code == 0, told.output
    assert "photo" in (tmp_path / "why.svg").read_text(encoding="utf-8")
    assert cli("explain", tmp_path / "run", a, b, "-p", tmp_path / "why.svg").exit_code == 2  # type: ignore[operator]


def test_vectors_that_were_brought_take_no_guess_of_our_photo_encoder(catalog: Catalog) -> None:
    rng = np.random.default_rng(0)
    noise = Embeddings.of(rng.normal(size=(len(catalog), 64)).astype(np.float32))
    plain, noisy = Matcher().match(catalog), Matcher().match(catalog, embeddings={"photo": noise})
    assert np.abs(noisy.pairs.evidence["photo_weight"]).max() < 1
    assert noisy.scores()["f1"] == pytest.approx(plain.scores()["f1"], abs=0.03)


def test_two_encoders_of_the_same_photos_do_not_count_twice(catalog: Catalog, oracle_vectors: np.ndarray) -> None:
    vectors = Embeddings.of(oracle_vectors)
    config = Config.read(None, ["title=false"])
    pairs = blended(Matcher.evidence(catalog, config, {"photo": vectors, "clip": vectors}), config)
    classifier, scorers = PairClassifier.load("kembar-classifier"), scorers_of(normalize(catalog.titles))
    one, two = (
        classify(pairs, len(catalog), scorers, classifier, dict.fromkeys(names, "brought")).evidence
        for names in (["photo"], ["photo", "clip"])
    )
    assert np.abs(one["photo_weight"]).max() > 1
    assert two["photo_weight"] + two["clip_weight"] == pytest.approx(one["photo_weight"], abs=1e-5)
    assert two["similarity"] == pytest.approx(one["similarity"], abs=1e-3)


def test_the_label_queue_on_the_command_line(cli: object, labelled: pl.DataFrame, tmp_path: Path) -> None:
    Matcher().match(Catalog.read(labelled.head(200))).save(tmp_path / "run")
    words = ("label-queue", tmp_path / "run", "-o", tmp_path / "pairs.csv", "-n", 7)
    done = cli(*words)  # type: ignore[operator]
    assert done.exit_code == 0, done.output
    queue = pl.read_csv(tmp_path / "pairs.csv")
    assert len(queue) == 7
    assert queue.columns == ["left", "right", "left_title", "right_title", "similarity", "same"]
    assert cli(*words).exit_code == 2  # type: ignore[operator]
    assert cli(*words, "--overwrite").exit_code == 0  # type: ignore[operator]


@pytest.mark.parametrize(("method", "labels"), [("oak", None), ("rules", "pairs.csv"), ("xgboost", "pairs.csv")])
def test_a_method_that_is_none_is_refused(labelled: pl.DataFrame, method: str, labels: str | None) -> None:
    with pytest.raises(ConfigError):
        fit(Catalog.read(labelled.head(50)), labels=labels, how=Fitting(method=method))


def test_an_equal_weight_does_not_hide_another_number_of_pieces() -> None:
    titles = ["Indomie goreng 85 g isi 40", "Indomie goreng 85g isi 5", "Indomie goreng 85 gr isi 40 pcs"]
    frame = pl.DataFrame({"posting_id": list("abc"), "title": titles, "image_phash": ["9aa5c25a3d3cc387"] * 3})
    groups = Matcher().match(Catalog.read(frame)).groups.labels
    assert groups[0] == groups[2] != groups[1]
