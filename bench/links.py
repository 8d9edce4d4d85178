"""Average link on many edges: seconds and memory, and how they grow.

    python bench/links.py [--edges 1000000 10000000 30000000] [-o docs/figures/links.md]

Posts in groups of sizes as in labelled Shopee posts, ten edges a post: those within groups with probabilities
around .8, strangers with low ones, as a classifier gives them. Each size in a process of its own.
"""

import argparse
import platform
import subprocess
import sys
from pathlib import Path
from time import perf_counter

import numpy as np

from kembar.grouping.average_link import average_link
from kembar.grouping.matches import shopee_shares
from kembar.memory import peak_memory

EDGES_A_POST = 10


def drawn(edges: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Edges of posts in groups: left, right, probability, number of posts."""
    rng = np.random.default_rng(seed)
    n = edges // EDGES_A_POST
    shares = shopee_shares() / np.maximum(np.arange(52), 1)
    sizes = rng.choice(52, size=n, p=shares / shares.sum())
    group = np.repeat(np.arange(n), sizes)[:n]
    begin = np.searchsorted(group, group)
    size = np.bincount(group)[group]
    left = rng.integers(0, n, edges + edges // 4)
    right = rng.integers(0, n, len(left))
    inside = rng.random(len(left)) < 0.3  # three edges a post lead to its own group
    right[inside] = begin[left[inside]] + (rng.random(int(inside.sum())) * size[left[inside]]).astype(np.int64)
    low, high = np.minimum(left, right), np.maximum(left, right)
    key = np.unique((low * n + high)[low < high])[:edges]
    low, high = np.divmod(key, n)
    one = group[low] == group[high]
    p = np.where(one, rng.beta(6, 1.5, len(key)), rng.beta(0.3, 4, len(key))).astype(np.float32)
    return low, high, p, n


def measure(edges: int) -> str:
    """One line of the table."""
    left, right, p, n = drawn(edges)
    before, started = peak_memory(), perf_counter()
    labels = average_link(left, right, p, n, cut=0.36)
    seconds = perf_counter() - started
    sizes = np.bincount(labels)
    memory = f"{peak_memory() / 2**20:,.0f} | {before / 2**20:,.0f}"
    return f"| {len(left):,} | {n:,} | {seconds:.1f} | {memory} | {len(sizes):,} | {sizes.max()} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edges", type=int, nargs="+", default=[1_000_000, 3_000_000, 10_000_000, 30_000_000])
    parser.add_argument("--alone", action="store_true", help="measure in this process, and print one line")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    if arguments.alone:
        print(measure(arguments.edges[0]))
        return
    lines = [
        f"Average link to the cut .36; Python {platform.python_version()}, numpy {np.__version__}, one core at work.",
        "",
        "| edges | posts | seconds | peak memory MiB | before it began MiB | groups | largest |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for edges in arguments.edges:
        words = [sys.executable, __file__, "--alone", "--edges", str(edges)]
        lines.append(subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip())
        print(lines[-1], flush=True)
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
