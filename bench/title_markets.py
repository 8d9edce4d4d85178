"""How well the cosines of title encoders rank the true pairs of markets. Writes docs/figures/title-markets.md.

    python bench/train_title.py --left-out -o FOLDER
    python bench/title_markets.py FOLDER [--before ENCODER] [--models use e5] [-o docs/figures/title-markets.md]

Each market is encoded by the encoder of FOLDER that has not seen it; by word TF-IDF; and by other encoders, such as an
earlier one. The pairs are those of each post and its 30 nearest; average precision over all true pairs: that of the
pairs found, times their recall. In amazon_google and walmart_amazon pairs across the two shops alone.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.metrics import average_precision_score

from kembar.encoders.registry import open_encoder
from kembar.encoders.tfidf import Tfidf
from lessons import ACROSS
from titles import MARKETS, Titles, data, left_out, read

NEAREST = 30
CHUNK = 2048


def ranked(similarity: Callable[[slice], np.ndarray], pool: Titles, source: np.ndarray) -> float:
    """The average precision of the pairs of posts and their nearest."""
    n = len(pool.texts)
    keys, scores = [], []
    for begin in range(0, n, CHUNK):
        some = slice(begin, min(n, begin + CHUNK))
        score = similarity(some)
        rows = np.arange(some.start, some.stop)
        score[np.arange(len(rows)), rows] = -2
        score[source[rows, None] == source] = -2
        near = np.argpartition(-score, min(NEAREST, n - 1) - 1, axis=1)[:, :NEAREST]
        found = np.take_along_axis(score, near, axis=1)
        low, high = np.minimum(rows[:, None], near), np.maximum(rows[:, None], near)
        keys.append((low * n + high)[found > -2])
        scores.append(found[found > -2])
    key, at = np.unique(np.concatenate(keys), return_index=True)
    true = pool.groups[key // n] == pool.groups[key % n]
    recall = np.count_nonzero(true) / true_pairs(pool.groups, source)
    return recall * float(average_precision_score(true, np.concatenate(scores)[at]))


def true_pairs(groups: np.ndarray, source: np.ndarray) -> int:
    """The number of pairs of one group, of different sources."""
    own = np.unique(np.stack([groups, source]), axis=1, return_counts=True)[1]
    both = np.bincount(groups)
    return int((both * (both - 1) // 2).sum() - (own * (own - 1) // 2).sum())


def line(name: str, encoders: dict[str, str]) -> str:
    """The figures of one market, by each encoder."""
    pool = read(name)
    if name == "ali":
        pool = pool.fewer()
    source = np.arange(len(pool.texts))
    if name in ACROSS:
        given = pl.read_csv(data() / "markets" / name / "posts.csv", infer_schema_length=0)["source"]
        source = given.rank("dense").to_numpy().astype(np.int64)
    words = Tfidf().encode(pl.Series(pool.texts))
    found = [ranked(lambda some: (words[some] @ words.T).toarray(), pool, source)]
    for spec in encoders.values():
        vectors = open_encoder(spec).encode(pool.texts)
        found.append(ranked(lambda some, vectors=vectors: vectors[some] @ vectors.T, pool, source))
    best = max(found)
    cells = [f"**{each:.3f}**" if each == best else f"{each:.3f}" for each in found]
    return f"| {name} | {len(pool.texts):,} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--before", help="folder of an earlier encoder")
    parser.add_argument("--models", nargs="*", default=[])
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    others = ({"before": arguments.before} if arguments.before else {}) | {name: name for name in arguments.models}
    heads = ["words", "kembar-title", *others]
    lines = [f"| left out | titles | {' | '.join(heads)} |", "| --- " + "| ---: " * (1 + len(heads)) + "|"]
    for name in MARKETS:
        own = {"kembar-title": str(arguments.folder / f"encoder_{left_out(name)}")}
        lines.append(line(name, own | others))
        print(lines[-1], flush=True)
    text = "\n".join(lines) + "\n"
    if arguments.output:
        arguments.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
