"""Follow the tutorial to the letter, as a new user would: docs/figures/tutorial.md.

    python bench/tutorial.py [-o docs/figures/tutorial.md]

Builds the wheel, installs it with what the tutorial says into an empty environment, and types every block of the eight
pages in their order, in an empty folder, with an empty home. Commands go to bash; Python goes line by line to the
interactive interpreter; `kembar review` is started, opened and stopped with Ctrl-C. What is printed is compared with
what the page shows. Ends with an error that names each block that fails or prints something else.
"""

import argparse
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "docs"))

import blocks  # noqa: E402
from speed import processor  # noqa: E402

REVIEW = re.compile(r"^```text\n(kembar review \w+)\n```$", re.MULTILINE)
LIMIT_S = 600


@dataclass
class Followed:
    """What came of a page: blocks typed, outputs that it shows, seconds, and what was not as it says."""

    typed: int = 0
    shown: int = 0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)


class User:
    """Somebody who has just installed kembar, in an empty folder.

    Args:
        folder: where everything is put.
        extra: what the tutorial says to install, such as `[serve]`.
    """

    def __init__(self, folder: Path, extra: str) -> None:
        self.work, home, self.bin = folder / "work", folder / "home", folder / "venv" / "bin"
        self.work.mkdir()
        home.mkdir()
        subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT, check=True)
        self.wheel = next(folder.glob("*.whl"))
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        words = [self.bin / "pip", "install", "-q", "-q", f"{self.wheel}{extra}"]
        subprocess.run(words, check=True)
        self.installing = time.perf_counter() - begin
        places = os.pathsep.join([str(self.bin), "/usr/bin", "/bin"])
        self.environment = {"PATH": places, "HOME": str(home), "LANG": "C.UTF-8"}
        self.environment |= {"COLUMNS": blocks.WIDTH, "NO_COLOR": "1"}

    def types(self, block: blocks.Block) -> tuple[str, str]:
        """Type a block; give what it printed, and in words what failed."""
        bash = block.kind == "bash"
        command = ["bash", "-euc", block.body] if bash else ["python", "-i", "-q"]
        done = subprocess.run(
            command,
            input=None if bash else block.body + "\n",
            cwd=self.work,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )
        failed = done.returncode or re.search(r"^\w*Error\b|^Traceback", done.stderr, re.MULTILINE)
        return blocks.plain(done.stdout), done.stderr if failed else ""

    def reviews(self, command: str) -> str:
        """Start a review, open its page, stop it; give in words what failed."""
        words = [*command.split(), "--no-browser"]
        process = subprocess.Popen(
            words, cwd=self.work, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            said = process.stdout.readline() if process.stdout else ""
            address = re.search(r"http://\S+", said)
            if address is None:
                return said
            with urllib.request.urlopen(address[0], timeout=60) as answer:
                page = answer.read().decode()
            return "" if "Who reviews?" in page else "the page does not ask who reviews"
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def steps(text: str) -> Iterator[blocks.Block | str]:
    """Find what a reader of a page types, in its order: blocks, and commands of the review."""
    found = [(one.start(), one[1]) for one in REVIEW.finditer(text)]
    found += [(one.start(), *blocks.blocks(one[0])) for one in blocks.BLOCK.finditer(text)]
    yield from (step for _, step in sorted(found, key=lambda one: one[0]))


def follow(user: User, page: Path) -> Followed:
    """Type all that a page says."""
    seen, begin = Followed(), time.perf_counter()
    for step in steps(page.read_text(encoding="utf-8")):
        seen.typed += 1
        printed, failed = ("", user.reviews(step)) if isinstance(step, str) else user.types(step)
        body, shown = (step, None) if isinstance(step, str) else (step.body, step.shown)
        seen.shown += shown is not None
        if failed:
            seen.wrong.append(f"{page.name}: failed\n{body}\n{failed}")
        elif shown is not None and not blocks.agrees(shown, printed):
            seen.wrong.append(f"{page.name}:\n{body}\nprinted:\n{printed}\nthe page shows:\n{shown}")
    seen.seconds = time.perf_counter() - begin
    return seen


def table(user: User, found: dict[str, Followed]) -> str:
    """Write what came of all pages."""
    rows = [
        f"| {name} | {one.typed} | {one.shown} | {one.shown - len(one.wrong)} | {one.seconds / 60:.2f} |"
        for name, one in found.items()
    ]
    total = sum(one.seconds for one in found.values())
    return "\n".join(
        [
            f"Python {platform.python_version()}; {processor()}; the wheel ({user.wheel.stat().st_size / 1e6:.1f} MB) "
            f"installed in {user.installing:.0f} seconds; all blocks together {total / 60:.1f} minutes, without the "
            "time to read.",
            "",
            "| page | blocks typed | outputs on the page | as printed | minutes |",
            "| --- | ---: | ---: | ---: | ---: |",
            *rows,
            "",
        ]
    )


def main() -> None:
    """Follow the tutorial."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path)
    chosen = parser.parse_args()
    index = (ROOT / "docs" / "tutorial" / "index.md").read_text(encoding="utf-8")
    extra = re.search(r"pip install '\.(\[\w+\])'", index)
    if extra is None:
        raise SystemExit("docs/tutorial/index.md says no longer what to install")
    with tempfile.TemporaryDirectory() as folder:
        user = User(Path(folder), extra[1])
        found = {page.stem: follow(user, page) for page in blocks.tutorial()}
        text = table(user, found)
    print(text)
    wrong = [words for one in found.values() for words in one.wrong]
    if wrong:
        raise SystemExit("\n\n".join(wrong))
    if chosen.output:
        chosen.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
