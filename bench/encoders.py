"""Encoders of titles on four folds of labelled Shopee posts: frozen, and trained with several losses.

    python bench/encoders.py --models use e5 st:FOLDER [--losses softmax triplet arcface] [-o docs/figures/encoders.md]
    python bench/encoders.py --models st:cahya/bert-base-indonesian-1.5G timm:eca_nfnet_l0 --train [--set epochs=8] ...
    python bench/encoders.py --vectors kembar-title=FOLDER
    python bench/encoders.py --models st:FOLDER --losses softmax triplet arcface --small -o docs/figures/whole.md

Each fold is a pool of its own; what is trained on is the other three folds, what is chosen (thresholds, blending) was
best on the other three. F1 / recall / precision of one configuration each, mean over folds.

--losses trains a linear layer on frozen vectors; --train trains whole models, from hub names or local folders, with
`kembar train`'s own recipe; --small trains whole models on one fold and scores two others, for a machine without a
GPU; --vectors scores FOLDER/title0.npy to title3.npy of `bench/train_title.py --left-out`, and --beside linear layers
concatenated with such vectors.
Photos need --images, and posts with photos. Frozen vectors are kept in --cache.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from kembar.config import Config
from kembar.encoders.embeddings import Embeddings
from kembar.encoders.protocol import Encoder
from kembar.encoders.registry import open_encoder
from kembar.encoders.store import VectorStore, encode
from kembar.fitting.tuning import Fitting, fold_numbers, tune
from kembar.posts.catalog import Catalog
from kembar.posts.titles import normalize
from kembar.training.losses import build_loss
from kembar.training.program import train
from kembar.training.recipe import Recipe
from kembar.training.samplers import GroupSampler
from shopee import MIN2, PLAIN
from titles import FOLDS, data

ALONE = ["word=false", "char=false", "hash=false"]
WIDTH, EPOCHS, BATCH = 384, 8, 256
BLENDS = tuple(
    {"advanced.blend.threshold": t, "advanced.blend.min2": 0.55 * t, "advanced.blend.keep": k}
    for t in (0.6, 0.7, 0.8)
    for k in (0.25,)
)
HEADS = {
    "softmax": {"loss": "softmax", "scale": 20.0},
    "triplet": {"loss": "triplet", "group_size": 4, "margin": 0.2, "margin_ramp": 0.0},
    "arcface": {"loss": "arcface", "margin": 0.5, "margin_ramp": 0.5},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=[])
    parser.add_argument("--losses", nargs="*", default=[], choices=list(HEADS))
    parser.add_argument("--vectors", nargs="*", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--beside", metavar="NAME=FOLDER", help="score linear layers beside these vectors too")
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--set", nargs="*", default=[], dest="settings")
    parser.add_argument("--posts", type=Path, default=data() / "shopee" / "posts.csv")
    parser.add_argument("--images", type=Path)
    parser.add_argument("--cache", type=Path, default=Path("vectors"))
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    catalog = Catalog.read(arguments.posts, images=arguments.images)
    lines = [
        f"{len(catalog):,} posts, {FOLDS} folds; mean over folds ± standard deviation; seconds on one core.",
        "",
        "| encoder | training | F1 | + min2 | + blending | P | R | seconds to train a fold | items per second |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    print("\n".join(lines), flush=True)
    for line in rows(catalog, arguments):
        lines.append(line)
        print(line, flush=True)
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


def rows(catalog: Catalog, arguments: argparse.Namespace) -> Iterator[str]:
    fold = fold_numbers(catalog.labels, FOLDS)
    for spec in arguments.models:
        if arguments.small:
            yield from small(catalog, fold, spec, arguments)
            continue
        if arguments.train:
            yield trained(catalog, fold, spec, arguments)
            continue
        encoder = open_encoder(spec, device="cpu")
        vectors, speed = frozen(catalog, encoder, VectorStore(arguments.cache))
        yield row(label(spec), "frozen", catalog, encoder.modality, vectors, 0.0, speed)
        for loss in arguments.losses:
            started = time.perf_counter()
            parts = np.zeros((len(catalog), WIDTH), dtype=np.float32)
            for f in range(FOLDS):
                parts[fold == f] = head(vectors, catalog.labels, fold != f, HEADS[loss])[fold == f]
            seconds = (time.perf_counter() - started) / FOLDS
            yield row(label(spec), f"linear layer, {loss}", catalog, encoder.modality, parts, seconds, speed)
            if arguments.beside:
                name, own = out_of_fold(arguments.beside, fold)
                both = np.concatenate([parts, own], axis=1) / np.float32(2**0.5)
                yield row(
                    f"{label(spec)} beside {name}", f"linear layer, {loss}", catalog, "title", both, seconds, speed
                )
    for given in arguments.vectors:
        name, own = out_of_fold(given, fold)
        yield row(name, "whole, arcface", catalog, "title", own, float("nan"), float("nan"))


def out_of_fold(given: str, fold: np.ndarray) -> tuple[str, np.ndarray]:
    """Read NAME=FOLDER: each post's vector by the encoder that has not seen its fold."""
    name, _, folder = given.partition("=")
    parts = np.stack([np.load(Path(folder) / f"title{f}.npy") for f in range(FOLDS)])
    return name, parts[fold, np.arange(len(fold))]


def trained(catalog: Catalog, fold: np.ndarray, spec: str, arguments: argparse.Namespace) -> str:
    """Train the whole model for each fold on the others, export it, and encode the fold with what was exported."""
    modality = "photo" if spec.startswith("timm:") else "title"
    recipe = Recipe.read(None, [f"model={spec}", *arguments.settings], modality)
    started, parts = time.perf_counter(), []
    with tempfile.TemporaryDirectory() as scratch:
        for f in range(FOLDS):
            folder = Path(scratch) / f"fold{f}"
            train(catalog.take(np.flatnonzero(fold != f)), recipe, folder)
            encoder = open_encoder(folder, device="cpu")
            vectors, speed = frozen(
                catalog.take(np.flatnonzero(fold == f)), encoder, VectorStore(Path(scratch) / "store")
            )
            parts.append(vectors)
    seconds = (time.perf_counter() - started) / FOLDS
    own = np.zeros((len(catalog), parts[0].shape[1]), dtype=np.float32)
    for f, vectors in enumerate(parts):
        own[fold == f] = vectors
    return row(label(spec), f"whole, {recipe.loss}", catalog, modality, own, seconds, speed)


WHOLE = ("epochs=2", "lr=5e-5", "batch=64", "length=32", "holdout=0", "neck=false", "workers=0")


def small(catalog: Catalog, fold: np.ndarray, spec: str, arguments: argparse.Namespace) -> Iterator[str]:
    """Train the whole model on one fold, and score two others, each by the thresholds of the other one."""
    scored = catalog.take(np.flatnonzero((fold == 0) | (fold == 2)))
    untrained = open_encoder(spec, device="cpu")
    vectors, speed = frozen(scored, untrained, VectorStore(arguments.cache))
    yield row(label(spec), "frozen", scored, untrained.modality, vectors, 0.0, speed, folds=2)
    for loss in arguments.losses:
        changes = [f"{key}={value}" for key, value in HEADS[loss].items()]
        recipe = Recipe.read(None, [f"model={spec}", *WHOLE, *changes, *arguments.settings], "title")
        with tempfile.TemporaryDirectory() as scratch:
            started = time.perf_counter()
            train(catalog.take(np.flatnonzero(fold == 1)), recipe, Path(scratch) / "encoder", int8=False)
            seconds = time.perf_counter() - started
            encoder = open_encoder(Path(scratch) / "encoder", device="cpu")
            vectors, speed = frozen(scored, encoder, VectorStore(Path(scratch) / "store"))
        yield row(label(spec), f"whole, {loss}", scored, encoder.modality, vectors, seconds, speed, folds=2)


def label(spec: str) -> str:
    """Name a model without the folder that it lies in."""
    return spec if "/" not in spec else spec.rsplit("/", maxsplit=1)[-1]


def frozen(catalog: Catalog, encoder: Encoder, store: VectorStore) -> tuple[np.ndarray, float]:
    """Encode all posts, and time 256 of them apart from the store."""
    photos = encoder.modality == "photo"
    items = [path for path in catalog.photo_paths() if path] if photos else normalize(catalog.titles).to_list()
    started = time.perf_counter()
    encoder.encode(items[:256])
    speed = len(items[:256]) / (time.perf_counter() - started)
    return encode(encoder, items, store), speed


def head(vectors: np.ndarray, labels: np.ndarray, seen: np.ndarray, options: dict[str, object]) -> np.ndarray:
    """Train a linear layer on the frozen vectors of some posts, and put all posts through it."""
    torch.manual_seed(0)
    recipe = Recipe.title(epochs=EPOCHS, batch=BATCH, **options)
    mean = vectors[seen].mean(axis=0)
    inputs = torch.from_numpy(vectors - mean)
    _, codes = np.unique(labels[seen], return_inverse=True)
    layer = nn.Linear(vectors.shape[1], WIDTH, bias=False)
    nn.init.orthogonal_(layer.weight)
    loss = build_loss(recipe, np.bincount(codes), WIDTH)
    optimizer = torch.optim.Adam([{"params": layer.parameters()}, {"params": loss.parameters(), "lr": 5e-3}], lr=1e-3)
    rows, codes = torch.from_numpy(np.flatnonzero(seen)), torch.from_numpy(codes)
    for epoch in range(EPOCHS):
        for batch in batches(codes.numpy(), recipe, epoch):
            optimizer.zero_grad()
            loss(layer(inputs[rows[batch]]), codes[batch]).backward()
            optimizer.step()
        loss.advance((epoch + 1) / EPOCHS)
    with torch.no_grad():
        return nn.functional.normalize(layer(inputs)).numpy()


def batches(codes: np.ndarray, recipe: Recipe, epoch: int) -> Iterator[list[int]]:
    if recipe.group_size:
        sampler = GroupSampler(codes, recipe.groups, recipe.group_size, 0, cover="groups")
        sampler.set_epoch(epoch)
        yield from sampler
        return
    order = np.random.default_rng(epoch).permutation(len(codes))
    yield from (part.tolist() for part in np.array_split(order, len(codes) // recipe.batch))


def strangers(vectors: np.ndarray, pairs: int = 20_000) -> float:
    """Mean cosine of posts taken at random, which means nothing in common: some encoders give all pairs .8."""
    left, right = np.random.default_rng(0).integers(len(vectors), size=(2, pairs))
    return max(0.0, float(np.einsum("ij,ij->i", vectors[left], vectors[right])[left != right].mean()))


def row(
    name: str,
    training: str,
    catalog: Catalog,
    modality: str,
    vectors: np.ndarray,
    seconds: float,
    speed: float,
    folds: int = FOLDS,
) -> str:
    """Score vectors alone: plain, with min2, and blended."""
    scores = []
    floor = [f"{modality}.floor={strangers(vectors):.3f}"]
    for settings, blends in (
        (PLAIN, ({},)),
        (MIN2, ({},)),
        (["advanced.fusion.veto=false", "rule=threshold", "advanced.blend.search=true"], BLENDS),
    ):
        config = Config.read(None, [*ALONE, *floor, *settings])
        scores.append(
            tune(
                catalog,
                config,
                blends=blends,
                embeddings={modality: Embeddings.of(vectors)},
                how=Fitting(folds=folds, pool="fold"),
            )
        )
    f1 = [found.f1() for found in scores]
    cells = [f"{mean:.4f} ± {spread:.4f}" for mean, spread in f1]
    last = scores[-1].folds
    cells += [f"{last['precision'].mean():.4f}", f"{last['recall'].mean():.4f}"]
    cells += [f"{seconds:.0f}" if seconds == seconds else "", f"{speed:,.0f}" if speed == speed else ""]
    return f"| {name} | {training} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
