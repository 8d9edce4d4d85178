"""Frozen tables of options to TOML and back: read, changed by `a.b=value`, written with the meaning of every key."""

import json
import tomllib
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from kembar.errors import ConfigError, look_up


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file as nested dicts; raises ConfigError where it is missing or broken."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"configuration file {str(path)!r}, which is not there", "a TOML file", "Check the path."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"configuration file {str(path)!r}", "valid TOML", f"Correct it: {error}.") from None


def set_option(tree: dict[str, Any], setting: str) -> None:
    """Apply a setting such as "blend.steps=2" to nested dicts; raises ConfigError where it has no such form."""
    key, sign, text = setting.partition("=")
    if not sign or not key.strip():
        raise ConfigError(f"setting {setting!r}", "key=value, such as cut=0.5", "Write the key, a =, the value.")
    try:
        value = tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        value = None if text.strip().lower() in ("none", "null") else text.strip()
    *sections, last = key.strip().split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"setting {setting!r}", "a key inside a section", f"{section!r} holds a single value.")
    tree[last] = value


def explained(error: ValidationError, model: type[BaseModel]) -> ConfigError:
    """Word what pydantic found wrong with a model as one error of ours, the nearest known key named."""
    first = error.errors()[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, ConfigError):  # of a check of ours
        return cause
    path = [str(part) for part in first["loc"]]
    key = ".".join(path)
    if first["type"] == "extra_forbidden":
        known = _fields(model, path[:-1])
        if len(path) == 1 and "advanced" in known:
            known += [name for name in _fields(model, ["advanced"]) if name not in known]
        return ConfigError(f"unknown option {key!r}", f"one of {', '.join(known)}", look_up(path[-1], known))
    reason = first["msg"][0].lower() + first["msg"][1:]
    return ConfigError(f"{key} = {first['input']!r}", _wanted(reason), "Change the value.")


def _wanted(reason: str) -> str:
    return reason.removeprefix("input should be ")


def _fields(model: type[BaseModel], path: list[str]) -> list[str]:
    for part in path:
        field = model.model_fields.get(part)
        inner = [t for t in (field.annotation, *get_args(field.annotation)) if isinstance(t, type)] if field else []
        models = [t for t in inner if issubclass(t, BaseModel)]
        if models:
            model = models[0]
    return list(model.model_fields)


def write_section(lines: list[str], section: BaseModel, prefix: str) -> None:
    """Append a section as TOML to lines, every key with its meaning."""
    nested: list[tuple[str, BaseModel]] = []
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            nested.append((name, value))
        elif isinstance(value, dict) and value and all(isinstance(v, BaseModel) for v in value.values()):
            nested.extend((f"{name}.{_toml(key)}", inner) for key, inner in value.items())
        elif value is None:
            lines.append(f'{name} = "{field.examples[0] if field.examples else "none"}"  # {field.description}')
        elif not (prefix == "" and value == {}):
            lines.append(f"{name} = {_toml(value)}  # {field.description}")
    for name, inner in nested:
        lines.extend(["", f"[{prefix}{name}]  # {(type(inner).__doc__ or '').splitlines()[0]}"])
        write_section(lines, inner, f"{prefix}{name}.")


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_toml(k)} = {_toml(v)}" for k, v in value.items()) + " }" if value else "{}"
    return repr(value)
