"""Measure what `--help` of each command costs: docs/figures/help.md.

    python bench/help.py [--runs 20] [-o docs/figures/help.md]

Seconds of the processor, user and system, of whole processes, one after the other; the start of Python is in them.
"""

import argparse
import platform
import resource
import statistics
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from typer.main import get_command

from kembar.cli.app import app
from speed import processor

HEAD = "| command | median | lowest | highest |\n| --- | ---: | ---: | ---: |"


def commands(group: Any, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Walk the program itself, its commands, and theirs."""
    yield before
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*before, name))


def seconds(*words: str) -> float:
    """Run the program, and take what it used of the processor."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "kembar", *words], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("-o", "--output", type=Path)
    chosen = parser.parse_args()
    rows = []
    for words in commands(get_command(app)):
        taken = [seconds(*words, "--help") for _ in range(chosen.runs)]
        numbers = " | ".join(f"{number:.3f}" for number in (statistics.median(taken), min(taken), max(taken)))
        rows.append(f"| `{' '.join(('kembar', *words, '--help'))}` | {numbers} |")
        print(rows[-1], flush=True)
    machine = f"Python {platform.python_version()}, typer {version('typer')}; {processor()}; {chosen.runs} runs each."
    if chosen.output:
        chosen.output.write_text("\n".join([machine, "", HEAD, *rows, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
