"""Different photos of one product: does an encoder bring them together, for products it has never seen?

    python bench/grocery.py                      # the shipped encoder
    python bench/grocery.py --model encoder/

The products of `grocery` with an odd number are never trained on (`held_out`). All their photos form one pool: recall@1
says how often the nearest other photo shows the same product, mAP@R how well a product's R other photos fill the first
R places (Musgrave et al. 2020, "A metric learning reality check", section 3.2).
Reads $KEMBAR_DATA, or ../shared/data beside the checkout.
"""

import argparse
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from edits import DATA, SHIPPED, Floats, Labels, encode


def held_out(product: int) -> bool:
    return product % 2 == 1


def grocery(folder: Path, *, test: bool) -> tuple[list[Path], Labels]:
    """List the photos of the held-out products, or of the others, and their products."""
    posts = pl.read_csv(folder / "posts.csv").filter((pl.col("label_group") % 2 == 1) == test)
    return [folder / "images" / name for name in posts["image"]], posts["label_group"].to_numpy()


def recall_and_map(vectors: Floats, labels: Labels) -> tuple[float, float]:
    """Mean recall@1 and mAP@R of unit vectors, over the photos whose product has another one."""
    likeness = vectors @ vectors.T
    np.fill_diagonal(likeness, -np.inf)
    order = np.argsort(-likeness, axis=1, kind="stable")[:, :-1]
    right = labels[order] == labels[:, None]
    others = right.sum(axis=1)
    place = np.arange(1, right.shape[1] + 1)
    within = right & (place <= others[:, None])
    precision = (np.cumsum(right, axis=1) / place * within).sum(axis=1)
    some = others > 0
    return float(right[some, 0].mean()), float((precision[some] / others[some]).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, nargs="+", default=[SHIPPED], help="folders of encoders, or one")
    options = parser.parse_args()
    paths, labels = grocery(DATA / "grocery", test=True)
    photos = [Image.open(path).convert("RGB") for path in paths]
    print(f"{len(photos):,} photos of {len(np.unique(labels))} held-out products")
    for model in options.model:
        recall, mean_precision = recall_and_map(encode(model, photos), labels)
        print(f"{model}: R@1 {recall:.4f}  mAP@R {mean_precision:.4f}", flush=True)


if __name__ == "__main__":
    main()
