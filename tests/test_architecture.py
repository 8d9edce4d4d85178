import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import kembar
from places import ROOT

HOUSE = Path(kembar.__file__).parent
NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "helper", "manager", "core", "misc", "common", "base", "tools"}

PAGE = ROOT / "ARCHITECTURE.md"


def packages_told() -> list[str]:
    """The packages in the order of ARCHITECTURE.md: each imports from those before it, never from those after it."""
    part = PAGE.read_text(encoding="utf-8").split("## Packages")[1].split("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE)


ORDER = [*packages_told(), "__init__", "__main__"]


def modules() -> list[Path]:
    return sorted(HOUSE.rglob("*.py"))


def package(path: Path) -> str:
    """The package of a module, or its own name at the top."""
    return path.relative_to(HOUSE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """The packages a module imports from, at its top, inside functions and for types alone."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}:{node.lineno} imports relatively"
            parts = (node.module or "").split(".")
            if parts[0] == "kembar":
                found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("kembar.")}
    return found - {package(path)}


def test_the_page_tells_of_each_package_once() -> None:
    assert sorted(ORDER) == sorted({package(path) for path in modules()})


def test_the_files_that_the_page_names_are_there() -> None:
    named = re.findall(r"`([\w./]+(?:/|\.(?:py|pyi|toml|md)))`", PAGE.read_text(encoding="utf-8"))
    assert len(named) > 25
    assert [name for name in named if not (HOUSE / name).exists() and not (ROOT / name).exists()] == ["oracles.py"]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(HOUSE)))
def test_imports_run_one_way(path: Path) -> None:
    before = ORDER[: ORDER.index(package(path))]
    later = imported(path) & (set(ORDER) - set(before))
    assert not later, f"{package(path)} imports {later}, which come after it"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(HOUSE)))
def test_modules_say_what_they_do(path: Path) -> None:
    assert path.stem not in NAMES_THAT_SAY_NOTHING
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(HOUSE)))
def test_only_the_command_line_prints_and_nothing_asserts(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        assert not isinstance(node, ast.Assert), f"{path.name}:{node.lineno}"
        prints = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
        assert not prints or package(path) == "cli", f"{path.name}:{node.lineno}"


def loaded_after(code: str) -> set[str]:
    """The modules a fresh process holds after running the code."""
    code = f"{code}\nimport sys\nprint(*sorted(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(found.stdout.split())


HEAVY = {"lightgbm", "sklearn", "scipy", "matplotlib", "polars", "pandas", "torch", "PIL", "pydantic", "typer", "numpy"}


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert not loaded_after("import kembar") & HEAVY


def test_the_command_line_starts_light() -> None:
    unwanted = (HEAVY - {"typer"}) | {"rich.console", "rich.progress", "importlib.metadata", "packaging"}
    assert not loaded_after("import kembar.cli.app") & unwanted


def test_drawing_photos_or_hashing_them_needs_no_search() -> None:
    code = "import kembar; kembar.hash_photos; kembar.write_shop"
    assert not loaded_after(code) & {"lightgbm", "sklearn", "matplotlib", "torch", "pandas"}


WITHOUT_POSIX = """
import builtins, importlib, os, pkgutil, signal
imports = builtins.__import__
def import_as_elsewhere(name, globals=None, *rest, **more):
    caller = (globals or {}).get("__name__", "")
    if name in {"fcntl", "grp", "pwd", "resource", "termios"} and caller.startswith("kembar"):
        raise ModuleNotFoundError(name)
    return imports(name, globals, *rest, **more)
builtins.__import__ = import_as_elsewhere
del signal.pthread_sigmask, os.sched_getaffinity
os.process_cpu_count = os.cpu_count  # Python 3.13 would ask for the affinity
import kembar
for module in pkgutil.walk_packages(kembar.__path__, "kembar."):
    if module.name != "kembar.__main__":
        importlib.import_module(module.name)
from kembar.memory import peak_memory
print(peak_memory())
"""


def test_every_module_imports_where_there_is_no_posix() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_POSIX], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0  # Linux tells it without `resource`
