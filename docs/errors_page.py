"""The page of all errors: what each means, and every message of the source with what to do about it.

Read from the source, so that no message can be forgotten: wherever an error of kembar is made from its three parts,
they are a row. What is filled in when it is raised is written as `…`.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

from kembar import errors

HEAD = """# Errors and what to do

Made from the source by `python docs/generate.py`. Every message has three parts: what was given (quoted), what was
expected, what to do. The command line prints it in one line and ends with code 2; in Python it is an exception with
the attributes `given`, `expected` and `fix`. `…` stands for what is filled in. The most common ones, with more words:
[troubleshooting](../troubleshooting.md).

```text
{tree}
```
"""
TABLE = "| given | expected | what to do |\n| --- | --- | --- |"


def page(source: Path) -> str:
    """Write the page from `src/kembar`."""
    said: dict[str, set[tuple[str, str, str]]] = {}
    for path in sorted(source.rglob("*.py")):
        for kind, parts in messages(path.read_text(encoding="utf-8")):
            said.setdefault(kind, set()).add(parts)
    tree = next(part for part in inspect.cleandoc(errors.__doc__ or "").split("\n\n") if "├──" in part)
    sections = [HEAD.format(tree=textwrap.dedent(tree))]
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, errors.KembarError):
            rows = [f"| {' | '.join(map(_cell, parts))} |" for parts in sorted(said.get(name, ()))]
            meaning = inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0].replace("\n", " ")
            sections += [f"## {name}", meaning, *(["\n".join([TABLE, *rows])] if rows else [])]
    return "\n\n".join(section.strip() for section in sections) + "\n"


def messages(source: str) -> Iterator[tuple[str, tuple[str, str, str]]]:
    """Find the errors that a module makes of three parts: their class and the parts, unknown ones as `…`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) == 3:
            kind = getattr(errors, node.func.id, None)
            parts = tuple(_text(part) for part in node.args)
            if isinstance(kind, type) and issubclass(kind, errors.InputError) and any(p != "…" for p in parts):
                yield node.func.id, (parts[0], parts[1], parts[2])


def _text(part: ast.expr) -> str:
    """Write a part as a reader meets it."""
    if isinstance(part, ast.Constant) and isinstance(part.value, str):
        return part.value
    if isinstance(part, ast.JoinedStr):
        return "".join(_text(value) for value in part.values)
    if isinstance(part, ast.BinOp):
        return _text(part.left) + _text(part.right)
    return "…"


def _cell(text: str) -> str:
    """Keep signs of Markdown and HTML what they are, outside of code too."""
    plain = re.sub(r"([|*_<>\[\]\\])", r"\\\1", " ".join(text.split()))
    return re.sub(r"`([^`]*)`", lambda code: "`" + re.sub(r"\\([*_<>\[\]\\])", r"\1", code[1]) + "`", plain)
