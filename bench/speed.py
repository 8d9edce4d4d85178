"""Seconds and peak memory of `kembar match` as the catalogue grows, and the title join beside scikit-learn's.

    python bench/speed.py [--sizes 7000 27000 110000 440000] [--runs 3] [-o docs/figures/speed.md]

Each run is a process of its own on a synthetic catalogue of titles and hashes. The exponent is the slope of log
seconds over log posts. The join is the 51 nearest titles of each by word TF-IDF cosine, exact in both: the ratio is
taken run by run, one after the other.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import numpy as np
from sklearn.neighbors import NearestNeighbors

from kembar.encoders.tfidf import Tfidf, prune
from kembar.evidence.search import sparse_neighbors
from kembar.posts.titles import normalize
from kembar.synthesis import synthesize, write_shop

JOIN_POSTS = 27_000
T = TypeVar("T")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[7_000, 27_000, 110_000, 440_000])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--join", action="store_true", help="the title join alone")
    arguments = parser.parse_args()
    if arguments.join:
        join(arguments.runs)
        return
    lines = [
        f"Python {platform.python_version()}, numpy {version('numpy')}, sparse-dot-topn {version('sparse-dot-topn')}, "
        f"scikit-learn {version('scikit-learn')}; {processor()}; "
        f"{arguments.runs} runs each, median (min-max).",
        "",
        *ladder(arguments.sizes, arguments.runs),
        "",
        *join(arguments.runs),
    ]
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


def ladder(sizes: list[int], runs: int) -> list[str]:
    lines = [
        "| posts | seconds | peak memory MiB | posts per second | F1 | stages |",
        "| ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    print("\n".join(lines), flush=True)
    medians = []
    for n in sizes:
        with tempfile.TemporaryDirectory() as folder:
            write_shop(Path(folder) / "shop", n, photos=False)
            found = [match(Path(folder), n) for _ in range(runs if n < 200_000 else 1)]
        seconds = [f["seconds"] for f in found]
        medians.append(statistics.median(seconds))
        stages = ", ".join(f"{name} {value:.1f}" for name, value in found[-1]["stages"].items())
        memory = statistics.median(f["memory"] for f in found) / 2**20
        lines.append(
            f"| {n:,} | {medians[-1]:.1f} ({min(seconds):.1f}-{max(seconds):.1f}, {len(seconds)} runs) | {memory:,.0f} "
            f"| {n / medians[-1]:,.0f} | {found[-1]['f1']:.3f} | {stages} |"
        )
        print(lines[-1], flush=True)
    if len(sizes) > 1:
        slope = np.polyfit(np.log(sizes), np.log(medians), 1)[0]
        last = np.log(medians[-1] / medians[-2]) / np.log(sizes[-1] / sizes[-2])
        lines += ["", f"Growth: seconds ~ posts^{slope:.2f} over the ladder, posts^{last:.2f} on its last step."]
        print(lines[-1], flush=True)
    return lines


def match(folder: Path, n: int) -> dict:
    run = folder / "run"
    command = [sys.executable, "-m", "kembar", "match", str(folder / "shop" / "posts.csv"), "-o", str(run), "--quiet"]
    start = time.perf_counter()
    subprocess.run([*command, "--overwrite"], check=True)
    seconds = time.perf_counter() - start
    report = json.loads((run / "report.json").read_text())
    return {
        "seconds": seconds,
        "memory": report["peak_memory"],
        "f1": report["scores"]["f1"],
        "stages": report["seconds"],
    }


def join(runs: int) -> list[str]:
    vectors = Tfidf("word").encode(normalize(synthesize(JOIN_POSTS).posts["title"]))
    exact, candidates, theirs = [], [], []
    for _ in range(runs):
        seconds, mine = timed(lambda: sparse_neighbors(vectors, 51))
        exact.append(seconds)
        candidates.append(timed(lambda: sparse_neighbors(prune(vectors), 51, floor=0.2))[0])
        index = NearestNeighbors(n_neighbors=51, metric="cosine", n_jobs=2)
        seconds, (distance, _) = timed(lambda fitted=index: fitted.fit(vectors).kneighbors(vectors))
        theirs.append(seconds)
    titled = np.diff(vectors.indptr) > 0  # an empty title is nobody's neighbour here, everybody's there
    worst = float(np.abs(np.sort(1 - distance, axis=1)[titled, ::-1] - mine.score[titled]).max())
    lines = [
        f"Title join, {JOIN_POSTS:,} titles, the 51 nearest of each, {runs} runs side by side:",
        "",
        "| join | seconds | scikit-learn's seconds / these |",
        "| --- | ---: | ---: |",
        f'| scikit-learn NearestNeighbors(metric="cosine") | {spread(theirs)} | 1 |',
        f"| kembar, all 51 (similarities differ by {worst:.0e} at most) | {spread(exact)} | {ratio(theirs, exact)} |",
        f"| kembar as `match` runs it, those above cosine .2 | {spread(candidates)} | {ratio(theirs, candidates)} |",
    ]
    print("\n".join(lines), flush=True)
    return lines


def timed(work: Callable[[], T]) -> tuple[float, T]:
    start = time.perf_counter()
    done = work()
    return time.perf_counter() - start, done


def ratio(theirs: list[float], ours: list[float]) -> str:
    return spread([a / b for a, b in zip(theirs, ours, strict=True)])


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            return f"{line.partition(':')[2].strip()}, 2 cores"
    return platform.processor()


if __name__ == "__main__":
    main()
