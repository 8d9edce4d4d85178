"""Different photos of one product: does an encoder bring them together, for products it has never seen?

    python bench/grocery.py                      # the shipped encoder
    python bench/grocery.py --model encoder/
    python bench/grocery.py --train softmax triplet arcface [--base timm:NAME]

The products of `grocery` with an odd number are never trained on (`held_out`). All their photos form one pool: recall@1
says how often the nearest other photo shows the same product, mAP@R how well a product's R other photos fill the first
R places (Musgrave et al. 2020, "A metric learning reality check", section 3.2).
--train fine-tunes a whole network on the other products, by one loss after the other, and compares it with the frozen
one (docs/figures/grocery.md). Reads $KEMBAR_DATA, or ../shared/data beside the checkout.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from edits import DATA, SHIPPED, Floats, Labels, encode
from kembar.posts.catalog import Catalog
from kembar.training.program import train
from kembar.training.recipe import Recipe


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


LOSSES = {
    "softmax": ("loss=softmax", "scale=20"),
    "triplet": ("loss=triplet", "group_size=4", "margin=0.2", "margin_ramp=0"),
    "arcface": ("loss=arcface", "margin=0.3"),
}
WHOLE = ("epochs=6", "lr=2e-4", "batch=32", "image_size=128", "holdout=0", "augment=light", "workers=0")


def fine_tuned(options: argparse.Namespace) -> None:
    """Train the network on the products that are not held out, and score it on those that are."""
    paths, labels = grocery(DATA / "grocery", test=True)
    photos = [Image.open(path).convert("RGB") for path in paths]
    seen, groups = grocery(DATA / "grocery", test=False)
    posts = pl.DataFrame({"posting_id": [path.name for path in seen], "image": [path.name for path in seen]})
    catalog = Catalog.read(posts.with_columns(label_group=pl.Series(groups)), images=DATA / "grocery" / "images")
    print("| network | training | R@1 | mAP@R | seconds to train |\n| --- | --- | ---: | ---: | ---: |", flush=True)
    for loss in ("frozen", *options.train):
        changes = ("epochs=1", "lr=1e-12", "head_lr=1e-12", "neck=false") if loss == "frozen" else LOSSES[loss]
        recipe = Recipe.read(None, [f"model={options.base}", *WHOLE, *changes, *options.settings], "photo")
        with tempfile.TemporaryDirectory() as scratch:
            started = time.perf_counter()
            train(catalog, recipe, Path(scratch) / "encoder", int8=False)
            seconds = time.perf_counter() - started
            recall, mean_precision = recall_and_map(encode(Path(scratch) / "encoder", photos), labels)
        name = options.base.partition("@")[0]
        print(f"| {name} | {loss} | {recall:.4f} | {mean_precision:.4f} | {seconds:.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, nargs="+", default=[SHIPPED], help="folders of encoders, or one")
    parser.add_argument("--train", nargs="*", default=[], choices=list(LOSSES), help="losses")
    parser.add_argument("--base", default="timm:tf_efficientnet_lite0", help="the network to fine-tune")
    parser.add_argument("--set", nargs="*", default=[], dest="settings", help="options of the recipe")
    options = parser.parse_args()
    if options.train:
        fine_tuned(options)
        return
    paths, labels = grocery(DATA / "grocery", test=True)
    photos = [Image.open(path).convert("RGB") for path in paths]
    print(f"{len(photos):,} photos of {len(np.unique(labels))} held-out products")
    for model in options.model:
        recall, mean_precision = recall_and_map(encode(model, photos), labels)
        print(f"{model}: R@1 {recall:.4f}  mAP@R {mean_precision:.4f}", flush=True)


if __name__ == "__main__":
    main()
