"""Train the title encoder that comes with kembar: hashed words weighed in their context, with ArcFace.

    python bench/train_title.py                        # the shipped one, from all labelled posts
    python bench/train_title.py --left-out -o FOLDER   # one without each market and each of four folds of Shopee

Reads the titles of bench/titles.py. A batch is of one market, so that a product is told from others of its market.
With --left-out FOLDER holds encoder_abt_buy ... and, for the folds of Shopee, encoder0 to encoder3, with the vectors of
all Shopee posts by each: title0.npy to title3.npy. A title's vector has two parts. The surface
is a weighted sum of fixed random vectors, one for each word, pair of words and n-gram: TF-IDF after a random
projection, but for the weights. A feature's own weight is learned, and so is the weight of a word at its place, by two
small convolutions over the title: what it tells may depend on its neighbours. The senses are learned vectors, summed
likewise.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from kembar.encoders.words import Batch, Words
from kembar.folders import new_folder
from titles import MARKETS, SHOPEE, Titles, left_out, read, to_learn_from

POOL, SURFACE = 8192, 512  # rows and width of the random vectors
GATES = 1 << 18  # weights; a feature number in [0, 2^31) is gate * POOL + row
SENSES, SENSE, KEY = 1 << 17, 48, 24  # rows and widths of the learned vectors
HIDDEN, SHARE = 64, 0.2  # of the convolutions; and the share of the senses in a similarity
EPOCHS, BATCH, DROP = 5, 256, 0.2
POWER = 0.6  # of the size of a market, for its share of the batches
READ = {"shortest": 2, "longest": 4, "most": 128, "apart": True}  # how titles become words
SCALE, MARGIN = 30.0, 0.5  # of ArcFace (Deng et al. 2019)
LEFT_OUT = (*dict.fromkeys(map(left_out, MARKETS)), *SHOPEE)
GATE_LR, LR, HEAD_LR, WARMUP = 0.05, 2e-3, 5e-3, 0.1


class TitleNet(nn.Module):
    """The words of titles to (n, SURFACE + SENSE) unit rows."""

    def __init__(self, gates: Tensor) -> None:
        super().__init__()
        self.register_buffer("pool", torch.randn(POOL, SURFACE) / SURFACE**0.5)
        self.gates = nn.Parameter(gates)  # logarithms
        self.keys = nn.Parameter(0.3 * torch.randn(SENSES, KEY))
        self.senses = nn.Parameter(0.05 * torch.randn(SENSES, SENSE))
        self.first = nn.Conv1d(KEY + 4, HIDDEN, 3, padding=1)
        self.second = nn.Conv1d(HIDDEN, HIDDEN, 3, padding=1)
        self.score = nn.Linear(2 * HIDDEN, 1)
        nn.init.zeros_(self.score.weight)
        nn.init.zeros_(self.score.bias)

    def forward(self, batch: Batch, drop: float = 0.0) -> Tensor:
        """Encode a batch; `drop` is the share of features left out at random."""
        parts = [self.bags(torch.from_numpy(part), drop) for part in (batch.short, batch.middle, batch.long)]
        words, pairs = torch.from_numpy(batch.words), torch.from_numpy(batch.pairs)
        surface, sense, key = (functional.pad(torch.cat(rows), (0, 0, 1, 0)) for rows in zip(*parts, strict=True))
        shapes = functional.pad(torch.from_numpy(batch.shapes), (0, 0, 1, 0))
        there = (words > 0).float()
        weight = self.weights(torch.cat([key, shapes], 1)[words], there)
        paired = self.gates[pairs // POOL].exp() * (pairs > 0) * weight * kept(pairs, drop)
        parts = (
            torch.einsum("nk,nkd->nd", weight, surface[words])
            + functional.embedding_bag(pairs % POOL, self.pool, mode="sum", per_sample_weights=paired * signs(pairs)),
            torch.einsum("nk,nkd->nd", weight, sense[words])
            + functional.embedding_bag(pairs // POOL // 2, self.senses, mode="sum", per_sample_weights=paired),
        )
        surface, sense = (functional.normalize(part) for part in parts)
        return torch.cat([surface * (1 - SHARE) ** 0.5, sense * SHARE**0.5], 1)

    def bags(self, features: Tensor, drop: float) -> tuple[Tensor, Tensor, Tensor]:
        """Sum the features of words: surfaces, senses and keys."""
        there = (features > 0) * kept(features, drop)
        gate = features // POOL
        weight = self.gates[gate].exp() * there
        share = there / there.sum(1, keepdim=True).clamp(min=1)
        bag = functional.embedding_bag
        return (
            bag(features % POOL, self.pool, mode="sum", per_sample_weights=weight * signs(features)),
            bag(gate // 2, self.senses, mode="sum", per_sample_weights=weight),
            bag(gate // 2, self.keys, mode="sum", per_sample_weights=share),
        )

    def weights(self, words: Tensor, there: Tensor) -> Tensor:
        """Weigh the words of titles: (n, k, KEY + 2) to (n, k)."""
        place = torch.arange(there.shape[1]) * there
        count = there.sum(1, keepdim=True).clamp(min=1)
        x = torch.cat([words, (place / 10)[..., None], (place / count)[..., None]], 2).transpose(1, 2)
        x = functional.relu(self.first(x)) * there[:, None]
        x = functional.relu(self.second(x)) * there[:, None]
        whole = x.sum(2) / count
        near = x.transpose(1, 2) @ self.score.weight[0, :HIDDEN]
        far = whole @ self.score.weight[0, HIDDEN:]
        return (near + far[:, None] + self.score.bias).exp() * there


def signs(features: Tensor) -> Tensor:
    """Half of the features that share a random vector take its opposite."""
    return 1.0 - 2.0 * (features // POOL % 2)


def kept(features: Tensor, drop: float) -> Tensor:
    return (torch.rand(features.shape) >= drop).float() if drop else torch.ones(features.shape)


def arcface(vectors: Tensor, centers: Tensor, labels: Tensor) -> Tensor:
    cosines = vectors @ functional.normalize(centers).T
    own = cosines.gather(1, labels[:, None]).clamp(-1 + 1e-6, 1 - 1e-6)
    widened = cosines.scatter(1, labels[:, None], torch.cos(torch.acos(own) + MARGIN))
    return functional.cross_entropy(SCALE * widened, labels)


def rarities(titles: list[str]) -> Tensor:
    """Start from inverse document frequencies, as TF-IDF weighs; a feature never seen has the highest."""
    batch = Words(**READ).batch(titles)
    columns = batch.long.shape[1]
    parts = [np.pad(part, ((0, 0), (0, columns - part.shape[1]))) for part in (batch.short, batch.middle, batch.long)]
    features = np.concatenate([np.zeros((1, columns), np.int64), *parts])
    owner = np.repeat(np.arange(len(titles)), batch.words.shape[1])
    rows = [(owner, batch.pairs.ravel())]
    rows += [(owner, features[batch.words.ravel(), at]) for at in range(features.shape[1])]
    keys = [np.unique(who[what > 0] * GATES + what[what > 0] // POOL) for who, what in rows]
    seen = np.bincount(np.unique(np.concatenate(keys)) % GATES, minlength=GATES)
    return torch.from_numpy(np.log((np.log((1 + len(titles)) / (1 + seen)) + 1) / 10).astype(np.float32))


def encode(net: TitleNet, titles: list[str]) -> np.ndarray:
    with torch.no_grad():
        parts = [net(Words(**READ).batch(titles[at : at + 512])) for at in range(0, len(titles), 512)]
    return torch.cat(parts).numpy()


def train(pools: list[Titles], seed: int = 0) -> TitleNet:
    """Train on the titles of markets."""
    torch.manual_seed(seed)
    net = TitleNet(rarities([title for pool in pools for title in pool.texts]))
    centers = [first_centers(net, pool) for pool in pools]
    rest = [parameter for name, parameter in net.named_parameters() if name != "gates"]
    rates = (GATE_LR, HEAD_LR, LR)
    optimizer = torch.optim.Adam(
        [{"params": [net.gates]}, {"params": centers}, {"params": rest}], lr=LR, betas=(0.9, 0.98)
    )
    batches, started = list(drawn(pools, np.random.default_rng(seed))), time.perf_counter()
    steps, total = len(batches), 0.0
    for step, (at, rows) in enumerate(batches, 1):
        factor = min(1, step / (WARMUP * steps)) * 0.5 * (1 + np.cos(np.pi * step / steps))
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * factor
        vectors = net(Words(**READ).batch([pools[at].texts[row] for row in rows]), DROP)
        loss = arcface(vectors, centers[at], torch.from_numpy(pools[at].groups[rows]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
        if step % (steps // EPOCHS) == 0:
            mean = total / (steps // EPOCHS)
            print(f"step {step} of {steps}  loss {mean:.3f}  {time.perf_counter() - started:.0f} s", flush=True)
            total = 0.0
    return net


def first_centers(net: TitleNet, pool: Titles) -> nn.Parameter:
    """Start the center of a group from the vectors of its titles."""
    start = torch.from_numpy(encode(net, pool.texts))
    centers = torch.zeros(pool.groups.max() + 1, start.shape[1]).index_add_(0, torch.from_numpy(pool.groups), start)
    return nn.Parameter(functional.normalize(centers))


def drawn(pools: list[Titles], draw: np.random.Generator) -> Iterator[tuple[int, np.ndarray]]:
    """Draw the batches of all epochs: the number of a market, and rows of it.

    The largest market is gone through once per epoch; one of a fraction of its size has more than this fraction of its
    batches (fraction^POWER), so that small markets have their say.
    """
    sizes = np.array([len(pool.texts) for pool in pools])
    counts = np.maximum(1, sizes.max() / BATCH * (sizes / sizes.max()) ** POWER).astype(int)
    for _ in range(EPOCHS):
        plan = []
        for at, (size, count) in enumerate(zip(sizes, counts, strict=True)):
            rounds = 1 + count * BATCH // size
            rows = np.concatenate([draw.permutation(size) for _ in range(rounds)])
            plan += [(at, rows[first : first + BATCH]) for first in range(0, count * BATCH, BATCH)]
        yield from (plan[at] for at in draw.permutation(len(plan)))


class Graph:
    """The same computation as `TitleNet.forward`, in ONNX, its tables in int8 or float32.

    Args:
        net: the trained encoder.
        int8: whether to round the tables; a table has one scale, which is multiplied in after its rows are summed.
    """

    def __init__(self, net: TitleNet, *, int8: bool) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.int8 = int8
        self.scales: dict[str, float] = {}
        for name in ("pool", "senses", "keys"):
            self._table(name, getattr(net, name).detach().numpy())
        gates = net.gates.exp().detach().numpy()
        self.constant("gates", gates.astype(np.float16) if int8 else gates)
        self._tables_of_words(net)
        self._title(net)
        info = [
            helper.make_tensor_value_info(
                name, TensorProto.FLOAT if name == "shapes" else TensorProto.INT64, SHAPES[name]
            )
            for name in SHAPES
        ]
        output = helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["n", SURFACE + SENSE])
        graph = helper.make_graph(self.nodes, "kembar-title", info, [output], self.constants)
        self.model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(self.model)

    def constant(self, name: str, value: np.ndarray) -> str:
        """Add a constant."""
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(
        self, kind: str, *inputs: str | float | list[int] | np.ndarray, out: str = "", **attributes: object
    ) -> str:
        """Add a node; numbers among its inputs become constants."""
        names = []
        for value in inputs:
            if not isinstance(value, str):
                integral = isinstance(value, int | list)
                array = np.asarray(value, dtype=np.int64 if integral else np.float32)
                value = self.constant(f"constant{len(self.constants)}", array)
            names.append(value)
        out = out or f"node{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, names, [out], **attributes))
        return out

    def _table(self, name: str, table: np.ndarray) -> None:
        scale = float(np.abs(table).max()) / 127 if self.int8 else 1.0
        self.scales[name] = scale
        self.constant(name, np.round(table / scale).astype(np.int8) if self.int8 else table.astype(np.float32))

    def floats(self, name: str) -> str:
        """Turn a tensor into floats."""
        return self.node("Cast", name, to=TensorProto.FLOAT)

    def rows(self, table: str, index: str) -> str:
        """Take rows as floats: the small table stays in the cache, so they are widened after."""
        return self.floats(self.node("Gather", table, index, axis=0))

    def sum(self, weights: str, table: str, index: str) -> str:
        """Sum the rows of a table by weights: (m, k) weights and indices to (m, width)."""
        row = self.node("Unsqueeze", weights, [1])
        total = self.node("Squeeze", self.node("MatMul", row, self.rows(table, index)), [1])
        return self.node("Mul", total, self.scales[table])

    def split(self, features: str) -> tuple[str, str, str, str, str]:
        """Take features apart: presence, weight, signed weight, row of the pool and row of the learned tables."""
        there = self.floats(self.node("Greater", features, 0))
        gate = self.node("Div", features, POOL)
        odd = self.floats(self.node("Mod", gate, 2))
        weight = self.node("Mul", self.rows("gates", gate), there)
        sign = self.node("Sub", 1.0, self.node("Mul", odd, 2.0))
        signed = self.node("Mul", weight, sign)
        return there, weight, signed, self.node("Mod", features, POOL), self.node("Div", gate, 2)

    def _tables_of_words(self, net: TitleNet) -> None:
        """Make tables of the batch's words, row 0 for none: word_surface, word_sense, word_key."""
        parts = []
        for name in ("short", "middle", "long"):
            there, weight, signed, row, learned = self.split(name)
            count = self.node("Max", self.node("ReduceSum", there, [1], keepdims=1), 1.0)
            share = self.node("Div", there, count)
            parts.append(
                (self.sum(signed, "pool", row), self.sum(weight, "senses", learned), self.sum(share, "keys", learned))
            )
        widths = (SURFACE, SENSE, KEY)
        for name, width, *rows in zip(("surface", "sense", "key"), widths, *parts, strict=True):
            self.node("Concat", np.zeros((1, width), np.float32), *rows, axis=0, out=f"word_{name}")
        self.node("Concat", np.zeros((1, 2), np.float32), "shapes", axis=0, out="word_shapes")

    def _title(self, net: TitleNet) -> None:
        there = self.floats(self.node("Greater", "words", 0))
        weight = self._weights(net, there)
        _, gate, _, row, learned = self.split("pairs")
        paired = self.node("Mul", gate, weight)
        sign = self.node(
            "Sub", 1.0, self.node("Mul", self.floats(self.node("Mod", self.node("Div", "pairs", POOL), 2)), 2.0)
        )
        signed = self.node("Mul", paired, sign)
        parts = []
        for name, pairs, share in (
            ("surface", self.sum(signed, "pool", row), (1 - SHARE) ** 0.5),
            ("sense", self.sum(paired, "senses", learned), SHARE**0.5),
        ):
            vectors = self.node("Gather", f"word_{name}", "words", axis=0)
            total = self.node("Squeeze", self.node("MatMul", self.node("Unsqueeze", weight, [1]), vectors), [1])
            total = self.node("Add", total, pairs)
            length = self.node("Max", self.node("ReduceL2", total, axes=[1], keepdims=1), 1e-12)
            parts.append(self.node("Mul", self.node("Div", total, length), share))
        self.node("Concat", *parts, axis=1, out="vectors")

    def _weights(self, net: TitleNet, there: str) -> str:
        count = self.node("Max", self.node("ReduceSum", there, [1], keepdims=1), 1.0)
        place = self.node("CumSum", there, 1, exclusive=1)
        place = self.node("Mul", place, there)
        columns = [self.node("Gather", f"word_{name}", "words", axis=0) for name in ("key", "shapes")]
        columns += [self.node("Unsqueeze", self.node("Div", place, by), [2]) for by in (10.0, count)]
        x = self.node("Transpose", self.node("Concat", *columns, axis=2), perm=[0, 2, 1])
        mask = self.node("Unsqueeze", there, [1])
        for layer in (net.first, net.second):
            parameters = [value.detach().numpy() for value in (layer.weight, layer.bias)]
            x = self.node("Mul", self.node("Relu", self.node("Conv", x, *parameters, pads=[1, 1])), mask)
        far = self.node("Div", self.node("ReduceSum", x, [2], keepdims=0), count)
        weight, bias = (value.detach().numpy() for value in (net.score.weight, net.score.bias))
        near = self.node(
            "Squeeze", self.node("MatMul", self.node("Transpose", x, perm=[0, 2, 1]), weight[0, :HIDDEN, None]), [2]
        )
        score = self.node("Add", near, self.node("Add", self.node("MatMul", far, weight[0, HIDDEN:, None]), bias))
        return self.node("Mul", self.node("Exp", score), there)


SHAPES = {
    "short": ["s", 16],
    "middle": ["m", 25],
    "long": ["l", 40],
    "shapes": ["v", 2],
    "words": ["n", "k"],
    "pairs": ["n", "k"],
}


def save(net: TitleNet, folder: Path, card: str, *, int8: bool = True) -> None:
    """Write the encoder's folder."""
    manifest = {
        "format": 1,
        "family": "onnx",
        "modality": "title",
        "dimension": SURFACE + SENSE,
        "precision": "int8" if int8 else "float32",
        "tokenizer": {"kind": "words", **READ},
        "license": "Apache-2.0",
    }
    with new_folder(folder, overwrite=True, mark="encoder.json") as partial:
        onnx.save(Graph(net, int8=int8).model, partial / "model.onnx")
        (partial / "encoder.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        (partial / "card.md").write_text(card, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--left-out", nargs="*", choices=LEFT_OUT, help="markets or folds to leave out; none: each")
    parser.add_argument("-o", "--output", type=Path, default=SHIPPED)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # sums in one order: the same weights every time
    torch.set_flush_denormal(True)  # the optimiser's fading averages would become denormal numbers, which are slow
    if arguments.left_out is None:
        pools = list(to_learn_from())
        count, groups = sum(len(pool.texts) for pool in pools), sum(int(pool.groups.max()) + 1 for pool in pools)
        return save(train(pools), arguments.output, CARD.format(n=count, groups=groups))
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name in arguments.left_out or LEFT_OUT:
        net = train(list(to_learn_from(name)))
        fold = SHOPEE.index(name) if name in SHOPEE else None
        if fold is not None:
            np.save(arguments.output / f"title{fold}.npy", encode(net, read("shopee").texts).astype(np.float32))
        own = f"encoder_{name}" if fold is None else f"encoder{fold}"
        save(net, arguments.output / own, f"Trained without {name}; for benches.\n")
    return None


CARD = """# kembar-title

What it is: titles of marketplace posts to 560 numbers; the cosine tells whether two titles name the same product.
Hashed words, word pairs and n-grams, weighed in their context by two small convolutions; int8.

Trained on: {n:,} labelled titles ({groups:,} groups) of Kaggle "Shopee - Price Match Guarantee" and ten other markets
(see the card of kembar-classifier for their licences), with ArcFace, from random weights, by
`python bench/train_title.py`. No title is stored in it.

How good: see docs/how/encoders.md; all figures there are of encoders trained in the same way without the posts scored.
Meant for: short product titles; learned from Indonesian, Malay, English and Chinese ones. Not for: sentences.
License: Apache-2.0.
"""
SHIPPED = Path(__file__).resolve().parents[1] / "src" / "kembar" / "encoders" / "models" / "title"


if __name__ == "__main__":
    main()
