"""The notebooks run from top to bottom, without a warning, and show pictures and tables."""

import re
from collections import Counter
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import blocks
import notebook_pages
from places import ROOT

FOLDER = ROOT / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
FIRST = "import warnings\nwarnings.simplefilter('error')\nwarnings.filterwarnings('default', module='ipykernel')"
"""Run before the first cell: a warning ends a notebook, as it ends a test."""
UNLIKE = "these posts are unlike those the classifier learned from"  # which is true of drawn ones, and explained
PICTURES = {"image/png", "image/svg+xml"}


def read(name: str) -> nbformat.NotebookNode:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


@pytest.mark.parametrize("name", NAMES)
def test_the_notebook_runs_and_shows_what_it_explains(name: str, tmp_path: Path) -> None:
    notebook = read(name)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(FIRST))
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    logged = [output.text for output in outputs if output.output_type == "stream" and output.name == "stderr"]
    assert all(text.startswith(UNLIKE) for text in logged)
    assert bool(logged) == any("in red" in cell.source for cell in notebook.cells)
    shown = Counter(kind for output in outputs for kind in output.get("data", {}))
    assert sum(shown[kind] for kind in PICTURES) >= 2
    assert shown["text/html"] >= 2
    del notebook.cells[0]
    text, _ = notebook_pages.page(name, notebook)
    kept = (notebook_pages.PAGES / f"{name}.md").read_text(encoding="utf-8")
    shown, printed = notebook_pages.words(kept), notebook_pages.words(text)
    assert shown == printed or blocks.near(shown, printed), "run docs/notebook_pages.py"


def test_pages_of_notebooks_are_as_new_as_these(tmp_path: Path) -> None:
    assert not notebook_pages.outdated()
    missing = notebook_pages.outdated(tmp_path)
    assert missing == [f"{name}.md: run docs/notebook_pages.py" for name in NAMES]


@pytest.mark.parametrize("name", NAMES)
def test_the_notebook_is_kept_without_outputs(name: str) -> None:
    notebook = read(name)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert cell.metadata == {}
        assert cell.cell_type == "markdown" or (cell.outputs, cell.execution_count) == ([], None)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}


@pytest.mark.parametrize("name", NAMES)
def test_each_cell_of_code_is_explained_and_its_links_lead_somewhere(name: str) -> None:
    kinds = [cell.cell_type for cell in read(name).cells]
    assert kinds[0] == "markdown"
    assert "code code code" not in " ".join(kinds)
    for cell in read(name).cells:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", cell.source if cell.cell_type == "markdown" else ""):
            assert (FOLDER / target).exists(), f"{name} links to {target}"
