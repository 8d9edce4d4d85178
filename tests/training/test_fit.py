import csv
import resource
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from kembar import Catalog, ConfigError, FolderError, TrainingError
from kembar.training.data import Examples, read_examples, split
from kembar.training.fit import Running, fit
from kembar.training.models import Model, build_model
from kembar.training.recipe import Recipe
from kembar.training.validation import embed, held_out_score


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def lessons(catalog: Catalog) -> tuple[Examples, Examples]:
    """300 titles: four fifths to learn from, a fifth held out."""
    examples = read_examples(catalog, "title")
    train, held = split(examples, 0.2, 0)
    return examples.take(train).trainable(), examples.take(held)


def recipe_of(**options: Any) -> Recipe:
    return Recipe.title(**{"model": "ngrams:4096x32", "epochs": 3, "batch": 32, **options})


def weights(model: Model) -> torch.Tensor:
    return torch.cat([part.detach().flatten().float() for part in model.embedder.state_dict().values()])


def test_training_makes_a_better_encoder_and_keeps_the_best_epoch(
    lessons: tuple[Examples, Examples], tmp_path: Path
) -> None:
    train, held = lessons
    model = build_model(recipe_of(epochs=8, patience=0, lr=5e-3), train.items)
    before = held_out_score(embed(model.embedder, model.reader(train.items)), train.labels, 0)
    seen: list[tuple[str, int, int]] = []
    found = fit(model, train, tmp_path, held_out=held, running=Running("cpu", progress=lambda *step: seen.append(step)))
    after = held_out_score(embed(model.embedder, model.reader(train.items)), train.labels, 0)
    assert after.f1 > before.f1 + 0.05
    assert found.score == held_out_score(embed(model.embedder, model.reader(held.items)), held.labels, 0)
    assert found.score.pool == len(held)
    assert [row["epoch"] for row in found.history] == list(range(1, 9))
    assert found.history[found.epochs - 1]["f1"] == max(row["f1"] for row in found.history) == found.score.f1
    steps = -(-len(train) // 32)
    assert seen == [("train", done, 8 * steps) for done in range(1, 8 * steps + 1)]
    with next(tmp_path.glob("logs/*/metrics.csv")).open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["f1"]) == pytest.approx(found.history[-1]["f1"])
    assert {"loss", "lr", "epoch", "step"} <= set(rows[0])


OBJECTIVES = [
    {"loss": "softmax"},
    {"loss": "arcface", "sam": 0.05, "agc": 0.1, "neck": True, "projection": 16},
    {"loss": "subcenter", "subcenters": 2, "optimizer": "sgd", "lr": 0.1},
    {"loss": "cosface", "margin": 0.3, "class_margin": 0.2, "optimizer": "madgrad"},
    {"loss": "curricular", "precision": "bfloat16"},
    {"loss": "triplet", "group_size": 2, "margin": 0.2},
    {"loss": "contrastive", "group_size": 2},
    {"objective": "pair"},
    {"objective": "cosine"},
    {"objective": "triplet", "margin": 1.0},
]


@pytest.mark.parametrize("options", OBJECTIVES, ids=lambda options: "-".join(map(str, options.values())))
def test_every_objective_trains(options: dict[str, Any], lessons: tuple[Examples, Examples], tmp_path: Path) -> None:
    train = lessons[0]
    model = build_model(
        recipe_of(**{"epochs": 2, "drop": 0.0, "warmup": 0.0, "margin_ramp": 0.0, **options}), train.items
    )
    start = weights(model)
    found = fit(model, train, tmp_path, running=Running("cpu"))
    assert found.history[-1]["loss"] < found.history[0]["loss"]
    assert (found.epochs, found.score) == (2, None)
    assert torch.isfinite(weights(model)).all()
    assert not torch.equal(start, weights(model))


def test_it_stops_when_patience_is_over(lessons: tuple[Examples, Examples], tmp_path: Path) -> None:
    train, held = lessons
    model = build_model(recipe_of(epochs=50, patience=2, lr=1e-9, head_lr=1e-9), train.items)
    found = fit(model, train, tmp_path, held_out=held, running=Running("cpu"))
    assert found.epochs == 1
    assert len(found.history) == 3
    again = fit(model, train, tmp_path, held_out=held, running=Running("cpu", resume=True))
    assert (again.epochs, again.history, again.score) == (1, found.history, found.score)


class EnoughError(Exception):
    pass


def stop_at(step: int, how: Any) -> Any:
    def progress(stage: str, done: int, __: int) -> None:
        if stage == "train" and done == step:
            how()

    return progress


def enough() -> None:
    raise EnoughError


@pytest.mark.parametrize("step", [1, 6, 8, 15, 16], ids="step {}".format)
def test_a_training_that_is_resumed_comes_to_the_same_weights(
    step: int, lessons: tuple[Examples, Examples], tmp_path: Path
) -> None:
    """The 16 steps are two epochs of 8; the weights are those of a training that was never stopped, bit for bit."""
    train, held = lessons
    recipe = recipe_of(epochs=2, neck=True, warmup=0.5, sam=0.05, class_margin=0.1)
    whole = build_model(recipe, train.items)
    expected = fit(whole, train, tmp_path / "whole", held_out=held, running=Running("cpu"))
    with pytest.raises(EnoughError):
        fit(
            build_model(recipe, train.items), train, tmp_path / "cut", held_out=held,
            running=Running("cpu", save_every=3, progress=stop_at(step, enough)),
        )  # fmt: skip
    assert (tmp_path / "cut" / "last.ckpt").is_file() == (step >= 3)
    model, seen = build_model(recipe, train.items), []
    found = fit(
        model, train, tmp_path / "cut", held_out=held,
        running=Running("cpu", resume=True, save_every=3, progress=lambda _, done, __: seen.append(done)),
    )  # fmt: skip
    assert seen == list(range({1: 1, 6: 7, 8: 9, 15: 16, 16: 17}[step], 17))
    assert torch.equal(weights(model), weights(whole))
    assert (found.epochs, found.score, found.history) == (expected.epochs, expected.score, expected.history)


def test_a_training_killed_in_mid_epoch_goes_on_from_its_last_checkpoint(posts: pl.DataFrame, tmp_path: Path) -> None:
    """What the disk holds at step 11 is what a process that is killed there leaves."""
    from kembar.training.program import train

    catalog, recipe = Catalog.read(posts), recipe_of()

    def kill() -> None:
        shutil.copytree(tmp_path / "run.training", tmp_path / "out.training")
        raise EnoughError

    with pytest.raises(EnoughError):
        train(catalog, recipe, tmp_path / "run", running=Running("cpu", save_every=5, progress=stop_at(11, kill)))
    seen: list[int] = []
    anew, again = Running("cpu"), Running("cpu", resume=True)
    with pytest.raises(FolderError, match=r"an unfinished training.*resume=True"):
        train(catalog, recipe, tmp_path / "out", int8=False, running=anew)
    with pytest.raises(TrainingError, match="other options than those of the unfinished training"):
        train(catalog, recipe.changed(epochs=4), tmp_path / "out", int8=False, running=again)
    with pytest.raises(TrainingError, match="other posts"):
        train(catalog.take(np.arange(200)), recipe, tmp_path / "out", int8=False, running=again)
    heard = replace(again, progress=lambda stage, done, _: seen.append(done) if stage == "train" else None)
    train(catalog, recipe, tmp_path / "out", int8=False, running=heard)
    assert seen == list(range(11, 25))
    assert (tmp_path / "out" / "model.onnx").is_file()
    assert not (tmp_path / "out.training").exists()
    with pytest.raises(FolderError, match="no unfinished training"):
        train(catalog, recipe, tmp_path / "other", int8=False, running=again)


def test_ctrl_c_ends_it_as_ctrl_c_and_it_can_be_resumed(lessons: tuple[Examples, Examples], tmp_path: Path) -> None:
    train = lessons[0]
    handler = signal.getsignal(signal.SIGINT)
    interrupt = stop_at(9, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        fit(build_model(recipe_of(), train.items), train, tmp_path, running=Running("cpu", progress=interrupt))
    assert signal.getsignal(signal.SIGINT) is handler
    found = fit(build_model(recipe_of(), train.items), train, tmp_path, running=Running("cpu", resume=True))
    assert found.epochs == 3


def test_a_loss_that_is_not_finite_stops_it_and_the_last_good_checkpoint_is_kept(
    lessons: tuple[Examples, Examples], tmp_path: Path
) -> None:
    train = lessons[0]
    wild = recipe_of(lr=10, head_lr=10, warmup=0, epochs=30)
    with pytest.raises(TrainingError, match=r"at step \d+ of \d+ \(the last good checkpoint is '.*last.ckpt'\)"):
        fit(build_model(wild, train.items), train, tmp_path, running=Running("cpu", save_every=1))
    state = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    assert all(torch.isfinite(part).all() for part in state.values())


def test_a_damaged_checkpoint_is_one_line(lessons: tuple[Examples, Examples], tmp_path: Path) -> None:
    train = lessons[0]
    (tmp_path / "last.ckpt").write_bytes(b"PK" + bytes(100))
    with pytest.raises(FolderError, match=r"last.ckpt', which does not load"):
        fit(build_model(recipe_of(), train.items), train, tmp_path, running=Running("cpu", resume=True))


def test_devices_and_precisions_that_are_not_there(lessons: tuple[Examples, Examples], tmp_path: Path) -> None:
    train = lessons[0]
    with pytest.raises(ConfigError, match="float16' on a CPU"):
        fit(build_model(recipe_of(precision="float16"), train.items), train, tmp_path, running=Running("cpu"))
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="device 'cuda', and there is no CUDA device"):
            fit(build_model(recipe_of(), train.items), train, tmp_path, running=Running("cuda"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_one_gpu_trains_too(lessons: tuple[Examples, Examples], tmp_path: Path) -> None:
    train, held = lessons
    model = build_model(recipe_of(precision="float16"), train.items)
    assert fit(model, train, tmp_path, held_out=held, running=Running("cuda")).score is not None


def test_a_full_disk_is_one_line_and_leaves_the_earlier_checkpoint(
    lessons: tuple[Examples, Examples], tmp_path: Path
) -> None:
    train = lessons[0]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))

    try:
        with pytest.raises(FolderError, match=r"last.ckpt', which cannot be written.*Free some space, and resume"):
            fit(
                build_model(recipe_of(), train.items), train, tmp_path,
                running=Running("cpu", save_every=4, progress=stop_at(5, fill)),
            )  # fmt: skip
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["last.ckpt"]
    assert fit(build_model(recipe_of(), train.items), train, tmp_path, running=Running("cpu", resume=True)).epochs == 3
