"""Catalogues without titles: what the defaults make of photos alone.

    python bench/photos_alone.py [--model kembar-classifier rules FOLDER ...] [--only edits ...] [--store FOLDER]

The pools are the held-out garments as sellers edit them (bench/edits.py, whole, and in its two halves), each of these
garments posted once, so that there is nothing to match, and the groceries: all, and the products that no training has
seen. Each is matched by what the defaults choose, by a classifier in a folder, or by `--model rules`; F1 is the mean
sample-wise one of the groups. CPU seconds are those of this process, without hashing and encoding. --store keeps the
vectors for the next time.
Reads $KEMBAR_DATA, or ../shared/data beside the checkout.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from edits import DATA, edit_set, held_out
from kembar.config import BY_RULES, SHIPPED, Config
from kembar.encoders.store import VectorStore
from kembar.evidence.photo_hashes import with_photo_hashes
from kembar.fitting.tuning import group_scores
from kembar.matcher import Matcher
from kembar.posts.catalog import Catalog

HEAD = (
    "| posts | n | matching nothing | F1 | precision | recall | matched | CPU seconds | judged by |\n"
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |"
)


def edits(scratch: Path, *, hard: bool) -> Catalog:
    """The edit set as a catalogue of files that lose nothing."""
    images, labels = edit_set(DATA / "clothing" / "images", hard=hard)
    names = [f"{row:05}.png" for row in range(len(images))]
    for name, image in zip(names, images, strict=True):
        image.save(scratch / name, compress_level=1)
    posts = pl.DataFrame({"posting_id": names, "image": names, "title": "", "label_group": labels})
    return Catalog.read(posts, images=scratch)


def garments(count: int, kind: str = "") -> Catalog:
    """Held-out garments, each once; of one kind where it is named."""
    folder = DATA / "clothing" / "images"
    names = sorted(path.name for path in folder.glob(f"{kind}*.jpg") if held_out(path.name))
    some = np.sort(np.random.default_rng(0).permutation(len(names))[:count])
    names = [names[at] for at in some]
    posts = pl.DataFrame({"posting_id": names, "image": names, "title": "", "label_group": range(len(names))})
    return Catalog.read(posts, images=folder)


def groceries() -> Catalog:
    """All groceries."""
    return Catalog.read(DATA / "grocery" / "posts.csv", images=DATA / "grocery" / "images")


def pools(scratch: Path) -> Iterator[tuple[str, Catalog]]:
    """All pools, by name."""
    for name, hard in (("edits", False), ("hard edits", True)):
        folder = scratch / name
        folder.mkdir()
        catalog = edits(folder, hard=hard)
        yield name, catalog
        half = np.random.default_rng(0).permutation(catalog.labels.max() + 1)[catalog.labels] % 2 == 0
        for part, rows in (("first half", half), ("second half", ~half)):
            yield f"{name}, {part}", catalog.take(np.flatnonzero(rows))
    yield "garments, each once", garments(300)
    yield "garments, each once", garments(1000)
    yield "T-shirts, each once", garments(1000, "t-shirt_")
    yield "shoes, each once", garments(1000, "shoes_")
    yield "groceries", groceries()
    yield "groceries, odd products", (every := groceries()).take(np.flatnonzero(every.labels % 2 == 1))


def row(name: str, catalog: Catalog, model: str, store: VectorStore) -> str:
    """Match a pool and score it."""
    began = time.process_time()
    result = Matcher(Config(model=model), store=store).match(catalog)
    seconds = time.process_time() - began
    alone = group_scores(np.arange(len(catalog)), catalog.labels)[:, 0].mean()
    f1, precision, recall = group_scores(result.groups.labels, catalog.labels).mean(axis=0)
    matched = np.mean(np.diff(result.matches.offsets) > 1)
    return (
        f"| {name} | {len(catalog):,} | {alone:.4f} | {f1:.4f} | {precision:.4f} | {recall:.4f} "
        f"| {matched:.1%} | {seconds:.1f} | {result.report['model']} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", default=[SHIPPED, BY_RULES], help="folders, kembar-classifier or rules")
    parser.add_argument("--only", nargs="*", help="pools whose names begin so")
    parser.add_argument("--store", type=Path, help="a folder of vectors")
    arguments = parser.parse_args()
    print(HEAD, flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        store = VectorStore(arguments.store or Path(scratch) / "store")
        for name, catalog in pools(Path(scratch)):
            if arguments.only is None or name.startswith(tuple(arguments.only)):
                hashed = with_photo_hashes(catalog, Config())
                Matcher(store=store).encoded(hashed)  # into the store
                for model in arguments.model:
                    print(row(name, hashed, model, store), flush=True)


if __name__ == "__main__":
    main()
