"""Run the notebooks, and write them with what they show as pages of the site: docs/notebooks/*.md and their pictures.

    python docs/notebook_pages.py

A page keeps a digest of its notebook and of this program; `outdated` names the pages that are older than these.
"""

import base64
import hashlib
import re
import tempfile
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS, PAGES = ROOT / "notebooks", ROOT / "docs" / "notebooks"
KINDS = {"image/png": "png", "image/svg+xml": "svg"}
FRAME = re.compile(r"<style>.*?</style>\s*", re.DOTALL)  # of polars: the site has a style of its own
STAMP = re.compile(r"<!-- made by docs/notebook_pages.py ([0-9a-f]{12}) -->\s*\Z")
PIXELS = re.compile(r"base64,[\w+/=]+")
SPEED = re.compile(r"<td>\d+</td></tr>")


def executed(name: str) -> nbformat.NotebookNode:
    """Run a notebook in an empty folder."""
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(notebook, timeout=300, resources={"metadata": {"path": folder}}).execute()
    return notebook


def page(name: str, notebook: nbformat.NotebookNode) -> tuple[str, dict[str, bytes]]:
    """Write a notebook that has been run as Markdown.

    Returns:
        The page, and the pictures that it shows by the names of their files.
    """
    pictures: dict[str, bytes] = {}
    parts, heading = [], ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(re.sub(r"\]\((\w+)\.ipynb\)", r"](\1.md)", cell.source))
            heading = (re.findall(r"^#+ (.*)", cell.source, flags=re.MULTILINE) or [heading])[-1]
        else:
            parts += [f"```py\n{cell.source}\n```", *_shown(name, heading, cell.outputs, pictures)]
    told = f"This page is [a notebook](../../notebooks/{name}.ipynb), with what it shows."
    parts.insert(1, f'!!! note ""\n    {told} Made by `python docs/notebook_pages.py`.')
    return "\n\n".join([*parts, f"<!-- made by docs/notebook_pages.py {digest(name)} -->"]) + "\n", pictures


def _shown(name: str, heading: str, outputs: Sequence[Any], pictures: dict[str, bytes]) -> Iterator[str]:
    """Write the outputs of a cell: the best form that each has; pictures go into files."""
    for output in outputs:
        data: Mapping[str, str] = output.get("data", {})
        kind = next((kind for kind in KINDS if kind in data), None)
        if kind is not None:
            file = f"{name}-{len(pictures) + 1}.{KINDS[kind]}"
            pictures[file] = base64.b64decode(data[kind]) if kind == "image/png" else data[kind].encode()
            yield f"![{heading}]({file})"
        elif "text/html" in data:
            html = FRAME.sub("", data["text/html"]).replace('<table border="1" class="dataframe">', "<table>")
            yield f'<div class="shown">{html}</div>'
        else:
            text = (output.get("text") or data.get("text/plain", "")).rstrip()
            red = output.get("name") == "stderr"
            yield f'```text title="{"Warning" if red else "Output"}"\n{textwrap.fill(text, 76) if red else text}\n```'


def digest(name: str) -> str:
    """Give 12 hex digits of a notebook and of this program."""
    files = NOTEBOOKS / f"{name}.ipynb", Path(__file__)
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def outdated(folder: Path = PAGES) -> list[str]:
    """Name the notebooks without a page, and those that have changed since it was made."""
    found = []
    for notebook in sorted(NOTEBOOKS.glob("*.ipynb")):
        made = folder / f"{notebook.stem}.md"
        stamp = STAMP.search(made.read_text(encoding="utf-8")) if made.exists() else None
        if stamp is None or stamp[1] != digest(notebook.stem):
            found.append(f"{made.name}: run docs/notebook_pages.py")
    return found


def words(text: str) -> str:
    """Leave out of a page what may differ: pixels, speeds (whole numbers in a last column), the stamp."""
    return STAMP.sub("", SPEED.sub("", PIXELS.sub("base64,", text)))


def main() -> None:
    """Run all of them, and write their pages."""
    PAGES.mkdir(exist_ok=True)
    for notebook in sorted(NOTEBOOKS.glob("*.ipynb")):
        text, pictures = page(notebook.stem, executed(notebook.stem))
        (PAGES / f"{notebook.stem}.md").write_text(text, encoding="utf-8")
        for old in PAGES.glob(f"{notebook.stem}-*.*"):
            old.unlink()
        for file, data in pictures.items():
            (PAGES / file).write_bytes(data)


if __name__ == "__main__":
    main()
