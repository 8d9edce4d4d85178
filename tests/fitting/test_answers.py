from pathlib import Path

import numpy as np
import polars as pl
import pytest

from kembar import Catalog, Config, Matcher, synthesize
from kembar.classifier.pair_classifier import PairClassifier
from kembar.classifier.refining import refined
from kembar.classifier.training_pairs import TrainingPairs
from kembar.errors import TrainingError
from kembar.fitting import answers as answering
from kembar.fitting.answers import learn_from_answers
from kembar.fitting.tuning import Fitting
from kembar.posts.labels import LabelledPairs, read_pairs


@pytest.fixture(scope="module")
def posts() -> pl.DataFrame:
    return synthesize(500, seed=21, hashes=True).posts


@pytest.fixture(scope="module")
def answered(posts: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The label queue of a run without labels, answered from the known groups."""
    queue = Matcher().match(Catalog.read(posts.drop("label_group"))).label_queue(200)
    group = dict(posts.select("posting_id", "label_group").iter_rows())
    same = [group[a] == group[b] for a, b in queue.select("left", "right").iter_rows()]
    path = tmp_path_factory.mktemp("answers") / "pairs.csv"
    queue.with_columns(same=pl.Series(same)).write_csv(path)
    return path


def test_answers_to_the_label_queue_make_another_shop_better(
    posts: pl.DataFrame, answered: Path, tmp_path: Path, cli: object
) -> None:
    posts.drop("label_group").write_csv(tmp_path / "posts.csv")
    words = ("tune", tmp_path / "posts.csv", "-o", tmp_path / "model", "--folds", 3, "--labels", answered)
    done = cli(*words)  # type: ignore[operator]
    assert done.exit_code == 0, done.output
    assert "Learned from 200 answers" in done.output
    other = Catalog.read(synthesize(800, seed=22, hashes=True).posts)
    learned = Matcher(Config.read(tmp_path / "model" / "config.toml")).match(other)
    assert learned.report["model"].endswith("model")
    assert learned.scores()["f1"] > Matcher().match(other).scores()["f1"] + 0.01


def test_the_order_of_rows_changes_nothing(posts: pl.DataFrame, answered: Path) -> None:
    catalog, turned = Catalog.read(posts), Catalog.read(posts.reverse())
    one, other = (learn_from_answers(each, read_pairs(answered, each.ids)).classifier for each in (catalog, turned))
    table = np.random.default_rng(0).random((200, len(one.names))).astype(np.float32)
    assert np.array_equal(one.probability(table), other.probability(table))


def test_learning_goes_on_from_another_model(posts: pl.DataFrame, answered: Path, tmp_path: Path) -> None:
    catalog = Catalog.read(posts)
    answers = read_pairs(answered, catalog.ids)
    learn_from_answers(catalog, answers).save(tmp_path / "first")
    again = learn_from_answers(catalog, answers, Config().with_model(str(tmp_path / "first")))
    first = PairClassifier.load(tmp_path / "first")
    assert len(again.classifier.trees.text()) > len(first.trees.text())
    assert again.classifier.veto == first.veto


def test_no_answer_is_scored_by_trees_that_saw_its_photo(posts: pl.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two chains of groups, in each of which a group shares a photo with the next, and answers say that they differ."""
    ends = posts.with_row_index("row").group_by("label_group", maintain_order=True)
    ends = ends.agg(first=pl.min("row"), last=pl.max("row")).filter(pl.col("first") < pl.col("last")).head(16)
    first, last = ends["first"].to_numpy().astype(np.int64), ends["last"].to_numpy().astype(np.int64)
    differ = np.delete(np.arange(15), 7)
    photos = posts["image_phash"].to_list()
    for at in differ:
        photos[first[at + 1]] = photos[last[at]]
    catalog = Catalog.read(posts.with_columns(image_phash=pl.Series(photos)))
    same = np.repeat([True, False], [16, 14])
    answers = LabelledPairs(np.r_[first, last[differ]], np.r_[last, first[differ + 1]], same)
    seen: list[TrainingPairs] = []

    def watched(start: PairClassifier, pairs: TrainingPairs, **more: object) -> PairClassifier:
        seen.append(pairs)
        return refined(start, pairs, **more)

    monkeypatch.setattr(answering, "refined", watched)
    learn_from_answers(catalog, answers, how=Fitting(folds=2))
    assert (~seen[0].truth).sum() == 14
    assert set(seen[0].folds[:, 0]) == {0, 1}
    assert (seen[0].folds[:, 0] == seen[0].folds[:, 1]).all()
    with pytest.raises(TrainingError, match=r"answers about 2 sets of posts .* for 3 folds"):
        learn_from_answers(catalog, answers, how=Fitting(folds=3))


def test_too_few_answers_are_refused(posts: pl.DataFrame) -> None:
    catalog = Catalog.read(posts)
    rows = np.arange(4, dtype=np.int64)
    with pytest.raises(TrainingError, match="Label more pairs"):
        learn_from_answers(catalog, LabelledPairs(rows, rows + 100, rows < 2))


def test_answers_about_photos_alone_correct_the_classifier_of_photos(shop: Path, tmp_path: Path) -> None:
    posts = pl.read_csv(shop / "posts.csv", infer_schema_length=0)
    catalog = Catalog.read(posts.with_columns(title=pl.lit("")), images=shop / "photos")
    queue = Matcher().match(catalog).label_queue(60)
    group = dict(posts.select("posting_id", "label_group").iter_rows())
    same = [group[a] == group[b] for a, b in queue.select("left", "right").iter_rows()]
    queue.with_columns(same=pl.Series(same)).write_csv(tmp_path / "pairs.csv")
    learned = learn_from_answers(catalog, read_pairs(tmp_path / "pairs.csv", catalog.ids))
    learned.save(tmp_path / "model")
    result = Matcher(Config.read(tmp_path / "model" / "config.toml")).match(catalog)
    assert "photo" in learned.classifier.names
    assert result.report["model"] == str(tmp_path / "model")
    assert "rules" in result.pairs.evidence


def test_what_is_said_of_a_copy_is_said_of_the_post_that_stands_for_it(posts: pl.DataFrame, answered: Path) -> None:
    told = pl.read_csv(answered)
    some = posts.filter(pl.col("posting_id") == told["left"][0])
    copies = pl.concat([some.with_columns(posting_id=pl.lit(f"zz{number:02}")) for number in range(30)])
    catalog = Catalog.read(pl.concat([posts, copies]))
    plain = read_pairs(answered, catalog.ids)
    last = catalog.ids.index_of("zz29")
    first = catalog.ids.index_of(told["left"][0])
    moved = [np.where(end == first, last, end) for end in (plain.left, plain.right)]
    one, other = (
        learn_from_answers(catalog, answers).classifier.card
        for answers in (plain, LabelledPairs(moved[0], moved[1], plain.same))
    )
    assert (one["answers"], one["true_answers"]) == (other["answers"], other["true_answers"])
