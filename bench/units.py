"""What each category of quantities is worth as a veto, on the Shopee posts; prints a Markdown table.

For each category alone, and for VETO as a whole: the true pairs (same label) it would forbid, the hard true pairs (word
TF-IDF cosine above .5, same label) and the hard false pairs (same cut, other label), and the change of mean F1 of word
TF-IDF matching over all posts, at a loose, a middling and a strict threshold, with min2 .3.

Run: python bench/units.py (the data folder is KEMBAR_DATA, or ../shared/data beside the repository).
"""

import os
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.feature_extraction.text import TfidfVectorizer
from sparse_dot_topn import sp_matmul_topn

from kembar.posts.quantities import Quantities
from kembar.posts.titles import normalize
from kembar.posts.units import CATEGORIES, VETO

DATA = Path(os.environ.get("KEMBAR_DATA", Path(__file__).parents[2] / "shared" / "data"))
THRESHOLDS, MIN2, HARD = (0.45, 0.55, 0.65), 0.3, 0.5
Integers = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class Neighbors(NamedTuple):
    """Directed candidate pairs: the nearest 50 posts of each by word TF-IDF, best first, without the post itself."""

    left: Integers
    right: Integers
    score: npt.NDArray[np.float32]
    same: Bools


def neighbors(titles: pl.Series, labels: Integers) -> Neighbors:
    words = TfidfVectorizer(dtype=np.float32, token_pattern=r"\w+", binary=True).fit_transform(titles.to_list())
    found = sp_matmul_topn(words, words.T.tocsr(), top_n=51, threshold=MIN2, n_threads=2).tocoo()
    order = np.lexsort((found.col, -found.data, found.row))
    left, right, score = found.row[order].astype(np.int64), found.col[order].astype(np.int64), found.data[order]
    other = left != right
    left, right, score = left[other], right[other], score[other]
    return Neighbors(left, right, score, labels[left] == labels[right])


def true_pairs(labels: Integers) -> tuple[Integers, Integers]:
    posts = pl.DataFrame({"row": np.arange(len(labels)), "label": labels})
    pairs = posts.join(posts, on="label").filter(pl.col("row") < pl.col("row_right"))
    return pairs["row"].to_numpy(), pairs["row_right"].to_numpy()


def f1(near: Neighbors, sizes: Integers, keep: Bools, threshold: float) -> float:
    left, score, same = near.left[keep], near.score[keep], near.same[keep]
    nearest = np.r_[True, left[1:] != left[:-1]]
    taken = (score >= threshold) | (nearest & (score >= MIN2))
    right = np.bincount(left[taken], same[taken], len(sizes)) + 1
    return float((2 * right / (np.bincount(left[taken], minlength=len(sizes)) + 1 + sizes)).mean())


def row(name: str, said: int, counts: list[tuple[int, int]], gains: list[float]) -> str:
    vetoes = " | ".join(f"{count:,} ({count / total:.3%})" for count, total in counts)
    return f"| {name} | {said:,} | {vetoes} | " + " | ".join(f"{1e4 * gain:+.1f}" for gain in gains) + " |"


def speed(titles: pl.Series, quantities: Quantities, speaking: Integers) -> str:
    many = pl.concat([titles] * 16)
    start = time.perf_counter()
    Quantities.parse(many)
    reading = len(many) / (time.perf_counter() - start)
    left, right = np.random.default_rng(0).choice(speaking, (2, 1_000_000))
    start = time.perf_counter()
    quantities[left].conflicts(quantities[right])
    comparing = 1e6 / (time.perf_counter() - start)
    return f"{reading:,.0f} titles read and {comparing:,.0f} pairs of titles with quantities compared a second."


def main() -> None:
    posts = pl.read_csv(DATA / "shopee" / "posts.csv")
    titles, labels = normalize(posts["title"]), posts["label_group"].to_numpy()
    quantities = Quantities.parse(titles)
    _, group, size = np.unique(labels, return_inverse=True, return_counts=True)
    near = neighbors(titles, labels)
    hard = (near.score > HARD) & (near.left < near.right)
    everything = np.ones(len(near.left), bool)
    base = [f1(near, size[group], everything, t) for t in THRESHOLDS]
    ends = [true_pairs(labels), *((near.left[k], near.right[k]) for k in (hard & near.same, hard & ~near.same))]
    sides = [(quantities[left], quantities[right]) for left, right in ends]
    all_left, all_right = quantities[near.left], quantities[near.right]

    cuts = " | ".join(f"F1 x 10^4 at {t}" for t in THRESHOLDS)
    print(f"{len(titles):,} posts, base F1 {', '.join(f'{b:.4f}' for b in base)} at {THRESHOLDS}\n")
    print(f"| category | titles | true pairs lost | hard true pairs lost | hard false pairs forbidden | {cuts} |")
    print("| --- |" + " ---: |" * 7)
    rows = np.repeat(np.arange(len(titles)), np.diff(quantities.offsets))
    sets = [(name, (name,)) for name in CATEGORIES]
    for name, chosen in [*sets, ("**veto**", VETO), ("all", CATEGORIES)]:
        said = len(np.unique(rows[np.isin(quantities.categories, [CATEGORIES.index(c) for c in chosen])]))
        counts = [(int(a.conflicts(b, chosen).sum()), len(a)) for a, b in sides]
        keep = ~all_left.conflicts(all_right, chosen)
        gains = [f1(near, size[group], keep, t) - b for t, b in zip(THRESHOLDS, base, strict=True)]
        print(row(name, said, counts, gains))
    print(f"\n{speed(titles, quantities, np.unique(rows))}")


if __name__ == "__main__":
    main()
