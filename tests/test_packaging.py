import ast
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
PEERS = {"dedupe", "faiss", "imagededup", "pgserver", "psycopg", "semhash", "splink", "tantivy", "usearch"}
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
    own = {path.stem for own in (folder, ROOT / "tests", ROOT / "docs") for path in own.rglob("*.py")} | {"kembar"}
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


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist of this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def test_the_wheel_holds_the_package_and_nothing_else(built: Path) -> None:
    wheel = only(built, "*.whl")
    assert wheel.name == f"kembar-{PROJECT['version']}-py3-none-any.whl"
    about = f"kembar-{PROJECT['version']}.dist-info"
    names = set(zipfile.ZipFile(wheel).namelist())
    package = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src" / "kembar").rglob("*") if path.is_file()}
    package = {name for name in package if "__pycache__" not in name}
    assert {name for name in names if not name.startswith(about)} == package
    told = {f"{about}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")}
    assert {name for name in names if name.startswith(about)} == told
    kinds = {Path(name).suffix for name in package}
    assert kinds <= {
        ".py",
        ".pyi",
        ".typed",
        ".md",
        ".json",
        ".txt",
        ".toml",
        ".onnx",
        ".html",
        ".css",
        ".js",
        ".svg",
        "",
    }
    assert wheel.stat().st_size < 20e6


def test_the_wheel_says_what_it_needs_and_where_it_is_from(built: Path) -> None:
    about = f"kembar-{PROJECT['version']}.dist-info/METADATA"
    told = Parser().parsestr(zipfile.ZipFile(only(built, "*.whl")).read(about).decode())
    assert told["Version"] == PROJECT["version"]
    assert told["Requires-Python"] == PROJECT["requires-python"]
    assert told["License-Expression"] == "Apache-2.0"
    assert len(told.get_all("Project-URL")) == len(PROJECT["urls"])
    assert not {plain(line) for line in told.get_all("Requires-Dist") if "extra" not in line} & {
        "torch",
        "transformers",
    }


def test_the_sdist_has_what_the_tests_need_and_no_posts(built: Path) -> None:
    sdist = only(built, "*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    for name in ("tests/conftest.py", "notebooks/first_match.ipynb", "ARCHITECTURE.md", "SECURITY.md", "CITATION.cff"):
        assert name in names
    assert not [name for name in names if Path(name).suffix in {".csv", ".parquet", ".npy", ".pyc", ".whl", ".zip"}]
    assert sdist.stat().st_size < 25e6


def test_the_container_builds_the_same_wheel_from_what_it_copies(built: Path, tmp_path: Path) -> None:
    lines = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = [line.split()[1:-1] for line in lines if line.startswith("COPY") and "--from" not in line]
    for name in (name for names in copied for name in names):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / "src" / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (tmp_path / "src").mkdir(exist_ok=True)
            shutil.copy(source, tmp_path / "src")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(command, cwd=tmp_path / "src", check=True, capture_output=True)
    made, known = (zipfile.ZipFile(only(folder, "*.whl")) for folder in (tmp_path / "dist", built))
    assert {each.filename: each.CRC for each in made.infolist()} == {
        each.filename: each.CRC for each in known.infolist()
    }


def test_one_version_everywhere() -> None:
    version = PROJECT["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\n## {version}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    claimed = [text.split(" :: ")[-1] for text in PROJECT["classifiers"] if ":: Python :: 3." in text]
    assert f">={claimed[0]}" == PROJECT["requires-python"]
    assert f"FROM python:{claimed[0]}-slim" in (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", sorted(path.name for path in ROOT.glob("*.md")))
def test_the_pages_at_the_top_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / page).read_text(encoding="utf-8")):
        assert (ROOT / target).exists(), f"{page} links to {target}"
