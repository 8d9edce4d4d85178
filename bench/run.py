"""`kembar match` with its defaults on all labelled Shopee posts in one pool: F1, seconds, peak memory.

    python bench/run.py [--runs 5] [-o docs/figures/run.md]

The defaults' cuts were chosen on these posts; `bench/shopee.py --whole` has the cross-validated F1 of the same run.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from shopee import data
from speed import processor, spread


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    posts = data() / "shopee" / "posts.csv"
    seconds, memory = [], []
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "kembar", "match", str(posts), "-o", f"{folder}/run", "--overwrite", "--quiet"]
        for _ in range(arguments.runs):
            start = time.perf_counter()
            subprocess.run(command, check=True)
            seconds.append(time.perf_counter() - start)
            report = json.loads(Path(folder, "run", "report.json").read_text())
            memory.append(report["peak_memory"] / 2**20)
    scores = report["scores"]
    text = "\n".join(
        [
            "| mean F1 | precision | recall | pool | seconds, median (min-max) | peak memory |",
            "| ---: | ---: | ---: | ---: | ---: | ---: |",
            f"| {scores['f1']:.4f} ± {scores['spread']:.4f} | {scores['precision']:.4f} | {scores['recall']:.4f} "
            f"| {scores['pool']:,} | {spread(seconds)} | {statistics.median(memory):,.0f} MiB |",
            "",
            f"{arguments.runs} runs of the whole command, {processor()}; ± is the standard error over posts.",
        ]
    )
    print(text)
    if arguments.output:
        arguments.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
