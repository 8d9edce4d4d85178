"""Batches of P groups x K posts, in another order every epoch, synchronised across processes."""

import logging
from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from kembar.arrays import Rows
from kembar.errors import ConfigError, TrainingError

_log = logging.getLogger(__name__)


class GroupSampler(Sampler[list[int]]):
    """A batch sampler of P groups x K posts (Hermans et al. 2017, section 2: PK batches).

    Groups are cut into portions of K posts at random. In every epoch each portion is drawn once, so every group and
    every post comes at least once, and a large group comes more often, as when posts are drawn at random. The groups of
    a batch are distinct. A portion short of K repeats posts of its group (each equally often, give or take one); a
    batch short of P takes other groups, at random.

    With Lightning give it as `batch_sampler`, with `use_distributed_sampler=False`, and call `set_epoch` before each
    epoch (Lightning does where the data loader's batch sampler has it).

    Args:
        labels: (n,) group numbers of the posts.
        groups: P, >= 2; the number of groups where there are fewer.
        per_group: K, >= 1.
        seed: seed of the order.
        cover: "posts" as above; "groups": one portion of each group in an epoch, so all groups come equally often.
        process: which of the processes this is, and their number; batch i goes to process i modulo that number, and
            all get as many.

    Attributes:
        groups: P as used.
        per_group: K.
        epoch: the epoch whose batches come next.

    Raises:
        TrainingError: fewer than two groups.
        ConfigError: groups, per_group, cover or process out of range.
    """

    def __init__(
        self,
        labels: Rows,
        groups: int,
        per_group: int,
        seed: int = 0,
        *,
        cover: str = "posts",
        process: tuple[int, int] = (0, 1),
    ) -> None:
        labels, (rank, world) = np.asarray(labels), process
        order = np.argsort(labels, kind="stable")
        self._members = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
        if len(labels) == 0 or len(self._members) < 2:
            given = f"{len(labels)} posts of one group" if len(labels) else "no posts"
            raise TrainingError(given, "posts of at least two groups", "Give labelled posts of several products.")
        if groups < 2 or per_group < 1 or not 0 <= rank < world or cover not in ("posts", "groups"):
            given = f"{groups} groups x {per_group} posts, cover {cover!r}, process {rank} of {world}"
            raise ConfigError(
                given,
                "at least 2 x 1, cover 'posts' or 'groups', a process number from 0",
                "Correct the arguments of the sampler.",
            )
        if groups > len(self._members):
            _log.warning("%d groups in all: batches have these rather than %d", len(self._members), groups)
        self.groups, self.per_group = min(groups, len(self._members)), per_group
        self.epoch, self._seed, self._rank, self._world = 0, seed, rank, world
        sizes = np.array([len(members) for members in self._members])
        self._portions = -(-sizes // per_group) if cover == "posts" else np.ones_like(sizes)
        self._batches = max(-(-int(self._portions.sum()) // self.groups), int(self._portions.max()))

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose batches come next; the same epoch gives the same batches."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Return the batches of an epoch for this process."""
        return -(-self._batches // self._world)

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the batches of this epoch for this process: P * K rows, those of a group consecutive."""
        rng = np.random.default_rng([self._seed, self.epoch])
        batches = self._dealt(rng)
        for i in range(self._rank, len(self) * self._world, self._world):
            yield batches[i % len(batches)]

    def _dealt(self, rng: np.random.Generator) -> list[list[int]]:
        """Distribute the portions round-robin: those of one group follow each other, so they go to distinct batches."""
        order = rng.permutation(len(self._members))
        portions = [(group, posts) for group in order for posts in self._cut(group, rng)]
        dealt = [portions[i :: self._batches] for i in range(self._batches)]
        for batch in dealt:
            batch.extend(self._fill({group for group, _ in batch}, self.groups - len(batch), rng))
        shuffled = [dealt[i] for i in rng.permutation(len(dealt))]
        return [[int(post) for _, posts in batch for post in posts] for batch in shuffled]

    def _cut(self, group: int, rng: np.random.Generator) -> list[Rows]:
        members = rng.permutation(self._members[group])
        wanted = int(self._portions[group]) * self.per_group
        whole = np.resize(members, wanted)  # repeats the members in order until there are enough
        return np.split(whole, int(self._portions[group]))

    def _fill(self, present: set[int], short: int, rng: np.random.Generator) -> list[tuple[int, Rows]]:
        if short <= 0:
            return []
        others = np.setdiff1d(np.arange(len(self._members)), np.fromiter(present, dtype=np.int64))
        chosen = rng.choice(others, short, replace=False)
        return [(int(g), np.resize(rng.permutation(self._members[g]), self.per_group)) for g in chosen]
