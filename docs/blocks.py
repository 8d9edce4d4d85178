"""Run the blocks of a page, and compare what they print with what the page shows.

    python docs/blocks.py              # run the tutorial and write what it printed into its pages

A block that begins with three backticks and `bash` or `python` is run in a new process. A block `text title="Output"`
right after it holds what it printed. Seconds, sizes in memory and folders may vary; a line `...` stands for any lines;
everything else must be the same. Where the title goes on "(figures vary a little by processor)" figures may differ a
little: photo encoders in whole numbers do, and what is learned of their vectors.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
BLOCK = re.compile(
    r"^```(?P<kind>bash|python)\n(?P<body>.*?)^```\n"
    r'(?:\n```text title="(?P<title>Output[^"]*)"\n(?P<shown>.*?)^```\n)?',
    re.DOTALL | re.MULTILINE,
)
ABOUT = "Output (figures vary a little by processor)"
NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?!\w)")
VARYING = ((re.compile(r"\b[\d.,]+ (?=seconds|MiB|ms\b)"), "N "),)
WIDTH, LIMIT_S = "100", 600


@dataclass(frozen=True)
class Block:
    """A block of a page.

    Attributes:
        kind: bash or python.
        body: its text.
        shown: what the page says that it prints; None where the page shows nothing.
        title: of what is shown.
    """

    kind: str
    body: str
    shown: str | None
    title: str = "Output"

    @property
    def command(self) -> list[str]:
        """The process to start."""
        return ["bash", "-euc", self.body] if self.kind == "bash" else [sys.executable, "-W", "error", "-c", self.body]


def blocks(page: str) -> list[Block]:
    """Find the blocks of a page that are run."""
    return [_block(found) for found in BLOCK.finditer(page)]


def _block(found: re.Match[str]) -> Block:
    return Block(found["kind"], found["body"], found["shown"], found["title"] or "Output")


def run(command: Sequence[str], folder: Path) -> str:
    """Run a command in a folder, with this Python and its kembar first in the path, and give what it printed.

    Raises:
        RuntimeError: it ended with another code than 0.
    """
    places = [str(Path(sys.executable).parent), os.environ["PATH"]]
    # Names and lists of figures are printed to this width, without colours, whatever the terminal.
    environment = {**os.environ, "PATH": os.pathsep.join(places), "COLUMNS": WIDTH, "NO_COLOR": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    process = subprocess.Popen(command, cwd=folder, env=environment, **pipes)
    try:
        printed, told = process.communicate(timeout=LIMIT_S)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # a service that a block which failed has left
    if process.returncode:
        raise RuntimeError(f"ended with {process.returncode}:\n{command[-1]}\n{printed[-2000:]}\n{told[-4000:]}")
    return plain(printed)


def plain(printed: str) -> str:
    """Leave out blanks at the ends of lines, and blank lines at both ends."""
    return "\n".join(line.rstrip() for line in printed.splitlines()).strip("\n") + "\n"


def near(shown: str, printed: str) -> bool:
    """Whether two texts are the same but for blanks and for figures that differ a little.

    Decimals differ by a tenth at most, whole numbers by ten or a tenth of them.
    """
    figures = [[number.replace(",", "") for number in NUMBER.findall(text)] for text in (shown, printed)]
    words = [re.sub(r"[ ─]+", " ", NUMBER.sub("N", text)) for text in (shown, printed)]
    return words[0] == words[1] and all(map(_near, *figures))


def _near(one: str, other: str) -> bool:
    least = 0.1 if "." in one + other else 10
    return abs(float(one) - float(other)) <= max(least, 0.1 * float(one))


def agrees(shown: str, printed: str, title: str = "Output") -> bool:
    """Whether a page shows what was printed, but for what may vary."""
    if title == ABOUT and near(plain(shown), plain(printed)):
        return True
    for pattern, word in VARYING:
        shown, printed = pattern.sub(word, shown), pattern.sub(word, printed)
    parts = [re.escape(part) for part in re.split(r"^\.\.\.\n", plain(shown), flags=re.MULTILINE)]
    return re.fullmatch(r"(?:.*\n)*?".join(parts), plain(printed)) is not None


def joined(found: Sequence[Block]) -> list[Block]:
    """Order the blocks of a page as it is read: its commands first, then its Python as one program."""
    program = "\n".join(block.body for block in found if block.kind == "python")
    return [*(block for block in found if block.kind == "bash"), *([Block("python", program, None)] if program else [])]


def failures(steps: Sequence[Block], folder: Path) -> Iterator[str]:
    """Run blocks one after the other, and tell of each that fails, which ends it, or prints something else."""
    for block in steps:
        try:
            printed = run(block.command, folder)
        except RuntimeError as error:
            yield str(error)
            return
        if block.shown is not None and not agrees(block.shown, printed, block.title):
            yield f"{block.body}\nprinted:\n{printed}\nthe page shows:\n{block.shown}"


def rewritten(page: str, printed: Callable[[Block], str]) -> str:
    """Give a page with what its blocks print now, where it shows that and is no longer right."""

    def now(found: re.Match[str]) -> str:
        block = _block(found)
        said = printed(block)
        if block.shown is None or agrees(block.shown, said, block.title):
            return found[0]
        return f'```{block.kind}\n{block.body}```\n\n```text title="{block.title}"\n{said}```\n'

    return BLOCK.sub(now, page)


def tutorial() -> list[Path]:
    """List the pages of the tutorial, which are followed in one folder, in their order."""
    return sorted((HERE / "tutorial").glob("[0-9]*.md"))


def main() -> None:
    """Follow the tutorial, and write down what it prints."""
    with tempfile.TemporaryDirectory() as folder:
        for page in tutorial():
            text = page.read_text(encoding="utf-8")
            page.write_text(rewritten(text, lambda block: run(block.command, Path(folder))), encoding="utf-8")


if __name__ == "__main__":
    main()
