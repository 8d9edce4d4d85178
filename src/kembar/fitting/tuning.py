"""Thresholds for any configuration, chosen on posts whose groups are known, by grouped cross-validation."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from heapq import heapreplace
from itertools import product
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from kembar.arrays import Bools, Doubles, Progress, Rows, run_starts
from kembar.classifier.trees import Growth
from kembar.config import BY_RULES, CONFIG_FILE, MODEL_FILE, Config
from kembar.encoders.embeddings import Embeddings
from kembar.encoders.resources import Resources
from kembar.errors import ConfigError, EvidenceError
from kembar.evidence.edges import directed
from kembar.evidence.gathering import Evidence, blended
from kembar.evidence.pairs import SIMILARITY, Pairs
from kembar.evidence.photo_hashes import with_photo_hashes
from kembar.folders import new_folder
from kembar.grouping.average_link import average_link_tree
from kembar.grouping.decision import decide, filled, partition
from kembar.grouping.matches import row_shares
from kembar.matcher import Matcher
from kembar.plan import Clock
from kembar.posts.catalog import Catalog
from kembar.results.scores import group_sizes

Setting = dict[str, float]  # option "section.key" to its value
Shape = tuple[Bools, Doubles]  # posts, and the row shares of the posts in other folds

_SCORES: Final = ("fold", "posts", "pool", "f1", "precision", "recall")  # the others are options
_CUTS: Final = tuple(np.round(np.arange(0.2, 0.951, 0.02), 3).tolist())
_MIN2: Final = tuple(np.round(np.arange(0.1, 0.71, 0.05), 3).tolist())
_BLENDS: Final = tuple(
    {"advanced.blend.threshold": sure, "advanced.blend.min2": round(0.55 * sure, 3), "advanced.blend.keep": keep}
    for sure, keep in product((0.5, 0.6, 0.7, 0.8), (0.0, 0.5))
)


@dataclass(frozen=True, slots=True)
class Fitting:
    """How to learn from labels.

    Attributes:
        folds: parts of whole groups, at least 2.
        pool: for rules: "whole" matches among all posts, "fold" makes each fold a pool of its own.
        method: "lightgbm" or "xgboost", the trees of a classifier; or "rules".
        growth: how the trees grow; by the method and the number of pairs where None.
    """

    folds: int = 4
    pool: str = "whole"
    method: str = "lightgbm"
    growth: Growth | None = None


@dataclass(frozen=True, slots=True)
class Tuned:
    """What tuning found.

    Attributes:
        config: the thresholds that are best on all labelled posts, for a pool of `config.advanced.pool.size`.
        folds: one row per fold: posts, pool, and the f1, precision and recall reached with the thresholds that were
            best on the other folds, and these thresholds.
        trials: one row per setting: its options and its mean f1 on all labelled posts.
    """

    config: Config
    folds: pl.DataFrame
    trials: pl.DataFrame

    def f1(self) -> tuple[float, float]:
        """Give the mean and the standard deviation over folds of the cross-validated F1."""
        scores = self.folds["f1"].to_numpy()
        return float(scores.mean()), float(scores.std(ddof=1))

    def save(self, folder: Path | str, *, overwrite: bool = False) -> None:
        """Write one folder for `kembar match --model`: config.toml, the cross-validated scores above it as a comment.

        Args:
            folder: where to.
            overwrite: replace an earlier one.

        Raises:
            FolderError: the folder is in the way or cannot be written.
        """
        with new_model(folder, self.config, str(self), overwrite=overwrite):
            pass  # there is nothing but the configuration

    def __str__(self) -> str:
        mean, spread = self.f1()
        lines = [f"Cross-validated F1 {mean:.4f}, standard deviation over {len(self.folds)} folds {spread:.4f}"]
        for row in self.folds.iter_rows(named=True):
            chosen = ", ".join(f"{name} {row[name]:g}" for name in row if name not in _SCORES)
            lines.append(
                f"fold {row['fold']}: F1 {row['f1']:.4f}  precision {row['precision']:.4f}  recall {row['recall']:.4f}"
                f"  posts {row['posts']:,}  pool {row['pool']:,}  ({chosen})"
            )
        return "\n".join(lines)


def tune(
    catalog: Catalog,
    config: Config | None = None,
    *,
    embeddings: Mapping[str, Embeddings] | None = None,
    how: Fitting | None = None,
    blends: tuple[Setting, ...] | None = None,
    resources: Resources | None = None,
) -> Tuned:
    """Choose thresholds: for blending, and for the rule that the configuration decides by.

    Every setting is tried once in each pool, and its F1 is kept post by post. Folds hold whole groups. A
    fold's score uses the setting that is best on the posts of the other folds; the returned configuration uses the
    one that is best on all.

    Args:
        catalog: posts with labels; those without (-1) are in the pool, and count neither for nor against others.
        config: what to tune; its thresholds do not matter.
        embeddings: vectors by name, in the order of the catalogue's rows.
        how: folds and pool.
        blends: the blending options to try; a grid by default, and the configuration's own where it does not blend.
        resources: device, store and progress.

    Returns:
        The tuned configuration and its scores.

    Raises:
        EvidenceError: no labels, or fewer groups than folds.
        ConfigError: another pool, or fewer than 2 folds.
    """
    how, means, config = how or Fitting(), resources or Resources(), (config or Config()).with_model(BY_RULES)
    folds, pool = how.folds, how.pool
    labels = _labels(catalog, folds, pool)
    catalog = with_photo_hashes(catalog, config, means.progress, store=means.store)
    matcher = Matcher(config, device=means.device, store=means.store)
    catalog, embeddings = matcher.encoded(catalog, embeddings, means.progress)
    fold = fold_numbers(labels, folds)
    blends = blends or (_BLENDS if config.advanced.blend.steps else ({},))
    parts = [np.arange(len(catalog))] if pool == "whole" else [np.flatnonzero(fold == f) for f in range(folds)]
    sums: dict[tuple[tuple[str, float], ...], Doubles] = {}
    shares = [row_shares(labels[fold != f]) for f in range(folds)]
    for rows in parts:
        shapes = [(fold[rows] == f, shares[f]) for f in np.unique(fold[rows])]
        clock = Clock(means.progress)
        evidence = Matcher.evidence(catalog.take(rows), config, _taken(embeddings, rows), clock)
        tried = trials(evidence, config, labels[rows], blends, shapes, means.progress)
        for setting, scores in tried:
            key = tuple(setting.items())
            sums[key] = sums.get(key, np.zeros((folds, 3))) + by_fold(scores, fold[rows], labels[rows], folds)
    settings = [dict(key) for key in sums]
    return choose(config, settings, np.stack(list(sums.values())), by_fold(None, fold, labels, folds), len(parts[0]))


@contextmanager
def new_model(folder: Path | str, config: Config, told: str, *, overwrite: bool) -> Iterator[Path]:
    """Make a folder for `kembar match --model`, whole or not at all.

    Args:
        folder: where to.
        config: written to config.toml.
        told: what was found, for people: a comment above the configuration.
        overwrite: replace an earlier model folder, and no other folder.

    Yields:
        The folder, for what else belongs to the model.

    Raises:
        FolderError: the folder is in the way or cannot be written.
    """
    with new_folder(folder, overwrite=overwrite, mark=MODEL_FILE) as target:
        (target / CONFIG_FILE).write_text(config.text(told), encoding="utf-8")
        (target / MODEL_FILE).write_text(json.dumps({"format": "kembar model", "version": 1}) + "\n", encoding="utf-8")
        yield target


def trials(
    evidence: Evidence,
    config: Config,
    labels: Rows,
    blends: tuple[Setting, ...],
    shapes: list[Shape],
    progress: Progress | None = None,
) -> Iterator[tuple[Setting, Doubles]]:
    """Try every setting in one pool.

    Args:
        evidence: of n posts, before any blending.
        config: what does not vary.
        labels: (n,) int64 group codes.
        blends: the blending options to try.
        shapes: for rule chisel, which posts get lists of which lengths.
        progress: called with (stage, done, total).

    Yields:
        A setting, and (n, 3) F1, precision and recall of each post.
    """
    for done, blend in enumerate(blends):
        pairs = blended(evidence, _with(config, blend))
        for decision, scores in _decisions(pairs, labels, config, shapes):
            yield {**blend, **decision}, scores
        if progress:
            progress("trials", done + 1, len(blends))


def _decisions(pairs: Pairs, labels: Rows, config: Config, shapes: list[Shape]) -> Iterator[tuple[Setting, Doubles]]:
    rule = config.rule
    if rule == "threshold":
        yield from _thresholds(pairs, labels, with_min2=config.advanced.decide.min2 is not None)
    elif rule == "group":
        yield from cuts_tried(pairs, labels, config)
    else:
        scores = np.zeros((len(labels), 3))
        for scored, shares in shapes:  # chisel learns the lengths of lists, from other folds too
            edges, _ = decide(pairs, len(labels), config, shares)
            scores[scored] = edge_scores(edges[0], edges[1], labels)[scored]
        yield {}, scores


def cuts_tried(pairs: Pairs, labels: Rows, config: Config) -> Iterator[tuple[Setting, Doubles]]:
    """Group by every cut: yields a setting, and (n, 3) F1, precision and recall of each post."""
    n, similarity = len(labels), pairs.evidence[SIMILARITY]
    average = config.advanced.group.link == "average"  # one tree holds the groups of all cuts
    tree = average_link_tree(pairs.left, pairs.right, similarity, n, cut=_CUTS[0]) if average else None
    for cut in _CUTS:
        parts = (
            filled(tree.labels(cut=cut), pairs, config) if tree else partition(pairs, n, _with(config, {"cut": cut}))
        )
        yield {"cut": cut}, group_scores(parts, labels)


def _thresholds(pairs: Pairs, labels: Rows, *, with_min2: bool) -> Iterator[tuple[Setting, Doubles]]:
    source, target, score = directed(pairs.left, pairs.right, pairs.evidence[SIMILARITY])
    keep = score >= min(_MIN2[0], _CUTS[0])
    source, target, score = source[keep], target[keep], score[keep]
    first = run_starts(source)
    for threshold in _CUTS:
        near = score >= threshold
        if not with_min2:
            yield {"advanced.decide.threshold": threshold}, edge_scores(source[near], target[near], labels)
            continue
        for min2 in (cut for cut in _MIN2 if cut <= threshold):
            chosen = near | (first & (score >= min2))
            setting = {"advanced.decide.threshold": threshold, "advanced.decide.min2": min2}
            yield setting, edge_scores(source[chosen], target[chosen], labels)


def edge_scores(source: Rows, target: Rows, labels: Rows) -> Doubles:
    """Score directed edges between posts of known groups: (n, 3) F1, precision and recall of each post."""
    known = (labels[source] >= 0) & (labels[target] >= 0)
    right = known & (labels[source] == labels[target])
    matched = 1 + np.bincount(source[known], minlength=len(labels))
    return _scores(1 + np.bincount(source[right], minlength=len(labels)), matched, labels)


def group_scores(parts: Rows, labels: Rows) -> Doubles:
    """Score a partition of the posts of known groups: (n, 3) F1, precision and recall of each post.

    Posts without a label (-1) may be twins of those with one: they count neither for nor against them.
    """
    both, counts = np.unique(parts * (labels.max() + 2) + labels, return_inverse=True, return_counts=True)[1:]
    matched = np.bincount(parts, labels >= 0).astype(np.int64)[parts]
    return _scores(counts[both], np.maximum(matched, 1), labels)


def _scores(correct: Rows, matched: Rows, labels: Rows) -> Doubles:
    size = group_sizes(labels)
    return np.stack([2 * correct / (matched + size), correct / matched, correct / size], axis=1)


def by_fold(scores: Doubles | None, fold: Rows, labels: Rows, folds: int) -> Doubles:
    """Sum F1, precision and recall over the labelled posts of each fold: (folds, 3); counts them where None."""
    known = labels >= 0
    values = np.ones((len(labels), 3)) if scores is None else scores
    return np.stack([np.bincount(fold[known], values[known, c], folds) for c in range(3)], axis=1)


def choose(config: Config, settings: list[Setting], sums: Doubles, counts: Doubles, pool: int) -> Tuned:
    """Take for each fold the setting that is best on the others, and for the answer the one that is best on all."""
    total, posts = sums[:, :, 0].sum(axis=1), counts[:, 0]
    table = []
    for f in range(len(posts)):
        best = int((total - sums[:, f, 0]).argmax())
        f1, precision, recall = (sums[best, f] / counts[f]).tolist()
        scores = {"f1": f1, "precision": precision, "recall": recall}
        table.append({"fold": f, "posts": int(posts[f]), "pool": pool, **scores, **settings[best]})
    trials = pl.DataFrame(settings).with_columns(f1=pl.Series(total / posts.sum()))
    best_config = _with(config, settings[int(total.argmax())]).with_option("advanced.pool.size", pool)
    return Tuned(best_config.settled(), pl.DataFrame(table), trials)


def fold_numbers(labels: Rows, folds: int) -> Rows:
    """Deal whole groups to folds, the largest first, each to the smallest; posts without a label go round in turn.

    The folds are those of scikit-learn's GroupKFold, by which the competition's solutions were compared.

    Args:
        labels: (n,) group codes >= 0, -1 where unknown.
        folds: at least 2.

    Returns:
        (n,) int64 in [0, folds).
    """
    fold = np.arange(len(labels)) % folds
    known = np.flatnonzero(labels >= 0)
    _, group, size = np.unique(labels[known], return_inverse=True, return_counts=True)
    home, held = np.zeros(len(size), dtype=np.int64), [(0, number) for number in range(folds)]
    for largest in np.argsort(size, kind="stable")[::-1]:
        posts, number = held[0]
        home[largest] = number
        heapreplace(held, (posts + int(size[largest]), number))
    fold[known] = home[group]
    return fold


def _labels(catalog: Catalog, folds: int, pool: str) -> Rows:
    if folds < 2 or pool not in ("whole", "fold"):
        raise ConfigError(
            f"folds {folds} and pool {pool!r}", "at least 2 folds, pool 'whole' or 'fold'", "Correct them."
        )
    labels = catalog.labels if catalog.labels is not None else np.full(len(catalog), -1, dtype=np.int64)
    groups = len(np.unique(labels[labels >= 0]))
    if groups < folds:
        raise EvidenceError(
            f"{groups} known groups for {folds} folds",
            "at least one group per fold",
            "Name the column: Columns(label=...).",
        )
    return labels


def _taken(embeddings: Mapping[str, Embeddings] | None, rows: Rows) -> dict[str, Embeddings]:
    return {name: given.take(rows) for name, given in (embeddings or {}).items()}


def _with(config: Config, setting: Setting) -> Config:
    for key, value in setting.items():
        config = config.with_option(key, value)
    return config
