"""The list of all tables and pictures of docs/figures, each with the script that makes it and the pages that show it.

Where a script names the file that it writes, such as `docs/figures/speed.md`, it is that file's script. Which day a
table came, docs/figures/days.toml keeps beside a digest of its content: a day holds until the content changes.
"""

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

PAGES, DAYS = ("index.md", "all.md"), "days.toml"
MACHINE = re.compile(r"(AMD EPYC|Intel\(R\) Xeon\(R\))[^,;.|]*")


@cache
def _scripts(root: Path) -> dict[str, str]:
    scripts = [*sorted((root / "bench").glob("*.py")), *sorted((root / "docs").glob("*.py"))]
    return {script.relative_to(root).as_posix(): script.read_text(encoding="utf-8") for script in scripts}


def script_of(root: Path, figure: str) -> str | None:
    """Name the script that makes a figure, relative to the repository; None where no script names the figure."""
    named = re.compile(rf"docs/figures/{re.escape(figure)}(?!\w)")
    found = [script for script, text in _scripts(root).items() if named.search(text)]
    stem = re.sub(r"\W", "_", Path(figure).stem)
    return min(found, key=lambda script: (Path(script).stem != stem, script)) if found else None


def figures(root: Path) -> list[str]:
    """List the names of the tables and pictures."""
    folder = root / "docs" / "figures"
    return sorted(path.name for path in folder.iterdir() if path.name not in (*PAGES, DAYS))


def digest(path: Path) -> str:
    """Give 12 hex digits of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def days(root: Path) -> str:
    """Write down since when each figure is as it is: those that changed since the last time, since today (UTC)."""
    folder = root / "docs" / "figures"
    known = tomllib.loads((folder / DAYS).read_text(encoding="utf-8")) if (folder / DAYS).exists() else {}
    today = datetime.now(UTC).date().isoformat()
    rows = []
    for figure in figures(root):
        now = digest(folder / figure)
        old, day = known.get(figure, ("", ""))
        rows.append(f'"{figure}" = ["{now}", "{day if old == now else today}"]')
    return "\n".join(
        ["# Written by `python docs/generate.py`: a digest of each figure, and the day it came.", *rows, ""]
    )


def page(root: Path) -> str:
    """Write the list as Markdown."""
    came = tomllib.loads(days(root))
    rows = list(_rows(root, {figure: day for figure, (_, day) in came.items()}))
    head = "| file | made by | machine | since | shown on |\n| --- | --- | --- | --- | --- |"
    words = (
        "# Every table and picture\n\nMade from the files by `python docs/generate.py`. *Machine* is what the table "
        "says itself;\n*since* is the day (UTC) on which the file got its present content. What the figures mean:\n"
        "[what was measured](index.md).\n\n"
    )
    return words + "\n".join([head, *rows]) + "\n"


def _rows(root: Path, came: Mapping[str, str]) -> Iterator[str]:
    pages = [path for path in sorted((root / "docs").rglob("*.md")) if path.name != "all.md"]
    texts = {path.relative_to(root / "docs"): path.read_text(encoding="utf-8") for path in pages}
    for figure in figures(root):
        shown = [path for path, text in texts.items() if f"figures/{figure}" in text or f"]({figure})" in text]
        links = ", ".join(f"[{path.with_suffix('').as_posix()}](../{path.as_posix()})" for path in shown)
        text = (root / "docs" / "figures" / figure).read_text(encoding="utf-8") if figure.endswith(".md") else ""
        machine = MACHINE.search(text)
        script = script_of(root, figure)
        made = f"`{script}`" if script else "**no script**"
        yield f"| [{figure}]({figure}) | {made} | {machine[1] if machine else ''} | {came[figure]} | {links} |"
