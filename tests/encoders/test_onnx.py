import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto

from kembar.arrays import unit_rows
from kembar.encoders.ngrams import NGrams
from kembar.encoders.onnx import OnnxEncoder
from kembar.encoders.pixels import Frame
from kembar.encoders.registry import open_encoder
from kembar.errors import ConfigError, EncoderError, EvidenceError
from pictures import bad_photos, scene
from properties import examples
from tiny import photo_weights, save_photo_onnx, save_title_onnx, table

GRAMS = {"buckets": 97, "shortest": 2, "longest": 3, "words": True, "pairs": True}
TITLES = ["sepatu wanita", "", "tas kulit 500ml", "!!!", "botol", "sepatu", "a b c d e f g h i j k l m n o p"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    for i in range(9):
        scene(i).save(folder / f"{i}.jpg")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_photo_onnx(tmp_path_factory.mktemp("onnx") / "photo")


@pytest.fixture(scope="module")
def grams(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_title_onnx(
        tmp_path_factory.mktemp("onnx") / "grams", ("ids", "weights"), 97, {"kind": "ngrams", **GRAMS}
    )


def save_tokenizer(path: Path, padding: str = "<pad>") -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = ["<s>", padding, "</s>", "<unk>", "sepatu", "wanita", "tas", "kulit", "botol"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    path.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(path))


# --- what it computes


def test_photos_are_what_the_model_makes_of_their_pixels(photo: Path, photos: list[Path]) -> None:
    pixels = np.stack([Frame(8).read(path) for path in photos]).astype(np.float32)
    expected = unit_rows((pixels / 255 - 0.5).reshape(9, -1) @ photo_weights())
    encoder = open_encoder(photo)
    assert (encoder.modality, encoder.dimension, encoder.name) == ("photo", 5, str(photo))
    for options in ({}, {"batch_size": 1}, {"batch_size": 4}, {"batch_size": 100}):
        vectors = encoder.encode(photos, **options)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(vectors, expected, atol=1e-6)


def test_titles_are_what_the_model_makes_of_their_features(grams: Path) -> None:
    offsets, ids = NGrams(**GRAMS).features(TITLES)
    sums = [table(97)[ids[offsets[i] : offsets[i + 1]]].sum(0) for i in range(len(TITLES))]
    expected = unit_rows(np.array(sums, dtype=np.float32))
    encoder = open_encoder(grams)
    for batch_size in (None, 1, 2, 100):
        np.testing.assert_allclose(encoder.encode(TITLES, batch_size=batch_size), expected, atol=1e-5)
    assert (encoder.encode(TITLES)[[1, 3]] == 0).all(), "no title and no feature: no vector"


@examples(50)
@given(st.lists(st.text(alphabet="ab1 é中", max_size=12), max_size=12), st.integers(1, 7), st.randoms())
def test_neither_batches_nor_order_matter(grams: Path, titles: list[str], batch_size: int, random: Any) -> None:
    encoder = open_encoder(grams)
    vectors = encoder.encode(titles)
    assert vectors.shape == (len(titles), 6)
    order = list(range(len(titles)))
    random.shuffle(order)
    np.testing.assert_allclose(
        encoder.encode([titles[i] for i in order], batch_size=batch_size), vectors[order], atol=1e-5
    )
    lengths = np.linalg.norm(vectors, axis=1)
    assert ((np.abs(lengths - 1) < 1e-5) | (lengths == 0)).all()


@pytest.mark.parametrize("names", [("input_ids", "attention_mask"), ("input_ids", "attention_mask", "token_type_ids")])
def test_titles_through_a_tokenizer(names: tuple[str, ...], tmp_path: Path) -> None:
    tokenizer = {"kind": "tokenizers", "file": "tokenizer.json", "max_length": 5}
    folder = save_title_onnx(tmp_path / "m", names, 9, tokenizer)
    save_tokenizer(folder / "tokenizer.json")
    ids = [[0, 4, 5, 2], [], [0, 6, 7, 3, 2], [0, 8, 2]]  # the third is cut to five tokens, </s> kept
    expected = unit_rows(np.array([table(9)[each].sum(0) for each in ids], dtype=np.float32))
    titles = ["sepatu wanita", "", "tas kulit 500 ml", "botol"]
    np.testing.assert_allclose(open_encoder(folder).encode(titles), expected, atol=1e-6)


def test_a_bad_photo_is_a_row_of_zeros_and_a_problem(photo: Path, photos: list[Path], tmp_path: Path) -> None:
    bad = list(bad_photos(tmp_path).values())
    told: dict[int, str] = {}
    seen: list[tuple[str, int, int]] = []
    items = [photos[0], *bad, photos[1]]
    vectors = open_encoder(photo).encode(items, problem=told.__setitem__, progress=lambda *call: seen.append(call))
    assert sorted(told) == list(range(1, len(bad) + 1))
    assert (vectors[1:-1] == 0).all()
    assert (vectors[[0, -1]] == open_encoder(photo).encode(photos[:2])).all()
    assert seen[0] == ("encode photos", 0, len(items))
    assert seen[-1] == ("encode photos", len(items), len(items))


def test_progress_of_titles_comes_to_its_end(grams: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    open_encoder(grams).encode(TITLES, batch_size=2, progress=lambda *call: seen.append(call))
    assert seen[-1] == ("encode titles", len(TITLES), len(TITLES))
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)


def test_nothing_to_encode(photo: Path, grams: Path) -> None:
    assert open_encoder(photo).encode([]).shape == (0, 5)
    assert open_encoder(grams).encode([]).shape == (0, 6)


def test_the_fingerprint_is_of_weights_and_preprocessing(photo: Path, tmp_path: Path) -> None:
    first = open_encoder(photo).fingerprint
    assert len(first) == 32
    assert set(first) <= set("0123456789abcdef")
    twin = save_photo_onnx(tmp_path / "twin")
    (twin / "card.md").write_text("# A card\n")
    edit(twin, precision="float32", trained="on shoes")
    assert open_encoder(twin).fingerprint == first
    edit(twin, input={"size": 8, "resize": "pad"})
    assert open_encoder(twin).fingerprint != first
    other = save_photo_onnx(tmp_path / "other", weights=photo_weights() * 2)
    assert open_encoder(other).fingerprint != first


def test_it_runs_without_torch(photo: Path, photos: list[Path]) -> None:
    code = (
        "import sys, pathlib; from kembar.encoders.registry import open_encoder;"
        f"open_encoder({str(photo)!r}).encode([pathlib.Path({str(photos[0])!r})]);"
        "sys.exit('torch' in sys.modules or 'timm' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- what it refuses


def edit(folder: Path, **fields: Any) -> None:
    path = folder / "encoder.json"
    manifest = {**json.loads(path.read_text()), **fields}
    path.write_text(json.dumps({key: value for key, value in manifest.items() if value is not ...}))


def rename(folder: Path, old: str, new: str) -> None:
    model = onnx.load(str(folder / "model.onnx"))
    for node in model.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
    for each in model.graph.input:
        each.name = new if each.name == old else each.name
    onnx.save(model, str(folder / "model.onnx"))


SPOILT_PHOTO: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no weights": (lambda folder: (folder / "model.onnx").unlink(), "without model.onnx"),
    "weights cut off": (lambda folder: cut(folder / "model.onnx"), "does not load"),
    "manifest no JSON": (lambda folder: (folder / "encoder.json").write_text("{"), "cannot be read"),
    "manifest a list": (lambda folder: (folder / "encoder.json").write_text("[]"), "without a family"),
    "no format": (lambda folder: edit(folder, format=...), "format None"),
    "later format": (lambda folder: edit(folder, format=2), "format 2"),
    "other family": (lambda folder: edit(folder, family="onxn"), "Nearest: 'onnx'"),
    "no modality": (lambda folder: edit(folder, modality=...), "modality None"),
    "other modality": (lambda folder: edit(folder, modality="title"), "tokenizer None"),
    "no dimension": (lambda folder: edit(folder, dimension=...), "dimension None"),
    "other dimension": (lambda folder: edit(folder, dimension=6), r"\['b', 5\]; expected .*\(free, 6\)"),
    "other size": (lambda folder: edit(folder, input={"size": 16}), r"\('free', 16, 16, 3\)"),
    "unknown field": (lambda folder: edit(folder, input={"size": 8, "colour": 1}), "'colour'"),
    "no input": (lambda folder: edit(folder, input=...), "input None"),
    "fixed batch": (lambda folder: save_photo_onnx(folder, batch=1), "'free', 8, 8, 3"),
    "floats in": (lambda folder: save_photo_onnx(folder, kind=TensorProto.FLOAT), r"tensor\(float\)"),
}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize("case", SPOILT_PHOTO)
def test_a_photo_folder_that_does_not_fit_is_refused_in_one_line(case: str, tmp_path: Path) -> None:
    folder = save_photo_onnx(tmp_path / "m")
    spoil, words = SPOILT_PHOTO[case]
    spoil(folder)
    with pytest.raises(EncoderError, match=words) as caught:
        open_encoder(folder)
    assert "\n" not in str(caught.value)


SPOILT_TITLE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "other name": (lambda folder: rename(folder, "ids", "tokens"), r"\['tokens', 'weights'\]; expected ids"),
    "no kind": (lambda folder: edit(folder, tokenizer=GRAMS), r"tokenizer \{.*; expected a table, .*ngrams"),
    "other kind": (
        lambda folder: edit(folder, tokenizer={"kind": "sentencepiece"}),
        r"'sentencepiece'\}; expected a table, .*ngrams",
    ),
    "unknown field": (lambda folder: edit(folder, tokenizer={"kind": "ngrams", "size": 9}), "'size'"),
    "a text for a switch": (
        lambda folder: edit(folder, tokenizer={"kind": "words", "apart": "no"}),
        "apart is 'no', not bool",
    ),
    "inputs of another kind": (lambda folder: tokens(folder), "expected input_ids, attention_mask"),
    "no tokenizer": (lambda folder: edit(folder, tokenizer={"kind": "tokenizers"}), "'tokenizer.json' that does not"),
    "photos": (lambda folder: edit(folder, modality="photo", input={"size": 8}), r"tensor\(uint8\)"),
}


def tokens(folder: Path) -> None:
    save_tokenizer(folder / "tokenizer.json")
    edit(folder, tokenizer={"kind": "tokenizers"})


@pytest.mark.parametrize("case", SPOILT_TITLE)
def test_a_title_folder_that_does_not_fit_is_refused_in_one_line(case: str, tmp_path: Path) -> None:
    folder = save_title_onnx(tmp_path / "m", ("ids", "weights"), 97, {"kind": "ngrams", **GRAMS})
    spoil, words = SPOILT_TITLE[case]
    spoil(folder)
    with pytest.raises(EncoderError, match=words) as caught:
        open_encoder(folder)
    assert "\n" not in str(caught.value)


def test_numbers_outside_the_table_of_the_model(tmp_path: Path) -> None:
    folder = save_title_onnx(tmp_path / "m", ("ids", "weights"), 5, {"kind": "ngrams", **GRAMS})
    with pytest.raises(EncoderError, match="fails on its input") as caught:
        open_encoder(folder).encode(["sepatu wanita"])
    assert "\n" not in str(caught.value)


def test_vectors_that_are_not_finite(tmp_path: Path, photos: list[Path]) -> None:
    folder = save_photo_onnx(tmp_path / "m", weights=np.full((192, 5), np.nan, dtype=np.float32))
    with pytest.raises(EncoderError, match="not finite"):
        open_encoder(folder).encode(photos[:1])


def test_items_of_another_kind(photo: Path, grams: Path, photos: list[Path]) -> None:
    with pytest.raises(EvidenceError, match="to an encoder of titles"):
        open_encoder(grams).encode(photos)
    with pytest.raises(EvidenceError, match="to an encoder of titles"):
        open_encoder(grams).encode("sepatu")
    with pytest.raises(EvidenceError, match=r"pathlib\.Path"):
        open_encoder(photo).encode(["a.jpg"])
    with pytest.raises(ConfigError, match="at least 1"):
        open_encoder(photo).encode(photos, batch_size=0)


def test_options_that_do_not_fit(photo: Path) -> None:
    import onnxruntime

    with pytest.raises(ConfigError, match="no pooling"):
        open_encoder(photo, pooling="mean")
    with pytest.raises(ConfigError, match="'auto', 'cpu'"):
        open_encoder(photo, device="gpu")
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        with pytest.raises(ConfigError, match="this onnxruntime has no CUDA"):
            open_encoder(photo, device="cuda")


def test_two_models_share_the_batches(photo: Path, photos: list[Path]) -> None:
    """What several GPUs do, on one CPU twice."""
    encoder = OnnxEncoder(photo)
    alone = encoder.encode(photos, batch_size=2)
    encoder._workers.append(OnnxEncoder(photo)._workers[0])
    assert (encoder.encode(photos, batch_size=2) == alone).all()


@pytest.mark.parametrize("name", ["kembar-photo", "kembar-title"])
def test_the_number_of_threads_changes_no_bit(name: str, photos: list[Path]) -> None:
    items = photos * 4 if name == "kembar-photo" else TITLES * 700
    alone, shared = (open_encoder(name, threads=threads).encode(items) for threads in (1, 3))
    assert alone.tobytes() == shared.tobytes()
