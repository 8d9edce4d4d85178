import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import Result as Outcome

from kembar import Catalog, FolderError, normalize
from kembar.encoders.registry import open_encoder
from kembar.training import export as exporting
from kembar.training.data import read_examples
from kembar.training.export import Parity, Story, export
from kembar.training.fit import Running
from kembar.training.graphs import bag_graph, rounded_rows
from kembar.training.models import build_model
from kembar.training.program import Trained, train
from kembar.training.recipe import Recipe
from kembar.training.validation import embed


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def pictures(shop: Path) -> Catalog:
    return Catalog.read(shop / "posts.csv", images=shop / "photos")


OPENED = """
import json, sys
from pathlib import Path
from kembar.encoders.registry import open_encoder

for line in sys.stdin:
    folder, items = json.loads(line)
    encoder = open_encoder(folder)
    vectors = encoder.encode([Path(item) for item in items] if encoder.modality == "photo" else items)
    heavy = [name for name in ("torch", "lightning", "timm", "transformers", "onnx") if name in sys.modules]
    print(json.dumps([heavy, vectors.tolist()]), flush=True)
"""
Opened = Callable[[Path, list[str]], np.ndarray]


@pytest.fixture(scope="module")
def opened_without_torch() -> Iterator[Opened]:
    """Encode in another process, as a user without the extra does."""
    process = subprocess.Popen(
        [sys.executable, "-c", OPENED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    asks, answers = process.stdin, process.stdout

    def call(folder: Path, items: list[str]) -> np.ndarray:
        asks.write(json.dumps([str(folder), items]) + "\n")
        asks.flush()
        heavy, vectors = json.loads(answers.readline())
        assert heavy == []
        return np.array(vectors, dtype=np.float32)

    yield call
    process.communicate()
    assert process.returncode == 0


def test_titles_from_the_command_line_to_a_folder_that_needs_no_torch(
    cli: Callable[..., Outcome], posts: pl.DataFrame, opened_without_torch: Opened, tmp_path: Path
) -> None:
    path, out = tmp_path / "posts.csv", tmp_path / "encoder"
    posts.write_csv(path)
    small = ["--set", "epochs=2", "--set", "batch=64", "--device", "cpu"]
    done = cli("train", "title", path, "-o", out, "--model", "ngrams:4096x32", *small)
    assert done.exit_code == 0, done.output
    assert "in a pool of" in done.output
    files = {"card.md", "encoder.json", "float32", "history.csv", "model.onnx", "recipe.toml"}
    assert {file.name for file in out.iterdir()} == files
    assert not (tmp_path / "encoder.training").exists()
    assert Recipe.read(out / "recipe.toml").model == "ngrams:4096x32"
    assert len((out / "history.csv").read_text(encoding="utf-8").splitlines()) == 3
    card = (out / "card.md").read_text(encoding="utf-8")
    for said in ("**Held out**: F1 0.", "posts in a pool of", "epochs = 2", "arcface", "kembar 0", "| int8 | 0.1 MB |"):
        assert said in card
    titles = normalize(Catalog.read(path).titles).to_list()
    vectors = opened_without_torch(out, titles)
    parity = Parity.of(vectors, open_encoder(out / "float32").encode(titles))
    assert parity.items == 299
    assert 0.999 < parity.least < 1
    again = cli("train", "title", path, "-o", out, *small)
    assert again.exit_code == 2
    assert "which exists" in again.stderr
    shutil.rmtree(out / "float32")
    replaced = cli("train", "title", path, "-o", out, "-m", "ngrams:64x8", "--no-int8", "--overwrite", *small)
    assert replaced.exit_code == 0, replaced.output
    assert open_encoder(out).dimension == 8
    assert not (out / "float32").exists()


SCRATCH = {"pretrained": False, "epochs": 1, "batch": 32, "workers": 0, "patience": 0}


@pytest.mark.parametrize(
    "options",
    [
        {"model": "timm:test_resnet", "image_size": 32, "pooling": "gem", "gem_test_p": 6.0, "projection": 64},
        {"model": "timm:test_vit", "image_size": 32, "pooling": "cls", "augment": "light"},
        {"model": "timm:test_efficientnet", "image_size": 32, "test_size": 64, "cutmix": 1.0, "refit": True},
    ],
    ids=lambda options: options["model"],
)
def test_photos_from_posts_to_a_folder_that_needs_no_torch(
    options: dict[str, Any], shop: Path, opened_without_torch: Opened, tmp_path: Path
) -> None:
    out = tmp_path / "encoder"
    catalog = pictures(shop)
    stages = set()
    found = train(
        catalog, Recipe.photo(**{**SCRATCH, **options}), out,
        running=Running("cpu", progress=lambda stage, *_: stages.add(stage)),
    )  # fmt: skip
    assert isinstance(found, Trained)
    assert {"hash photos", "train", "export"} <= stages
    assert found.posts == (60 if options.get("refit") else 51)
    main, plain = found.forms
    assert (main.precision, plain.precision) == ("int8", "float32")
    assert plain.parity.least > 0.9999
    assert main.parity.mean > 0.98
    assert main.bytes < 0.6 * plain.bytes
    manifest = json.loads((out / "encoder.json").read_text(encoding="utf-8"))
    assert manifest["precision"] == "int8"
    assert manifest["input"]["size"] == options.get("test_size", 32)
    paths = [str(path) for path in catalog.photo_paths()[:6]]
    vectors = opened_without_torch(out, paths)
    assert vectors.shape == (6, manifest["dimension"])
    assert Parity.of(vectors, open_encoder(out / "float32").encode([Path(path) for path in paths])).mean > 0.98
    one = open_encoder(out).encode([Path(paths[2])])
    np.testing.assert_allclose(one[0], vectors[2], atol=1e-5)


@pytest.mark.parametrize("model", ["st:bert-tiny"])
def test_tokens_from_posts_to_a_folder_that_needs_no_torch(
    model: str, posts: pl.DataFrame, opened_without_torch: Opened, tmp_path: Path
) -> None:
    recipe = Recipe.title(**{**SCRATCH, "model": model, "pooling": "mean", "lr": 1e-4, "length": 16, "batch": 64})
    catalog = Catalog.read(posts)
    found = train(catalog, recipe, tmp_path / "encoder", running=Running("cpu"))
    assert [form.precision for form in found.forms] == ["int8", "float32"]
    assert found.forms[1].parity.least > 0.9999
    titles = normalize(catalog.titles).to_list()[:20]
    vectors = opened_without_torch(tmp_path / "encoder", titles)
    assert Parity.of(vectors, open_encoder(tmp_path / "encoder" / "float32").encode(titles)).mean > 0.98
    assert (tmp_path / "encoder" / "float32" / "tokenizer.json").is_file()
    one = open_encoder(tmp_path / "encoder").encode(titles[7:8])
    np.testing.assert_allclose(one[0], vectors[7], atol=1e-5)


def test_int8_that_is_too_far_falls_back_to_float32(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    examples = read_examples(catalog, "title").trainable()
    model = build_model(Recipe.title(model="ngrams:512x8"), examples.items)
    monkeypatch.setattr(exporting, "_NEAR", 1.1)
    forms = export(model, tmp_path / "encoder", examples.items, story=Story({"Made for": "a test"}))
    assert [form.precision for form in forms] == ["float32"]
    assert "int8 is too far from float32" in caplog.text
    assert {file.name for file in (tmp_path / "encoder").iterdir()} == {
        "card.md", "encoder.json", "model.onnx", "recipe.toml",
    }  # fmt: skip
    assert "**Made for**: a test" in (tmp_path / "encoder" / "card.md").read_text(encoding="utf-8")
    found = open_encoder(tmp_path / "encoder").encode(examples.items[:50])
    np.testing.assert_allclose(found, embed(model.embedder, model.reader(examples.items[:50])), atol=1e-5)


def test_an_output_that_is_in_the_way_is_refused_before_the_work(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").touch()
    recipe = Recipe.title(model="ngrams:64x4")
    with pytest.raises(FolderError, match="which exists"):
        train(catalog, recipe, tmp_path / "taken", running=Running("cpu"))
    with pytest.raises(FolderError, match=r"holds no encoder\.json"):
        train(catalog, recipe, tmp_path / "taken", overwrite=True, running=Running("cpu"))
    (tmp_path / "free.training").mkdir()
    with pytest.raises(FolderError, match="which exists"):
        train(catalog, recipe, tmp_path / "free", overwrite=True, running=Running("cpu"))
    assert (tmp_path / "taken" / "thesis.txt").is_file()


@given(st.integers(0, 1000), st.integers(1, 8), st.integers(1, 9))
def test_rounded_rows_are_near_their_table(seed: int, n: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    table = (rng.normal(size=(n, d)) * rng.choice([0, 1e-3, 1, 50], size=(n, 1))).astype(np.float32)
    rows, lengths, scale = rounded_rows(table)
    step = scale * lengths[:, None].astype(np.float64)
    assert (np.abs(rows * step - table) <= step / 2 + 1e-6 * np.abs(table).max()).all()
    largest = np.abs(table).max(1)
    assert (step[:, 0] <= largest / 127 + scale + 1e-12).all()


@pytest.mark.parametrize("options", [{}, {"neck": True}, {"projection": 6, "neck": True}, {"projection": 6}])
@pytest.mark.parametrize("hidden", ["", "x12"])
def test_the_graph_of_a_bag_does_what_the_bag_does(options: dict[str, Any], hidden: str, tmp_path: Path) -> None:
    import onnxruntime

    titles = ["tas wanita murah", "kopi susu 250gr", "sepatu", "kopi susu 500gr isi 2"] * 3
    model = build_model(Recipe.title(model=f"ngrams:256x16{hidden}", **options), titles)
    torch.manual_seed(1)
    for part in model.embedder.parameters():
        part.data += 0.1 * torch.randn_like(part)
    model.embedder.train()(*model.reader(titles).plain(np.arange(12)))  # moves the statistics of a neck
    model.embedder.eval()
    expected = embed(model.embedder, model.reader(titles))
    lists = [model.ngrams.features([title])[1] for title in titles]
    ids = np.zeros((12, max(map(len, lists)) + 3), dtype=np.int64)
    for row, own in enumerate(lists):
        ids[row, : len(own)] = own
    for int8, tolerance in ((False, 1e-5), (True, 0.02)):
        bag_graph(model.embedder, tmp_path / "model.onnx", int8=int8)
        onnx.checker.check_model(str(tmp_path / "model.onnx"), full_check=True)
        session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
        np.testing.assert_allclose(session.run(None, {"ids": ids})[0], expected, atol=tolerance)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["title", "POSTS", "--model", "ngram"], "Nearest: 'ngrams'"),
        (["title", "POSTS", "--set", "margn=1"], "Nearest: 'margin'"),
        (["title", "POSTS", "--label", "group"], "Nearest: 'label_group'"),
        (["title", "POSTS", "--preset", "upstage-titel"], "upstage-title"),
        (["title", "POSTS", "--preset", "upstage-photo"], "a recipe for photos in a training of titles"),
        (["title", "POSTS", "--resume"], "Leave out --resume"),
        (["photo", "POSTS", "--images", "EMPTY", "--model", "timm:resnet19"], "holds none of the 60 photos"),
        (["photo", "POSTS", "--images", "PHOTOS", "--model", "timm:resnet19"], "resnet18"),
    ],
    ids=lambda value: None if isinstance(value, str) else " ".join(value),
)
def test_bad_input_is_one_line(
    words: list[str], message: str, cli: Callable[..., Outcome], shop: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    places = {"POSTS": shop / "posts.csv", "EMPTY": tmp_path / "empty", "PHOTOS": shop / "photos"}
    done = cli("train", *(places.get(word, word) for word in words), "-o", tmp_path / "out", "--device", "cpu")
    assert done.exit_code == 2, done.output
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.training").exists()


def test_without_the_extra_it_says_what_to_install(
    cli: Callable[..., Outcome], shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith(("lightning", "kembar.training."))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lightning", None)
    done = cli("train", "title", shop / "posts.csv", "-o", tmp_path / "out")
    assert done.exit_code == 2
    assert done.stderr == "kembar: 'lightning' is not installed; install it with: pip install 'kembar[train]'\n"
