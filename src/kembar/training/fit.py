"""The loop: from a model and its posts to the weights that are best on held-out ones, run by Lightning.

Lightning provides devices, half precision and checkpoints of the whole trainer. For it a training is one pass over a
feed of all steps. So a checkpoint after any step continues with the next one, and what happens at the end of an epoch
(score, early stop) is done and saved together.
"""

import logging
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as lightning
import numpy as np
import torch
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from torch import Tensor, nn

from kembar.arrays import Progress
from kembar.encoders.devices import resolve
from kembar.errors import ConfigError, TrainingError
from kembar.training.batches import Batch, Feed, Plan
from kembar.training.data import Examples
from kembar.training.losses import Loss, build_loss
from kembar.training.models import Model
from kembar.training.objectives import build_objective
from kembar.training.optimizers import build_optimizer, clip_, schedule
from kembar.training.recipe import Recipe
from kembar.training.validation import HeldOut, features
from kembar.training.watch import LAST, Watch

_PRECISIONS = {"float32": "32-true", "float16": "16-mixed", "bfloat16": "bf16-mixed"}
_OFTEN = 200  # steps between checkpoints, where an epoch has more
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Fit:
    """The result of a training. The model given to `fit` holds the weights.

    Attributes:
        epochs: after how many epochs these weights were reached.
        score: of held-out posts with these weights; None where none were held out.
        history: one dict per epoch: epoch, step, loss and, where posts are held out, f1, min2 and threshold.
        seconds: of this run of the loop; a resumed training counts from the resumption.
        leader: false in the helper processes of a training on several devices, which should now exit.
    """

    epochs: int
    score: HeldOut | None
    history: list[dict[str, float]]
    seconds: float
    leader: bool = True


@dataclass(frozen=True, slots=True)
class Running:
    """Where a training runs, whether it continues an earlier one, and how often it saves and reports.

    Attributes:
        device: see `kembar.encoders.devices.resolve`; several GPUs train together, each on batches of its own.
        resume: continue an unfinished training of the same posts and recipe from its last checkpoint.
        save_every: steps between checkpoints, besides one after each epoch; None: at most 200.
        progress: called with (stage, done, total); the stage of the loop is "train", counted in steps.
    """

    device: str = "auto"
    resume: bool = False
    save_every: int | None = None
    progress: Progress | None = None


def fit(
    model: Model,
    examples: Examples,
    folder: Path,
    *,
    held_out: Examples | None = None,
    epochs: int | None = None,
    running: Running | None = None,
) -> Fit:
    """Train a model in place.

    Args:
        model: what `build_model` built; its recipe says how.
        examples: the posts to learn from, as `Examples.trainable` gives them.
        folder: for checkpoints and logs; made if missing.
        held_out: posts to score after each epoch. The best epoch's weights are kept, and the training stops early
            when the recipe's patience is over. None: all epochs, the last weights.
        epochs: stop after this many, on the schedule of all the recipe's epochs; None: all of them.
        running: on which device, whether to resume (a folder without a checkpoint starts anew), and how often to save;
            None: the defaults.

    Returns:
        The result.

    Raises:
        TrainingError: too few groups, or a loss or gradient that is not finite; checkpoints before it are kept.
        ConfigError: a device that does not exist, or a precision that it does not support.
        FolderError: a checkpoint cannot be written.
    """
    recipe, running = model.recipe, running or Running()
    places = resolve(running.device)
    if recipe.precision == "float16" and places == ("cpu",):
        raise ConfigError("precision 'float16' on a CPU", "'bfloat16' or 'float32'", "Set precision='float32'.")
    folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    loop = Loop(model, examples, folder / LAST, recipe.epochs if epochs is None else epochs)
    loop.prepare(places[0], fresh=not running.resume or not (folder / LAST).is_file())
    watch = Watch(loop.feed, recipe, folder, _scorer(model, held_out), running.progress)
    watch.every = running.save_every or min(loop.feed.plan.per_epoch, _OFTEN)
    leader = True
    if not (running.resume and watch.recall()):
        leader = _run(loop, watch, folder, places, running.resume)
    if leader:
        watch.restore(model.embedder)
    return Fit(watch.best_epoch, watch.score, watch.history, time.perf_counter() - started, leader)


def _scorer(model: Model, held_out: Examples | None) -> Callable[[], HeldOut] | None:
    if held_out is None:
        return None
    from kembar.training.validation import embed, held_out_score

    reader = model.reader(held_out.items)

    def score() -> HeldOut:
        return held_out_score(embed(model.embedder, reader), held_out.labels, model.recipe.seed)

    return score


def _run(loop: "Loop", watch: Watch, folder: Path, places: tuple[str, ...], resume: bool) -> bool:
    """Let Lightning train; return whether this process is the leader."""
    handler = signal.getsignal(signal.SIGINT)
    with _quiet():
        trainer = _trainer(loop.recipe, places, folder, watch)
        checkpoint = str(folder / LAST) if resume and (folder / LAST).is_file() else None
        try:
            trainer.fit(loop, loop.feed, ckpt_path=checkpoint, weights_only=True)
        except SystemExit:
            if not watch.interrupted:
                raise
            signal.signal(signal.SIGINT, handler)  # Lightning leaves it ignored
            log.warning("interrupted: the training can be resumed from %s", folder / LAST)
            raise KeyboardInterrupt from None
    return bool(trainer.is_global_zero)


def _trainer(recipe: Recipe, places: tuple[str, ...], folder: Path, watch: Watch) -> lightning.Trainer:
    cpu = places == ("cpu",)
    return lightning.Trainer(
        accelerator="cpu" if cpu else "gpu",
        devices=1 if cpu else [int(place.partition(":")[2]) for place in places],
        # Some backbones of photos have parts that the features do not pass, such as a pooling of their own.
        strategy="auto" if len(places) == 1 else f"ddp_find_unused_parameters_{recipe.modality == 'photo'}".lower(),
        precision=cast("Any", _PRECISIONS[recipe.precision]),
        max_epochs=1,
        logger=_loggers(folder),
        callbacks=[watch],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        log_every_n_steps=1,
    )


def _loggers(folder: Path) -> list[Logger]:
    """Log to CSV, and for TensorBoard where that is installed."""
    loggers: list[Logger] = [CSVLogger(str(folder), name="logs")]
    try:
        loggers.append(TensorBoardLogger(str(folder), name="tensorboard"))
    except ModuleNotFoundError:
        log.debug("no TensorBoard: metrics go to CSV alone")
    return loggers


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Lightning's advice for a while; kembar logs what matters."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric", "lightning")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            warnings.filterwarnings("ignore", message=".*lr_scheduler.step\\(\\).*")  # after a skipped float16 step
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class Loop(lightning.LightningModule):
    """One training as Lightning expects it: a loss for each batch, an optimizer and a schedule.

    Args:
        model: the model.
        examples: the posts to learn from.
        checkpoint: where the last good state is, for messages.
        epochs: how many epochs to go.
    """

    def __init__(self, model: Model, examples: Examples, checkpoint: Path, epochs: int) -> None:
        super().__init__()
        self.recipe = model.recipe
        plan = Plan(examples.labels, self.recipe)
        self.feed = Feed(plan, model.reader(examples.items), self.recipe, epochs)
        self.model = model.embedder
        metric = self.recipe.objective == "metric"
        with torch.random.fork_rng():
            torch.manual_seed(self.recipe.seed)
            dimension = self.model.dimension
            self.loss: nn.Module = (
                build_loss(self.recipe, examples.sizes(), dimension)
                if metric
                else build_objective(self.recipe, dimension)
            )
        self._examples, self._source, self._checkpoint = examples, model, checkpoint

    def prepare(self, place: str, *, fresh: bool) -> None:
        """Start the batch-norm neck at the statistics of the posts, and the centres at the means of their groups.

        Both would take an epoch or two to get there, and meanwhile mislead the backbone.

        Args:
            place: the device to compute on.
            fresh: whether the training starts, rather than continues from a checkpoint that holds all this.
        """
        neck = self.model.neck
        centres = isinstance(self.loss, Loss) and type(self.loss).start_at is not Loss.start_at
        if not fresh or not self.recipe.pretrained or not (centres or isinstance(neck, nn.BatchNorm1d)):
            return
        self.model.to(place)
        found = torch.from_numpy(features(self.model, self._source.reader(self._examples.items)))
        if isinstance(neck, nn.BatchNorm1d) and neck.running_mean is not None and neck.running_var is not None:
            neck.running_mean.copy_(found.mean(0))
            neck.running_var.copy_(found.var(0))
            found = (found - found.mean(0)) / (found.var(0) + neck.eps).sqrt()
        if centres:
            found = nn.functional.normalize(found)
            labels = torch.from_numpy(self._examples.labels)
            sums = torch.zeros(int(labels.max()) + 1, found.shape[1]).index_add_(0, labels, found)
            cast("Loss", self.loss).start_at(sums)

    def setup(self, stage: str) -> None:
        """Take this process's share of the batches, where there are several."""
        if self.trainer.world_size > 1:
            process = (self.trainer.global_rank, self.trainer.world_size)
            self.feed.divide(Plan(self._examples.labels, self.recipe, process=process))

    def configure_optimizers(self) -> Any:
        """See Lightning."""
        optimizer = build_optimizer(self.model, self.loss, self.recipe)
        steps = schedule(optimizer, self.feed.plan.steps, self.recipe)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": steps, "interval": "step"}}

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed what is drawn in this step, so that it is the same after a resumption."""
        numbers = [self.recipe.seed, 3, self.feed.done, self.global_rank]
        torch.manual_seed(int(np.random.SeedSequence(numbers).generate_state(1)[0]))
        if isinstance(self.loss, Loss):
            self.loss.advance(self.feed.done / self.feed.plan.steps)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Compute the loss of a batch."""
        inputs, target, other, share = batch
        vectors = self.model(*inputs)
        if self.recipe.objective == "metric":
            loss: Tensor = self.loss(vectors, target)
            if share < 1:
                loss = share * loss + (1 - share) * self.loss(vectors, other)
        elif self.recipe.objective == "triplet":
            loss = self.loss(*vectors.chunk(3))
        else:
            loss = self.loss(*vectors.chunk(2), target)
        self._check(loss.detach(), "loss")
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the gradients."""
        norm = clip_(self.model, self.loss, self.recipe)
        if self.recipe.precision != "float16":  # there it happens now and then, and the step is left out
            self._check(norm, "gradient")

    def _check(self, value: Tensor, what: str) -> None:
        if bool(torch.isfinite(value)):
            return
        kept = f"the last good checkpoint is {str(self._checkpoint)!r}" if self._checkpoint.is_file() else "none saved"
        raise TrainingError(
            f"a {what} of {float(value)} at step {self.feed.done + 1} of {len(self.feed)} ({kept})",
            "a finite number",
            "Lower lr and head_lr, set clip=1, or use precision='float32'.",
        )
