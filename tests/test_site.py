"""The site is built strictly, fetches nothing, documents every public name; broken pages are named."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import kembar
from hooks import linked

ROOT = Path(__file__).resolve().parents[1]
FETCHED = re.compile(r"<(?:script|img|iframe|source)[^>]*\bsrc=.?(https?:)?//|<link[^>]*\bhref=.?(https?:)?//")
PAGES = ("index", "start/install", "tutorial/8-nightly", "tasks/large", "how/grouping", "reference/cli", "changelog")


def build(config: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Build a site strictly, in a process of its own, without a network as far as it can be told."""
    environment = {
        **os.environ,
        "NO_MKDOCS_2_WARNING": "1",
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
    }
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(config), "-d", str(site)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT / "mkdocs.yml", folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_site_has_its_pages_and_a_search_that_works_from_files(site):
    for name in PAGES:
        assert (site / f"{name}.html").is_file()
    assert (site / "search" / "search_index.js").stat().st_size > 100_000


def test_site_fetches_nothing(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 50
    assert not [page.name for page in pages if FETCHED.search(page.read_text(encoding="utf-8"))]
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(\s*['\"]?(https?:)?//|@import", style.read_text(encoding="utf-8")), style.name


def test_site_documents_every_public_name(site):
    text = "".join(page.read_text(encoding="utf-8") for page in sorted((site / "reference").glob("*.html")))
    found = {anchor.rsplit(".", 1)[1] for anchor in re.findall(r'id="(kembar\.[\w.]+)"', text)}
    found |= set(re.findall(r'<h2 id="(\w+)"', (site / "reference" / "errors.html").read_text(encoding="utf-8")))
    lowered = {name.lower() for name in found}
    assert not [name for name in kembar.__all__ if name.lower() not in lowered]


BROKEN = {
    "index.md": "# Start\n\n[gone](gone.md) [no such heading](there.md#nowhere) ![none](none.png)\n",
    "there.md": "# There\n\n[back](index.md)\n",
    "forgotten.md": "# In no menu\n",
}


def test_broken_links_anchors_pictures_and_forgotten_pages_are_named(tmp_path):
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    small = {key: settings[key] for key in ("site_name", "strict", "validation", "theme", "markdown_extensions")}
    small |= {"nav": ["index.md", "there.md"], "plugins": ["search"]}
    (tmp_path / "mkdocs.yml").write_text(yaml.safe_dump(small), encoding="utf-8")
    (tmp_path / "docs").mkdir()
    for name, text in BROKEN.items():
        (tmp_path / "docs" / name).write_text(text, encoding="utf-8")
    done = build(tmp_path / "mkdocs.yml", tmp_path / "site")
    assert done.returncode != 0
    for named in ("gone.md", "there.md#nowhere", "none.png", "forgotten.md"):
        assert named in done.stderr


def test_links_out_of_the_docs_lead_to_pages_or_become_names(tmp_path):
    for name in ("docs/tasks", "src"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("CHANGELOG.md", "docs/a.md", "docs/tasks/b.md", "src/card.py"):
        (tmp_path / name).touch()
    pages = {"CHANGELOG.md": "changelog.md"}
    text = "[log](../../CHANGELOG.md#x) [card](../../src/card.py) [a](../a.md) `[code](../a.md)` [no](gone.md)"
    said = linked(text, "docs/tasks/b.md", "tasks/b.md", pages, tmp_path)
    assert said == "[log](../changelog.md#x) card (`src/card.py`) [a](../a.md) `[code](../a.md)` [no](gone.md)"
    assert linked("[b](docs/tasks/b.md)", "CHANGELOG.md", "changelog.md", pages, tmp_path) == "[b](tasks/b.md)"
