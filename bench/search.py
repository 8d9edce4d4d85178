"""Search the real posts with a part of them as queries: the same neighbours as the self-join, and in what time.

    python bench/search.py [--data FOLDER] [-o docs/figures/search.md]

For each kind of vectors (words as sparse rows, title vectors as dense rows, perceptual hashes) the base is indexed
once; then 1 %, 10 % and 100 % of its posts are the queries. The self-join is what `kembar match` runs.
"""

import argparse
import os
import platform
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from kembar import Catalog, normalize
from kembar.encoders.registry import open_encoder
from kembar.encoders.tfidf import Tfidf
from kembar.evidence.neighbors import Neighbors
from kembar.evidence.views import DenseView, HashView, SparseView, View

DATA = Path(os.environ.get("KEMBAR_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
SHARES = (0.01, 0.1, 1.0)
RUNS = 3


def timed(work: Callable[[], Neighbors]) -> tuple[float, Neighbors]:
    start = perf_counter()
    found = work()
    return perf_counter() - start, found


def views(catalog: Catalog) -> dict[str, View]:
    titles = normalize(catalog.titles)
    vectors = open_encoder("kembar-title", device="cpu").encode(titles.to_list())
    return {
        "words, sparse": SparseView("word", Tfidf().encode(titles)),
        "titles, dense": DenseView("title", vectors, modality="title", least=0.2),
        "hashes, 64 bits": HashView("hash", catalog.hashes, catalog.hashed),
    }


def rows_of(view: View) -> list[list[str]]:
    n, rng = len(view), np.random.default_rng(0)
    whole = view.index()(view, np.arange(n))
    joins = [timed(lambda: view.index()(view, np.arange(n)))[0] for _ in range(RUNS)]
    table = []
    for share in SHARES:
        rows = np.sort(rng.permutation(n)[: round(share * n)])
        indexing, asking, same = [], [], True
        for _ in range(RUNS):
            start = perf_counter()
            find = view.index()
            indexing.append(perf_counter() - start)
            seconds, found = timed(lambda find=find, rows=rows: find(view.take(rows), rows))
            asking.append(seconds)
            same &= bool((found.index == whole.index[rows]).all() and (found.score == whole.score[rows]).all())
        times = [f"{median(each):.2f}" for each in (joins, indexing, asking)]
        table.append([f"{share:.0%}", f"{len(rows):,}", "yes" if same else "NO", *times])
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    catalog = Catalog.read(arguments.data / "shopee" / "posts.csv")
    lines = [
        f"{len(catalog):,} real posts, k 51; seconds, median of {RUNS} runs, {platform.processor() or 'x86-64'}, "
        f"{os.cpu_count()} cores.",
        "",
        "| vectors | queries | posts | same neighbours and scores | self-join | indexing | asking |",
        "| --- | ---: | ---: | --- | ---: | ---: | ---: |",
    ]
    for name, view in views(catalog).items():
        lines += [f"| {name} | {' | '.join(row)} |" for row in rows_of(view)]
    text = "\n".join(lines) + "\n"
    print(text)
    if arguments.output:
        arguments.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
