"""Core-seconds of the exact dense join beside its peers, and as a ratio to what the machine's matrix product allows.

    python bench/join.py [--shapes 34000x512 34000x1792 70000x512] [--beyond 70000x256] [--runs 3] [-o docs/figures]

writes docs/figures/join.md and, for what is searched by cells, docs/figures/beyond-exact.md.

Everyone finds the 51 nearest of each row by inner product, with one thread. Rows are drawn as products with their
posts: groups of 1 to 51, within 200 kinds that are alike, around one common direction; the order is random. The limit
is 2 n^2 d divided by the rate of numpy's matrix product, taken between the others; comparing each pair once, a join
can stay below it. The peers compare each row with all, so they are asked a part of the rows and the time is scaled.

Beyond the size up to which all is compared, kembar looks into cells of similar rows: what that costs, making and
choosing them included, and what it finds of the neighbours that matter among those that comparing all finds. Peers are
installed by hand: pip install faiss-cpu usearch.
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy and its peers read it

import numpy as np
from threadpoolctl import threadpool_info

# The OpenBLAS of faiss is older than numpy's: where it does not know the processor, it would take its slowest kernels.
os.environ["OPENBLAS_CORETYPE"] = next(blas["architecture"] for blas in threadpool_info() if "architecture" in blas)

import faiss
import torch
from sklearn.neighbors import NearestNeighbors
from usearch.index import MetricKind
from usearch.index import search as usearch

from kembar.arrays import unit_rows
from kembar.evidence.probing import MATTERS
from kembar.evidence.search import DenseIndex, dense_neighbors

K, LEAST = 51, 0.2
SIZES, SHARES = (1, 2, 3, 4, 5, 6, 8, 12, 51), (0.2, 0.4, 0.15, 0.1, 0.06, 0.04, 0.03, 0.015, 0.005)
LONG = 1.2e12  # multiplications from which on a shape is run once


def drawn(n: int, d: int) -> np.ndarray:
    """Draw (n, d) float32 unit rows in groups: cosines around .8 within a group, .5 within a kind, .2 outside."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(n), rng.choice(SIZES, n, p=SHARES))[:n]
    kinds = rng.normal(size=(200, d)).astype(np.float32)
    products = rng.normal(size=(group[-1] + 1, d)).astype(np.float32)
    rows = 0.7 * kinds[rng.integers(0, len(kinds), len(products))[group]] + products[group]
    rows += 0.6 * rng.normal(size=d).astype(np.float32) + 0.5 * rng.normal(size=(n, d)).astype(np.float32)
    return unit_rows(rows[rng.permutation(n)])


def kembar(rows: np.ndarray, asked: np.ndarray) -> np.ndarray:
    return dense_neighbors(rows, K, floor=-1, exact=len(rows)).index


def faiss_flat(rows: np.ndarray, asked: np.ndarray) -> np.ndarray:
    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows)
    return index.search(asked, K)[1]


def sklearn(rows: np.ndarray, asked: np.ndarray) -> np.ndarray:
    # Its fast path is for Euclidean distances, which unit rows order as inner products do.
    return NearestNeighbors(n_neighbors=K, algorithm="brute", n_jobs=1).fit(rows).kneighbors(asked)[1]


def torch_topk(rows: np.ndarray, asked: np.ndarray) -> np.ndarray:
    base = torch.from_numpy(rows).T
    return torch.cat([(part @ base).topk(K).indices for part in torch.from_numpy(asked).split(1024)]).numpy()


def usearch_exact(rows: np.ndarray, asked: np.ndarray) -> np.ndarray:
    return usearch(rows, asked, K, MetricKind.IP, exact=True, threads=1).keys


JOINS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "kembar": kembar,
    "faiss IndexFlatIP": faiss_flat,
    "scikit-learn NearestNeighbors, brute": sklearn,
    "torch matmul + topk": torch_topk,
    "usearch exact": usearch_exact,
}
PARTS = {"kembar": 1, "usearch exact": 50}  # one in so many rows is asked; others: one in 10


def spent(work: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    start = time.process_time()
    done = work()
    return time.process_time() - start, done


def rate(d: int) -> float:
    """Measure the rate of the matrix product: multiplications and additions per second."""
    rows = np.random.default_rng(0).normal(size=(4096, d)).astype(np.float32)
    return 3 * 2 * 4096**2 * d / spent(lambda: [rows @ rows.T for _ in range(3)])[0]


def recall(rows: np.ndarray, found: np.ndarray, step: int) -> float:
    """The share of the 51 nearest that were found, for 500 rows; what comes within rounding of the last counts."""
    asked = np.arange(len(found))[:: max(1, len(found) // 500)]
    score = rows[asked * step].astype(np.float64) @ rows.T.astype(np.float64)
    last = -np.partition(-score, K - 1, axis=1)[:, K - 1 : K]
    right = np.take_along_axis(score, found[asked].astype(np.int64), axis=1) >= last - 1e-6
    return float(right.mean())


def measured(n: int, d: int, runs: int) -> list[str]:
    rows, rates = drawn(n, d), []
    seconds: dict[str, list[float]] = {name: [] for name in JOINS}
    found: dict[str, float] = {}
    for _ in range(runs):
        for name, join in JOINS.items():
            rates.append(rate(d))
            step = PARTS.get(name, 10)
            asked = np.ascontiguousarray(rows[::step])
            taken, index = spent(lambda join=join, asked=asked: join(rows, asked))
            seconds[name].append(taken * n / len(asked))
            found.setdefault(name, recall(rows, index, step))
    limit = 2 * n * n * d / statistics.median(rates)
    head = f"| {n:,} x {d} | limit | {limit:.1f} | 1 | | {statistics.median(rates) / 1e9:.0f} GFLOP/s | |"
    lines = [head]
    for name, taken in seconds.items():
        ratio, step = f"{statistics.median(taken) / limit:.2f}", PARTS.get(name, 10)
        asked = "all" if step == 1 else f"1 in {step}"
        spread = f" ({min(taken) / limit:.2f}-{max(taken) / limit:.2f})" if runs > 1 else ""
        lines.append(
            f"| | {name} | {statistics.median(taken):.1f} | {ratio}{spread} | {found[name]:.4f} | {runs} | {asked} |"
        )
    return lines


def beyond(n: int, d: int) -> list[str]:
    """Compare the search by cells with comparing all."""
    rows = drawn(n, d)
    seconds, every = spent(lambda: dense_neighbors(rows, K, floor=LEAST, exact=n))
    exact = np.where(every.score > MATTERS, every.index, -1)
    building, index = spent(lambda: DenseIndex.of(rows, exact=n - 1))
    choosing, probing = spent(lambda: index.probing(K, LEAST))
    if probing is None:
        return [f"| {n:,} x {d} | {seconds:.1f} | {building:.1f} | {choosing:.1f} | no gain | | | |"]
    asking, found = spent(lambda: index.search(rows, K, own=np.arange(n), floor=LEAST).index)
    kept = [len(np.intersect1d(a[a >= 0], b[b >= 0])) - 1 for a, b in zip(exact, found, strict=True)]
    share = sum(kept) / (np.count_nonzero(exact >= 0) - n)
    cells = f"{probing.cells} of {probing.of:,}"
    times = f"{seconds:.1f} | {building:.1f} | {choosing:.1f} | {asking:.1f}"
    return [f"| {n:,} x {d} | {times} | {cells} | {probing.recall:.4f} | {share:.4f} |"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="*", default=["34000x512", "34000x1792", "70000x512"])
    parser.add_argument("--beyond", nargs="*", default=["70000x256"])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("-o", "--output", type=Path, help="the folder of the tables")
    arguments = parser.parse_args()
    faiss.omp_set_num_threads(1)
    torch.set_num_threads(1)
    packages = ", ".join(
        f"{name} {version(name)}" for name in ("numpy", "faiss-cpu", "scikit-learn", "torch", "usearch")
    )
    machine = f"{packages}; {platform.processor() or 'x86-64'}, one thread"
    exact = [
        f"{machine}; the {K} nearest of each row, median (min-max).",
        "",
        "| rows | join | core-seconds | seconds / limit | recall | runs | rows asked |",
        "| ---: | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    cells = [
        f"{machine}; core-seconds for the {K} nearest of each row above cosine {LEAST}.",
        "",
        "| rows | compare all | make cells | choose by sample | look into cells | cells | recall, sample | of all |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, table, shapes, work in (
        ("join.md", exact, arguments.shapes, lambda n, d: measured(n, d, arguments.runs if n * n * d <= LONG else 1)),
        ("beyond-exact.md", cells, arguments.beyond, beyond),
    ):
        for shape in shapes:
            table += work(*map(int, shape.split("x")))
            print("\n".join(table), flush=True)
            if arguments.output:
                (arguments.output / name).write_text("\n".join(table) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
