"""Cases from the field: siblings that must stay apart, pools without twins, evidence that says nothing.

    python bench/field.py [--model kembar-classifier] [-o docs/figures/field.md]

Reads $KEMBAR_DATA/field, or ../shared/data/field beside the checkout, and runs `kembar match` on each case.
"""

import argparse
import random
from pathlib import Path

import numpy as np
import polars as pl

from kembar import Config, Matcher
from kembar.posts.catalog import Catalog
from kembar.results.result import Result
from lessons import some_groups, thin
from titles import data

CASES = (
    "photo-placeholder",
    "title-generic",
    "title-null-text",
    "photo-blank",
    "photo-16bit",
    "one-product-3000-offers",
)
MIXED = 3000  # Shopee posts among which the siblings are


def matched(posts: pl.DataFrame | Path, model: str, images: Path | None = None) -> Result:
    return Matcher(Config(model=model)).match(Catalog.read(posts, images=images))


def shop(size: int, seed: int = 5, *, twins: bool = True) -> pl.DataFrame:
    """Some Shopee posts: whole groups, or one post of each."""
    posts = pl.read_csv(data() / "shopee" / "posts.csv", infer_schema_length=0).drop("image")
    labels = posts["label_group"].rank("dense").to_numpy().astype(np.int64)
    draw = np.random.default_rng(seed)
    rows = some_groups(labels, draw, size) if twins else draw.choice(thin(labels, draw, 0.0), size, replace=False)
    return posts[np.sort(rows).tolist()]


def siblings() -> pl.DataFrame:
    return pl.read_csv(data() / "field" / "siblings.csv", infer_schema_length=0)


def counts(groups: np.ndarray, cases: pl.DataFrame) -> str:
    """Pairs of one case: of two products in one group, and of one product in two."""
    case, label = (cases[name].rank("dense").to_numpy() for name in ("case", "label_group"))
    left, right = np.triu_indices(len(case), 1)
    inside = case[left] == case[right]
    together, same = groups[left] == groups[right], label[left] == label[right]
    wrong, missed = (inside & ~same & together).sum(), (inside & same & ~together).sum()
    return f"wrong {wrong} of {(inside & ~same).sum()}, missed {missed} of {(inside & same).sum()}"


def alone(model: str) -> str:
    """Every case a catalogue of its own."""
    cases, groups, offset = siblings(), [], 0
    for part in cases.partition_by("case", maintain_order=True):
        found = matched(part.drop("case"), model).groups.labels
        groups.append(found + offset)
        offset += len(found)
    return counts(np.concatenate(groups), cases)


def mixed(model: str, *, photo: bool) -> str:
    """All cases among Shopee posts; with one stock photo for all posts of a case, or with no photo."""
    cases, draw = siblings(), random.Random(3)
    stock = {case: f"{draw.getrandbits(64):016x}" for case in cases["case"].unique().sort()}
    hashes = [stock[case] if photo else None for case in cases["case"]]
    own = cases.with_columns(pl.Series("image_phash", hashes, dtype=pl.String)).drop("case")
    posts = pl.concat([shop(MIXED), own], how="diagonal")
    return counts(matched(posts, model).groups.labels[-len(cases) :], cases)


def without_twins(size: int, model: str) -> str:
    """Share of the posts that get a match though none has one."""
    result = matched(shop(size, twins=False), model)
    sizes = np.bincount(result.groups.labels)
    return f"{(sizes[result.groups.labels] > 1).mean():.3f}"


def case(name: str, model: str) -> str:
    folder = data() / "field" / name
    photos = folder / "photos"
    result = matched(folder / "posts.csv", model, photos if photos.is_dir() else None)
    score = "" if result.catalog.labels is None else f"F1 {result.scores()['f1']:.3f}, "
    sizes = np.bincount(result.groups.labels)
    return f"{score}{len(sizes)} groups, the largest of {sizes.max()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="kembar-classifier")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    model = arguments.model
    rows = [
        ("siblings, every case alone", lambda: alone(model)),
        (f"siblings among {MIXED:,} Shopee posts", lambda: mixed(model, photo=False)),
        ("the same, one stock photo for each case", lambda: mixed(model, photo=True)),
        *(
            (f"nobody has a twin, {size:,} posts: matched", lambda size=size: without_twins(size, model))
            for size in (300, 1000)
        ),
        *((name, lambda name=name: case(name, model)) for name in CASES),
    ]
    lines = ["| case | found |", "| --- | --- |"]
    for name, run in rows:
        lines.append(f"| {name} | {run()} |")
        print(lines[-1], flush=True)
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
