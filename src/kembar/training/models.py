"""Trainable models by name: a backbone that gives features, and the head of the recipe on top."""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias, cast

import torch

from kembar.encoders.ngrams import NGrams
from kembar.encoders.pixels import Frame
from kembar.encoders.timm import build_timm
from kembar.errors import ConfigError, EncoderError, nearest
from kembar.training.bags import NGramBag, NGramReader, document_weights
from kembar.training.batches import Reader
from kembar.training.data import Items
from kembar.training.heads import Embedder
from kembar.training.pictures import PhotoBackbone, PhotoReader
from kembar.training.recipe import Recipe
from kembar.training.tokens import TokenBackbone, TokenReader, build_tokens

FAMILIES = {"title": ("ngrams", "st"), "photo": ("timm",)}
_WIDTH = 256  # of the vectors of n-grams
_SIZES = re.compile(r"(\d+)x(\d+)(?:x(\d+))?")

Origin: TypeAlias = dict[str, str]
"""What a model started from, for its card: model, weights, license."""


class Model(Protocol):
    """What is trained, and how it reads its items."""

    @property
    def embedder(self) -> Embedder:
        """The module: what the reader gives to (b, d) vectors."""

    @property
    def recipe(self) -> Recipe:
        """How it is trained."""

    @property
    def origin(self) -> Origin:
        """What it started from."""

    def reader(self, items: Items) -> Reader:
        """Read items of its modality."""


@dataclass(frozen=True, slots=True, eq=False)
class BagModel:
    """A title encoder over hashed n-grams; its backbone is an `NGramBag`."""

    embedder: Embedder
    recipe: Recipe
    origin: Origin
    ngrams: NGrams

    def reader(self, items: Items) -> Reader:
        """See `Model.reader`."""
        return NGramReader(cast("Sequence[str]", items), self.ngrams, self.recipe.drop)


@dataclass(frozen=True, slots=True, eq=False)
class TokenModel:
    """A title encoder over tokens; `tokenizer` is one of transformers."""

    embedder: Embedder
    recipe: Recipe
    origin: Origin
    tokenizer: Any

    def reader(self, items: Items) -> Reader:
        """See `Model.reader`."""
        return TokenReader(cast("Sequence[str]", items), self.tokenizer, self.recipe.length, self.recipe.drop)


@dataclass(frozen=True, slots=True, eq=False)
class PhotoModel:
    """A photo encoder; `frame` is how photos become squares of pixels when encoding."""

    embedder: Embedder
    recipe: Recipe
    origin: Origin
    frame: Frame

    def reader(self, items: Items) -> Reader:
        """See `Model.reader`."""
        return PhotoReader(cast("Sequence[Path]", items), self.frame, self.recipe)


def build_model(recipe: Recipe, items: Items) -> Model:
    """Build the model of a recipe, with the weights it starts from.

    - ngrams, ngrams:BUCKETSxWIDTH, ngrams:BUCKETSxWIDTHxHIDDEN: hashed n-grams of titles, with a hidden layer or not.
    - st:NAME or a folder: a transformer for titles, from the hub or local.
    - timm:NAME, timm:NAME@WEIGHTS: a photo model of timm.

    Args:
        recipe: its modality, model, pretrained, sizes, head and seed are used.
        items: what it will be trained on: n-grams are weighted by them, and a tokenizer without a vocabulary learns its
            words from them.

    Returns:
        The model, on the CPU.

    Raises:
        EncoderError: an unknown name (the nearest is named), or weights that cannot be loaded or do not fit.
        ConfigError: a family of the other modality, or options that the model does not allow.
    """
    family, _, name = recipe.model.partition(":")
    known = FAMILIES[recipe.modality]
    if Path(recipe.model).is_dir() and recipe.modality == "title":
        family, name = "st", recipe.model
    if family not in known:
        _refuse(recipe, family)
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        if family == "ngrams":
            return _bag(recipe, name, cast("Sequence[str]", items))
        if family == "st":
            return _tokens(recipe, name, cast("Sequence[str]", items))
        return _photo(recipe, name)


def _refuse(recipe: Recipe, family: str) -> None:
    other = next((kind for kind, families in FAMILIES.items() if family in families), None)
    if other is not None:
        fix = f"Choose a {recipe.modality} model, or train a {other} encoder."
        raise ConfigError(f"model {recipe.model!r} for {recipe.modality}s", f"a model for {recipe.modality}s", fix)
    known = FAMILIES[recipe.modality]
    near = nearest(family, known) or " For a photo model of timm write timm:NAME, such as timm:resnet18."
    raise EncoderError(
        f"model {recipe.model!r}", " or ".join("ngrams" if f == "ngrams" else f"{f}:NAME" for f in known), near.strip()
    )


def _bag(recipe: Recipe, sizes: str, titles: Sequence[str]) -> BagModel:
    found = _SIZES.fullmatch(sizes or f"{NGrams().buckets}x{_WIDTH}")
    if found is None:
        fix = "Write for example ngrams:65536x256, or ngrams:65536x256x512 with a hidden layer of 512."
        raise EncoderError(f"model {recipe.model!r}", "ngrams:BUCKETSxWIDTH", fix)
    buckets, width, hidden = (int(part or 0) for part in found.groups())
    if width < 1:
        raise EncoderError(f"model {recipe.model!r}", "a width of at least 1", "Correct the sizes.")
    ngrams = NGrams(buckets)
    backbone = NGramBag(document_weights(titles, ngrams), width, hidden)
    origin = {"model": f"hashed n-grams, {buckets} x {width}", "weights": "none: from scratch", "license": ""}
    return BagModel(Embedder(backbone, width, recipe), recipe, origin, ngrams)


def _tokens(recipe: Recipe, name: str, titles: Sequence[str]) -> TokenModel:
    model, tokenizer, origin = build_tokens(name, titles, random=not recipe.pretrained, length=recipe.length)
    embedder = Embedder(TokenBackbone(model), int(model.config.hidden_size), recipe)
    return TokenModel(embedder, recipe, origin, tokenizer)


def _photo(recipe: Recipe, name: str) -> PhotoModel:
    name, _, weights = name.partition("@")
    built = build_timm(name, Path(weights) if weights else None, random=not recipe.pretrained)
    size = recipe.test_size or recipe.image_size
    if hasattr(built.model, "set_input_size") and size != recipe.image_size:
        given = f"test_size {size} with image_size {recipe.image_size}"
        raise ConfigError(f"{given} for {recipe.model!r}", "one size", "This model has one size: set test_size=0.")
    backbone = PhotoBackbone(built.model, built.mean, built.std, cls=recipe.pooling == "cls")
    frame = Frame(size, "squash", built.frame.interpolation)
    embedder = Embedder(backbone, _channels(backbone, size, recipe.model), recipe)
    return PhotoModel(embedder, recipe, _photo_origin(recipe, built.model, name, weights), frame)


def _channels(backbone: PhotoBackbone, size: int, name: str) -> int:
    """Set the size of a model's photos, and count the channels of its features."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # timm and torch warn about timm's interpolation
            if hasattr(backbone.model, "set_input_size"):
                backbone.model.set_input_size(img_size=size)
        return backbone.channels(size)
    except Exception as error:  # the model's own checks raise exceptions of many kinds
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        fix = "Choose a size that the model divides, such as 224 or 256."
        raise ConfigError(
            f"photos of {size} pixels for {name!r} ({reason})", "a size that the model takes", fix
        ) from error


def _photo_origin(recipe: Recipe, model: Any, name: str, weights: str) -> Origin:
    origin = {"model": f"timm:{name}", "weights": "none: from scratch", "license": ""}
    if recipe.pretrained:
        config = getattr(model, "pretrained_cfg", {}) or {}
        lite = name == "tf_efficientnet_lite0" and not weights
        known = "apache-2.0" if lite else config.get("license") or "not stated: check before you pass the encoder on"
        origin |= {"weights": weights or f"the published ones of {name}", "license": "" if weights else known}
    return origin
