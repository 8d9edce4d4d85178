"""`kembar match` with its defaults on all labelled Shopee posts in one pool: seconds by stage, peak memory.

    python bench/run.py [--runs 5] [-o docs/figures/run.md]

The title encoder that ships has learned from these posts, so the F1 of this run means nothing;
`bench/shopee.py --title FOLDER --whole` has that of encoders which have not. Vectors are made anew in every run.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from speed import processor, spread
from titles import data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    posts = data() / "shopee" / "posts.csv"
    seconds, memory, stages = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "kembar", "match", str(posts), "-o", f"{folder}/run", "--overwrite", "--quiet"]
        for run in range(arguments.runs):
            start = time.perf_counter()
            subprocess.run([*command, "--cache", f"{folder}/cache{run}"], check=True)
            seconds.append(time.perf_counter() - start)
            report = json.loads(Path(folder, "run", "report.json").read_text())
            memory.append(report["peak_memory"] / 2**20)
            stages.append(report["seconds"])
    names = [name for name in stages[0] if max(taken[name] for taken in stages) >= 0.05]
    medians = [f"{statistics.median(taken[name] for taken in stages):.1f}" for name in names]
    text = "\n".join(
        [
            f"| posts | seconds, median (min-max) | {' | '.join(names)} | peak memory |",
            "| ---: " * (len(names) + 3) + "|",
            f"| {report['posts']:,} | {spread(seconds)} | {' | '.join(medians)} "
            f"| {statistics.median(memory):,.0f} MiB |",
            "",
            f"{arguments.runs} runs of the whole command, {processor()}; the stages are medians, in seconds.",
        ]
    )
    print(text)
    if arguments.output:
        arguments.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
