import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from kembar.grouping.matches import shopee_shares
from kembar.results import charts
from kembar.results.bars import draw_bars
from kembar.results.charts import group_sizes, threshold_curve
from kembar.results.scores import curve

SVG = "{http://www.w3.org/2000/svg}svg"
RECT = "{http://www.w3.org/2000/svg}rect"


def table() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    left, right = np.triu_indices(30, 1)
    return curve(left, right, rng.random(len(left)), np.arange(30) // 3).frame()


def sizes(path, posts=(0, 4, 6, 3)) -> None:
    group_sizes(np.array(posts), shopee_shares(), path)


def thresholds(path) -> None:
    threshold_curve(table(), path, marks=[("threshold", 0.7), ("min2", 0.4)])


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (sizes, ["this run", "known groups", "11+", "share of all posts"]),
        (thresholds, ["F1", "precision", "recall", "min2", "mean over posts"]),
    ],
)
def test_pictures_are_svg_and_the_same_on_every_run(tmp_path, draw, words):
    draw(tmp_path / "a.svg")
    draw(tmp_path / "b.svg")
    text = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert ET.fromstring(text).tag == SVG
    assert text == (tmp_path / "b.svg").read_text(encoding="utf-8")
    for word in words:
        assert f"<!-- {word} -->" in text or f">{word}</text>" in text


@pytest.mark.parametrize("posts", [(), (0,), (0, 0, 0), tuple(range(60))])
def test_sizes_of_few_and_of_many(tmp_path, posts):
    group_sizes(np.array(posts, dtype=np.int64), None, tmp_path / "sizes.svg")
    assert ET.parse(tmp_path / "sizes.svg").getroot().tag == SVG


def test_other_sizes_draw_another_picture(tmp_path):
    sizes(tmp_path / "a.svg")
    sizes(tmp_path / "b.svg", (0, 4, 6, 3, *[0] * 20, 24))
    assert (tmp_path / "a.svg").read_text(encoding="utf-8") != (tmp_path / "b.svg").read_text(encoding="utf-8")


def test_a_curve_without_points_and_marks_beyond_all_similarities(tmp_path):
    threshold_curve(table().clear(), tmp_path / "empty.svg")
    threshold_curve(table(), tmp_path / "marks.svg", marks=[("threshold", float("inf"))])
    for name in ("empty.svg", "marks.svg"):
        assert ET.parse(tmp_path / name).getroot().tag == SVG


def test_a_reliability_picture_shows_every_bin(tmp_path: Path) -> None:
    table = pl.DataFrame({"probability": [0.1, 0.9], "share": [0.15, 0.8], "pairs": [1234, 56]})
    charts.reliability(table, tmp_path / "r.svg")
    text = (tmp_path / "r.svg").read_text(encoding="utf-8")
    assert "<svg" in text
    assert text.count("<!-- 1,234 -->") == 1
    assert text.count("<!-- 56 -->") == 1


def test_a_waterfall_ends_at_the_sum_and_gathers_the_small_shares(tmp_path: Path) -> None:
    steps = [("title", 2.0), ("hash", -1.0), ("small", 0.2), ("smaller", 0.1), ("base", -3.0)]
    charts.waterfall(steps, tmp_path / "w.svg", top=2)
    text = (tmp_path / "w.svg").read_text(encoding="utf-8")
    assert "log-odds of -1.70" in text
    assert "<!-- all others -->" in text
    assert "<!-- smaller -->" not in text
    charts.waterfall(steps, tmp_path / "all.svg")
    assert "<!-- smaller -->" in (tmp_path / "all.svg").read_text(encoding="utf-8")


def test_bars_are_as_tall_as_their_numbers(tmp_path: Path) -> None:
    words = ("A < B", "below", "left")
    draw_bars({"one": np.array([0.1, 0.4]), "two": np.array([0.2, 0.0])}, ["x", "y"], words, tmp_path / "b.svg")
    root = ET.parse(tmp_path / "b.svg").getroot()
    bars = [float(rect.get("height")) for rect in root.iter(RECT) if rect.get("x")]
    tall = [height for height in bars if height != 10]  # the legend's
    assert tall == pytest.approx([54.5, 218, 109, 0])
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"A < B", "below", "left", "x", "y", "one", "two", "0", "0.1", "0.4"} <= set(texts)


def test_a_run_draws_without_matplotlib(tmp_path: Path) -> None:
    program = """
import sys
import numpy as np
from pathlib import Path
from kembar.results.charts import group_sizes

group_sizes(np.array([0, 4, 6, 3]), np.array([0, 0.5]), Path(sys.argv[1]))
print("matplotlib" in sys.modules)
"""
    command = [sys.executable, "-c", program, str(tmp_path / "sizes.svg")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "False"
