"""Core-seconds of the title join beside its peers: the 51 most similar titles of each, by TF-IDF over words.

    python bench/title_join.py [--data FOLDER] [--sizes 300000] [--asked 6000] [-o docs/figures/title-join.md]

First the real posts, then drawn ones. One thread; every join indexes all titles and answers evenly spread ones of them
(`--asked`), whose time is scaled to all. Sparse-dot-topn, scipy and kembar compute the same cosines. Kembar is there
twice: all words, and as `kembar match` runs it, with the most frequent words left out as far as half a title's weight.
Tantivy is a search engine, with BM25 in place of the cosine. Peers are installed by hand: pip install tantivy.
"""

import argparse
import os
import platform
import re
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy and its peers read it

import numpy as np
import polars as pl
import scipy.sparse as sp
import tantivy
from sparse_dot_topn import sp_matmul_topn

from kembar import Catalog, normalize, synthesize
from kembar.encoders.tfidf import Pruning, Tfidf
from kembar.evidence.search import SparseIndex

DATA = Path(os.environ.get("KEMBAR_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
K, LEAST = 51, 0.2
BLOCK = 256  # queries of a product of scipy, whose similarities are all kept until the best are chosen
Answer = Callable[[np.ndarray], list[set[int]]]


def kembar(rows: sp.csr_matrix) -> Answer:
    index = SparseIndex.of(rows)

    def answer(asked: np.ndarray) -> list[set[int]]:
        found = index.search(rows[asked], K, own=asked, floor=LEAST, threads=1)
        return [set(row[row >= 0].tolist()) for row in found.index]

    return answer


def pruned(rows: sp.csr_matrix) -> Answer:
    return kembar(Pruning.fit(rows).apply(rows))


def topn(rows: sp.csr_matrix) -> Answer:
    columns = rows.T.tocsr()

    def answer(asked: np.ndarray) -> list[set[int]]:
        found = sp_matmul_topn(rows[asked], columns, top_n=K, threshold=LEAST, n_threads=1)
        return [set(part.tolist()) for part in np.split(found.indices, found.indptr[1:-1])]

    return answer


def scipy(rows: sp.csr_matrix) -> Answer:
    columns = rows.T.tocsr()

    def answer(asked: np.ndarray) -> list[set[int]]:
        lists = []
        for begin in range(0, len(asked), BLOCK):
            product = rows[asked[begin : begin + BLOCK]] @ columns
            for low, high in zip(product.indptr, product.indptr[1:], strict=False):
                score, column = product.data[low:high], product.indices[low:high]
                near = np.flatnonzero(score > LEAST)
                if len(near) > K:
                    near = near[np.argpartition(-score[near], K)[:K]]
                lists.append(set(column[near].tolist()))
        return lists

    return answer


def engine(titles: pl.Series) -> Answer:
    schema = tantivy.SchemaBuilder().add_text_field("title").add_unsigned_field("row", stored=True).build()
    index = tantivy.Index(schema)
    writer = index.writer(num_threads=1)
    for row, title in enumerate(titles):
        writer.add_document(tantivy.Document(title=title, row=row))
    writer.commit()
    index.reload()
    searcher = index.searcher()

    def answer(asked: np.ndarray) -> list[set[int]]:
        lists = []
        for row in asked.tolist():
            words = re.findall(r"\w+", titles[row].lower()) or ["-"]
            query = index.parse_query(" ".join(f'"{word}"' for word in words), ["title"])
            hits = searcher.search(query, K, count=False).hits
            lists.append({searcher.doc(address)["row"][0] for _, address in hits})
        return lists

    return answer


JOINS: dict[str, Callable[[sp.csr_matrix], Answer]] = {
    "sparse_dot_topn": topn,
    "scipy, matrix product": scipy,
    "kembar, all words": kembar,
    "kembar, as `match` runs it": pruned,
}


def measured(titles: pl.Series, asked: int, runs: int) -> list[str]:
    rows = Tfidf("word").encode(titles)
    rows.sort_indices()
    some = np.arange(0, len(titles), max(1, len(titles) // asked))
    joins = {name: lambda make=make: make(rows) for name, make in JOINS.items()}
    joins["tantivy, BM25"] = lambda: engine(titles)
    seconds: dict[str, list[float]] = {name: [] for name in joins}
    shares: dict[str, str] = {}
    expected: list[set[int]] = []
    for _ in range(runs):
        for name, make in joins.items():
            start = time.process_time()
            answer = make()
            indexed = time.process_time()
            lists = answer(some)
            taken = (time.process_time() - indexed) * len(titles) / len(some)
            seconds[name].append(indexed - start + taken)
            expected = expected or lists
            shares[name] = "" if "BM25" in name else share(lists, expected)
    lines = []
    for name, taken in seconds.items():
        middle = statistics.median(taken)
        spread = f"{middle:.1f} ({min(taken):.1f}-{max(taken):.1f})"
        ratio = f"{middle / statistics.median(seconds['sparse_dot_topn']):.2f}"
        lines.append(f"| {len(titles):,} | {name} | {spread} | {ratio} | {shares[name]} |")
        print(lines[-1], flush=True)
    return lines


def share(lists: list[set[int]], expected: list[set[int]]) -> str:
    """The share of what sparse_dot_topn finds that is found; of equal scores at the 51st place either may be there."""
    return f"{sum(len(a & b) for a, b in zip(lists, expected, strict=True)) / sum(map(len, expected)):.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--sizes", type=int, nargs="*", default=[300_000])
    parser.add_argument("--asked", type=int, default=6_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    packages = ", ".join(f"{name} {version(name)}" for name in ("sparse-dot-topn", "scipy", "tantivy"))
    lines = [
        f"{packages}; {platform.processor() or 'x86-64'}, one thread; the {K} nearest of each title above cosine "
        f"{LEAST}, {arguments.asked:,} titles asked, scaled to all, {arguments.runs} runs, median (min-max). The "
        "first size is real posts, the others are drawn.",
        "",
        "| titles | join | core-seconds | / sparse_dot_topn | the same neighbours |",
        "| ---: | --- | ---: | ---: | ---: |",
    ]
    print("\n".join(lines), flush=True)
    lines += measured(
        normalize(Catalog.read(arguments.data / "shopee" / "posts.csv").titles), arguments.asked, arguments.runs
    )
    for n in arguments.sizes:
        lines += measured(normalize(synthesize(n).posts["title"]), arguments.asked, arguments.runs)
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
