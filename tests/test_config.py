import tomllib
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from kembar.config import FUSION_RULES as RULES
from kembar.config import Config, Vectors
from kembar.config.advanced import Advanced, Blend, Decide, Group, Pool
from kembar.errors import ConfigError
from properties import examples

share = st.floats(0, 1)
cut = st.floats(0.001, 1)
name = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=12)


def sections(model: BaseModel, prefix: str = "") -> dict[str, BaseModel]:
    found = {prefix: model}
    for key in type(model).model_fields:
        value = getattr(model, key)
        if isinstance(value, BaseModel):
            found |= sections(value, f"{prefix}{key}.")
    return found


@st.composite
def configs(draw: st.DrawFn) -> Config:
    low, high = sorted((draw(share), draw(share)))
    blend = {
        "threshold": high,
        "min2": draw(st.none() | st.just(low)),
        "direct": draw(st.dictionaries(name, share, max_size=2)),
        "steps": draw(st.integers(0, 5)),
    }
    advanced = {
        "fusion": {"rule": draw(st.sampled_from(RULES)), "thresholds": {"photo": draw(cut)}},
        "blend": blend,
        "decide": {"threshold": high, "min2": draw(st.none() | st.just(low)), "mutual": draw(st.booleans())},
        "group": {"cut": draw(cut)},
        "char": {"n_gram": [draw(st.integers(1, 3)), draw(st.integers(3, 5))], "max_df": draw(cut)},
    }
    vectors = draw(st.dictionaries(name, st.fixed_dictionaries({"weight": cut}), max_size=2))
    own = {
        "word": draw(st.booleans()),
        "cut": draw(st.none() | cut),
        "veto": draw(st.none() | st.booleans()),
        "model": draw(st.sampled_from(["rules", "kembar-classifier"])),
        "target_size": draw(st.none() | st.floats(1, 50)),
    }
    return Config.of({**own, "vectors": vectors, "advanced": advanced})


def refused(*parts: str, settings: tuple[str, ...] = (), path: Path | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        Config.read(path, settings)
    for part in parts:
        assert part in str(caught.value)
    assert "value error" not in str(caught.value).lower()
    return caught.value


# --- in and out


@examples(30)
@given(configs())
def test_text_reads_back_as_the_same_configuration(config: Config) -> None:
    assert Config.of(tomllib.loads(config.text())) == config


def test_text_of_a_file_reads_back(tmp_path: Path) -> None:
    config = Config.read(None, ["advanced.blend.min2=none", "vectors.clip.modality=title", "target_size=3.1"])
    (tmp_path / "c.toml").write_text(config.text(), encoding="utf-8")
    assert Config.read(tmp_path / "c.toml") == config
    assert config.advanced.blend.min2 is None
    assert config.vectors["clip"] == Vectors(modality="title")


def test_text_tells_the_meaning_of_every_option() -> None:
    text = Config().text()
    for section in sections(Config()).values():
        for key, field in type(section).model_fields.items():
            if not isinstance(getattr(section, key), BaseModel) and key != "vectors":
                assert field.description
                assert any(
                    line.startswith(f"{key} = ") and line.endswith(field.description) for line in text.split("\n")
                )


def test_settings_change_the_file_and_come_one_after_the_other(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("[advanced.blend]\nsteps = 2\nkeep = 0.1\n[advanced.word]\nn_gram = [1, 2]\n")
    config = Config.read(tmp_path / "c.toml", ["advanced.blend.steps=0", "advanced.blend.steps = 3", "rule=chisel"])
    assert (config.advanced.blend.steps, config.advanced.blend.keep, config.advanced.word.n_gram) == (3, 0.1, (1, 2))
    assert config.rule == "chisel"
    assert config.char == Config().char


@pytest.mark.parametrize(
    ("setting", "key", "value"),
    [
        ("rule=threshold", "rule", "threshold"),
        ('rule="threshold"', "rule", "threshold"),
        ("cut=0.5", "cut", 0.5),
        ("cut=auto", "cut", None),
        ("veto=true", "veto", True),
        ("advanced.decide.min2=none", "advanced.decide.min2", None),
        ("advanced.decide.min2=null", "advanced.decide.min2", None),
        ("advanced.decide.mutual=true", "advanced.decide.mutual", True),
        ("advanced.word.n_gram=[1,2]", "advanced.word.n_gram", (1, 2)),
        ('categories=["weight", "volume"]', "categories", ("weight", "volume")),
        ("advanced.blend.direct.hash=0.95", "advanced.blend.direct", {"hash": 0.95}),
        ("advanced.pool.slope=0", "advanced.pool.slope", 0.0),
    ],
)
def test_a_setting(setting: str, key: str, value: Any) -> None:
    assert attrgetter(key)(Config.read(None, [setting])) == value


def test_about_fourteen_options_are_for_everybody() -> None:
    assert set(Config.model_fields) - {"vectors", "advanced"} == {
        *("word", "char", "title", "title_encoder", "hash", "photo", "photo_encoder"),
        *("model", "cut", "veto", "variants", "rule", "target_size", "single", "categories"),
    }


def test_it_is_frozen() -> None:
    with pytest.raises(ValidationError):
        Config().advanced.blend.steps = 3  # type: ignore[misc]


# --- what is refused


@pytest.mark.parametrize(
    ("setting", "parts"),
    [
        ("blnd.steps=2", ("unknown option 'blnd'", "Nearest: 'blend'")),
        ("advanced.blend.stepz=2", ("unknown option 'advanced.blend.stepz'", "Nearest: 'steps'")),
        ("vectors.clip.modalty=title", ("unknown option 'vectors.clip.modalty'", "Nearest: 'modality'")),
        ("zzz=1", ("unknown option 'zzz'", "`kembar config` shows")),
        ("advanced.fusion.rule=soft_orr", ("advanced.fusion.rule = 'soft_orr'", "one of mean", "Nearest: 'soft_or'")),
        ("advanced.fusion.thresholds.phto=0.3", ("'phto'", "one of title, photo", "Nearest: 'photo'")),
        ("advanced.fusion.thresholds.photo=0", ("advanced.fusion.thresholds.photo = 0", "greater than 0")),
        ('categories=["weigt"]', ("categories = 'weigt'", "Nearest: 'weight'")),
        ("rule=grup", ("rule = 'grup'", "'group', 'threshold', 'chisel', 'expected', 'one-to-one'")),
        ("advanced.decide.threshold=1.5", ("advanced.decide.threshold = 1.5", "less than or equal to 1")),
        ("advanced.decide.threshold=0.1", ("decide.min2", "decide.threshold 0.1", "Lower advanced.decide.min2")),
        ("advanced.blend.threshold=0.01", ("blend.min2", "blend.threshold 0.01", "Lower advanced.blend.min2")),
        ("advanced.word.k=1", ("advanced.word.k = 1", "greater than or equal to 2")),
        ("advanced.word.k=x", ("advanced.word.k = 'x'", "valid integer")),
        ("advanced.word.weight=inf", ("advanced.word.weight = inf", "finite")),
        ("advanced.group.cut=nan", ("advanced.group.cut = nan",)),
        ("advanced.group.cut=0", ("advanced.group.cut = 0",)),
        ("advanced.decide.cap=0", ("advanced.decide.cap = 0",)),
        ("advanced.blend=3", ("advanced.blend = 3",)),
        ("cut=1.5", ("cut = 1.5", "less than or equal to 1")),
        ("advanced.blend.steps.more=3", ("blend.steps",)),
        ("blend.steps", ("setting 'blend.steps'", "key=value")),
        ("=3", ("setting '=3'", "key=value")),
    ],
)
def test_a_setting_that_is_refused(setting: str, parts: tuple[str, ...]) -> None:
    refused(*parts, settings=(setting,))


def test_a_setting_inside_a_value_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("[advanced]\nblend = 3\n")
    refused(
        "setting 'advanced.blend.steps=2'",
        "'blend' holds a single value",
        path=tmp_path / "c.toml",
        settings=("advanced.blend.steps=2",),
    )


def test_files_that_are_refused(tmp_path: Path) -> None:
    refused("nothing.toml", "not there", path=tmp_path / "nothing.toml")
    (tmp_path / "broken.toml").write_text("[blend\nsteps = 2\n")
    refused("broken.toml", "valid TOML", "line 1", path=tmp_path / "broken.toml")
    (tmp_path / "latin.toml").write_bytes("# é\n".encode("latin-1"))
    refused("latin.toml", "valid TOML", path=tmp_path / "latin.toml")
    refused("valid TOML", path=tmp_path)
    (tmp_path / "unknown.toml").write_text("[decide]\ntreshold = 0.5\n")
    refused("unknown option 'advanced.decide.treshold'", "Nearest: 'threshold'", path=tmp_path / "unknown.toml")


# --- the size of the pool


def cuts(config: Config) -> dict[str, float | None]:
    parts = {"blend": ("threshold", "min2", "later"), "decide": ("threshold", "min2"), "group": ("cut",)}
    names = chain.from_iterable([(section, key) for key in keys] for section, keys in parts.items())
    return {f"{section}.{key}": getattr(getattr(config.advanced, section), key) for section, key in names} | {
        "cut": config.cut
    }


def test_each_doubling_of_the_pool_lifts_every_cut_by_the_slope() -> None:
    config = Config(
        model="rules",
        cut=0.55,
        advanced=Advanced(
            blend=Blend(threshold=0.6, min2=0.4, later=0.7),
            decide=Decide(threshold=0.5, min2=None),
            group=Group(cut=0.5),
            pool=Pool(size=1000, slope=0.05),
        ),
    )
    moved = config.at_pool(4000)
    assert moved.advanced.pool.size == 4000
    for key, before in cuts(config).items():
        assert cuts(moved)[key] == (None if before is None else pytest.approx(before + 0.1)), key
    changed = {"cut": True, "advanced": {"blend", "decide", "group", "pool"}}
    assert config.model_dump(exclude=changed) == moved.model_dump(exclude=changed)


@given(configs(), st.integers(0, 10**8), st.integers(1, 10**8))
def test_a_pool_keeps_the_order_of_cuts_and_their_range(config: Config, n: int, more: int) -> None:
    moved = config.at_pool(n)
    assert Config.of(moved.model_dump()) == moved  # still valid: min2 at or below the threshold, all in range
    assert moved.at_pool(max(n, 1)) == moved
    larger = cuts(config.at_pool(n + more))
    for key, value in cuts(moved).items():
        assert value is None or value <= larger[key], key


def test_no_slope_moves_nothing() -> None:
    config = Config.read(None, ["advanced.pool.slope=0"])
    assert cuts(config.at_pool(10)) == cuts(config)


def test_the_cut_of_a_classifier_holds_for_any_pool() -> None:
    config = Config(cut=0.4)
    assert config.at_pool(10).cut == 0.4
    assert config.at_pool(10).advanced.blend.threshold < config.advanced.blend.threshold


# --- auto


def test_auto_is_what_the_model_says() -> None:
    rules = Config(model="rules").settled()
    assert (rules.cut, rules.veto) == (Config().advanced.group.cut, True)
    learned = Config().settled(0.3)
    assert (learned.cut, learned.veto) == (0.3, False)
    asked = Config(cut=0.5, veto=True).settled(0.3)
    assert (asked.cut, asked.veto) == (0.5, True)


def test_a_cut_for_a_classifier_is_none_for_rules() -> None:
    config = Config(cut=0.9, veto=True)
    assert config.with_model("rules").cut is None
    assert config.with_model("folder").cut == 0.9


def test_an_unsettled_cut_is_refused() -> None:
    with pytest.raises(ConfigError, match="cut 'auto' with a classifier"):
        Config().group_cut  # noqa: B018


# --- names of older versions


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("blend.steps=2", "advanced.blend.steps=2"),
        ("word.k=9", "advanced.word.k=9"),
        ("word.use=false", "word=false"),
        ("title.encoder=use", "title_encoder=use"),
        ("learned.model=rules", "model=rules"),
        ("learned.model=kembar-fuser", "model=kembar-classifier"),
        ("learned.cut=0.3", "cut=0.3"),
        ("learned.veto=true", "veto=true"),
        ("units.veto=false", "advanced.fusion.veto=false"),
        ('units.categories=["weight"]', 'categories=["weight"]'),
        ("decide.rule=chisel", "rule=chisel"),
        ("decide.cap=9", "advanced.decide.cap=9"),
        ("group.target_size=2", "target_size=2"),
        ("blend.direct.hash=0.9", "advanced.blend.direct.hash=0.9"),
    ],
)
def test_a_setting_under_its_older_name_is_read_and_told(old: str, new: str, caplog: pytest.LogCaptureFixture) -> None:
    assert Config.read(None, [old]) == Config.read(None, [new])
    assert repr(new.partition("=")[0]) in caplog.text
    caplog.clear()
    Config.read(None, [new])
    assert not caplog.text


OLD = """
[word]
use = true
k = 40
[title]
use = false
encoder = "use"
[learned]
model = "MODEL"
cut = 0.37
veto = true
[units]
veto = true
categories = ["weight"]
[decide]
rule = "threshold"
threshold = 0.7
[group]
link = "average"
cut = 0.5
bridge = 0.2
[pool]
size = 5000
"""


def test_a_file_of_an_older_version_is_read_and_told_in_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "old.toml").write_text(OLD.replace("MODEL", "kembar-fuser"))
    config = Config.read(tmp_path / "old.toml")
    assert (config.model, config.cut, config.veto) == ("kembar-classifier", 0.37, True)
    assert (config.title, config.title_encoder, config.categories) == (False, "use", ("weight",))
    assert (config.rule, config.advanced.decide.threshold, config.advanced.word.k) == ("threshold", 0.7, 40)
    assert len(caplog.records) == 1


def test_in_an_older_file_the_cut_of_a_classifier_is_none_for_rules(tmp_path: Path) -> None:
    (tmp_path / "old.toml").write_text(OLD.replace("MODEL", "rules"))
    config = Config.read(tmp_path / "old.toml")
    assert (config.cut, config.group_cut, config.settled().veto) == (None, 0.5, True)


def test_what_is_gone_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "old.toml").write_text('[group]\nlink = "pruned"\n')
    refused("'pruned', which this version no longer has", "average", path=tmp_path / "old.toml")
    refused("'pruned', which this version no longer has", settings=("group.link=pruned",))
