"""What mkdocs does not do by itself: pages that lie outside docs/, links to them, headings of tables that are pages.

Named in mkdocs.yml. A page of docs/ links to files of the repository as they lie; here such a link leads to the page
that the site makes of the file, or becomes the file's name.
"""

import posixpath
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from figures_page import script_of

LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s]*)(#[^)\s]*)?\)")
FENCED = re.compile(r"(^```.*?^```|`[^`\n]+`)", re.DOTALL | re.MULTILINE)


def outside(root: Path) -> dict[str, str]:
    """Pages that the site makes of files outside docs/: path in the repository to path in the site."""
    names = ("CHANGELOG.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "SECURITY.md", "RELEASING.md")
    return {name: name.lower() for name in names if (root / name).exists()}


def linked(text: str, place: str, page: str, pages: Mapping[str, str], root: Path) -> str:
    """Rewrite the links of a page to files outside docs/, and to pages made of them.

    Args:
        text: Markdown.
        place: where its file lies in the repository, such as `docs/tasks/live.md`.
        page: where its page lies in the site, such as `tasks/live.md`.
        pages: as `outside` gives them.
        root: of the repository.
    """

    def target(match: re.Match[str]) -> str:
        picture, words, to, anchor = match[1], match[2], match[3], match[4] or ""
        path = posixpath.normpath(posixpath.join(posixpath.dirname(place), to))
        if not to or ":" in to or not (root / path).exists():
            return match[0]
        if path.startswith("docs/") and not path.endswith((".toml", ".py")):
            inside = path.removeprefix("docs/")
        elif path in pages:
            inside = pages[path]
        else:
            return words if words.startswith("`") else f"{words} (`{path}`)"
        return f"{picture}[{words}]({posixpath.relpath(inside, posixpath.dirname(page) or '.')}{anchor})"

    parts = FENCED.split(text)
    return "".join(part if at % 2 else LINK.sub(target, part) for at, part in enumerate(parts))


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made of files outside docs/."""
    root = Path(config.config_file_path).parent
    for path, page in outside(root).items():
        files.append(File.generated(config, page, abs_src_path=str(root / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: Any) -> str:
    """Rewrite links; give a table that is a page of its own a heading and its script."""
    root, name = Path(config.config_file_path).parent, page.file.src_uri
    pages = outside(root)
    place = next((path for path, made in pages.items() if made == name), f"docs/{name}")
    if name.startswith("figures/") and not markdown.lstrip().startswith("# "):
        script = script_of(root, Path(name).name)
        markdown = f"# {Path(name).stem}\n\nMade by `{script}`; [all tables](all.md).\n\n{markdown}"
    return linked(markdown, place, name, pages, root)
