"""A classifier from posts whose groups are known, and the cut of its groups: all that `match` needs, in one folder."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from kembar.arrays import Bools, Floats, Progress, Rows, default_threads
from kembar.classifier.features import Features
from kembar.classifier.ownership import evidence_settings
from kembar.classifier.pair_classifier import PairClassifier
from kembar.classifier.training_pairs import TrainingPairs, check_truth, pair_weights
from kembar.classifier.trees import Growth
from kembar.config import BY_RULES, SHIPPED, Config
from kembar.encoders.embeddings import Embeddings
from kembar.encoders.resources import Resources
from kembar.errors import TrainingError
from kembar.evidence.gathering import blended, gather
from kembar.evidence.pairs import SIMILARITY, Pairs
from kembar.evidence.photo_hashes import with_photo_hashes
from kembar.evidence.scorers import scorers_of
from kembar.evidence.views import build_views
from kembar.fitting.dropout import Thinned, thinned
from kembar.fitting.fitted import FittedClassifier
from kembar.fitting.tuning import Fitting, Tuned, by_fold, choose, cuts_tried, fold_numbers
from kembar.matcher import Matcher
from kembar.plan import Clock
from kembar.posts.buckets import draws_of
from kembar.posts.catalog import Catalog
from kembar.posts.labels import super_components
from kembar.posts.titles import normalize
from kembar.threads import unforked

_MANY: Final = 20_000  # pairs from which on the usual growth is right
_HEAVY: Final = 200_000  # pairs from which on several threads pay
_THINNED: Final = 250_000  # pairs of a pool with hidden evidence that are enough: bounds the memory


@unforked
def fit_classifier(
    catalog: Catalog,
    config: Config | None = None,
    *,
    embeddings: Mapping[str, Embeddings] | None = None,
    how: Fitting | None = None,
    resources: Resources | None = None,
) -> FittedClassifier:
    """Learn to classify pairs from posts whose groups are known.

    All posts are one pool, as they will be when matched, so the classifier learns at the density it will meet; and once
    more with each kind of evidence hidden, so that it can do without (see kembar.fitting.dropout). Folds hold whole
    super-components (groups joined by equal photo hashes). Vectors must come from encoders that did not learn from
    these labels; otherwise the classifier trusts them too much.

    Args:
        catalog: the posts; those without a label are in the pool, and no pair of theirs is learned from.
        config: candidates, blending; its group cut is chosen anew.
        embeddings: vectors by name, in the order of the catalogue's rows.
        how: folds and trees.
        resources: device, store and progress.

    Returns:
        The classifier and the tuned configuration.

    Raises:
        TrainingError: no labels, or too few pairs (see `PairClassifier.fit`).
    """
    config = (config or Config()).with_model(SHIPPED).at_pool(len(catalog))
    how, means = how or Fitting(), resources or Resources()
    folds, progress = how.folds, means.progress
    catalog = with_photo_hashes(catalog, config, progress, store=means.store)
    matcher = Matcher(config.with_model(BY_RULES), device=means.device, store=means.store)
    catalog, vectors = matcher.encoded(catalog, embeddings, progress)
    labels = catalog.labels
    if labels is None or len(np.unique(labels[labels >= 0])) < folds:
        raise TrainingError(
            "posts without known groups", "at least one group per fold", "Name the column: Columns(label=...)."
        )
    fold = fold_numbers(super_components(labels, catalog.hashes, catalog.hashed), folds)
    lessons = list(_lessons(catalog, config, vectors, labels, Clock(progress)))
    first = lessons[0]
    classifier = _fitted(
        lessons, fold, labels, how.growth or _growth(len(first.truth), len(lessons), how.method), progress
    )
    classifier = replace(classifier, evidence=evidence_settings(config, first.views))
    tuned = _cut(first.pairs, classifier, labels, fold, config)
    found = replace(classifier, cut=tuned.config.group_cut)
    return FittedClassifier(found, tuned.config.settled(found.cut), tuned)


@dataclass(frozen=True, slots=True)
class _Lesson:
    """Pairs of one pool whose truth is known: (m,) bool, their (m, c) evidence, the views that the pool lacks and has.

    The columns are those of the pool with all evidence.
    """

    pairs: Pairs
    truth: Bools
    names: tuple[str, ...]
    table: Floats
    without: tuple[str, ...]
    views: tuple[str, ...]


def _lessons(
    catalog: Catalog,
    config: Config,
    vectors: Mapping[str, Embeddings],
    labels: Rows,
    clock: Clock,
) -> Iterator[_Lesson]:
    """Describe the pool with all evidence, then with some hidden: 250,000 pairs of each such pool are enough."""
    titles = normalize(catalog.titles)
    views = build_views(catalog, titles, config, vectors)
    pools = [Thinned((), views, titles), *thinned(views, titles, draws_of(catalog.ids))]
    names: tuple[str, ...] = ()
    for at, pool in enumerate(pools):
        with clock.stage("evidence" if at == 0 else f"evidence without {', '.join(pool.without) or 'some'}"):
            evidence = gather(pool.views, pool.titles, config)
            pairs = blended(evidence, config)
            features = Features.of(pairs, len(catalog), scorers_of(pool.titles, evidence.quantities, catalog))
            names = names or features.names
            known = np.flatnonzero((labels[pairs.left] >= 0) & (labels[pairs.right] >= 0))
            if at > 0:
                known = known[np.random.default_rng(at).random(len(known)) < _THINNED / max(1, len(known))]
            taught = pairs.take(known)
            truth = labels[taught.left] == labels[taught.right]
            if at == 0:
                check_truth(truth)  # before minutes of work; the pairs of other pools are the same ones
            table = features.table(names, known)
        yield _Lesson(taught, truth, names, table, pool.without, tuple(view.name for view in pool.views))


def _fitted(
    lessons: Sequence[_Lesson], fold: Rows, labels: Rows, growth: Growth, progress: Progress | None
) -> PairClassifier:
    """Learn from all lessons, by the columns of the first, whose pairs alone the card counts."""
    first = lessons[0]
    left, right = (np.concatenate([getattr(lesson.pairs, end) for lesson in lessons]) for end in ("left", "right"))
    pairs = TrainingPairs(
        np.concatenate([lesson.table for lesson in lessons]),
        np.concatenate([lesson.truth for lesson in lessons]),
        np.stack([fold[left], fold[right]], axis=1),
        first.names,
        pair_weights(left, right, labels),
        np.repeat(np.arange(len(lessons)), [len(lesson.truth) for lesson in lessons]),
    )
    classifier = PairClassifier.fit(pairs, growth=growth, progress=progress)
    card = {**classifier.card, "pairs": len(first.truth), "true_pairs": int(first.truth.sum())}
    without = tuple(lesson.without for lesson in lessons if lesson.without)
    held_out = None if classifier.held_out is None else classifier.held_out[: len(first.truth)]
    return replace(classifier, card=card, without=without, held_out=held_out)


def _growth(pairs: int, lessons: int, kind: str) -> Growth:
    """Grow smaller trees from few pairs, each of which is in most lessons, and leave none of them out."""
    if pairs >= _MANY:
        return Growth(kind=kind, threads=default_threads() if pairs >= _HEAVY else 1)
    least = lessons * max(5, pairs // 100)
    return Growth(kind=kind, trees=100, leaves=15, least=least, others=1.0)


def _cut(pairs: Pairs, classifier: PairClassifier, labels: Rows, fold: Rows, config: Config) -> Tuned:
    """Choose the cut of average link on held-out probabilities."""
    probability = classifier.held_out if classifier.held_out is not None else np.zeros(len(pairs), dtype=np.float32)
    held = pairs.with_evidence(**{SIMILARITY: probability})
    folds = int(fold.max()) + 1
    tried = list(cuts_tried(held, labels, config))
    sums = np.stack([by_fold(scores, fold, labels, folds) for _, scores in tried])
    counts = by_fold(None, fold, labels, folds)
    return choose(config, [setting for setting, _ in tried], sums, counts, len(labels))
