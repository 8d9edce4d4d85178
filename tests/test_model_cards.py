"""The cards of the models that ship say what their folders and the measured tables say."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from kembar import PairClassifier
from kembar.encoders.registry import SHIPPED as ENCODERS
from kembar.encoders.registry import open_encoder
from places import ROOT

CARDS = ROOT / "docs" / "models"
CLASSIFIERS = ("kembar-classifier", "kembar-classifier-photos")
NAMES = (*CLASSIFIERS, *ENCODERS)


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("model_cards", ROOT / "bench" / "model_cards.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def card(name: str) -> str:
    return (CARDS / f"{name}.md").read_text(encoding="utf-8")


def rows(text: str) -> dict[str, list[str]]:
    """The rows of the tables of a page, by their first cell."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return {cells[0]: cells[1:] for cells in lines}


def test_the_cards_are_current() -> None:
    stale = [path.name for path, text in script().pages().items() if path.read_text(encoding="utf-8") != text]
    assert not stale, f"run python bench/model_cards.py: {stale}"
    assert sorted(path.stem for path in CARDS.glob("*.md")) == sorted((*NAMES, "index"))


def test_the_figures_of_each_market_are_those_measured() -> None:
    measured, shown = rows((ROOT / "docs" / "figures" / "markets.md").read_text()), rows(card("kembar-classifier"))
    markets = {name.removesuffix("-full"): cells for name, cells in measured.items() if name.endswith("-full")}
    whole = {name: cells for name, cells in markets.items() if not re.fullmatch(r"shopee\d", name)}
    assert len(whole) == 10
    for name, cells in whole.items():
        assert shown[name][1], f"{name} has no licence"  # the last table that names a market is that of its source
        assert f"| {name} | {' | '.join([*cells[:3], *cells[4:7]])} |" in card("kembar-classifier")
    folds = [float(cells[4]) for name, cells in markets.items() if name not in whole]
    assert len(folds) == 4
    assert f"| {np.mean(folds):.4f} |" in card("kembar-classifier")


def test_where_it_is_worse_than_nothing_is_said() -> None:
    measured = rows((ROOT / "docs" / "figures" / "markets.md").read_text())
    said = re.search(r"\*\*Worse than matching nothing on\*\*: (.*)\.", card("kembar-classifier"))
    assert said is not None
    for name, cells in measured.items():
        if name.endswith("-full") and not name.startswith("shopee"):
            assert (float(cells[4]) < float(cells[1])) == (name.removesuffix("-full") in said[1]), name


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_is_as_its_card_says(name: str) -> None:
    classifier, shown = PairClassifier.load(name), rows(card(name))
    assert f"{len(classifier.names)} columns" in shown["kind"][0]
    assert shown["gives"][0].endswith(f"average link at {classifier.cut:.2f}")
    facts = classifier.card
    learned = f"{facts['pairs']:,} pairs, {facts['true_pairs']:,} of them true, in {facts['pools']} pools"
    assert shown["learned from"] == [learned]


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_is_as_its_card_says(name: str) -> None:
    text = card(name)
    assert f"to {open_encoder(name).dimension} numbers" in text.replace("into", "to")
    table = (ROOT / "docs" / "figures" / f"{ENCODERS[name]}.md").read_text().strip()
    assert table in text


@pytest.mark.parametrize("name", NAMES)
def test_a_card_tells_licences_and_limits(name: str) -> None:
    text = card(name)
    assert "## Limits" in text
    assert "Not for people" in text
    assert "| licence |" in text
    for target in re.findall(r"\]\(([^)#:]+)\)", text + card("index")):
        assert (CARDS / Path(target)).exists(), target
