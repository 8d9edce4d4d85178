import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
PEERS = {"dedupe", "imagededup", "pgserver", "psycopg", "semhash", "splink", "tantivy", "usearch"}
"""What bench/peers.py, join.py, title_join.py and live_load.py compare kembar with, each installed by hand."""


def plain(name: str) -> str:
    """The name of a package as indexes write it, without the versions behind it."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", name)[0]).lower()


def imported(folder: Path) -> set[str]:
    """The top names of what the modules of a folder import, at their top or within functions."""
    found: set[str] = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add((node.module or "").split(".")[0])
    own = {path.stem for own in (folder, ROOT / "tests") for path in own.rglob("*.py")} | {"kembar"}
    return found - own - set(sys.stdlib_module_names)


@pytest.mark.parametrize("folder", ["src", "tests", "bench", "docs"])
def test_what_is_imported_is_declared(folder: str) -> None:
    declared = {plain(name) for names in (PROJECT["dependencies"], *EXTRAS.values()) for name in names}
    known = packages_distributions()
    missing = {
        module
        for module in imported(ROOT / folder) - PEERS
        if not declared & {plain(name) for name in known.get(module, [module])}
    }
    assert not missing
