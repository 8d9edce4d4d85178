"""The recipes of the published solution: what they set, how they run on small local encoders, what they refuse."""

import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from conftest import Cli
from kembar import Catalog, Config, ConfigError, Result
from kembar.config.recipes import merged, recipe, recipe_names
from kembar.grouping.matches import row_shares
from tiny import save_title_onnx

RECIPES = ("shopee-baseline", "shopee-final", "shopee-union")
GRAMS = {"kind": "ngrams", "buckets": 997, "shortest": 2, "longest": 4, "words": True, "pairs": True}


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny NFNet of timm with random weights, in a folder as timm has them on its hub."""
    torch, timm = pytest.importorskip("torch"), pytest.importorskip("timm")
    from kembar.encoders.timm import open_timm

    folder = tmp_path_factory.mktemp("photo")
    torch.manual_seed(0)
    torch.save(timm.create_model("test_nfnet").state_dict(), folder / "weights.pth")
    open_timm("test_nfnet", folder / "weights.pth", device="cpu").save(folder / "encoder")
    (folder / "encoder" / "encoder.json").unlink()
    return folder / "encoder"


@pytest.fixture(scope="module")
def title(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A title encoder in ONNX, as `kembar train` writes it."""
    return save_title_onnx(tmp_path_factory.mktemp("title") / "encoder", ("ids", "weights"), 997, GRAMS)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No hub, and nothing downloaded from it before."""
    hub = pytest.importorskip("huggingface_hub")
    pytest.importorskip("timm")
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


# --- what they set


def test_their_names_and_order() -> None:
    assert tuple(recipe_names()) == RECIPES
    baseline, final, union = (Config.read(recipe=name) for name in RECIPES)
    assert all(config.by_rules and config.word and not config.hash for config in (baseline, final, union))
    assert (baseline.title, baseline.photo_encoder) == (False, "timm:resnet18")
    assert (baseline.advanced.decide.min2, baseline.advanced.blend.steps) == (None, 0)
    assert union.advanced.decide.min2 is not None
    assert union.advanced.fusion.rule == baseline.advanced.fusion.rule == "union"
    assert (union.title_encoder, union.photo_encoder) == (final.title_encoder, final.photo_encoder)
    assert (final.rule, final.advanced.fusion.rule, final.advanced.blend.steps) == ("chisel", "soft_or", 1)
    assert final.settled().veto
    assert not union.settled().veto


def test_a_file_changes_a_recipe_and_a_setting_changes_both(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("[advanced.fusion.thresholds]\nphoto = 0.6\n[advanced.decide]\nthreshold = 0.4\n")
    found = Config.read(tmp_path / "c.toml", ["advanced.decide.threshold=0.45"], recipe="shopee-union").advanced
    assert (found.fusion.rule, found.decide.threshold, found.decide.min2) == ("union", 0.45, 0.27)
    assert found.fusion.thresholds == {"title": 0.70, "photo": 0.6}
    assert merged({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}, "d": 4}) == {"a": {"b": 1, "c": 3}, "d": 4}
    recipe("shopee-union")["model"] = "changed"
    assert recipe("shopee-union")["model"] == "rules"


@pytest.mark.parametrize("name", RECIPES)
def test_config_prints_a_recipe(cli: Cli, name: str) -> None:
    printed = cli("config", "--recipe", name)
    assert printed.exit_code == 0
    assert Config.of(tomllib.loads(printed.stdout)) == Config.read(recipe=name)


def test_names_that_are_none(cli: Cli, shop: Path, tmp_path: Path) -> None:
    for words in (("config",), ("match", shop / "posts.csv", "-o", tmp_path / "run")):
        refused = cli(*words, "--recipe", "shopee-fnal")
        assert refused.exit_code == 2
        assert "recipe 'shopee-fnal'" in refused.stderr
        assert "Nearest: 'shopee-final'" in refused.stderr
    with pytest.raises(ConfigError, match="prints a recipe"):
        recipe("upstage")
    both = cli("match", shop / "posts.csv", "-o", tmp_path / "run", "--recipe", "shopee-final", "--model", "rules")
    assert (both.exit_code, len(both.stderr.splitlines())) == (2, 1)
    assert "kembar tune --recipe" in both.stderr


# --- what they do


@pytest.fixture(scope="module")
def runs(cli: Cli, shop: Path, photo: Path, title: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """What each recipe finds among 60 posts with photos, by the tiny encoders."""
    folder = tmp_path_factory.mktemp("runs")
    encoders = ("--set", f"photo_encoder={photo}", "--set", f"title_encoder={title}")
    found = {}
    for name in RECIPES:
        words = ("match", shop / "posts.csv", "--images", shop / "photos", "--recipe", name, *encoders)
        done = cli(*words, "-o", folder / name)
        assert (done.exit_code, done.stderr) == (0, ""), done.output
        found[name] = Result.load(folder / name)
    return found


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_compares_what_it_says(runs: dict[str, Result], name: str) -> None:
    views = {"word", "photo"} if name == "shopee-baseline" else {"word", "photo", "title"}
    blended = {f"{view}_blended" for view in views} if name == "shopee-final" else set()
    assert set(runs[name].pairs.evidence) == views | blended | {"conflict", "similarity"}
    assert runs[name].config.by_rules


def test_the_baseline_is_the_union_of_two_thresholds(runs: dict[str, Result]) -> None:
    result = runs["shopee-baseline"]
    advanced = result.config.advanced
    twice = 2 * advanced.decide.threshold  # the thresholds are of .5, which has moved to a pool of 60
    word, cosine = (np.nan_to_num(result.pairs.evidence[name], nan=-1) for name in ("word", "photo"))
    scaled = (cosine - advanced.photo.floor) / (1 - advanced.photo.floor)
    cuts = advanced.fusion.thresholds
    near = (word >= twice * cuts["title"]) | (scaled >= twice * cuts["photo"])
    expected = set(zip(result.pairs.left[near].tolist(), result.pairs.right[near].tolist(), strict=True))
    source, target = result.matches.edges()
    assert {pair for pair in zip(source.tolist(), target.tolist(), strict=True) if pair[0] < pair[1]} == expected


def test_the_union_leaves_a_post_alone_only_below_min2(runs: dict[str, Result]) -> None:
    result = runs["shopee-union"]
    similarity = result.pairs.evidence["similarity"]
    best = np.zeros(len(result.matches))
    for ends in (result.pairs.left, result.pairs.right):
        np.maximum.at(best, ends, similarity)
    matched = np.diff(result.matches.offsets) > 1
    assert (matched == (best >= result.config.advanced.decide.min2)).all()


def test_the_final_carves_lists_to_the_sizes_of_groups_and_vetoes(runs: dict[str, Result]) -> None:
    result = runs["shopee-final"]
    sizes = np.bincount(np.diff(result.matches.offsets), minlength=60)
    targets = np.floor(row_shares(result.catalog.labels) * len(result.matches) + 1e-9)
    assert (sizes[: len(targets)] >= targets).all()
    conflict = result.pairs.evidence["conflict"] > 0
    assert conflict.any()
    assert (result.pairs.evidence["similarity"][conflict] == 0).all()


def test_a_recipe_can_be_tuned(cli: Cli, shop: Path, photo: Path, tmp_path: Path) -> None:
    posts = (shop / "posts.csv", "--images", shop / "photos")
    words = ("--recipe", "shopee-baseline", "--set", f"photo_encoder={photo}", "--folds", 2, "--judge", "rules")
    tuned = cli("tune", *posts, "-o", tmp_path / "model", *words)
    assert tuned.exit_code == 0, tuned.output
    config = Config.read(tmp_path / "model" / "config.toml")
    assert (config.rule, config.photo_encoder, config.advanced.fusion.rule) == ("threshold", str(photo), "union")
    assert cli("match", *posts, "-o", tmp_path / "run", "-m", tmp_path / "model", "-q").exit_code == 0


# --- encoders that are not at hand


@pytest.mark.usefixtures("offline")
def test_an_encoder_that_is_not_at_hand(cli: Cli, shop: Path, photo: Path, title: Path, tmp_path: Path) -> None:
    posts = (shop / "posts.csv", "--images", shop / "photos", "-o", tmp_path / "run")
    cases = {
        ("shopee-baseline",): ("photo encoder 'timm:resnet18'", "photo_encoder=FOLDER"),
        ("shopee-union", "--set", f"title_encoder={title}"): ("photo encoder 'timm:eca_nfnet_l0'",),
        ("shopee-final", "--set", f"photo_encoder={photo}"): (
            "title encoder 'st:paraphrase-xlm-r-multilingual-v1'",
            "title_encoder=FOLDER",
        ),
    }
    for command in ("match", "tune"):
        for (name, *words), parts in cases.items():
            refused = cli(command, *posts, "--recipe", name, *words)
            assert (refused.exit_code, len(refused.stderr.splitlines())) == (2, 1), refused.stderr
            for part in (f"of recipe {name!r}", "not at hand", "the hub cannot be reached", *parts):
                assert part in refused.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("offline")
def test_an_encoder_that_nobody_needs_is_not_asked_for(cli: Cli, shop: Path, tmp_path: Path) -> None:
    words = ("match", shop / "posts.csv", "--recipe", "shopee-baseline", "-q")
    assert cli(*words, "-o", tmp_path / "titles").exit_code == 0, "without --images"
    np.save(tmp_path / "photo.npy", np.random.default_rng(0).normal(size=(60, 8)))
    photos = ("--images", shop / "photos", "--vectors", f"photo={tmp_path / 'photo.npy'}")
    assert cli(*words, *photos, "-o", tmp_path / "vectors").exit_code == 0
    off = ("--images", shop / "photos", "--set", "photo=false")
    assert cli(*words, *off, "-o", tmp_path / "off").exit_code == 0
    assert Result.load(tmp_path / "off").catalog.ids.equals(Catalog.read(shop / "posts.csv").ids)


def test_without_torch_the_message_says_what_to_install(
    cli: Cli, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    words = ("match", shop / "posts.csv", "--images", shop / "photos", "-o", tmp_path / "run")
    refused = cli(*words, "--recipe", "shopee-baseline")
    assert (refused.exit_code, len(refused.stderr.splitlines())) == (2, 1)
    for part in ("photo encoder 'timm:resnet18'", "pip install 'kembar[train]'", "photo_encoder=FOLDER"):
        assert part in refused.stderr


def test_a_folder_that_does_not_exist_is_named(cli: Cli, shop: Path, tmp_path: Path) -> None:
    words = ("match", shop / "posts.csv", "--images", shop / "photos", "-o", tmp_path / "run")
    missing = tmp_path / "nowhere"
    refused = cli(*words, "--recipe", "shopee-baseline", "--set", f"photo_encoder={missing}")
    assert refused.exit_code == 2
    assert "nowhere" in refused.stderr
    assert "does not exist" in refused.stderr
