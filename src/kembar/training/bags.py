"""A title encoder over hashed n-grams: a weighted sum of the vectors of a title's features, then a layer if asked.

It starts as a random projection of TF-IDF (Johnson and Lindenstrauss 1984), which already finds most true pairs: every
bucket has a random direction and, as its length, the inverse document frequency of the training titles. Both are
trained.
"""

from collections.abc import Sequence
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from kembar.arrays import Floats, Rows
from kembar.encoders.ngrams import NGrams
from kembar.training.heads import unit

# Learning rates of lengths and directions, as factors: the weight of a word holds for new titles too, its direction
# mostly fits the training titles alone. On held-out Shopee titles F1 is .004, with min2 .009 higher than with 1 and 1.
_FASTER, _SLOWER = 25.0, 5.0
_HEAVIEST = 10.0  # about the weight of a feature of one title in 10,000: others are shares of it


class NGramBag(nn.Module):
    """Sums the vectors of the features of titles, and adds a layer of GELU where asked: z + W2 gelu(W1 norm(z)).

    Args:
        weights: (buckets,) float32 > 0, the length at which each bucket starts.
        width: numbers in a vector.
        hidden: width of the layer; 0: none.

    Attributes:
        table: (buckets, width) trained directions, as an optimizer sees them: larger, so that a step turns them less.
        gate: (buckets,) trained logarithms of lengths, likewise smaller.
    """

    def __init__(self, weights: Floats, width: int, hidden: int = 0) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(len(weights), width) * width**-0.5 * _SLOWER)
        self.gate = nn.Parameter(torch.from_numpy(np.log(weights / _SLOWER).astype(np.float32)) / _FASTER)
        self.layer: nn.Sequential | None = None
        if hidden:
            first, last = nn.Linear(width, hidden), nn.Linear(hidden, width)
            nn.init.zeros_(last.weight)  # so that it starts as the sum alone
            nn.init.zeros_(last.bias)
            self.layer = nn.Sequential(nn.LayerNorm(width), first, nn.GELU(), last)

    def forward(self, buckets: Tensor, starts: Tensor) -> Tensor:
        """Encode titles.

        Args:
            buckets: (m,) int64, the features of all titles one after the other.
            starts: (b,) int64, where each title's features begin.

        Returns:
            (b, width); zeros for a title without features.
        """
        z: Tensor = nn.functional.embedding_bag(
            buckets, self.table, starts, mode="sum", per_sample_weights=self.lengths()[buckets]
        )
        return z if self.layer is None else unit(z) + self.layer(z)

    def lengths(self) -> Tensor:
        """Return what the rows of the table are multiplied by, (buckets,)."""
        return (_FASTER * self.gate).exp()

    @torch.no_grad()
    def folded(self) -> Floats:
        """Return the (buckets, width) vectors of the buckets, directions times lengths; that of padding is zero."""
        table = (self.table * self.lengths().unsqueeze(1)).float().cpu().numpy()
        table[0] = 0
        return cast("Floats", table)


class NGramReader:
    """Gives the features of titles in the form that `NGramBag` takes.

    Args:
        titles: n titles in normal form.
        ngrams: what a feature is.
        drop: share of the features left out at random in training.
    """

    def __init__(self, titles: Sequence[str], ngrams: NGrams, drop: float = 0.0) -> None:
        self._offsets, self._buckets = ngrams.features(titles)
        self._drop = drop

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def training(self, rows: Rows, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """See `kembar.training.batches.Reader`."""
        buckets, owner = self._gather(rows)
        if self._drop:
            kept = rng.random(len(buckets)) >= self._drop
            buckets, owner = buckets[kept], owner[kept]
        return _bags(buckets, owner, len(rows))

    def plain(self, rows: Rows) -> tuple[Tensor, ...]:
        """See `kembar.training.batches.Reader`."""
        return _bags(*self._gather(rows), len(rows))

    def _gather(self, rows: Rows) -> tuple[npt.NDArray[np.int32], Rows]:
        count = self._offsets[rows + 1] - self._offsets[rows]
        owner = np.repeat(np.arange(len(rows)), count)
        before = np.cumsum(count) - count
        place = np.arange(len(owner)) - before[owner] + self._offsets[rows][owner]
        return self._buckets[place], owner


def document_weights(titles: Sequence[str], ngrams: NGrams) -> Floats:
    """Weight buckets by how few titles have them.

    Args:
        titles: n titles in normal form.
        ngrams: what a feature is.

    Returns:
        (buckets,) float32: smoothed inverse document frequencies ln((1 + n) / (1 + df)) + 1, as scikit-learn's, / 10.
    """
    offsets, buckets = ngrams.features(titles)
    owner = np.repeat(np.arange(len(titles)), np.diff(offsets))
    distinct = np.unique(owner * ngrams.buckets + buckets) % ngrams.buckets
    frequency = np.bincount(distinct, minlength=ngrams.buckets)
    return ((np.log((1 + len(titles)) / (1 + frequency)) + 1) / _HEAVIEST).astype(np.float32)


def _bags(buckets: npt.NDArray[np.int32], owner: Rows, n: int) -> tuple[Tensor, ...]:
    count = np.bincount(owner, minlength=n)
    starts = np.cumsum(count) - count
    return torch.from_numpy(buckets.astype(np.int64)), torch.from_numpy(starts.astype(np.int64))
