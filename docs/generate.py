"""Write the pages that are made from the program itself, and put measured tables into the others.

    python docs/generate.py

The command line, the options, the errors, and the list of figures come from the program. A page takes a table between
`<!-- figures/NAME.md -->` and `<!-- end -->`; the scripts in bench/ write the tables.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

import errors_page
import figures_page
from kembar.cli.app import app
from kembar.config import Config

HERE = Path(__file__).resolve().parent
HELP = (
    "`kembar --help` and `kembar COMMAND --help` (or `-h`) say all of this in the terminal:\n\n"
    "![The commands of kembar, by what they are for](../figures/help-kembar.svg)"
)
MATCH = (
    "<details markdown>\n<summary>What <code>kembar match --help</code> shows</summary>\n\n"
    "![The arguments and options of kembar match](../figures/help-match.svg)\n\n</details>"
)


def cli_page() -> str:
    """Render every command with its options as Markdown."""
    group: Any = typer.main.get_command(app)
    parts = ["# The command line", "Made from the program by `python docs/generate.py`.", str(group.help), HELP]
    for name, command in _commands(group):
        options = [parameter for parameter in command.params if parameter.name != "help" and not parameter.hidden]
        rows = [f"| {_names(o)} | {_default(o)} | {o.help or ''} |" for o in options]
        table = "\n".join(["| option | default | meaning |", "| --- | --- | --- |", *rows])
        parts += [f"## kembar {name}", str(command.help), *([command.epilog] if command.epilog else []), table]
        parts += [MATCH] if name == "match" else []
    codes = "Exit codes: 0 done; 2 bad input, told in one line on standard error; 1 interrupted, or a fault of kembar."
    return "\n\n".join([*parts, codes]) + "\n"


def _commands(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Walk the commands, those of groups under two words."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{name} ")
        else:
            yield before + name, command


def _names(parameter: Any) -> str:
    names = [f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts)]
    return ", ".join(names) if parameter.param_type_name == "option" else f"`{parameter.name.upper()}`"


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    nothing = parameter.default is None or parameter.default is False or parameter.default == ()
    return "" if nothing else f"`{parameter.default}`"


def with_figures(page: Path) -> str:
    """Give a page's text with its tables as they stand in docs/figures."""

    def table(match: re.Match[str]) -> str:
        return f"<!-- {match[1]} -->\n{(HERE / match[1]).read_text(encoding='utf-8').strip()}\n<!-- end -->"

    text = page.read_text(encoding="utf-8")
    return re.sub(r"<!-- (figures/[\w-]+\.md) -->\n.*?<!-- end -->", table, text, flags=re.DOTALL)


def pages() -> dict[Path, str]:
    """Everything this program writes: path to text."""
    root = HERE.parent
    made = {
        HERE / "reference" / "cli.md": cli_page(),
        HERE / "default.toml": Config().text(),
        HERE / "reference" / "errors.md": errors_page.page(root / "src" / "kembar"),
        HERE / "figures" / figures_page.DAYS: figures_page.days(root),
        HERE / "figures" / "all.md": figures_page.page(root),
    }
    tables = [root / "README.md", *sorted(HERE.rglob("*.md"))]
    return {page: with_figures(page) for page in tables if page not in made} | made


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
