"""A fuser from posts whose groups are known, and the cut of its groups: all that `match` needs, in one folder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from kembar.boosting import Growth
from kembar.catalog import Catalog
from kembar.config import Config
from kembar.embeddings import Embeddings
from kembar.encoders.store import VectorStore
from kembar.errors import TrainingError
from kembar.evidence import SIMILARITY, blended
from kembar.features import Features
from kembar.fuser import Fuser, pair_weights
from kembar.labels import LabelledPairs, super_components
from kembar.matcher import Clock, Matcher, with_photo_hashes
from kembar.pairs import Pairs
from kembar.tuning import Tuned, by_fold, choose, cuts_tried, fold_numbers

Rows = npt.NDArray[np.int64]
Progress = Callable[[str, int, int], None]


_USUAL_CUT: Final = 0.42  # best for average link on probabilities in labelled Shopee posts, in pools of any size
_MANY: Final = 20_000  # pairs from which on the usual growth is right


@dataclass(frozen=True, slots=True)
class Learned:
    """What learning found.

    Attributes:
        fuser: the judge of pairs.
        config: what it was trained with, and the cut for its probabilities.
        tuned: where groups are known, the score of each fold: by fusers that had not seen it, with the cut that is best
            on the others. None where only pairs are.
    """

    fuser: Fuser
    config: Config
    tuned: Tuned | None

    def save(self, folder: Path | str, *, overwrite: bool = False) -> None:
        """Write one folder for `kembar match --model`: the fuser and config.toml.

        Args:
            folder: where to.
            overwrite: replace an earlier one.

        Raises:
            FolderError: the folder is in the way or cannot be written.
        """
        header = "".join(f"# {line}\n" for line in str(self).splitlines())
        self.fuser.save(folder, overwrite=overwrite, beside={"config.toml": f"{header}\n{self.config.text()}"})

    def __str__(self) -> str:
        card = self.fuser.card
        told = f"Learned from {card['pairs']:,} pairs, {card['true_pairs']:,} of them true"
        return f"{told}; calibration error on held-out pairs {card['calibration_error']:.4f}" + (
            f"\n{self.tuned}" if self.tuned else ""
        )


def learn(
    catalog: Catalog,
    config: Config | None = None,
    *,
    judged: LabelledPairs | None = None,
    embeddings: Mapping[str, Embeddings] | None = None,
    folds: int = 4,
    growth: Growth | None = None,
    kind: str = "lightgbm",
    device: str = "auto",
    store: VectorStore | None = None,
    progress: Progress | None = None,
) -> Learned:
    """Learn to judge pairs from posts whose groups are known, or from some hundred judged pairs.

    All posts are one pool, as they will be when matched, so the fuser learns at the density it will meet. Folds hold
    whole super-components (groups joined by equal photo hashes). Vectors must come from encoders that did not learn
    from these labels; otherwise the fuser trusts them too much.

    Args:
        catalog: the posts; those without a label are strangers in the pool, and no pair of theirs is learned from.
        config: candidates, blending; its group cut is chosen anew.
        judged: learn from these pairs instead, as far as they are candidates, whatever labels the posts have.
        embeddings: vectors by name, in the order of the catalogue's rows.
        folds: at least 2.
        growth: how the trees grow; by the number of pairs where None.
        kind: "lightgbm" or "xgboost", where `growth` is None.
        device: for the encoders.
        store: vectors of earlier runs.
        progress: called with (stage, done, total).

    Returns:
        The fuser and the tuned configuration.

    Raises:
        TrainingError: no labels, or too few pairs (see `Fuser.fit`).
    """
    config = (config or Config()).at_pool(len(catalog))
    catalog = with_photo_hashes(catalog, config, progress)
    catalog, vectors = Matcher(config, device=device, store=store).encoded(catalog, embeddings, progress)
    labels = catalog.labels if judged is None else judged.groups(len(catalog))
    if labels is None or len(np.unique(labels[labels >= 0])) < folds:
        raise TrainingError("posts without known groups", "at least one group a fold", "Name the column with --label.")
    fold = fold_numbers(super_components(labels, catalog.hashes, catalog.hashed), folds)
    evidence = Matcher.evidence(catalog, config, vectors, Clock(progress))
    pairs = blended(evidence, config)
    features = Features.of(pairs, evidence.titles, quantities=evidence.quantities)
    known = _known(pairs, labels, judged)
    taught = pairs.take(known)
    fuser = Fuser.fit(
        features.table(rows=known),
        labels[taught.left] == labels[taught.right],
        np.stack([fold[taught.left], fold[taught.right]], axis=1),
        features.names,
        weight=pair_weights(taught.left, taught.right, labels),
        growth=growth or _growth(len(known), kind),
        progress=progress,
    )
    if judged is not None:
        group = config.group.model_copy(update={"cut": _USUAL_CUT})
        return Learned(fuser, config.model_copy(update={"group": group}), None)
    tuned = _cut(taught, fuser, labels, fold, config)
    return Learned(fuser, tuned.config, tuned)


def _known(pairs: Pairs, labels: Rows, judged: LabelledPairs | None) -> Rows:
    """Find the candidate pairs whose truth is known."""
    known = (labels[pairs.left] >= 0) & (labels[pairs.right] >= 0)
    if judged is not None:
        n = len(labels)
        known &= np.isin(pairs.left * n + pairs.right, judged.left * n + judged.right)
    return np.flatnonzero(known)


def _growth(pairs: int, kind: str) -> Growth:
    """Grow fewer and smaller trees from few pairs, and leave none of them out."""
    usual = Growth(kind=kind)
    if pairs >= _MANY:
        return usual
    return replace(usual, leaves=15, least=max(5, pairs // 100), others=1.0, threads=1)


def _cut(pairs: Pairs, fuser: Fuser, labels: Rows, fold: Rows, config: Config) -> Tuned:
    """Choose the cut of average link on held-out probabilities."""
    probability = fuser.held_out if fuser.held_out is not None else np.zeros(len(pairs), dtype=np.float32)
    held = pairs.with_evidence(**{SIMILARITY: probability})
    folds = int(fold.max()) + 1
    tried = list(cuts_tried(held, labels, config.group.link))
    sums = np.stack([by_fold(scores, fold, labels, folds) for _, scores in tried])
    counts = by_fold(None, fold, labels, folds)
    return choose(config, [setting for setting, _ in tried], sums, counts, len(labels))
