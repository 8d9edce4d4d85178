"""Errors in the words of the command line: they come from functions, whose arguments are options here."""

import re
from typing import Final

from kembar.cli.columns import OPTIONS
from kembar.errors import InputError, KembarError

_ARGUMENT: Final = re.compile(r"(?:Columns|Fitting)\(([a-z_]+)=(\.\.\.|None)\)|\b([a-z_]+)=(\.\.\.|True)")
_DEVICE: Final = re.compile(r"\bdevice='([\w:,]+)'")
_STORE: Final = "VectorStore(...)"


def told(error: KembarError) -> str:
    """Write an error with the names of options in place of those of arguments.

    `Columns(title=...)` becomes `--title`, `Columns(hash=None)` becomes `--hash ''`, `overwrite=True` and `images=...`
    become `--overwrite` and `--images`. What was given is quoted as it was.
    """
    if not isinstance(error, InputError):
        return str(error)
    expected, fix = (as_options(text) for text in (error.expected, error.fix))
    return f"{error.given}; expected {expected}. {fix}"


def as_options(text: str) -> str:
    """Write the arguments that a text names as options."""
    return _DEVICE.sub(r"--device \1", _ARGUMENT.sub(_option, text)).replace(_STORE, "--cache")


def _option(found: re.Match[str]) -> str:
    name = found[1] or found[3] or ""
    option = OPTIONS.get(name, f"--{name.replace('_', '-')}")
    return f"{option} ''" if found[2] == "None" else str(option)
