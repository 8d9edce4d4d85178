"""Which options belong to a pair classifier: those that the columns it learned from depend on.

A classifier that learned from pairs compared, fused and blended in one way says nothing sensible of pairs made in
another. So its folder keeps these options; a run takes them over, and refuses others.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final

from kembar.classifier.pair_classifier import SEARCH, PairClassifier
from kembar.config import Config
from kembar.errors import ConfigError

_SHARED: Final = ("fusion", "blend", "pool")  # tables of [advanced] that all columns depend on
_ENCODERS: Final = ("title_encoder", "photo_encoder")
_LOOSE: Final = (*_ENCODERS, "categories", SEARCH)  # another value may do: a warning is enough
_SIZE: Final = "advanced.pool.size"

log = logging.getLogger(__name__)


def evidence_settings(config: Config, views: Iterable[str]) -> dict[str, Any]:
    """Take the options that the columns of a classifier depend on.

    Args:
        config: what it is trained with.
        views: names of the views that it learns from.

    Returns:
        Option "advanced.blend.steps" and so on to its value, as JSON has it.
    """
    tree = config.model_dump(mode="json")
    names = sorted(set(views))
    tables = [(f"advanced.{part}", tree["advanced"][part]) for part in (*names, *_SHARED) if part in tree["advanced"]]
    tables += [(f"vectors.{name}", tree["vectors"][name]) for name in names if name in tree["vectors"]]
    loose = {f"{name}_encoder": tree[f"{name}_encoder"] for name in ("title", "photo") if name in names}
    kept = {f"{table}.{key}": value for table, options in tables for key, value in options.items()}
    return {**loose, "categories": tree["categories"], **kept}


def with_own_encoders(config: Config, classifier: PairClassifier) -> Config:
    """Give a classifier the encoders that it learned with, before anything is encoded; one that the user set stays."""
    for key in _ENCODERS:
        if key in classifier.evidence and not _was_set(config, key):
            config = config.with_option(key, classifier.evidence[key])
    return config


def adopted(config: Config, classifier: PairClassifier) -> Config:
    """Give a classifier the options that it owns, and refuse what was set against it.

    Args:
        config: what a user asked for.
        classifier: what is to decide.

    Returns:
        The configuration with the classifier's own options where the user set none.

    Raises:
        ConfigError: an option in `[advanced]` that the user set to another value than the classifier learned with.
    """
    owned, size = classifier.evidence, config.advanced.pool.size
    tree = config.at_pool(int(owned.get(_SIZE, size))).model_dump(mode="json")
    for key, learned in owned.items():
        _set(tree, key, learned)
    given = config.model_dump(mode="json")
    at_size = Config.of(tree).at_pool(size).model_dump(mode="json")  # what a run of this size writes down
    for key in owned:
        value, learned = _option(given, key), _option(at_size, key)
        if key == _SIZE or not _was_set(config, key) or _same(value, learned):
            continue
        if key in _LOOSE:
            log.warning("%s = %r, and %r learned with %r: it may be unsure", key, value, config.model, learned)
            _set(tree, key, value)
        else:
            raise ConfigError(
                f"{key} = {value!r} with the classifier {config.model!r}",
                f"{learned!r}, which it learned with: it knows nothing of pairs that were made in another way",
                "Leave this option out, use model=rules, or train a classifier with it (`kembar tune`).",
            )
    return Config.of(tree)


def _option(tree: Mapping[str, Any], key: str) -> Any:
    for part in _path(key):
        tree = tree.get(part, {}) if isinstance(tree, Mapping) else {}
    return tree


def _set(tree: dict[str, Any], key: str, value: Any) -> None:
    *sections, last = _path(key)
    for section in sections:
        tree = tree.setdefault(section, {})
    tree[last] = value


def _path(key: str) -> list[str]:
    """Cut an option into its parts; names of vectors may hold dots."""
    if key.startswith("vectors."):
        name, _, last = key.removeprefix("vectors.").rpartition(".")
        return ["vectors", name, last]
    return key.split(".")


def _same(value: Any, learned: Any) -> bool:
    if isinstance(value, float) and isinstance(learned, float | int):
        return abs(value - learned) < 1e-4  # cuts are rounded when they move
    return bool(value == learned)


def _was_set(config: Config, key: str) -> bool:
    """Tell whether a file, a setting or a caller named an option."""
    part: Any = config
    for name in _path(key):
        if isinstance(part, Mapping):
            part = part.get(name)
        elif name in getattr(part, "model_fields_set", ()):
            part = getattr(part, name)
        else:
            return False
    return True
