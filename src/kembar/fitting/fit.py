"""What `kembar tune` does: learn a classifier from known groups or from answers, or tune the hand-set rules."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from kembar.config import BY_RULES, Config
from kembar.encoders.embeddings import Embeddings
from kembar.encoders.resources import Resources
from kembar.errors import ConfigError, nearest
from kembar.fitting.answers import learn_from_answers
from kembar.fitting.fitted import FittedClassifier
from kembar.fitting.learning import fit_classifier
from kembar.fitting.tuning import Fitting, Tuned, tune
from kembar.posts.catalog import Catalog
from kembar.posts.labels import read_pairs

_STARTS_IN: Final = "lightgbm"  # the package in which the classifier that ships grew
_METHODS: Final = (_STARTS_IN, "xgboost", BY_RULES)


def fit(
    catalog: Catalog,
    config: Config | None = None,
    *,
    labels: Path | str | None = None,
    embeddings: Mapping[str, Embeddings] | None = None,
    how: Fitting | None = None,
    resources: Resources | None = None,
) -> FittedClassifier | Tuned:
    """Learn a pair classifier from known groups or from answers, or tune the hand-set rules.

    Args:
        catalog: posts with labels, or any posts where labelled pairs are given.
        config: see `fit_classifier` and `kembar.fitting.tuning.tune`.
        labels: a file of labelled pairs, see `kembar.posts.labels.read_pairs`: the classifier that ships, or that the
            configuration names, learns from them; not for rules and not in XGBoost.
        embeddings: vectors by name, in the order of the catalogue's rows.
        how: the method, folds and pool.
        resources: device, store and progress.

    Returns:
        What was found; its `save` makes a folder for `kembar match --model`.

    Raises:
        ConfigError: another method, or one that does not go with labels or with the pool.
        TrainingError: see `fit_classifier` and `learn_from_answers`.
        EvidenceError: see `kembar.fitting.tuning.tune`.
    """
    how = how or Fitting()
    method = how.method
    if method not in _METHODS:
        known = f"one of {', '.join(_METHODS)}"
        raise ConfigError(f"method {method!r}", known, f"Choose one.{nearest(method, _METHODS)}")
    if labels is not None and method != _STARTS_IN:
        raise ConfigError(
            f"labelled pairs with method {method!r}",
            f"{_STARTS_IN!r}: they correct the classifier that ships, which learned by it",
            "Leave out Fitting(method=...), or labels=...",
        )
    if method == BY_RULES:
        return tune(catalog, config, embeddings=embeddings, how=how, resources=resources)
    if how.pool != "whole":
        given = f"pool {how.pool!r} with method {method!r}"
        raise ConfigError(given, "'whole', or method 'rules'", "Change Fitting(pool=...) or Fitting(method=...).")
    if labels is None:
        return fit_classifier(catalog, config, embeddings=embeddings, how=how, resources=resources)
    answers = read_pairs(labels, catalog.ids)
    return learn_from_answers(catalog, answers, config, embeddings=embeddings, how=how, resources=resources)
