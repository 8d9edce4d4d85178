"""The training of an encoder from beginning to end; read it from top to bottom."""

import json
import logging
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kembar.encoders.devices import resolve
from kembar.encoders.protocol import MANIFEST
from kembar.errors import FolderError, TrainingError
from kembar.folders import check_free, new_file
from kembar.posts.catalog import Catalog
from kembar.training.data import Examples, read_examples, split
from kembar.training.export import Form, Story, Writing, export
from kembar.training.fit import Fit, Running, fit
from kembar.training.models import Model, build_model
from kembar.training.recipe import Recipe
from kembar.training.validation import HeldOut

_STATE = "state.json"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished training.

    Attributes:
        folder: of the encoder.
        posts: how many it was trained on.
        groups: of how many groups.
        epochs: how many epochs its weights took.
        score: of held-out posts, by weights that had not seen them; None where none were held out.
        forms: what was exported, the main form first.
        seconds: from the posts to the folder; of a resumed training, since it was resumed.
    """

    folder: Path
    posts: int
    groups: int
    epochs: int
    score: HeldOut | None
    forms: list[Form]
    seconds: float

    def __str__(self) -> str:
        main = self.forms[0]
        lines = [
            f"Trained on {self.posts:,} posts of {self.groups:,} groups, {self.epochs} epochs, {self.seconds:,.0f} s",
            f"Held out: {self.score}" if self.score else "Nothing was held out, so there is no score",
            *(
                f"{form.precision}: {form.bytes / 1e6:.1f} MB, {form.speed:,.0f} items per second"
                for form in self.forms
            ),
            f"Wrote {self.folder} ({main.precision})",
        ]
        return "\n".join(lines)


def train(
    catalog: Catalog,
    recipe: Recipe,
    output: Path | str,
    *,
    int8: bool = True,
    overwrite: bool = False,
    running: Running | None = None,
) -> Trained:
    """Train an encoder on posts whose groups are known.

    While it runs, checkpoints and logs are in a folder beside the output, named after it with ".training" at the end;
    it is removed when all is done.

    Args:
        catalog: posts with labels, and titles or photos.
        recipe: how.
        output: the encoder's folder, to be made.
        int8: whether to export in int8 (with float32 beside it), where that is close enough.
        overwrite: replace an earlier encoder, and drop an unfinished training of it.
        running: on which device, whether to resume, and how often to save and report; None: the defaults.

    Returns:
        The finished training.

    Raises:
        TrainingError: posts that cannot be learned from, or a training that fails.
        EncoderError: a model that cannot be loaded.
        ConfigError: a device or an option that does not fit.
        FolderError: the output or its work folder exists or cannot be written.
    """
    started, running = time.perf_counter(), running or Running()
    output = Path(output).absolute()
    work = output.with_name(f"{output.name}.training")
    resolve(running.device)
    check_free(output, overwrite=overwrite, mark=MANIFEST)
    _check_work(work, running.resume, overwrite)

    examples = read_examples(catalog, recipe.modality, relabel=recipe.relabel, progress=running.progress)
    rows, apart = split(examples, recipe.holdout, recipe.seed)
    lessons = examples.take(rows).trainable()
    held_out = examples.take(apart) if len(apart) else None
    model = build_model(recipe, lessons.items)
    _open_work(work, recipe, catalog)

    first = last = fit(model, lessons, work / "fit", held_out=held_out, running=running)
    if recipe.refit:
        lessons = examples.trainable()
        model = build_model(recipe, lessons.items)
        last = fit(model, lessons, work / "refit", epochs=first.epochs, running=running)
    if not last.leader:
        raise SystemExit(0)  # this process only helped to train

    if running.progress is not None:
        running.progress("export", 0, 0)
    unseen = None if recipe.refit else held_out
    story = Story(_said(examples, lessons, held_out, model, first, running.device), first.history)
    forms = export(model, output, lessons.items, held_out=unseen, story=story, writing=Writing(int8, overwrite))
    shutil.rmtree(work, ignore_errors=True)
    seconds = time.perf_counter() - started
    return Trained(output, len(lessons), lessons.groups, first.epochs, first.score, forms, seconds)


def _helps() -> bool:
    """Say whether Lightning started this process to help another one, which owns the folders."""
    return int(os.environ.get("LOCAL_RANK", "0")) > 0


def _check_work(work: Path, resume: bool, overwrite: bool) -> None:
    """Refuse to remove or to continue the wrong unfinished training."""
    if _helps():
        return
    there = (work / _STATE).is_file()
    if work.exists() and not there:
        raise FolderError(f"{str(work)!r}, which exists", "no such folder", "Move it, or choose another output.")
    if there and not resume and not overwrite:
        raise FolderError(
            f"{str(work)!r}, an unfinished training",
            "no such folder",
            "Pass resume=True to continue it, or overwrite=True to start anew.",
        )
    if resume and not there:
        raise FolderError(f"no unfinished training {str(work)!r}", "one to resume", "Leave out resume=True.")
    if there and not resume:
        shutil.rmtree(work)


def _open_work(work: Path, recipe: Recipe, catalog: Catalog) -> None:
    """Record the posts and the recipe, or check that they are the same as before."""
    if _helps():
        return
    state = {"posts": catalog.fingerprint(), "recipe": recipe.changed(workers=0).text()}
    path = work / _STATE
    if not path.is_file():
        _make(work)
        with new_file(path) as file:
            file.write_text(json.dumps(state, indent=1), encoding="utf-8")
        return
    before = json.loads(path.read_text(encoding="utf-8"))
    for key, value in state.items():
        if before[key] != value:
            raise TrainingError(
                f"other {'posts' if key == 'posts' else 'options'} than those of the unfinished training {str(work)!r}",
                "the same",
                "Give the same ones, or start anew with overwrite=True.",
            )


def _make(work: Path) -> None:
    try:
        work.mkdir(parents=True)
    except OSError as error:
        raise FolderError(
            f"{str(work)!r}, which cannot be made ({error.strerror})",
            "a folder that can be written",
            "Choose another output.",
        ) from error


def _said(
    examples: Examples, lessons: Examples, held_out: Examples | None, model: Model, first: Fit, device: str
) -> dict[str, str]:
    """Describe the training for the card."""
    recipe = model.recipe
    alone = len(examples) - len(lessons) - (0 if held_out is None or recipe.refit else len(held_out))
    what = recipe.loss if recipe.objective == "metric" else f"Sentence-BERT's objective {recipe.objective}"
    story = {
        "Trained on": f"{len(lessons):,} posts of {lessons.groups:,} groups; {alone:,} posts alone in their group and "
        f"{len(examples.dropped):,} photos that do not decode were left out",
        "Trained with": f"{what}, {first.epochs} of {recipe.epochs} epochs, {first.seconds:,.0f} s on {device!r}",
    }
    if held_out is not None and first.score is not None:
        singles = int((np.unique(held_out.labels, return_counts=True)[1] == 1).sum())
        story["Held out"] = f"{first.score} ({singles:,} of them of one post)"
        if recipe.refit:
            story["Refit"] = "the weights were then trained anew on all posts, as long; so the score is not of them"
    return story
