"""Small models of the field's own kinds, made on the spot: real architectures, random weights, a few kilobytes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WORDS = ["kaos", "polos", "hitam", "putih", "sepatu", "wanita", "botol", "minum", "500", "ml", "##an", "tas", "kulit"]


def save_bert(folder: Path, seed: int = 0) -> Path:
    """A BERT of two layers with a WordPiece vocabulary, as save_pretrained writes it."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *"abcdefghijklmnopqrstuvwxyz"]
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    BertModel(config).save_pretrained(folder)
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def save_sentence_transformer(folder: Path, bert: Path, pooling: str = "mean") -> Path:
    """The same, as sentence-transformers writes it."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    transformer = Transformer(str(bert))
    SentenceTransformer(modules=[transformer, Pooling(16, pooling)], device="cpu").save(
        str(folder), create_model_card=False
    )
    return folder


def save_vit(folder: Path, kind: str = "ViT") -> Path:
    """A vision transformer of transformers with its image processor: 32 pixels, 16 numbers."""
    import torch
    import transformers

    torch.manual_seed(1)
    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
    if kind == "ViT":
        model = transformers.ViTModel(transformers.ViTConfig(**size, intermediate_size=32))
        processor = transformers.ViTImageProcessor(size={"height": 32, "width": 32})
    elif kind == "Siglip":
        text = {
            "vocab_size": 20,
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 16,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": 0,
            "projection_size": 16,
        }
        vision = {**size, "intermediate_size": 32}
        model = transformers.SiglipModel(transformers.SiglipConfig(text_config=text, vision_config=vision))
        processor = transformers.SiglipImageProcessor(size={"height": 32, "width": 32})
    else:
        shape = {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2}
        model = transformers.ConvNextModel(transformers.ConvNextConfig(**shape))
        processor = transformers.ConvNextImageProcessor(size={"shortest_edge": 32}, crop_pct=0.875)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def save_onnx(folder: Path, graph: onnx.GraphProto, **manifest: Any) -> Path:
    """A folder that OnnxEncoder opens."""
    folder.mkdir(parents=True, exist_ok=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, str(folder / "model.onnx"))
    fields = {"format": 1, "family": "onnx", **manifest}
    (folder / "encoder.json").write_text(json.dumps(fields), encoding="utf-8")
    return folder


def photo_weights(size: int = 8, dimension: int = 5) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(size * size * 3, dimension)).astype(np.float32)


def save_photo_onnx(
    folder: Path,
    size: int = 8,
    dimension: int = 5,
    batch: str | int = "b",
    weights: np.ndarray | None = None,
    kind: int = TensorProto.UINT8,
    said: int | None = None,
) -> Path:
    """A linear encoder: (pixels / 255 - 0.5) flattened, times a matrix."""
    matrix = photo_weights(size, dimension) if weights is None else weights
    constants = [
        numpy_helper.from_array(np.float32(255), "scale"),
        numpy_helper.from_array(np.float32(0.5), "mean"),
        numpy_helper.from_array(np.array([0, size * size * 3] if batch == "b" else [1, -1]), "flat"),
        numpy_helper.from_array(matrix, "matrix"),
    ]
    nodes = [
        helper.make_node("Cast", ["photos"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["floats", "scale"], ["shares"]),
        helper.make_node("Sub", ["shares", "mean"], ["centred"]),
        helper.make_node("Reshape", ["centred", "flat"], ["rows"]),
        helper.make_node("MatMul", ["rows", "matrix"], ["vectors"]),
    ]
    inputs = [helper.make_tensor_value_info("photos", kind, [batch, size, size, 3])]
    outputs = [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, [batch, dimension])]
    graph = helper.make_graph(nodes, "photo", inputs, outputs, constants)
    fields = {"size": size, "resize": "squash", "interpolation": "bicubic"}
    return save_onnx(folder, graph, modality="photo", dimension=said or dimension, input=fields)


def table(rows: int, dimension: int = 6) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(rows, dimension)).astype(np.float32)


def save_title_onnx(folder: Path, names: tuple[str, ...], rows: int, tokenizer: dict[str, Any]) -> Path:
    """The sum of the rows of a table that a title's numbers name; padding has no part in it."""
    ids, weights, *rest = names
    kind = TensorProto.FLOAT if weights == "weights" else TensorProto.INT64
    constants = [numpy_helper.from_array(table(rows), "table"), numpy_helper.from_array(np.array([2]), "last")]
    constants.append(numpy_helper.from_array(np.array([1]), "length"))
    nodes = [
        helper.make_node("Gather", ["table", ids], ["rows"]),
        helper.make_node("Cast", [weights], ["there"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["there", "last"], ["column"]),
        helper.make_node("Mul", ["rows", "column"], ["masked"]),
        helper.make_node("ReduceSum", ["masked", "length"], ["sums"], keepdims=0),
    ]
    result = "sums"
    if rest:  # token types are all 0: their sum changes nothing, and has to be there
        nodes += [
            helper.make_node("Cast", [rest[0]], ["types"], to=TensorProto.FLOAT),
            helper.make_node("ReduceSum", ["types", "length"], ["none"], keepdims=1),
            helper.make_node("Add", ["sums", "none"], ["vectors"]),
        ]
        result = "vectors"
    inputs = [helper.make_tensor_value_info(ids, TensorProto.INT64, ["b", "l"])]
    inputs.append(helper.make_tensor_value_info(weights, kind, ["b", "l"]))
    inputs += [helper.make_tensor_value_info(name, TensorProto.INT64, ["b", "l"]) for name in rest]
    outputs = [helper.make_tensor_value_info(result, TensorProto.FLOAT, ["b", 6])]
    graph = helper.make_graph(nodes, "title", inputs, outputs, constants)
    return save_onnx(folder, graph, modality="title", dimension=6, tokenizer=tokenizer)
