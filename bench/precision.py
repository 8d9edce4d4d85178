"""The title encoder in int8 beside float32 and torch: size, cosine, F1, titles a second.

    python bench/precision.py -o docs/figures/precision.md

Trains on three of four folds, exports in both precisions, and scores the fourth as a pool of its own, thresholds from
other groups. Speeds are taken in turns, the median of five rounds over the same 4,096 titles, on two cores. For the
photo encoder, `bench/card.py` has the same figures.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from encoders import ALONE
from kembar.config import Config
from kembar.encoders.embeddings import Embeddings
from kembar.encoders.registry import open_encoder
from kembar.fitting.tuning import Fitting, fold_numbers, tune
from kembar.posts.catalog import Catalog
from kembar.posts.titles import normalize
from shopee import MIN2
from titles import FOLDS, Titles, data
from train_title import encode, save, train

ROUNDS, TIMED = 5, 4096


def rows(catalog: Catalog, fold: int) -> list[str]:
    """Train without a fold and make the table's lines."""
    held = np.flatnonzero(fold_numbers(catalog.labels, FOLDS) == fold)
    seen = np.setdiff1d(np.arange(len(catalog)), held)
    titles = normalize(catalog.titles).to_list()
    torch.set_num_threads(1)  # sums in one order: the same weights every time
    net = train([Titles("shopee", titles, catalog.labels).take(seen)])
    torch.set_num_threads(2)
    own = [titles[row] for row in held]
    with tempfile.TemporaryDirectory() as scratch:
        run: dict[str, Callable[[list[str]], np.ndarray]] = {"torch, float32": lambda some: encode(net, some)}
        sizes = {"torch, float32": sum(value.nbytes for value in net.state_dict().values()) / 1e6}
        for precision in ("float32", "int8"):
            folder = Path(scratch) / precision
            save(net, folder, "", int8=precision == "int8")
            name = f"ONNX, {precision}"
            run[name] = open_encoder(folder, device="cpu").encode
            sizes[name] = (folder / "model.onnx").stat().st_size / 1e6
        vectors = {name: encoder(own) for name, encoder in run.items()}
        speeds = timed(run, own[:TIMED])
    reference = vectors["torch, float32"]
    lines = []
    for name, found in vectors.items():
        cosine = (found * reference).sum(axis=1)
        cells = (f"{sizes[name]:.1f}", f"{cosine.min():.4f}", f"{f1(catalog.take(held), found):.4f}")
        lines.append(f"| {name} | {' | '.join(cells)} | {speeds[name] / speeds['torch, float32']:.1f} |")
    return lines


def timed(run: dict[str, Callable[[list[str]], np.ndarray]], titles: list[str]) -> dict[str, float]:
    """Measure titles a second, in turns."""
    seconds: dict[str, list[float]] = {name: [] for name in run}
    for turn in range(ROUNDS + 1):
        for name, encoder in run.items():
            started = time.perf_counter()
            encoder(titles)
            if turn:  # the first round warms up
                seconds[name].append(time.perf_counter() - started)
    rates = {name: len(titles) / statistics.median(taken) for name, taken in seconds.items()}
    print({name: round(rate) for name, rate in rates.items()}, flush=True)
    return rates


def f1(catalog: Catalog, vectors: np.ndarray) -> float:
    """Score vectors alone, with min2."""
    config = Config.read(None, [*ALONE, *MIN2])
    return tune(
        catalog, config, embeddings={"title": Embeddings.of(vectors)}, how=Fitting(folds=FOLDS, pool="whole")
    ).f1()[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fold", type=int, default=3)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    torch.set_flush_denormal(True)
    catalog = Catalog.read(data() / "shopee" / "posts.csv")
    lines = [
        "| title encoder | MB | least cosine with torch | F1 alone + min2 | times as fast as torch |",
        "| --- | ---: | ---: | ---: | ---: |",
        *rows(catalog, arguments.fold),
    ]
    print("\n".join(lines))
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
