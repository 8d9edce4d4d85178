"""Look at every page of the site in Chromium, in light and dark, on a large and a small screen, and check it with axe.

python bench/site_browser.py [--axe AXE_FOLDER] [--pictures FOLDER] [--only WORD]

Builds the site, opens its files without a server, and ends with an error where a page fetches something, logs an error,
is wider than the screen, leads to a place that is not there, or has a serious finding; also where the search finds
nothing. Needs Debian's chromium, `pip install playwright` and, for axe, `npm pack axe-core`, unpacked.
"""

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
WIDTHS = {1280: 900, 390: 844}
SCHEMES = ("light", "dark")
LINKS = "[...document.querySelectorAll('a[href]')].map(a => a.href).filter(to => to.startsWith('file:'))"
IDS = "[...document.querySelectorAll('[id], a[name]')].map(one => one.id || one.name)"
TOO_WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth + 1"


@dataclass
class Seen:
    """What was found on the pages.

    Attributes:
        wrong: in words, one line each.
        links: of each page, by its address: where they lead.
        ids: of each page, by its address: the names of its places.
        findings: of axe, by impact.
    """

    wrong: list[str] = field(default_factory=list)
    links: dict[str, list[str]] = field(default_factory=dict)
    ids: dict[str, set[str]] = field(default_factory=dict)
    findings: Counter[str] = field(default_factory=Counter)


def main() -> None:
    """Build the site and look at it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--axe", type=Path, help="folder of axe-core, with axe.min.js")
    parser.add_argument("--pictures", type=Path, help="folder for a picture of each page")
    parser.add_argument("--only", default="", help="only pages with this word in their path")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        site = Path(folder)
        subprocess.run([sys.executable, "-m", "mkdocs", "build", "-q", "--strict", "-d", folder], check=True, cwd=ROOT)
        pages = [page for page in sorted(site.rglob("*.html")) if chosen.only in str(page) and page.name != "404.html"]
        chromium = play.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        seen = Seen()
        for width, height in WIDTHS.items():
            for scheme in SCHEMES:
                look(chromium, pages, (width, height, scheme), chosen, seen)
        if not chosen.only:
            seen.wrong += [*broken(seen), *search(chromium, site)]
        size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
        print(f"{len(pages)} pages, {size / 1e6:.1f} MB, {sum(map(len, seen.links.values())):,} links")
        print(f"{len(pages) * len(WIDTHS) * len(SCHEMES)} views; axe: {dict(seen.findings)}; {len(seen.wrong)} wrong")
        chromium.close()
    if seen.wrong:
        raise SystemExit("\n".join(seen.wrong))


def look(
    chromium: Browser, pages: list[Path], view: tuple[int, int, str], chosen: argparse.Namespace, seen: Seen
) -> None:
    """Open all pages on one screen in one scheme."""
    width, height, scheme = view
    dark: Any = scheme
    context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=dark)
    page = context.new_page()
    page.on("console", lambda said: seen.wrong.append(f"{page.url}: {said.text}") if said.type == "error" else None)
    page.on("request", lambda one: seen.wrong.append(f"fetched {one.url}") if one.url.startswith("http") else None)
    for path in pages:
        page.goto(path.as_uri())
        page.wait_for_load_state("load")
        name = f"{path.parent.name}/{path.stem} at {width} px, {scheme}"
        print(name, file=sys.stderr)
        if page.evaluate(TOO_WIDE):
            seen.wrong.append(f"{name}: wider than the screen")
        seen.links[path.as_uri()] = page.evaluate(LINKS)
        seen.ids[path.as_uri()] = set(page.evaluate(IDS))
        if chosen.axe is not None:
            seen.wrong += findings(page, chosen.axe / "axe.min.js", name, seen)
        if chosen.pictures is not None:
            chosen.pictures.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=chosen.pictures / f"{path.parent.name}-{path.stem}-{width}-{scheme}.png")
    context.close()


def findings(page: Page, axe: Path, name: str, seen: Seen) -> Iterator[str]:
    """Run axe; give what is serious or critical, and count all."""
    page.add_script_tag(path=str(axe))
    for violation in page.evaluate("axe.run({preload: false})")["violations"]:
        seen.findings[violation["impact"]] += len(violation["nodes"])
        if violation["impact"] in {"serious", "critical"}:
            where = violation["nodes"][0]["html"][:160]
            yield f"{name}: {violation['id']}, {len(violation['nodes'])} times: {where}"


def broken(seen: Seen) -> Iterator[str]:
    """Name the links that lead to no file, or to no place of a page."""
    for page, links in seen.links.items():
        for link in sorted(set(links)):
            to, place = urldefrag(link)
            if not Path(unquote(to).removeprefix("file://")).exists():
                yield f"{page} leads to {link}"
            elif place and place != "__top" and unquote(place) not in seen.ids.get(to, {unquote(place)}):
                yield f"{page} leads to {link}, a place that is not there"


def search(chromium: Browser, site: Path) -> Iterator[str]:
    """Search for a word, as a reader of the files would."""
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.goto((site / "index.html").as_uri())
    page.locator("input[name=query]").fill("blending")
    try:
        page.wait_for_selector(".md-search-result__item a", timeout=20_000)
    except Exception as error:
        yield f"the search finds nothing: {error}"
    page.close()


if __name__ == "__main__":
    main()
