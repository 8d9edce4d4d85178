"""CPU-seconds of `kembar match` by stage and its peak memory: this version beside another one.

    python bench/half.py [--before SRC] [--drawn 7000 27000 110000] [--runs 3] [-o docs/figures/half.md]

The real posts are all labelled Shopee posts; the drawn ones a synthetic catalogue of titles and hashes, or (--photos)
of titles and photos. Each run is a process of its own with one thread, so that its seconds depend little on what else
the machine does; SRC is the `src` of a checkout of the other version, and its runs take turns with those of this one.
Vectors are made anew in every run. Changed posts are those whose group has other members than before.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="src folder of the other version")
    parser.add_argument("--drawn", type=int, nargs="*", default=[7_000, 27_000, 110_000])
    parser.add_argument("--photos", type=int, default=0, help="posts of a drawn catalogue with photos of 800 pixels")
    parser.add_argument("--no-shopee", action="store_true")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--one", nargs=2, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        one(*arguments.one)
        return
    versions = {"now": source()} if arguments.before is None else {"before": arguments.before, "now": source()}
    with tempfile.TemporaryDirectory() as folder:
        pools = [] if arguments.no_shopee else [shopee()]
        pools += [drawn(n, Path(folder)) for n in arguments.drawn]
        pools += [drawn(arguments.photos, Path(folder), photos=True)] if arguments.photos else []
        lines = table([measured(posts, versions, arguments.runs, Path(folder)) for posts in pools])
    text = "\n".join([*lines, "", f"Median of {arguments.runs} runs, one thread each, {processor()}."])
    print(text)
    if arguments.output:
        arguments.output.write_text(text + "\n", encoding="utf-8")


def one(posts: Path, run: Path) -> None:
    """Match one file as the command does, and print what it took."""
    from kembar.matcher import Matcher
    from kembar.posts.catalog import Catalog

    marks = [("start", 0.0), ("reading", time.process_time())]

    def progress(stage: str, done: int, total: int) -> None:
        if stage != marks[-1][0]:
            marks.append((stage, time.process_time()))

    photos = posts.parent / "photos"
    catalog = Catalog.read(posts, images=photos if photos.is_dir() else None)
    progress("opening", 0, 0)
    result = Matcher().match(catalog, progress=progress)
    progress("writing", 0, 0)
    result.save(run, overwrite=True)
    progress("end", 0, 0)
    stages: dict[str, float] = {}
    for (name, begin), (_, end) in pairwise(marks):
        stages[name] = stages.get(name, 0.0) + end - begin
    print(json.dumps({"posts": len(result), "f1": result.scores()["f1"], "stages": stages}))


def measured(posts: Path, versions: dict[str, Path], runs: int, folder: Path) -> dict:
    """Run all versions in turn; CPU-seconds of the whole process by stage, peak memory, and what changed."""
    found: dict[str, list[dict]] = {name: [] for name in versions}
    for _ in range(runs):
        for name, src in versions.items():
            found[name].append(taken(posts, src, folder / name))
            print(posts.parent.name, name, found[name][-1], file=sys.stderr, flush=True)
    groups = [pl.read_csv(folder / name / "groups.csv")["group_id"] for name in versions]
    kind = posts.parent.name.rstrip("0123456789")
    return {"kind": kind, "posts": found["now"][0]["posts"], "runs": found, "changed": changed(groups[0], groups[-1])}


def taken(posts: Path, src: Path, run: Path) -> dict:
    environment = {**os.environ, "PYTHONPATH": str(src), **dict.fromkeys(THREADS, "1")}
    command = [sys.executable, __file__, "--one", str(posts), str(run)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        told = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return {**json.loads(told), "seconds": usage.ru_utime + usage.ru_stime, "memory": usage.ru_maxrss / 1024}


def changed(before: pl.Series, after: pl.Series) -> int:
    """Count the posts whose group has other members."""
    one, other = (np.unique(ids.to_numpy(), return_inverse=True)[1] for ids in (before, after))
    pair = np.unique(one.astype(np.int64) * (other.max() + 1) + other, return_inverse=True)[1]
    size, left, right = (np.bincount(codes)[codes] for codes in (pair, one, other))
    return int(((size < left) | (size < right)).sum())


def table(pools: list[dict]) -> list[str]:
    heads = ["posts", "version", "CPU-seconds", "peak MiB", "F1", "posts changed", "stages"]
    lines = [f"| {' | '.join(heads)} |", "| ---: | --- " + "| ---: " * 4 + "| --- |"]
    for pool in pools:
        for name, runs in pool["runs"].items():
            seconds, memory = (statistics.median(run[key] for run in runs) for key in ("seconds", "memory"))
            spent = {stage: statistics.median(run["stages"][stage] for run in runs) for stage in runs[0]["stages"]}
            stages = ", ".join(f"{stage} {value:.1f}" for stage, value in spent.items() if value >= 0.05)
            moved = str(pool["changed"]) if name == "now" and len(pool["runs"]) > 1 else ""
            cells = [
                f"{pool['posts']:,}",
                name,
                f"{seconds:.1f}",
                f"{memory:,.0f}",
                f"{runs[0]['f1']:.4f}",
                moved,
                stages,
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return [*lines, *growth(pools)]


def growth(pools: list[dict]) -> list[str]:
    """The exponent of CPU-seconds over posts between the two largest catalogues that are drawn alike."""
    drawn = sorted((pool for pool in pools if pool["kind"] == "shop"), key=lambda pool: pool["posts"])
    if len(drawn) < 2:
        return []
    small, large = drawn[-2:]
    lines = [""]
    for name in large["runs"]:
        seconds = [statistics.median(run["seconds"] for run in pool["runs"][name]) for pool in (small, large)]
        exponent = np.log(seconds[1] / seconds[0]) / np.log(large["posts"] / small["posts"])
        lines.append(f"Growth from {small['posts']:,} to {large['posts']:,} posts, {name}: posts^{exponent:.2f}.")
    return lines


def shopee() -> Path:
    from titles import data

    return data() / "shopee" / "posts.csv"


def drawn(n: int, folder: Path, *, photos: bool = False) -> Path:
    from kembar.synthesis import Drawing, write_shop

    shop = folder / f"{'photos' if photos else 'shop'}{n}"
    write_shop(shop, n, photos=Drawing(size=800) if photos else False)
    return shop / "posts.csv"


def source() -> Path:
    """The folder from which this version is imported."""
    return Path(find_spec("kembar").origin).parent.parent


def processor() -> str:
    from speed import processor

    return processor()


if __name__ == "__main__":
    main()
