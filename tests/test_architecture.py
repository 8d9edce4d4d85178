import ast
import subprocess
import sys
from pathlib import Path

import pytest

import kembar

HOUSE = Path(kembar.__file__).parent

# The rooms, lowest floor first. A room may import from the floors below its own, never from its own or above.
FLOORS = [
    "errors",
    "boosting calibration charts columns decisions drift embeddings evaluation folders fusion groups measures "
    "neighbors photos sources titles toml weighing",
    "blending catalog config encoders hashing labels pairs synthesis units",
    "copies fuser report standing vectors views wording",
    "evidence features options thinning",
    "judging training",
    "explanation",
    "result",
    "matcher runs",
    "tuning",
    "learning",
    "cli",
    "__init__ __main__",
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms.split()}
LONGEST = 400
NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "helper", "manager", "core", "misc", "common", "base", "tools"}


def modules() -> list[Path]:
    return sorted(HOUSE.rglob("*.py"))


def room(path: Path) -> str:
    """The room of a module: its name, or that of its package."""
    return path.relative_to(HOUSE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """The rooms a module imports from, at its top, inside functions and for types alone."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}:{node.lineno} imports relatively"
            parts = (node.module or "").split(".")
            if parts[0] == "kembar":
                found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("kembar.")}
    return found - {room(path)}


def test_every_room_has_a_floor_and_every_floor_its_rooms() -> None:
    assert {room(path) for path in modules()} == set(FLOOR)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(HOUSE)))
def test_imports_run_one_way(path: Path) -> None:
    if room(path) == "__init__":
        return  # it names the public things of all rooms and imports them when asked
    for other in imported(path):
        assert FLOOR[other] < FLOOR[room(path)], f"{room(path)} imports {other}, which is not on a lower floor"


def test_the_drawing_is_no_looser_than_the_house() -> None:
    """A room stands on the lowest floor that its imports allow."""
    for path in modules():
        below = [FLOOR[other] for other in imported(path)]
        if room(path) not in ("__init__", "__main__", "errors") and path.parent == HOUSE and FLOOR[room(path)] > 2:
            assert FLOOR[room(path)] == max(below) + 1, f"{room(path)} could stand on a lower floor"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(HOUSE)))
def test_modules_are_short_and_named_for_what_they_do(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST
    assert path.stem not in NAMES_THAT_SAY_NOTHING
    assert path.stem.startswith("__") or path.stem.isalpha(), "one word"
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(HOUSE)))
def test_only_the_command_line_prints_and_nothing_asserts(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        assert not isinstance(node, ast.Assert), f"{path.name}:{node.lineno}"
        prints = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
        assert not prints or room(path) == "cli", f"{path.name}:{node.lineno}"


def loaded_after(code: str) -> set[str]:
    """The modules a fresh process holds after running the code."""
    code = f"{code}\nimport sys\nprint(*sorted(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(found.stdout.split())


HEAVY = {"faiss", "sklearn", "scipy", "matplotlib", "polars", "pandas", "torch", "PIL", "pydantic", "typer", "numpy"}


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert not loaded_after("import kembar") & HEAVY


def test_the_command_line_starts_light() -> None:
    assert not loaded_after("import kembar.cli") & (HEAVY - {"typer"})


def test_drawing_photos_or_hashing_them_needs_no_search() -> None:
    code = "import kembar; kembar.hash_photos; kembar.write_shop"
    assert not loaded_after(code) & {"faiss", "sklearn", "matplotlib", "torch", "pandas"}
