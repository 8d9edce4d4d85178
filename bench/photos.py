"""Perceptual hashes of real photos against the ones that came with them, and the faster draft hash against the exact.

    python bench/photos.py

Reads $KEMBAR_DATA (shopee/images with shopee/posts.csv; clothing/images), or ../shared/data beside the checkout.
"""

import os
import statistics
import time
from pathlib import Path

from PIL import Image

from kembar.posts.catalog import Catalog
from kembar.posts.photos import draft_hash, perceptual_hash

DATA = Path(os.environ.get("KEMBAR_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


def main() -> None:
    photos = sorted((DATA / "shopee" / "images").glob("*.jpg"))
    posts = Catalog.read(DATA / "shopee" / "posts.csv")
    given = dict(zip(posts.images.to_list(), posts.hashes.tolist(), strict=True))
    bits = [(perceptual_hash(Image.open(path)) ^ given[path.name]).bit_count() for path in photos]
    print(f"{len(photos)} Shopee photos: {bits.count(0)} hashes equal the given one; differing bits {sorted(bits)}")
    for name, paths in (("shopee", photos), ("clothing", sorted((DATA / "clothing" / "images").glob("*.jpg"))[:1000])):
        compare(name, paths)


def compare(name: str, paths: list[Path]) -> None:
    ratios, bits = [], []
    for path in paths:
        start = time.perf_counter()
        exact = perceptual_hash(Image.open(path))
        middle = time.perf_counter()
        draft = draft_hash(path)
        ratios.append((middle - start) / (time.perf_counter() - middle))
        bits.append((exact ^ draft).bit_count())
    counts = ", ".join(f"{b} bits {bits.count(b) / len(bits):.1%}" for b in sorted(set(bits)))
    print(
        f"{name}, {len(paths)} photos: the draft hash is {statistics.median(ratios):.1f} times as fast; {counts} differ"
    )


if __name__ == "__main__":
    main()
