"""A classifier that is there, corrected by answers about pairs: what some hundred of them are worth most for."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from kembar.arrays import Rows
from kembar.classifier.classify import evidence_table
from kembar.classifier.drift import Profile
from kembar.classifier.pair_classifier import PairClassifier
from kembar.classifier.refining import refined
from kembar.classifier.training_pairs import TrainingPairs
from kembar.config import SHIPPED, Config
from kembar.encoders.embeddings import Embeddings
from kembar.encoders.resources import Resources
from kembar.errors import TrainingError
from kembar.fitting.fitted import FittedClassifier
from kembar.fitting.tuning import Fitting, fold_numbers
from kembar.matcher import Matcher
from kembar.posts.catalog import Catalog
from kembar.posts.labels import LabelledPairs, super_components
from kembar.results.explanation import as_matched
from kembar.results.result import Result

_PROFILED = 8192  # pairs that say what this pool looks like


def learn_from_answers(
    catalog: Catalog,
    answers: LabelledPairs,
    config: Config | None = None,
    *,
    embeddings: Mapping[str, Embeddings] | None = None,
    how: Fitting | None = None,
    resources: Resources | None = None,
) -> FittedClassifier:
    """Let the classifier that ships, or another one, learn from labelled pairs of a catalogue.

    The posts are matched as ever; what the classifier saw of the pairs that were labelled is what it learns from (see
    kembar.classifier.refining). Its options stay. Folds hold whole super-components, so that no answer is
    scored by trees that saw its posts.

    Args:
        catalog: the posts; their own labels are not looked at.
        answers: labelled pairs, as of `kembar label-queue`; those that are no candidates teach nothing.
        config: its `model` is where learning starts; the classifier that ships where rules decide.
        embeddings: vectors by name, in the order of the catalogue's rows.
        how: folds and trees.
        resources: device, store and progress.

    Returns:
        The classifier and its configuration; `tuned` is None, because answers say nothing of whole groups.

    Raises:
        TrainingError: fewer than five answers of one kind among the candidates, all answers about posts that belong
            together, or posts that the classifier cannot decide about, so that rules would.
        ConfigError: an option that the classifier owns was set to another value than it learned with.
    """
    config, how, means = config or Config(), how or Fitting(), resources or Resources()
    config = config.with_model(SHIPPED) if config.by_rules else config
    catalog, answers, embeddings = _in_order(catalog, answers, embeddings or {})
    matcher = Matcher(config, device=means.device, store=means.store)
    result = matcher.match(catalog, embeddings=embeddings, progress=means.progress)
    if result.config.by_rules:
        raise TrainingError(
            f"posts that the classifier {config.model!r} cannot decide about, for lack of evidence",
            "posts with all that it learned from",
            "Label whole groups and learn from these (`kembar tune --label`).",
        )
    kept = result.copy_of  # of many copies one was matched: what is said of a copy is said of it
    answers = LabelledPairs(kept[answers.left], kept[answers.right], answers.same)
    start = PairClassifier.load(result.config.model)  # for photos alone another one than was named
    rows, names = _answered(result, answers), start.names
    pairs, scorers, posts = as_matched(result)
    seen = np.union1d(rows, np.linspace(0, len(pairs) - 1, min(len(pairs), _PROFILED), dtype=np.int64))
    table = evidence_table(pairs, posts, scorers, start, seen)
    labels = answers.groups(len(catalog))
    left, right = result.pairs.left[rows], result.pairs.right[rows]
    folds = _folds(super_components(labels, result.catalog.hashes, result.catalog.hashed), left, right, how.folds)
    taught = TrainingPairs(table[np.searchsorted(seen, rows)], labels[left] == labels[right], folds, names)
    found = refined(start, taught, growth=how.growth, progress=means.progress)
    found = replace(found, profiles=(*start.profiles, Profile.of(table, names)))
    cut = found.cut if config.cut is None else config.cut
    return FittedClassifier(found, result.config.model_copy(update={"cut": cut}), None)


def _folds(components: Rows, left: Rows, right: Rows, folds: int) -> Rows:
    """Deal the posts of answers to folds, components whole: (m, 2) int64 folds of the two ends."""
    asked, place = np.unique(np.stack([left, right], axis=1), return_inverse=True)
    found = len(np.unique(components[asked]))
    if found < folds:
        raise TrainingError(
            f"answers about {found} sets of posts that no photo and no answer joins, for {folds} folds",
            "at least one set for each fold",
            "Label more pairs, of other products, or use fewer folds.",
        )
    return fold_numbers(components[asked], folds)[place].reshape(-1, 2)


def _in_order(
    catalog: Catalog, answers: LabelledPairs, embeddings: Mapping[str, Embeddings]
) -> tuple[Catalog, LabelledPairs, dict[str, Embeddings]]:
    """Go over to the order of posting ids, so that the order of rows changes nothing."""
    order = catalog.ids.arg_sort().to_numpy().astype(np.int64)
    place = np.argsort(order)
    moved = LabelledPairs(place[answers.left], place[answers.right], answers.same)
    vectors = {name: given.take(order) for name, given in embeddings.items()}
    return catalog.take(order), moved, vectors


def _answered(result: Result, answers: LabelledPairs) -> Rows:
    """Find the candidate pairs that were answered: their places, rising."""
    n, pairs = len(result), result.pairs
    asked = np.minimum(answers.left, answers.right) * n + np.maximum(answers.left, answers.right)
    return np.flatnonzero(np.isin(pairs.left * n + pairs.right, asked))
