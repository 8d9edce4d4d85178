"""Draw what `--help` prints: docs/figures/help-kembar.svg and docs/figures/help-match.svg.

    python docs/help_pictures.py [FOLDER]

With a folder the help of every command is drawn, into that folder. A picture keeps a digest of the texts of the
command, so that `outdated` can name one that shows another help than the program has.
"""

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

import svg
from kembar.cli.app import app

FIGURES = Path(__file__).parent / "figures"
SHOWN = {"help-kembar.svg": (), "help-match.svg": ("match",)}
COLUMNS = 88
COLOURS = {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}
# As rich has it, without the fonts that it would fetch.
FRAME = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: "Liberation Mono", "DejaVu Sans Mono", Menlo, Consolas, monospace;
  font-size: {char_height}px; line-height: {line_height}px }}
.{unique_id}-title {{ font: bold 18px "Liberation Sans", Helvetica, Arial, sans-serif }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def commands(group: Any, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Walk the program itself, its commands, and theirs."""
    yield before
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*before, name))


def picture(words: tuple[str, ...]) -> str:
    """Draw what a command prints."""
    program = "import sys; sys.argv[0] = 'kembar'; from kembar.cli.app import main; main()"
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | COLOURS
    run = [sys.executable, "-c", program, *words, "--help"]
    printed = subprocess.run(run, env=environment, capture_output=True, text=True, check=True).stdout
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True, color_system="256")
        console.print(Text.from_ansi(printed.rstrip() + "\n"))
    return console.export_svg(title=" ".join(("kembar", *words, "--help")), code_format=FRAME, unique_id="help")


def digest(words: tuple[str, ...]) -> str:
    """Give 12 hex digits of the texts of a command, and of the names and the texts of what it takes."""
    command: Any = typer.main.get_command(app)
    for word in words:
        command = command.commands[word]
    inner = getattr(command, "commands", {})
    texts = [command.help, command.epilog, *((name, one.help) for name, one in inner.items())]
    texts += [(one.opts, one.secondary_opts, one.help, str(one.default)) for one in command.params]
    return hashlib.sha256(repr(texts).encode()).hexdigest()[:12]


def outdated(folder: Path) -> list[str]:
    """Name the pictures that show another help than the program has now."""
    found = []
    for name, words in SHOWN.items():
        kept = re.search(r"<!-- help ([0-9a-f]{12}) -->", (folder / name).read_text(encoding="utf-8"))
        if kept is None or kept[1] != digest(words):
            found.append(f"{name}: run docs/help_pictures.py")
    return found


def main() -> None:
    """Draw them."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FIGURES
    every = {f"{'-'.join(('help', *words)) or 'help'}.svg": words for words in commands(typer.main.get_command(app))}
    for name, words in (SHOWN if folder == FIGURES else every).items():
        svg.save(f"{picture(words)}<!-- help {digest(words)} -->", folder / name, Path(__file__))


if __name__ == "__main__":
    main()
