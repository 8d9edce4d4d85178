import re
from pathlib import Path

import numpy as np
import pytest

from kembar import Catalog, Matcher
from kembar.classifier.pair_classifier import PairClassifier
from kembar.config import PHOTOS_ALONE, SHIPPED
from kembar.results.charts import waterfall
from kembar.results.kinds import BASE, gathered, kind_of

EXAMPLES = {
    "hash above 0.4 high": "other posts like these two",
    "words alone low": "words of the titles",
    "word rank low": "other posts like these two",
    "hash": "photos",
    "unit pieces": "quantities and packs",
    "codes differ": "codes and numbers",
    "color alone high": "variants and colours",
    "price ratio": "prices",
    "clip": "vectors 'clip'",
    "clip_blended": "vectors 'clip'",
    "word_blended": "words of the titles",
    BASE: "before looking at the two",
}


@pytest.mark.parametrize("column", EXAMPLES)
def test_kinds_of_columns(column: str) -> None:
    assert kind_of(column) == EXAMPLES[column]


@pytest.mark.parametrize("name", [SHIPPED, PHOTOS_ALONE])
def test_every_column_of_a_classifier_that_ships_has_a_kind(name: str) -> None:
    kinds = {kind_of(column) for column in PairClassifier.load(name).names}
    assert not any(kind.startswith("vectors") for kind in kinds)
    assert len(kinds) <= 9


def test_sums_by_kind_are_those_of_the_columns(catalog: Catalog) -> None:
    run = Matcher().match(catalog.take(np.arange(60)))
    left, right = run.pairs.left[0], run.pairs.right[0]
    found = run.explain(run.catalog.ids[int(left)], run.catalog.ids[int(right)])
    whole = sum(share for _, _, share in found.contributions)
    assert sum(share for _, share in found.kinds()) == pytest.approx(whole, abs=1e-3)
    assert found.kinds()[-1][0] == EXAMPLES[BASE]
    assert "rank low" not in str(found)
    assert "rank low" in found.text(columns=True) or "ratio" in found.text(columns=True)


def test_a_kind_of_which_there_is_nothing_says_so() -> None:
    found = gathered([("price ratio", None, 0.2), ("hash", 0.9, 1.0), ("hash rank low", None, 0.1), (BASE, None, -3.0)])
    assert found == [
        ("photos", 1.0),
        ("prices (none given)", 0.2),
        ("other posts like these two (none given)", 0.1),
        ("before looking at the two", -3.0),
    ]


def test_no_bar_of_a_waterfall_is_cut_off(tmp_path: Path) -> None:
    """The bar of the base began at the left edge, and the numbers of the outermost bars lay outside."""
    waterfall([("photos", 1.0), ("base", -3.8)], tmp_path / "w.svg")
    text = (tmp_path / "w.svg").read_text(encoding="utf-8")
    frame = re.search(r'<g id="patch_2">\s*<path d="M ([\d.]+) [\d.]+ \s*L ([\d.]+)', text)
    bars = re.findall(r'<path d="M ([\d.]+) [\d.]+ \s*L ([\d.]+) [^"]*" clip-path="[^"]*" style="fill: #', text)
    assert frame
    assert bars
    edges = [float(edge) for bar in bars for edge in bar]
    assert min(edges) > float(frame[1]) + 10
    assert max(edges) < float(frame[2]) - 10
