"""Which classifier decides about a catalogue: known once its posts have been read and encoded.

The one that ships compares titles, and can do without anything else. Where no post has a title, another one that ships
decides, which has learned from photos alone. Where neither has learned to do without what is lacking, hand-set rules
decide. A classifier that was named decides, or the rules do.
"""

import logging
from collections.abc import Mapping
from typing import Final

from kembar.classifier.ownership import adopted
from kembar.classifier.pair_classifier import PairClassifier
from kembar.config import BY_RULES, PHOTOS_ALONE, SHIPPED, Config
from kembar.encoders.embeddings import Embeddings
from kembar.errors import ConfigError
from kembar.evidence.pairs import BLENDED, SIMILARITY
from kembar.evidence.view_kinds import KINDS, PHOTO
from kembar.evidence.views import available, vectors_section
from kembar.posts.catalog import Catalog

_TITLES: Final = tuple(kind.name for kind in KINDS.values() if kind.modality == "title")
_TERMS: Final = tuple(kind.name for kind in KINDS.values() if kind.family == "terms")

log = logging.getLogger(__name__)


def chosen(
    config: Config,
    classifier: PairClassifier | None,
    catalog: Catalog,
    vectors: Mapping[str, Embeddings],
    brought: Mapping[str, Embeddings],
) -> tuple[Config, PairClassifier | None]:
    """Choose what decides about the posts of a catalogue; the log tells where it is not what was asked for.

    Args:
        config: what was asked for.
        classifier: the one that its `model` names; None for hand-set rules.
        catalog: n posts, their photos hashed.
        vectors: all vectors by name, n rows each.
        brought: those of them that no encoder of the configuration has made.

    Returns:
        The configuration with the model that decides and the options that it owns, and that classifier; None for rules.

    Raises:
        ConfigError: an option that the named classifier owns was set to another value than it learned with.
    """
    if classifier is None:
        return config.with_model(BY_RULES), None
    if config.model == PHOTOS_ALONE:
        config = config.model_copy(update=dict.fromkeys(_TITLES, False))
    have = available(catalog, config, vectors)
    lacking = _lacking(classifier, have)
    if not lacking:
        return adopted(config, classifier), classifier
    found = _photos_alone(config, have, brought)
    if found is not None:
        return found
    names = ", ".join(map(repr, sorted(lacking)))
    log.warning("nothing is compared by %s, which the classifier learned from; hand-set rules decide instead", names)
    return config.with_model(BY_RULES), None


def _lacking(classifier: PairClassifier, have: set[str]) -> set[str]:
    """Name the views that a classifier learned from and the posts lack; none where it has learned to do without."""
    learned = {name.removesuffix(BLENDED) for name in classifier.similarities} - {SIMILARITY}
    lacking = learned - have
    return set() if any(lacking <= set(views) for views in ((), *classifier.without)) else lacking


def _photos_alone(
    config: Config, have: set[str], brought: Mapping[str, Embeddings]
) -> tuple[Config, PairClassifier] | None:
    """Take the classifier of photos alone in place of the one that ships, if nothing but photos can be compared."""
    titled = any(name in _TERMS or vectors_section(config, name)[-1] == "title" for name in have - {"hash"})
    if config.model != SHIPPED or titled or PHOTO.name in brought:
        return None
    classifier = PairClassifier.load(PHOTOS_ALONE)
    if config.photo_encoder != classifier.evidence["photo_encoder"] or _lacking(classifier, have):
        return None
    try:
        settings = adopted(_changed(config).with_model(PHOTOS_ALONE), classifier)
    except ConfigError as error:
        log.warning("%s cannot decide about posts without titles: %s", PHOTOS_ALONE, error)
        return None
    log.info("no titles can be compared: the classifier %s decides, by photos alone", PHOTOS_ALONE)
    return settings, classifier


def _changed(config: Config) -> Config:
    """Forget that options were set to what they are anyway: a run folder's configuration names them all."""
    return Config.of(config.model_dump(mode="json", exclude_defaults=True))
