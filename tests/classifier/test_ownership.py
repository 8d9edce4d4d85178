"""A classifier keeps the options that its columns depend on, and a run takes them over or is refused."""

import json
import logging
import shutil
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import kembar
from kembar import Catalog, Config, ConfigError, Matcher, synthesize
from kembar.classifier.ownership import adopted, evidence_settings
from kembar.classifier.pair_classifier import PairClassifier, has_classifier
from kembar.classifier.trees import Growth
from kembar.fitting.fitted import FittedClassifier
from kembar.fitting.learning import fit_classifier
from kembar.fitting.tuning import Fitting
from properties import examples

VIEWS = ("char", "hash", "title", "word")
Owner = Callable[[Mapping[str, Any]], PairClassifier]
SMALL = Growth(trees=10, leaves=7, rate=0.2, least=20, threads=1)


@pytest.fixture(scope="module")
def trained() -> FittedClassifier:
    """A classifier of 300 posts that compares words only, blended in two steps."""
    config = Config.read(None, ["char=false", "title=false", "hash=false", "advanced.blend.steps=2"])
    return fit_classifier(Catalog.read(synthesize(300, seed=3).posts), config, how=Fitting(folds=2, growth=SMALL))


@pytest.fixture(scope="module")
def folder(trained: FittedClassifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("classifiers") / "model"
    trained.save(path)
    return path


@pytest.fixture(scope="module")
def shipped() -> PairClassifier:
    return PairClassifier.load("kembar-classifier")


@pytest.fixture(scope="module")
def owner(trained: FittedClassifier) -> Owner:
    """Give a classifier these options."""
    return lambda options: replace(trained.classifier, evidence=options)


def of(*settings: str) -> Config:
    return Config.read(None, settings)


def owned(config: Config) -> dict[str, Any]:
    return evidence_settings(config, VIEWS)


def same_trees(left: PairClassifier, right: PairClassifier) -> None:
    assert left.trees.text() == right.trees.text()
    assert np.array_equal(left.calibration.score, right.calibration.score)
    assert np.array_equal(left.calibration.probability, right.calibration.probability)


# --- what is kept


def test_options_of_its_views_and_of_all_pairs_are_kept_and_no_others() -> None:
    kept = evidence_settings(of("vectors.clip.weight=3", "advanced.word.k=9"), ["word", "clip", "title"])
    tables = {key.rpartition(".")[0] for key in kept}
    assert tables == {
        "",
        *(f"advanced.{part}" for part in ("word", "title", "fusion", "blend", "pool")),
        "vectors.clip",
    }
    assert {key for key in kept if "." not in key} == {"title_encoder", "categories"}
    assert (kept["advanced.word.k"], kept["vectors.clip.weight"]) == (9, 3)
    assert not {"cut", "veto", "rule", "model", "single", "target_size", "advanced.group.cut"} & set(kept)


def test_they_are_kept_in_the_folder(trained: FittedClassifier, folder: Path) -> None:
    kept = json.loads((folder / "classifier.json").read_text())["evidence"]
    assert kept["advanced.blend.steps"] == 2
    assert kept["advanced.pool.size"] == 300
    assert not [key for key in kept if "char" in key or "hash" in key or "title" in key]
    loaded = PairClassifier.load(folder)
    assert loaded.evidence == trained.classifier.evidence == kept
    assert loaded.cut == trained.classifier.cut


def test_the_shipped_classifier_keeps_the_defaults(shipped: PairClassifier) -> None:
    assert shipped.evidence == owned(Config())
    assert adopted(Config(), shipped) == Config()


# --- what a run takes over


def test_a_classifier_that_says_nothing_of_the_search_after_blending_learned_with_it(
    folder: Path, tmp_path: Path
) -> None:
    assert not adopted(Config(), PairClassifier.load(folder)).advanced.blend.search
    older = shutil.copytree(folder, tmp_path / "older")
    tree = json.loads((older / "classifier.json").read_text())
    del tree["evidence"]["advanced.blend.search"]
    (older / "classifier.json").write_text(json.dumps(tree))
    assert adopted(Config(), PairClassifier.load(older)).advanced.blend.search


def test_what_nobody_set_is_taken_over(folder: Path) -> None:
    config = Matcher(Config(model=str(folder))).config
    found = adopted(config, PairClassifier.load(folder))
    assert config.advanced.blend.steps == 1
    assert found.advanced.blend.steps == 2
    assert found.advanced.pool.size == 300
    assert (found.model, found.char, found.cut) == (config.model, True, None)


def test_what_was_set_to_the_same_is_accepted(shipped: PairClassifier) -> None:
    same = of("advanced.blend.steps=1", "advanced.word.n_gram=[1,1]", "advanced.fusion.rule=soft_or")
    assert adopted(same, shipped) == Config()


def test_options_that_belong_to_the_run_stay_free(shipped: PairClassifier) -> None:
    free = of(
        *("cut=0.3", "veto=true", "rule=threshold", "target_size=2", "single=0.2", "word=false"),
        *("advanced.decide.cap=5", "advanced.photo.k=9", "vectors.clip.weight=2"),
    )
    assert adopted(free, shipped) == free


CHANGED = [
    ("advanced.blend.steps=2", "advanced.blend.steps = 2", "1"),
    ("advanced.word.k=9", "advanced.word.k = 9", "51"),
    ("advanced.char.n_gram=[2,3]", "advanced.char.n_gram = [2, 3]", "[4, 4]"),
    ("advanced.fusion.rule=mean", "advanced.fusion.rule = 'mean'", "'soft_or'"),
    ("advanced.fusion.veto=false", "advanced.fusion.veto = False", "True"),
    ("advanced.blend.direct.hash=0.9", "advanced.blend.direct = {'hash': 0.9}", "{}"),
    ("advanced.blend.threshold=0.7", "advanced.blend.threshold = 0.7", "0.75"),
    ("advanced.blend.min2=none", "advanced.blend.min2 = None", "0.3"),
    ("advanced.pool.slope=0", "advanced.pool.slope = 0.0", "0.05"),
]


@pytest.mark.parametrize(("setting", "given", "learned"), CHANGED, ids=[setting for setting, *_ in CHANGED])
def test_what_was_set_against_it_is_refused_with_the_reason(
    shipped: PairClassifier, setting: str, given: str, learned: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        adopted(of(setting), shipped)
    assert str(caught.value) == (
        f"{given} with the classifier 'kembar-classifier'; expected {learned}, which it learned with: it knows nothing "
        "of pairs that were made in another way. Leave this option out, use model=rules, or train a classifier with it "
        "(`kembar tune`)."
    )


def test_a_match_is_refused_before_any_work_on_pairs(folder: Path) -> None:
    matcher = Matcher(Config.read(folder / "config.toml", ["advanced.word.k=9"]))
    with pytest.raises(ConfigError, match=r"advanced\.word\.k = 9 with the classifier"):
        matcher.match(Catalog.read(synthesize(20).posts))


@pytest.mark.parametrize(
    ("setting", "given", "learned"),
    [
        ("title_encoder=use", "title_encoder = 'use'", "'kembar-title'"),
        ("advanced.blend.search=true", "advanced.blend.search = True", "False"),
        ('categories=["weight"]', "categories = ['weight']", "['weight', 'volume'"),
    ],
)
def test_another_encoder_or_other_quantities_are_taken_with_a_warning(
    shipped: PairClassifier, setting: str, given: str, learned: str, caplog: pytest.LogCaptureFixture
) -> None:
    config = of(setting)
    with caplog.at_level(logging.WARNING):
        assert adopted(config, shipped) == config
    (record,) = caplog.records
    assert given in record.getMessage()
    assert f"learned with {learned}" in record.getMessage()


def test_the_encoder_that_it_learned_with_encodes(shipped: PairClassifier, tmp_path: Path) -> None:
    own = tmp_path / "encoder"
    shutil.copytree(Path(kembar.__file__).parent / "encoders" / "models" / "title", own)
    evidence = {**shipped.evidence, "title_encoder": str(own)}
    replace(shipped, evidence=evidence).save(tmp_path / "model")
    posts = Catalog.read(synthesize(60, seed=3).posts)
    for said, expected in (({}, str(own)), ({"title_encoder": "kembar-title"}, "kembar-title")):
        matcher = Matcher(Config(model=str(tmp_path / "model"), **said))
        assert matcher.match(posts).config.title_encoder == expected
        assert list(matcher.encoders) == [expected]


def test_cuts_by_view_are_one_option(owner: Owner) -> None:
    """A cut more or less is another option; names of views may hold dots."""
    both = Config.of({"advanced": {"blend": {"direct": {"hash": 0.9, "my.clip": 0.8}}}})
    classifier = owner(owned(both))
    assert adopted(Config(), classifier) == adopted(both, classifier) == both
    for direct in ({"hash": 0.9}, {}, {"hash": 0.9, "my.clip": 0.8, "word": 0.9}):
        with pytest.raises(ConfigError, match=r"advanced\.blend\.direct = "):
            adopted(Config.of({"advanced": {"blend": {"direct": direct}}}), classifier)


def test_vectors_that_it_learned_from_bring_their_options(shipped: PairClassifier) -> None:
    config = Config.of({"vectors": {"my.clip": {"weight": 3.0}}})  # a name may hold a dot
    classifier = replace(shipped, evidence=evidence_settings(config, ["word", "my.clip"]))
    assert adopted(Config(), classifier).vectors["my.clip"].weight == 3
    with pytest.raises(ConfigError, match=r"vectors\.my\.clip\.weight = 2\.0"):
        adopted(Config.of({"vectors": {"my.clip": {"weight": 2.0}}}), classifier)


# --- cuts that move with the pool

cuts = st.floats(0.01, 1).map(lambda cut: round(cut, 3))


@examples(100)
@given(cuts, cuts, cuts, st.integers(1, 10**7), st.sampled_from([0.0, 0.05, 0.2]), st.integers(1, 10**8))
@example(1.0, 1.0, 1.0, 1, 0.05, 2)  # cuts beyond the ends to which a cut may move
@example(0.01, 0.1, 0.01, 1000, 0.05, 10)
def test_the_configuration_of_a_run_at_any_size_is_accepted_again(
    owner: Owner, one: float, other: float, later: float, size: int, slope: float, n: int
) -> None:
    """A run writes its cuts as they were moved to its pool; they are still those of the classifier."""
    blend = {"threshold": max(one, other), "min2": min(one, other), "later": later}
    options = owned(Config.of({"advanced": {"blend": blend, "pool": {"size": size, "slope": slope}}}))
    classifier = owner(options)
    run = adopted(Config(), classifier).settled(classifier.cut).at_pool(n)
    again = adopted(Config.of(tomllib.loads(run.text())), classifier)
    assert owned(again) == options
    assert owned(again.at_pool(n)) == owned(run)


def test_the_run_folder_of_another_pool_is_a_configuration_for_the_same_classifier(folder: Path) -> None:
    shop = Catalog.read(synthesize(120, seed=4).posts)
    config = Config.read(folder / "config.toml")
    first = Matcher(config).match(shop)
    written = Config.of(tomllib.loads(first.config.text()))
    assert written.advanced.blend.threshold != config.advanced.blend.threshold
    assert written.advanced.pool.size == 120
    second = Matcher(written).match(shop)
    assert second.config == first.config
    assert np.array_equal(second.groups.labels, first.groups.labels)


# --- folders of older versions

OLD_CONFIG = """
[word]
use = true
k = 51
[char]
use = false
[title]
use = false
encoder = "kembar-title"
[hash]
use = false
[learned]
model = "."
cut = 0.37
veto = false
[units]
veto = true
[blend]
steps = 2
threshold = THRESHOLD
min2 = MIN2
later = LATER
[decide]
rule = "group"
cap = 51
[group]
cut = 0.5
bridge = 0.2
[pool]
size = 300
"""


@pytest.fixture
def older(trained: FittedClassifier, folder: Path, tmp_path: Path) -> Path:
    """The same classifier as the version before wrote it: another name, no cut and no options of its own."""
    path = tmp_path / "fuser"
    path.mkdir()
    tree = json.loads((folder / "classifier.json").read_text())
    del tree["cut"], tree["evidence"]
    (path / "fuser.json").write_text(json.dumps({**tree, "format": "kembar fuser", "version": 2}))
    (path / "trees.txt").write_bytes((folder / "trees.txt").read_bytes())
    text, blend = OLD_CONFIG, trained.config.advanced.blend
    for key in ("threshold", "min2", "later"):
        text = text.replace(key.upper(), str(getattr(blend, key)))
    (path / "config.toml").write_text(text)
    return path


def test_a_folder_of_an_older_version_is_read(trained: FittedClassifier, older: Path) -> None:
    assert has_classifier(older)
    classifier = PairClassifier.load(older)
    same_trees(classifier, trained.classifier)
    assert (classifier.names, classifier.profiles) == (trained.classifier.names, trained.classifier.profiles)
    assert classifier.without == trained.classifier.without
    assert not classifier.evidence


def test_its_own_configuration_decides_as_it_did(folder: Path, older: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = Config.read(older / "config.toml")
    assert (config.model, config.cut, config.veto, config.char) == (str(older), 0.37, False, False)
    assert "older names" in caplog.text
    shop = Catalog.read(synthesize(120, seed=4).posts)
    found = Matcher(config).match(shop)
    now = Matcher(Config.read(folder / "config.toml", ["cut=0.37"])).match(shop)
    assert np.array_equal(found.groups.labels, now.groups.labels)
    assert np.array_equal(found.pairs.evidence["similarity"], now.pairs.evidence["similarity"])


def test_saved_again_it_is_a_folder_of_this_version(older: Path, tmp_path: Path) -> None:
    PairClassifier.load(older).save(tmp_path / "new")
    assert (tmp_path / "new" / "classifier.json").is_file()
    same_trees(PairClassifier.load(tmp_path / "new"), PairClassifier.load(older))
