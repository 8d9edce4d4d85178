"""Average link on many pairs: CPU seconds and memory, how they grow, and beside another version.

    python bench/links.py [--pairs 1000000 10000000] [--per-post 10 100] [--before SRC] [-o docs/figures/links.md]

Posts in groups of sizes as in labelled Shopee posts. Three pairs a post are of its own group, with probabilities around
.8; the others are of strangers, most of them unlikely, as a classifier gives them. With 10 pairs a post few chains of
likely pairs join groups, with 100 they join nearly all posts. Each row is a process of its own, with one thread; memory
is what was held at most beyond the pairs themselves. SRC is the `src` of a checkout of the other version.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from threading import Event, Thread

import numpy as np

from kembar import average_link
from kembar.grouping.matches import shopee_shares
from large import held

CUT = 0.5
WITHIN = 3  # pairs a post that are of its own group


def drawn(pairs: int, per_post: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Pairs of posts in groups: left, right, probability, number of posts."""
    rng = np.random.default_rng(seed)
    n = pairs // per_post
    shares = shopee_shares() / np.maximum(np.arange(52), 1)
    sizes = rng.choice(52, size=n, p=shares / shares.sum())
    group = np.repeat(np.arange(n), sizes)[:n]
    begin = np.searchsorted(group, group)
    size = np.bincount(group)[group]
    left = rng.integers(0, n, pairs + pairs // 4)
    right = rng.integers(0, n, len(left))
    inside = rng.random(len(left)) < WITHIN / per_post
    right[inside] = begin[left[inside]] + (rng.random(int(inside.sum())) * size[left[inside]]).astype(np.int64)
    low, high = np.minimum(left, right), np.maximum(left, right)
    key = np.unique((low * n + high)[low < high])[:pairs]
    low, high = np.divmod(key, n)
    one = group[low] == group[high]
    p = np.where(one, rng.beta(6, 1.5, len(key)), rng.beta(0.3, 4, len(key))).astype(np.float32)
    return low, high, p, n


def measure(pairs: int, per_post: int) -> dict[str, float]:
    """CPU seconds, MiB beyond the pairs, and what was found."""
    left, right, p, n = drawn(pairs, per_post)
    most, ended = held(), Event()
    before = most

    def look() -> None:
        nonlocal most
        while not ended.wait(0.02):
            most = max(most, held())

    watcher = Thread(target=look)
    watcher.start()
    started = time.process_time()
    labels = average_link(left, right, p, n, cut=CUT)
    seconds = time.process_time() - started
    ended.set()
    watcher.join()
    told = {"pairs": len(left), "posts": n, "seconds": seconds, "memory": (most - before) / 2**20}
    return {**told, "groups": int(labels.max()) + 1, "largest": int(np.bincount(labels).max())}


def alone(pairs: int, per_post: int, source: Path | None) -> dict[str, float]:
    """Measure in a process of its own, by this version or another."""
    words = [sys.executable, __file__, "--alone", "--pairs", str(pairs), "--per-post", str(per_post)]
    env = {**os.environ, "OMP_NUM_THREADS": "1", **({} if source is None else {"PYTHONPATH": str(source)})}
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=env)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, nargs="+", default=[1_000_000, 3_000_000, 10_000_000, 30_000_000])
    parser.add_argument("--per-post", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--before", type=Path, help="src folder of the other version")
    parser.add_argument("--alone", action="store_true", help="measure in this process, and print what was found")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    if arguments.alone:
        print(json.dumps(measure(arguments.pairs[0], arguments.per_post[0])))
        return
    versions = {"now": None} if arguments.before is None else {"before": arguments.before, "now": None}
    lines = [
        f"Average link to the cut {CUT}; Python {platform.python_version()}, numpy {np.__version__}, one thread, n 1.",
        "",
        "| pairs | posts | version | CPU seconds | MiB beyond the pairs | groups | largest |",
        "| ---: | ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    for per_post in arguments.per_post:
        for pairs in arguments.pairs:
            for version, source in versions.items():
                told = alone(pairs, per_post, source)
                lines.append(
                    f"| {told['pairs']:,} | {told['posts']:,} | {version} | {told['seconds']:.1f} | "
                    f"{told['memory']:,.0f} | {told['groups']:,} | {told['largest']} |"
                )
                print(lines[-1], flush=True)
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
