import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from kembar.errors import ConfigError
from kembar.training.recipe import PRESETS, Recipe
from properties import examples


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    size = draw(st.sampled_from([0, 2, 4]))
    low, high = sorted((draw(st.floats(0, 1.5)), draw(st.floats(0, 1.5))))
    return Recipe.preset(
        draw(st.sampled_from(sorted(PRESETS))),
        group_size=size,
        batch=max(size, 1) * draw(st.integers(2, 64)),
        margin=high,
        margin_start=low,
        margin_ramp=draw(st.floats(0, 1)),
        loss=draw(st.sampled_from(["arcface", "softmax", "cosface"] + (["triplet", "contrastive"] if size else []))),
        scale=draw(st.floats(0.01, 100)),
        model=draw(st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=12)),
    )


def refused(*parts: str, **changes: object) -> None:
    with pytest.raises(ConfigError) as caught:
        Recipe.photo(**changes)
    for part in parts:
        assert part in str(caught.value)
    assert "value error" not in str(caught.value).lower()


@examples(30)
@given(recipes())
def test_text_reads_back_as_the_same_recipe(recipe: Recipe) -> None:
    assert Recipe.of(tomllib.loads(recipe.text())) == recipe


def test_text_tells_the_meaning_of_every_option() -> None:
    lines = Recipe.title().text().split("\n")
    for key, field in Recipe.model_fields.items():
        assert field.description
        assert any(line.startswith(f"{key} = ") and line.endswith(f"# {field.description}") for line in lines)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_is_a_valid_recipe_of_its_name(name: str) -> None:
    recipe = Recipe.preset(name)
    for modality in ("photo", "title"):
        if name.endswith(modality):
            assert recipe.modality == modality


def test_the_first_place_raises_its_margins_slowly_and_by_class() -> None:
    photo, title = Recipe.preset("upstage-photo"), Recipe.preset("upstage-title")
    assert (photo.margin_start, photo.margin, photo.class_margin) == (0.2, 1.0, 0.1)
    assert (title.margin_start, title.margin, title.class_margin) == (0.2, 0.8, 0.2)
    assert photo.margin_ramp == title.margin_ramp == 1
    assert photo.projection == title.projection == 0
    assert photo.neck
    assert title.neck
    second = Recipe.preset("lyakaap-photo")
    assert (second.loss, second.margin, second.scale) == ("curricular", 0.3, 50)
    assert (second.pooling, second.gem_p, second.gem_test_p, second.sam > 0) == ("gem", 3, 6, True)


def test_files_and_settings(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text('modality = "title"\nmargin = 0.7\nepochs = 3\n')
    recipe = Recipe.read(tmp_path / "r.toml", ["epochs=4", "loss=cosface"])
    assert recipe == Recipe.title(margin=0.7, epochs=4, loss="cosface")
    assert Recipe.read() == Recipe.photo()
    assert Recipe.read(None, ["batch=32"], "upstage-photo") == Recipe.preset("upstage-photo", batch=32)
    assert Recipe.read(None, ["modality=title"], "upstage-photo") == Recipe.title()
    assert recipe.changed(seed=5) == Recipe.title(margin=0.7, epochs=4, loss="cosface", seed=5)


def test_a_recipe_is_frozen() -> None:
    with pytest.raises(ValidationError):
        Recipe.photo().margin = 0.1  # type: ignore[misc]


def test_groups_in_a_batch() -> None:
    assert Recipe.photo(batch=64, group_size=4).groups == 16
    assert Recipe.photo(batch=64).groups == 0


def test_what_is_refused() -> None:
    refused("unknown option 'marging'", "Nearest: 'margin'", marging=1)
    refused("loss = 'arcfase'", "'arcface'", loss="arcfase")
    refused("margin = 9", "less than or equal to 1.5", margin=9)
    refused("scale = nan", scale=float("nan"))
    refused("loss 'triplet' with group_size 0", "group_size=4", loss="triplet")
    refused("loss 'contrastive' with group_size 1", loss="contrastive", group_size=1)
    refused("batch 63 with group_size 4", "batch=60", group_size=4, batch=63)
    refused("batch 3 with group_size 4", "batch=8", group_size=4, batch=3)
    refused("at least two groups", "batch=8", group_size=4, batch=4)
    refused("margin_start 0.2 with margin 0.1", "margin_ramp=0", margin=0.1)
    refused("objective 'pair' for photos", objective="pair")
    refused("sam 0.05 with precision 'float16'", "bfloat16", sam=0.05, precision="float16")
    refused("refit with holdout 0", refit=True, holdout=0)


def test_what_disagrees_matters_only_where_it_is_used() -> None:
    Recipe.photo(margin=0.1, loss="triplet", group_size=2)
    Recipe.photo(margin=0.1, margin_ramp=0)
    Recipe.title(objective="triplet", loss="triplet")


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"recipe 'upstage-foto'.*Nearest: 'upstage-photo'"):
        Recipe.preset("upstage-foto")


def test_a_missing_or_broken_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not there"):
        Recipe.read(tmp_path / "none.toml")
    (tmp_path / "broken.toml").write_text("margin = ")
    with pytest.raises(ConfigError, match="valid TOML"):
        Recipe.read(tmp_path / "broken.toml")
    with pytest.raises(ConfigError, match="key=value"):
        Recipe.read(None, ["margin"])
