"""The documents are run, and what is made from the program is what the program says now."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```", re.DOTALL | re.MULTILINE)
# The README's blocks make a virtual environment and run these very tests: .ci/run and a fresh clone are their test.
PAGES = sorted(page.name for page in (ROOT / "docs").glob("*.md") if BLOCK.search(page.read_text(encoding="utf-8")))


def _generator():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", PAGES)
def test_blocks_run(name, tmp_path):
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    blocks = BLOCK.findall(text)
    commands = [["bash", "-euc", body] for kind, body in blocks if kind == "bash"]
    # The Python of a page is one program, run on what its commands made.
    program = "\n".join(body for kind, body in blocks if kind == "python")
    for command in [*commands, [sys.executable, "-W", "error", "-c", program]]:
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{name}:\n{command[-1]}\n{done.stderr}"


def test_generated_pages_are_current():
    stale = [path.name for path, text in _generator().pages().items() if path.read_text(encoding="utf-8") != text]
    assert not stale, f"run python docs/generate.py: {stale}"


def test_links_lead_somewhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_config_documents_every_option():
    text = (ROOT / "docs" / "default.toml").read_text(encoding="utf-8")
    options = [line for line in text.splitlines() if "=" in line]
    assert len(options) > 30
    assert all("#" in line for line in options)
