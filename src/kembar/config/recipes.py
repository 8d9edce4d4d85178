"""Recipes: the configurations of published solutions, by name.

A recipe is a TOML file in the folder `recipes` beside this module. It is read before a configuration file of the user
and before single settings, so both change it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from kembar.config.toml import read_toml
from kembar.errors import ConfigError, nearest

_FOLDER: Final = Path(__file__).parent / "recipes"


def recipe_names() -> list[str]:
    """Name all recipes, in alphabetical order."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def recipe(name: str) -> dict[str, Any]:
    """Give the options that a recipe sets, as nested dicts for `Config.of`.

    Args:
        name: such as "shopee-final".

    Returns:
        A new tree of options.

    Raises:
        ConfigError: an unknown name (the nearest ones are named).
    """
    names = recipe_names()
    if name not in names:
        fix = nearest(name, names).strip() or "`kembar config --recipe NAME` prints a recipe."
        raise ConfigError(f"recipe {name!r}", f"one of {', '.join(names)}", fix)
    return read_toml(_FOLDER / f"{name}.toml")


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one tree of options over another; where both have a table, key by key.

    Args:
        below: nested dicts.
        above: nested dicts, whose values win.

    Returns:
        New nested dicts.
    """
    found = dict(below)
    for key, value in above.items():
        under = found.get(key)
        both = isinstance(value, Mapping) and isinstance(under, Mapping)
        found[key] = merged(under, value) if both else value  # type: ignore[arg-type]
    return found
