"""What linking costs as the second catalogue grows: CPU-seconds, peak memory and recall. Prints a Markdown table.

    python bench/link_scale.py [--left 10000] [--right 100000 1000000]

Posts are drawn (`kembar synth`: titles and made-up hashes, no photos) and dealt to two catalogues at random. Each
size runs in a process of its own, one thread. Recall is the share of the left posts with a twin on the right that have
a right link among theirs.
"""

import argparse
import subprocess
import sys
from time import process_time

import numpy as np

from kembar.linking import link
from kembar.memory import peak_memory
from kembar.synthesis import synthesize

HEAD = "| left x right | CPU-s | peak MiB | links | precision | recall |\n| --- | ---: | ---: | ---: | ---: | ---: |"


def row(left: int, right: int) -> str:
    """Link two drawn catalogues."""
    posts = synthesize(left + right, seed=1, hashes=True).posts
    mine = np.zeros(len(posts), dtype=bool)
    mine[np.random.default_rng(1).permutation(len(posts))[:left]] = True
    group = dict(posts.select("posting_id", "label_group").iter_rows())
    there = set(posts.filter(~mine)["label_group"])
    begin = process_time()
    links = link(posts.filter(mine), posts.filter(~mine)).links_frame()
    seconds, peak = process_time() - begin, peak_memory() >> 20
    true = [group[a] == group[b] for a, b in links.select("left_id", "right_id").iter_rows()]
    found = {a for (a, _), same in zip(links.select("left_id", "right_id").iter_rows(), true, strict=True) if same}
    wanted = {name for name in posts.filter(mine)["posting_id"] if group[name] in there}
    scores = f"{np.mean(true):.3f} | {len(found & wanted) / len(wanted):.3f}"
    return f"| {left:,} x {right:,} | {seconds:.0f} | {peak:,} | {len(links):,} | {scores} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--left", type=int, default=10_000)
    parser.add_argument("--right", type=int, nargs="+", default=[100_000, 1_000_000])
    arguments = parser.parse_args()
    if len(arguments.right) == 1:
        print(row(arguments.left, arguments.right[0]), flush=True)
        return
    print(HEAD, flush=True)
    for right in arguments.right:
        command = [sys.executable, __file__, "--left", str(arguments.left), "--right", str(right)]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
