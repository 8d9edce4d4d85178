"""Options under the names that older versions gave them: read as the new ones, and told in the log."""

import logging
from collections.abc import Mapping
from typing import Any, Final

from kembar.errors import ConfigError

_VIEWS: Final = ("word", "char", "title", "hash", "photo")
_MOVED: Final = {
    **{f"{view}.use": view for view in _VIEWS},
    "title.encoder": "title_encoder",
    "photo.encoder": "photo_encoder",
    "learned.model": "model",
    "learned.cut": "cut",
    "learned.veto": "veto",
    "units.categories": "categories",
    "units.veto": "advanced.fusion.veto",
    "decide.rule": "rule",
    "group.target_size": "target_size",
    "group.single": "single",
}
_ADVANCED: Final = (*_VIEWS, "fusion", "blend", "decide", "group", "pool")
_GONE: Final = ("group.bridge", "group.sure")
_MODELS: Final = {"kembar-fuser": "kembar-classifier"}

log = logging.getLogger(__name__)


def current_name(setting: str) -> str:
    """Give a setting such as "blend.steps=2" its present name; other settings stay as they are."""
    key, sign, value = setting.partition("=")
    name = _renamed(key.strip()) if sign else key
    if sign and name != key.strip():
        _tell([(key.strip(), name)])
    return f"{name}{sign}{_MODELS.get(value.strip(), value)}" if name == "model" else f"{name}{sign}{value}"


def current_tree(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Give all options of a configuration their present names.

    Args:
        tree: nested dicts, as an older or this version wrote them.

    Returns:
        New nested dicts. What older versions kept for a model that is not in use is left out.

    Raises:
        ConfigError: a value that this version no longer has.
    """
    found: dict[str, Any] = {}
    told: list[tuple[str, str]] = []
    for head, value in tree.items():
        old = isinstance(value, Mapping) and (head in _ADVANCED or head in ("learned", "units"))
        for key, each in ({f"{head}.{inner}": v for inner, v in value.items()} if old else {head: value}).items():
            name = _renamed(key)
            if name != key:
                told.append((key, name))
            if key not in _GONE:
                _put(found, name, each)
    found["model"] = _MODELS.get(found.get("model", ""), found.get("model"))
    if found["model"] is None:
        del found["model"]
    _check_gone(found)
    if found.get("model") == "rules" and isinstance(tree.get("learned"), Mapping):
        for key in {"cut", "veto"} & set(tree["learned"]):  # they were the classifier's
            del found[key]
    _tell(told)
    return found


def _renamed(key: str) -> str:
    head, dot, _ = key.partition(".")
    return _MOVED.get(key, f"advanced.{key}" if dot and head in _ADVANCED else key)


def _put(tree: dict[str, Any], name: str, value: Any) -> None:
    *sections, last = name.split(".") if name.startswith("advanced.") else [name]
    for section in sections:
        tree = tree.setdefault(section, {})
    if isinstance(value, Mapping) and isinstance(tree.get(last), dict):
        tree[last].update(value)
    else:
        tree[last] = dict(value) if isinstance(value, Mapping) else value


def _check_gone(tree: Mapping[str, Any]) -> None:
    advanced = tree.get("advanced")
    group = advanced.get("group") if isinstance(advanced, Mapping) else None
    if isinstance(group, Mapping) and group.get("link") == "pruned":
        raise ConfigError(
            "group.link = 'pruned', which this version no longer has",
            "average (the default) or any",
            "Use average link, which scored better.",
        )


def _tell(renamed: list[tuple[str, str]]) -> None:
    shown = ", ".join(f"{old!r} is now {new!r}" for old, new in renamed[:3])
    more = f", and {len(renamed) - 3} more" if len(renamed) > 3 else ""
    if renamed:
        log.warning("options under their older names, read as such: %s%s; see `kembar config`", shown, more)
