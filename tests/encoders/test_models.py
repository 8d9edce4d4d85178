from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

from kembar import Catalog, ConfigError, EncoderError, normalize
from kembar.training.bags import NGramBag, NGramReader, document_weights
from kembar.training.models import BagModel, NGrams, PhotoModel, TokenModel, build_model
from kembar.training.pictures import PhotoBackbone
from kembar.training.recipe import Recipe
from kembar.training.tokens import TokenReader, build_tokens, learned_tokenizer
from kembar.training.validation import embed

TITLES = ["tas wanita murah", "tas wanita import", "kopi susu 250gr", "kopi susu 500gr", "sepatu pria kulit asli"] * 4


def scratch(model: str, **options: Any) -> Recipe:
    return Recipe.photo(model=model, pretrained=False, image_size=32, workers=0, **options)


def test_a_bag_is_the_sum_of_the_vectors_of_its_features() -> None:
    torch.manual_seed(0)
    ngrams = NGrams(512)
    bag = NGramBag(document_weights(TITLES, ngrams), 16)
    reader = NGramReader(TITLES, ngrams)
    offsets, buckets = ngrams.features(TITLES)
    with torch.no_grad():
        found = bag(*reader.plain(np.array([4, 0]))).numpy()
    for row, vector in zip((4, 0), found, strict=True):
        own = buckets[offsets[row] : offsets[row + 1]]
        np.testing.assert_allclose(vector, bag.folded()[own].sum(0), atol=1e-5)


def test_buckets_start_at_the_inverse_frequencies_of_scikit_learn() -> None:
    ngrams = NGrams(1 << 20, longest=0, pairs=False)
    weights = document_weights(TITLES, ngrams)
    tfidf = TfidfVectorizer(token_pattern=r"\w+").fit(["tas wanita", *TITLES])
    for word in ("tas", "susu", "asli"):
        bucket = ngrams.features([word])[1][0]
        with_one_more = document_weights(["tas wanita", *TITLES], ngrams)[bucket]
        assert with_one_more * 10 == pytest.approx(tfidf.idf_[tfidf.vocabulary_[word]])
        assert weights[bucket] > 0.1


def test_an_untrained_bag_nearly_has_the_cosines_of_tf_idf(catalog: Catalog) -> None:
    titles = normalize(catalog.titles).to_list()[:100]
    recipe = Recipe.title(model="ngrams:16384x1024")
    model = build_model(recipe, titles)
    assert isinstance(model, BagModel)
    vectors = embed(model.embedder, model.reader(titles))
    rows = np.zeros((len(titles), 16384))
    offsets, buckets = NGrams(16384).features(titles)
    np.add.at(rows, (np.repeat(np.arange(len(titles)), np.diff(offsets)), buckets), 1)
    rows *= document_weights(titles, NGrams(16384))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-12)
    difference = vectors @ vectors.T - rows @ rows.T
    assert np.sqrt((difference**2).mean()) < 1.5 / np.sqrt(1024)


def test_a_hidden_layer_starts_by_changing_nothing_and_is_trained() -> None:
    plain, deep = (build_model(Recipe.title(model=f"ngrams:512x16{more}"), TITLES) for more in ("", "x24"))
    np.testing.assert_allclose(
        embed(plain.embedder, plain.reader(TITLES)), embed(deep.embedder, deep.reader(TITLES)), atol=1e-6
    )
    deep.embedder(*deep.reader(TITLES).plain(np.arange(3))).sum().backward()
    assert deep.embedder.backbone.layer[3].weight.grad.abs().sum() > 0


def test_the_same_seed_builds_the_same_model_and_leaves_torch_as_it_was() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, same, other = (build_model(Recipe.title(model="ngrams:64x4", seed=seed), TITLES) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    tables = [model.embedder.backbone.table for model in (one, same, other)]
    assert torch.equal(tables[0], tables[1])
    assert not torch.equal(tables[0], tables[2])


@pytest.mark.parametrize(
    ("name", "options", "kind"),
    [
        ("timm:test_resnet", {"pooling": "gem", "projection": 24}, "maps"),
        ("timm:test_efficientnet", {"neck": False}, "maps"),
        ("timm:test_vit", {"pooling": "avg"}, "tokens"),
        ("timm:test_vit", {"pooling": "cls"}, "tokens"),
        ("timm:swin_tiny_patch4_window7_224", {"pooling": "max"}, "maps"),
    ],
)
def test_any_backbone_of_timm_gets_pixels_and_gives_vectors(name: str, options: dict[str, Any], kind: str) -> None:
    model = build_model(scratch(name, **options), [])
    assert isinstance(model, PhotoModel)
    photos = torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8)
    features = model.embedder.backbone.eval()(photos)
    channels = features.shape[1] if kind == "maps" else features.shape[2]
    assert channels == getattr(model.embedder.backbone.model, "num_features", channels)
    vectors = model.embedder(photos)
    assert vectors.shape == (3, model.embedder.dimension)
    assert model.embedder.dimension == options.get("projection", channels)
    assert model.origin["weights"] == "none: from scratch"


def test_class_tokens_are_taken_or_left_out() -> None:
    photos = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    with_cls, without = (build_model(scratch("timm:test_vit", pooling=p), []).embedder for p in ("cls", "avg"))
    tokens, patches = (model.backbone.eval()(photos) for model in (with_cls, without))
    assert tokens.shape[1] == patches.shape[1] + 1
    torch.testing.assert_close(tokens[:, 1:], patches)


def test_pixels_are_normalised_as_the_model_was_trained() -> None:
    seen: list[torch.Tensor] = []

    class Model(torch.nn.Module):
        def forward_features(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x)
            return x

    PhotoBackbone(Model(), (0.5, 0.4, 0.3), (0.2, 0.1, 0.5))(torch.full((1, 2, 2, 3), 51, dtype=torch.uint8))
    torch.testing.assert_close(seen[0][0, :, 0, 0], torch.tensor([-1.5, -2.0, -0.2]))


def tiny_folder(folder: Path) -> Path:
    import transformers

    tokenizer = learned_tokenizer(TITLES)
    config = transformers.BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=40, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    transformers.BertModel(config).save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    return folder


def test_a_transformer_starts_from_a_local_folder_or_its_architecture_alone(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "tiny")
    recipe = Recipe.title(model=f"st:{folder}", pooling="mean", length=16)
    model = build_model(recipe, TITLES)
    assert isinstance(model, TokenModel)
    again = build_model(recipe, TITLES)
    random = build_model(recipe.changed(pretrained=False, seed=3), TITLES)
    bare = build_model(recipe.changed(model=str(folder)), TITLES)
    vectors = [embed(m.embedder, m.reader(TITLES)) for m in (model, again, random, bare)]
    np.testing.assert_array_equal(vectors[0], vectors[1])
    np.testing.assert_array_equal(vectors[0], vectors[3])
    assert np.abs(vectors[0] - vectors[2]).max() > 0.01
    np.testing.assert_allclose(vectors[0][2:3], embed(model.embedder, model.reader(TITLES[2:3])), atol=1e-6)
    assert str(folder) in model.origin["weights"]


@pytest.mark.parametrize("name", ["bert-tiny"])
def test_known_architectures_start_from_nothing(name: str) -> None:
    model, tokenizer, _ = build_tokens(name, TITLES, random=True, length=16)
    assert model.config.vocab_size == len(tokenizer)
    assert tokenizer.convert_tokens_to_ids("[UNK]") not in tokenizer("tas wanita murah")["input_ids"]
    reader = TokenReader(TITLES, tokenizer, 16, drop=0.9)
    ids, mask = reader.plain(np.arange(5))
    assert (ids[mask == 0] == tokenizer.pad_token_id).all()
    assert mask.sum(1).tolist() == [len(tokenizer(title)["input_ids"]) for title in TITLES[:5]]
    few, left = reader.training(np.arange(5), np.random.default_rng(0))
    assert left.sum() < mask.sum()
    assert (few[:, 0] == tokenizer.cls_token_id).all()
    assert torch.equal(reader.training(np.arange(5), np.random.default_rng(0))[0], few)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"model": "ngram"}, "'ngrams'"),
        ({"model": "ngrams:big"}, "ngrams:BUCKETSxWIDTH"),
        ({"model": "ngrams:16x0"}, "a width of at least 1"),
        ({"model": "st:bert-tinny", "pretrained": False}, "Nearest: 'bert-tiny'"),
        ({"model": "st:bert-tiny", "pretrained": False, "length": 600}, "Set length=510"),
        ({"modality": "photo", "model": "timm:resnet19"}, "resnet18"),
        ({"modality": "photo", "model": "resnet18"}, "such as timm:resnet18"),
    ],
)
def test_names_that_are_no_models(recipe: dict[str, Any], message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        build_model(Recipe.preset(recipe.get("modality", "title"), **recipe), TITLES)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"modality": "title", "model": "timm:resnet18"}, "a model for titles"),
        ({"modality": "photo", "model": "ngrams"}, "a model for photos"),
        ({"modality": "photo", "model": "timm:test_resnet", "pooling": "cls"}, "class token"),
        ({"modality": "photo", "model": "timm:test_vit", "image_size": 32, "test_size": 48}, "test_size=0"),
        ({"modality": "photo", "model": "timm:test_vit", "image_size": 37}, "photos of 37 pixels for 'timm:test_vit'"),
    ],
)
def test_models_that_do_not_fit_the_recipe(recipe: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_model(Recipe.preset(recipe["modality"], pretrained=False, **recipe), TITLES)
