"""What each step of a training learns from, as a function of the step alone.

Batches, augmentation and dropout are drawn from seeds made of the recipe's seed, the epoch and the place in it. So a
training that was killed continues with exactly what it would have seen, whatever the number of worker processes.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from kembar.arrays import Rows
from kembar.training.augmentation import cutmix
from kembar.training.objectives import mine_pairs, mine_triplets
from kembar.training.recipe import Recipe
from kembar.training.samplers import GroupSampler

Inputs: TypeAlias = tuple[Tensor, ...]
Batch: TypeAlias = tuple[Inputs, Tensor, Tensor, float]
"""What the model takes, the target, the target of what is mixed in, and the share of the first of the two."""

_MOST_PAIRS = 50  # true pairs of a group in an epoch: a group of 51 has 1,275 and would outweigh the others


class Reader(Protocol):
    """Turns items into what a model takes."""

    def __len__(self) -> int:
        """Return the number of items."""

    def training(self, rows: Rows, rng: np.random.Generator) -> Inputs:
        """Read items to train on, changed at random as the recipe says."""

    def plain(self, rows: Rows) -> Inputs:
        """Read items as they are, as an encoder does."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What one step learns from.

    Attributes:
        rows: (b,) int64 rows; of pairs first all left ends then all right ones, of triplets anchor, positive, negative.
        target: (b,) int64 labels; of pairs 1 for the same group, 0 for different ones; of triplets nothing.
        seed: of everything drawn at random in this step.
    """

    rows: Rows
    target: Rows
    seed: tuple[int, ...]


class Plan:
    """The steps of a training.

    Args:
        labels: (n,) class numbers from 0.
        recipe: its objective, batch, group_size, negatives, epochs and seed are used. Of the objectives over pairs
            and triplets, `batch` counts pairs and triplets.
        process: which of the processes this is, and their number; the batches are dealt to them in turn.

    Attributes:
        per_epoch: steps of an epoch.
        steps: steps of all epochs of the recipe.
    """

    def __init__(self, labels: Rows, recipe: Recipe, *, process: tuple[int, int] = (0, 1)) -> None:
        self._labels, self._recipe, self._process = labels, recipe, process
        self._sampler: GroupSampler | None = None
        if recipe.objective == "metric" and recipe.group_size:
            self._sampler = GroupSampler(labels, recipe.groups, recipe.group_size, recipe.seed, process=process)
        self.per_epoch = len(self.epoch(0))
        self.steps = self.per_epoch * recipe.epochs

    def epoch(self, number: int) -> list[Lesson]:
        """List the steps of an epoch.

        Args:
            number: of the epoch, from 0; the same epoch has the same steps.

        Returns:
            As many lessons as every other epoch has.
        """
        cuts = self._cuts(number)
        seeds = ((self._recipe.seed, number, i, self._process[0]) for i in range(len(cuts)))
        return [Lesson(*cut, seed) for cut, seed in zip(cuts, seeds, strict=True)]

    def _cuts(self, number: int) -> list[tuple[Rows, Rows]]:
        if self._sampler is not None:
            self._sampler.set_epoch(number)
            batches = [np.asarray(rows, dtype=np.int64) for rows in self._sampler]
            return [(rows, self._labels[rows]) for rows in batches]
        if self._recipe.objective == "metric":
            order = np.random.default_rng([self._recipe.seed, number]).permutation(len(self._labels))
            return [(rows, self._labels[rows]) for rows in self._share(order)]
        return self._mined(int(np.random.SeedSequence([self._recipe.seed, number]).generate_state(1)[0]))

    def _mined(self, seed: int) -> list[tuple[Rows, Rows]]:
        times = self._recipe.negatives
        if self._recipe.objective == "triplet":
            found = mine_triplets(self._labels, times, seed, most=_MOST_PAIRS)
            order = np.random.default_rng(seed).permutation(len(found))
            ends = np.stack([found.anchor, found.positive, found.negative])
            return [(ends[:, at].ravel(), np.zeros(0, dtype=np.int64)) for at in self._share(order)]
        pairs = mine_pairs(self._labels, times, seed, most=_MOST_PAIRS)
        ends, same = np.stack([pairs.left, pairs.right]), pairs.same.astype(np.int64)
        return [(ends[:, at].ravel(), same[at]) for at in self._share(np.arange(len(pairs)))]

    def _share(self, order: Rows) -> list[Rows]:
        """Cut into batches of nearly equal size (a last batch of one would break batch-norm); keep this process's."""
        batches = np.array_split(order, max(1, -(-len(order) // self._recipe.batch)))
        rank, world = self._process
        each = -(-len(batches) // world)
        return [batches[i % len(batches)] for i in range(rank, each * world, world)]


class Lessons(Dataset[Batch]):
    """Reads the batch of a lesson; the lesson is the index.

    Args:
        reader: the items to train on.
        cutmix: share of the batches of photos in which a patch of each comes from another.
    """

    def __init__(self, reader: Reader, cutmix: float = 0.0) -> None:
        self._reader, self._cutmix = reader, cutmix

    def __len__(self) -> int:
        return len(self._reader)

    def __getitem__(self, lesson: Lesson) -> Batch:
        """Read a batch."""
        rng = np.random.default_rng(lesson.seed)
        inputs, target = self._reader.training(lesson.rows, rng), torch.from_numpy(lesson.target)
        if not self._cutmix or rng.random() >= self._cutmix or len(lesson.rows) < 2:
            return inputs, target, target, 1.0
        photos, partner, share = cutmix(inputs[0].numpy(), rng)
        return (torch.from_numpy(photos),), target, target[torch.from_numpy(partner)], share


class Feed:
    """All steps of a training in one pass, from any step on; Lightning treats it as a data loader with a state.

    Args:
        plan: the steps.
        reader: the items to train on.
        recipe: its workers and cutmix are used.
        epochs: how many epochs of the plan.

    Attributes:
        plan: the steps of an epoch.
        done: finished steps; the next pass begins after them.
    """

    def __init__(self, plan: Plan, reader: Reader, recipe: Recipe, epochs: int) -> None:
        self.plan, self._lessons, self._workers = plan, Lessons(reader, recipe.cutmix), recipe.workers
        self._steps = plan.per_epoch * epochs
        self.done = 0

    def divide(self, plan: Plan) -> None:
        """Take the steps of another plan: this process's share of them."""
        self._steps = self._steps // self.plan.per_epoch * plan.per_epoch
        self.plan = plan

    def __len__(self) -> int:
        """Return the steps of the whole training, finished ones included."""
        return self._steps

    def __iter__(self) -> Iterator[Batch]:
        """Give the batches from step `done` on."""
        options: dict[str, Any] = {"num_workers": self._workers, "pin_memory": torch.cuda.is_available()}
        if self._workers:
            options["prefetch_factor"] = 4
        order = _Order(self.plan, self.done, self._steps)
        with warnings.catch_warnings():
            # no child process inherits a lock
            warnings.filterwarnings("ignore", message=".*fork", category=DeprecationWarning)
            batches = iter(DataLoader(self._lessons, batch_size=None, sampler=order, **options))
        yield from batches

    def state_dict(self) -> dict[str, int]:
        """Return where the training is."""
        return {"done": self.done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue where a training stopped."""
        self.done = state["done"]


class _Order:
    """The lessons of a plan from a step on, epoch by epoch."""

    def __init__(self, plan: Plan, start: int, stop: int) -> None:
        self._plan, self._start, self._stop = plan, start, stop

    def __len__(self) -> int:
        return self._stop - self._start

    def __iter__(self) -> Iterator[Lesson]:
        first, skip = divmod(self._start, self._plan.per_epoch)
        for number in range(first, -(-self._stop // self._plan.per_epoch)):
            lessons = self._plan.epoch(number)
            yield from lessons[skip if number == first else 0 :]
