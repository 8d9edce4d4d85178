"""What happens around the steps: progress, logs, scores after each epoch, early stop, and checkpoints."""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import lightning.pytorch as lightning
import torch
from torch import Tensor, nn

from kembar.arrays import Progress
from kembar.errors import FolderError, TrainingError
from kembar.training.batches import Feed
from kembar.training.recipe import Recipe
from kembar.training.validation import HeldOut

LAST: Final = "last.ckpt"
"""The whole state of a training, as of its last checkpoint."""
BEST: Final = "best.pt"
"""The weights of the best epoch so far."""
_LOGS = 20  # times the loss is logged in an epoch


class Watch(lightning.Callback):
    """Reports, scores and saves a training while it runs.

    Args:
        feed: the steps; its number of finished steps is updated.
        recipe: its patience is used.
        folder: where to.
        scorer: scores the held-out posts with the present weights; None: there are none.
        progress: called with ("train", steps done, in all).

    Attributes:
        every: steps between checkpoints, besides one after each epoch.
        history: one dict per epoch.
        best_epoch: the epoch of the best score, from 1; without scores the last one.
        score: that score.
        stopped: whether patience was over.
        interrupted: whether Ctrl-C ended it.
    """

    def __init__(
        self,
        feed: Feed,
        recipe: Recipe,
        folder: Path,
        scorer: Callable[[], HeldOut] | None,
        progress: Progress | None,
    ) -> None:
        self._feed, self._recipe, self._folder = feed, recipe, folder
        self._scorer, self._progress = scorer, progress
        self._losses: list[Tensor] = []
        self.every = feed.plan.per_epoch
        self.history: list[dict[str, float]] = []
        self.best_epoch = 0
        self.score: HeldOut | None = None
        self.stopped = self.interrupted = False

    @property
    def over(self) -> bool:
        """Whether the training is finished."""
        return self.stopped or self._feed.done >= len(self._feed)

    def state_dict(self) -> dict[str, Any]:
        """Return what resuming needs, in plain types."""
        score = None if self.score is None else asdict(self.score)
        return {
            "done": self._feed.done,
            "losses": [float(loss) for loss in self._losses],
            "history": self.history,
            "best_epoch": self.best_epoch,
            "score": score,
            "stopped": self.stopped,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        self._feed.done = state_dict["done"]
        self._losses = [torch.tensor(loss) for loss in state_dict["losses"]]
        self.history = list(state_dict["history"])
        self.best_epoch, self.stopped = state_dict["best_epoch"], state_dict["stopped"]
        self.score = None if state_dict["score"] is None else HeldOut(**state_dict["score"])

    def recall(self) -> bool:
        """Read the last checkpoint, if there is one, and return whether the training was finished by then."""
        if not (self._folder / LAST).is_file():
            return False
        self.load_state_dict(_read(self._folder / LAST)["callbacks"][self.state_key])
        return self.over

    def restore(self, model: nn.Module) -> None:
        """Put the weights of the best epoch, or else the last ones, into a model."""
        if self._scorer is not None:
            model.load_state_dict(_read(self._folder / BEST))
            return
        state = _read(self._folder / LAST)["state_dict"]
        model.load_state_dict({k.removeprefix("model."): v for k, v in state.items() if k.startswith("model.")})

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the step, and report, score and save where that is due."""
        self._feed.done += 1
        done = self._feed.done
        self._losses.append(outputs["loss"].detach())
        if done % max(1, self._feed.plan.per_epoch // _LOGS) == 0:
            self._log(trainer, {"loss": float(self._losses[-1]), "lr": trainer.optimizers[0].param_groups[0]["lr"]})
        ends = done % self._feed.plan.per_epoch == 0
        if ends:
            self._end_epoch(trainer, pl_module)
        if ends or done % self.every == 0:
            self._save(trainer, pl_module)
        if self.stopped:
            trainer.should_stop = True
        if self._progress is not None:
            self._progress("train", done, len(self._feed))

    def on_exception(self, trainer: lightning.Trainer, pl_module: Any, exception: BaseException) -> None:
        """Record what ended the training."""
        self.interrupted = isinstance(exception, KeyboardInterrupt)

    def _end_epoch(self, trainer: lightning.Trainer, module: Any) -> None:
        epoch = self._feed.done // self._feed.plan.per_epoch
        loss = float(torch.stack([each.float().cpu() for each in self._losses]).mean())
        self._losses = []
        row: dict[str, float] = {"epoch": epoch, "step": self._feed.done, "loss": loss}
        if self._scorer is None:
            self.best_epoch = epoch
        else:
            _check_weights(module, self._feed.done, self._folder / LAST)
            # The processes must agree on the end; the leader's last digits decide.
            own = self._scorer() if trainer.is_global_zero else None
            score: HeldOut = trainer.strategy.broadcast(own)  # type: ignore[assignment]
            row |= {"f1": score.f1, "min2": score.min2, "threshold": score.threshold}
            if self.score is None or score.f1 > self.score.f1:
                self.score, self.best_epoch = score, epoch
                if trainer.is_global_zero:
                    _write(self._folder / BEST, lambda path: torch.save(module.model.state_dict(), path))
            self.stopped = 0 < self._recipe.patience <= epoch - self.best_epoch
        self.history.append(row)
        self._log(trainer, row)

    def _save(self, trainer: lightning.Trainer, module: Any) -> None:
        _check_weights(module, self._feed.done, self._folder / LAST)

        def save(path: Path) -> None:
            trainer.save_checkpoint(path)

        if trainer.is_global_zero:
            _write(self._folder / LAST, save)
        else:
            save(self._folder / LAST)  # Lightning meets the others here and writes nothing

    def _log(self, trainer: lightning.Trainer, metrics: dict[str, float]) -> None:
        for logger in trainer.loggers:
            logger.log_metrics({"epoch": self._feed.done / self._feed.plan.per_epoch, **metrics}, step=self._feed.done)
            logger.save()


def _check_weights(module: nn.Module, step: int, checkpoint: Path) -> None:
    """Refuse to keep weights that are not finite, so that the last checkpoint is always a good one."""
    if all(bool(torch.isfinite(part).all()) for part in module.parameters()):
        return
    kept = f"the last good checkpoint is {str(checkpoint)!r}" if checkpoint.is_file() else "none saved"
    raise TrainingError(
        f"weights that are not finite after step {step} ({kept})", "finite numbers", "Lower lr and head_lr."
    )


def _write(target: Path, save: Callable[[Path], None]) -> None:
    """Write a file completely or not at all."""
    partial = target.with_name(f".{target.name}.partial")
    try:
        save(partial)
        partial.replace(target)
    except (OSError, RuntimeError) as error:  # torch raises the latter on a full disk
        raise FolderError(
            f"{str(target)!r}, which cannot be written ({error})",
            "a disk with free space",
            "Free some space, and resume.",
        ) from error
    finally:
        with suppress(OSError):
            os.unlink(partial)  # noqa: PTH108


def _read(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises exceptions of many kinds on damaged bytes
        raise FolderError(
            f"{str(path)!r}, which does not load ({str(error).splitlines()[0]})",
            "a complete checkpoint",
            "Start the training anew, with overwrite=True.",
        ) from error
