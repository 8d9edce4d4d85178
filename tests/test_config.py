import tomllib
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from kembar.config import FUSION_RULES as RULES
from kembar.config import Blend, Config, Decide, Group, Vectors
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
    return Config.of(
        {
            "fusion": {"rule": draw(st.sampled_from(RULES)), "thresholds": {"photo": draw(cut)}},
            "blend": blend,
            "decide": {"threshold": high, "min2": draw(st.none() | st.just(low)), "mutual": draw(st.booleans())},
            "group": {"cut": draw(cut), "target_size": draw(st.none() | st.floats(1, 50))},
            "vectors": draw(st.dictionaries(name, st.fixed_dictionaries({"weight": cut}), max_size=2)),
            "char": {"n_gram": [draw(st.integers(1, 3)), draw(st.integers(3, 5))], "max_df": draw(cut)},
        }
    )


def refused(*parts: str, settings: tuple[str, ...] = (), path: Path | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        Config.read(path, settings)
    for part in parts:
        assert part in str(caught.value)
    assert "value error" not in str(caught.value).lower()
    return caught.value


# --- in and out


@examples(60)
@given(configs())
def test_text_reads_back_as_the_same_configuration(config: Config) -> None:
    assert Config.of(tomllib.loads(config.text())) == config


def test_text_of_a_file_reads_back(tmp_path: Path) -> None:
    config = Config.read(None, ["blend.min2=none", "vectors.clip.modality=title", "group.target_size=3.1"])
    (tmp_path / "c.toml").write_text(config.text(), encoding="utf-8")
    assert Config.read(tmp_path / "c.toml") == config
    assert config.blend.min2 is None
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
    (tmp_path / "c.toml").write_text("[blend]\nsteps = 2\nkeep = 0.1\n[word]\nn_gram = [1, 2]\n")
    config = Config.read(tmp_path / "c.toml", ["blend.steps=0", "blend.steps = 3", "decide.rule=chisel"])
    assert (config.blend.steps, config.blend.keep, config.word.n_gram) == (3, 0.1, (1, 2))
    assert config.decide.rule == "chisel"
    assert config.char == Config().char


@pytest.mark.parametrize(
    ("setting", "section", "key", "value"),
    [
        ("decide.rule=threshold", "decide", "rule", "threshold"),
        ('decide.rule="threshold"', "decide", "rule", "threshold"),
        ("decide.min2=none", "decide", "min2", None),
        ("decide.min2=null", "decide", "min2", None),
        ("decide.mutual=true", "decide", "mutual", True),
        ("word.n_gram=[1,2]", "word", "n_gram", (1, 2)),
        ('units.categories=["weight", "volume"]', "units", "categories", ("weight", "volume")),
        ("blend.direct.hash=0.95", "blend", "direct", {"hash": 0.95}),
        ("pool.slope=0", "pool", "slope", 0.0),
    ],
)
def test_a_setting(setting: str, section: str, key: str, value: Any) -> None:
    assert getattr(getattr(Config.read(None, [setting]), section), key) == value


def test_it_is_frozen() -> None:
    with pytest.raises(ValidationError):
        Config().blend.steps = 3  # type: ignore[misc]


# --- what is refused


@pytest.mark.parametrize(
    ("setting", "parts"),
    [
        ("blnd.steps=2", ("unknown option 'blnd'", "Nearest: 'blend'")),
        ("blend.stepz=2", ("unknown option 'blend.stepz'", "Nearest: 'steps'")),
        ("vectors.clip.modalty=title", ("unknown option 'vectors.clip.modalty'", "Nearest: 'modality'")),
        ("zzz=1", ("unknown option 'zzz'", "`kembar config` shows")),
        ("fusion.rule=soft_orr", ("fusion.rule = 'soft_orr'", "one of mean", "Nearest: 'soft_or'")),
        ("fusion.thresholds.phto=0.3", ("'phto'", "one of title, photo", "Nearest: 'photo'")),
        ("fusion.thresholds.photo=0", ("fusion.thresholds.photo = 0", "greater than 0")),
        ('units.categories=["weigt"]', ("units.categories = 'weigt'", "Nearest: 'weight'")),
        ("decide.rule=grup", ("decide.rule = 'grup'", "'group', 'threshold', 'chisel' or 'expected'")),
        ("decide.threshold=1.5", ("decide.threshold = 1.5", "less than or equal to 1")),
        ("decide.threshold=0.1", ("decide.min2", "decide.threshold 0.1", "Lower decide.min2")),
        ("blend.threshold=0.01", ("blend.min2", "blend.threshold 0.01", "Lower blend.min2")),
        ("word.k=1", ("word.k = 1", "greater than or equal to 2")),
        ("word.k=x", ("word.k = 'x'", "valid integer")),
        ("word.weight=inf", ("word.weight = inf", "finite")),
        ("group.cut=nan", ("group.cut = nan",)),
        ("group.cut=0", ("group.cut = 0",)),
        ("decide.cap=0", ("decide.cap = 0",)),
        ("blend=3", ("blend = 3",)),
        ("blend.steps.more=3", ("blend.steps",)),
        ("blend.steps", ("setting 'blend.steps'", "key=value")),
        ("=3", ("setting '=3'", "key=value")),
    ],
)
def test_a_setting_that_is_refused(setting: str, parts: tuple[str, ...]) -> None:
    refused(*parts, settings=(setting,))


def test_a_setting_inside_a_value_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("blend = 3\n")
    refused(
        "setting 'blend.steps=2'", "'blend' holds a single value", path=tmp_path / "c.toml", settings=("blend.steps=2",)
    )


def test_files_that_are_refused(tmp_path: Path) -> None:
    refused("nothing.toml", "not there", path=tmp_path / "nothing.toml")
    (tmp_path / "broken.toml").write_text("[blend\nsteps = 2\n")
    refused("broken.toml", "valid TOML", "line 1", path=tmp_path / "broken.toml")
    (tmp_path / "latin.toml").write_bytes("# é\n".encode("latin-1"))
    refused("latin.toml", "valid TOML", path=tmp_path / "latin.toml")
    refused("valid TOML", path=tmp_path)
    (tmp_path / "unknown.toml").write_text("[decide]\ntreshold = 0.5\n")
    refused("unknown option 'decide.treshold'", "Nearest: 'threshold'", path=tmp_path / "unknown.toml")


# --- the size of the pool


def cuts(config: Config) -> dict[str, float | None]:
    parts = {"blend": ("threshold", "min2", "later"), "decide": ("threshold", "min2"), "group": ("cut",)}
    names = chain.from_iterable([(section, key) for key in keys] for section, keys in parts.items())
    return {f"{section}.{key}": getattr(getattr(config, section), key) for section, key in names}


def test_each_doubling_of_the_pool_lifts_every_cut_by_the_slope() -> None:
    config = Config(
        blend=Blend(threshold=0.6, min2=0.4, later=0.7),
        decide=Decide(threshold=0.5, min2=None),
        group=Group(cut=0.5),
        learned={"model": "rules"},  # type: ignore[arg-type]
        pool={"size": 1000, "slope": 0.05},  # type: ignore[arg-type]
    )
    moved = config.at_pool(4000)
    assert moved.pool.size == 4000
    for key, before in cuts(config).items():
        assert cuts(moved)[key] == (None if before is None else pytest.approx(before + 0.1)), key
    same = {"fusion", "word", "char", "hash", "units", "vectors"}
    assert config.model_dump(include=same) == moved.model_dump(include=same)


@given(configs(), st.integers(0, 10**8), st.integers(1, 10**8))
def test_a_pool_keeps_the_order_of_cuts_and_their_range(config: Config, n: int, more: int) -> None:
    moved = config.at_pool(n)
    assert Config.of(moved.model_dump()) == moved  # still valid: min2 at or below the threshold, all in range
    assert moved.at_pool(max(n, 1)) == moved
    larger = cuts(config.at_pool(n + more))
    for key, value in cuts(moved).items():
        assert value is None or value <= larger[key], key


def test_no_slope_moves_nothing() -> None:
    config = Config.read(None, ["pool.slope=0"])
    assert cuts(config.at_pool(10)) == cuts(config)
