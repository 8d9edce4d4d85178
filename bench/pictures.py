"""Photograph what a newcomer sees first: the README, the front page of the site, and `--help` of every command.

    python bench/pictures.py FOLDER

The README is rendered as Markdown, and photographed like the front page at 1280 and 390 px, in light and dark. Needs
Debian's chromium, and `pip install playwright`. Look at each of them.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import markdown
from playwright.sync_api import Browser, sync_playwright

from site_browser import ROOT, SCHEMES, WIDTHS

STYLE = """
body { max-width: 860px; margin: 24px auto; padding: 0 16px; font: 16px/1.5 "Liberation Sans", Helvetica, sans-serif }
img { max-width: 100% } pre { background: #eef1f4; padding: 12px; overflow: auto }
table { border-collapse: collapse; display: block; overflow: auto }
td, th { border: 1px solid #d0d7de; padding: 4px 10px }
@media (prefers-color-scheme: dark) { body { background: #0d1117; color: #e6edf3 } a { color: #58a6ff }
  pre { background: #161b22 } td, th { border-color: #3d444d } }
"""


def readme(folder: Path) -> Path:
    """Render the README; its pictures are those of the repository."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    body = markdown.markdown(text, extensions=["tables", "fenced_code"])
    page = folder / "readme.html"
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    page.write_text(
        f'{head}<base href="{ROOT.as_uri()}/"><title>README</title><style>{STYLE}</style>{body}', encoding="utf-8"
    )
    return page


def photograph(chromium: Browser, pages: dict[str, Path], folder: Path) -> None:
    """Take the first screen of each page, large and small, light and dark."""
    for width, height in WIDTHS.items():
        for scheme in SCHEMES:
            dark: Any = scheme
            context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=dark)
            page = context.new_page()
            for name, path in pages.items():
                page.goto(path.as_uri())
                page.wait_for_load_state("load")
                page.screenshot(path=folder / f"{name}-{width}-{scheme}.png")
            context.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, ROOT / "docs" / "help_pictures.py", folder], check=True)
    with tempfile.TemporaryDirectory() as made, sync_playwright() as play:
        site = Path(made) / "site"
        subprocess.run([sys.executable, "-m", "mkdocs", "build", "-q", "--strict", "-d", site], check=True, cwd=ROOT)
        chromium = play.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        pages = {"readme": readme(Path(made)), "front": site / "index.html", "commands": site / "reference/cli.html"}
        photograph(chromium, pages, folder)
        chromium.close()


if __name__ == "__main__":
    main()
