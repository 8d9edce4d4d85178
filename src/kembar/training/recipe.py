"""Every option of a training in one frozen table: read from TOML, changed by `key=value`, written back."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from kembar.config.advanced import Fraction, Positive, Section
from kembar.config.toml import explained, read_toml, set_option, write_section
from kembar.errors import ConfigError, nearest

Modality = Literal["title", "photo"]
PoolingKind = Literal["avg", "gem", "cls", "mean", "max"]
LossKind = Literal["softmax", "triplet", "arcface", "subcenter", "cosface", "curricular", "contrastive"]
Objective = Literal["metric", "pair", "cosine", "triplet"]
Concatenation = Literal["u,v", "|u-v|", "u*v", "|u-v|,u*v", "u,v,u*v", "u,v,|u-v|", "u,v,|u-v|,u*v"]

CLASSIFIERS = ("softmax", "arcface", "subcenter", "cosface", "curricular")
MARGINS = ("arcface", "subcenter", "cosface", "curricular")
_Margin = Annotated[float, Field(ge=0, le=1.5)]


class Recipe(Section):
    """How an encoder is trained. Start from `Recipe.photo()`, `Recipe.title()` or `Recipe.preset(name)`."""

    # what is trained
    modality: Modality = Field("photo", description="what is encoded: title or photo")
    model: str = Field("timm:tf_efficientnet_lite0", min_length=1, description="the model to start from, as encoders")
    pretrained: bool = Field(True, description="start from trained weights; false: from random ones")
    image_size: int = Field(224, ge=16, le=2048, description="photos: side in pixels during training")
    test_size: int = Field(0, ge=0, le=2048, description="photos: side in pixels when encoding; 0: as in training")
    length: int = Field(64, ge=4, le=4096, description="titles: longest run of tokens")
    pooling: PoolingKind = Field("avg", description="how a map or tokens become one vector (avg and mean are the same)")
    gem_p: float = Field(3.0, ge=1, le=64, description="GeM: the power p")
    gem_learn: bool = Field(False, description="GeM: whether p is trained")
    gem_test_p: float = Field(0.0, ge=0, le=64, description="GeM: p when encoding; 0: as in training")
    projection: int = Field(0, ge=0, le=65_536, description="width of a linear layer after pooling; 0: none")
    neck: bool = Field(True, description="whether a batch-norm follows, before vectors are scaled to length 1")

    # what is asked of it
    objective: Objective = Field("metric", description="metric: the loss below; for titles also Sentence-BERT's three")
    concatenation: Concatenation = Field("u,v,|u-v|", description="objective pair: the inputs of its classifier")
    negatives: int = Field(
        2, ge=1, le=100, description="objectives of pairs and triplets: negatives for each true pair"
    )
    loss: LossKind = Field("arcface", description="objective metric: the loss over labelled vectors")
    scale: Positive = Field(30.0, le=1000, description="s of the losses with a margin")
    margin: _Margin = Field(0.5, description="margin at the end: an angle, a cosine (cosface) or a distance (triplet)")
    margin_start: _Margin = Field(0.2, description="margin at the start, of the losses over classes")
    margin_ramp: Fraction = Field(0.5, description="share of the training over which the margin rises; 0: at once")
    class_margin: float = Field(
        0.0, ge=0, le=1, description="margin of a class of n posts is proportional to n^-this; 0: equal margins"
    )
    subcenters: int = Field(3, ge=1, le=100, description="subcenter: centres of each class")
    temperature: Positive = Field(0.07, le=10, description="contrastive: what similarities are divided by")
    mining: Literal["hard", "semihard"] = Field("hard", description="triplet: which ones of a batch count")

    # on what
    augment: Literal["none", "flip", "light", "seller"] = Field(
        "seller", description="photos: none, mirrored, also cropped and coloured, or also edited as sellers do"
    )
    cutmix: Fraction = Field(0.0, description="photos: share of batches in which a patch comes from another photo")
    drop: Annotated[float, Field(ge=0, lt=1)] = Field(0.0, description="titles: share of inputs left out at random")
    relabel: bool = Field(
        True, description="photos: identical ones of several groups all go to the most frequent group"
    )
    holdout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.2, description="share of the groups held out to find the best epoch and threshold; 0: none"
    )
    refit: bool = Field(False, description="train once more on everything, for as many epochs as were best")

    # how
    epochs: int = Field(10, ge=1, le=100_000, description="times over the posts")
    batch: int = Field(64, ge=2, le=1_000_000, description="posts in a step")
    group_size: int = Field(0, ge=0, le=1000, description="posts of each group in a batch; 0: posts at random")
    optimizer: Literal["adamw", "sgd", "madgrad"] = Field("adamw", description="the optimizer")
    lr: Positive = Field(3e-4, le=10, description="highest learning rate")
    head_lr: float = Field(3e-3, ge=0, le=10, description="the same for layers that start at random; 0: as lr")
    warmup: Fraction = Field(0.1, description="share of the steps over which the learning rate rises; then a cosine")
    weight_decay: float = Field(1e-4, ge=0, le=1, description="weight decay, not on biases and norms")
    clip: float = Field(1.0, ge=0, description="largest norm of all gradients together; 0: off")
    agc: float = Field(0.0, ge=0, description="adaptive gradient clipping: largest share of a unit's weights; 0: off")
    sam: float = Field(0.0, ge=0, le=10, description="sharpness-aware minimisation: radius rho; 0: off")
    precision: Literal["float32", "float16", "bfloat16"] = Field(
        "float32", description="number format of the forward pass"
    )
    patience: int = Field(3, ge=0, description="epochs without a better F1 before it stops; 0: never")
    workers: int = Field(2, ge=0, le=1024, description="processes that read ahead")
    seed: int = Field(0, ge=0, lt=2**32, description="seed of everything drawn at random")

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        for wrong, given, expected, fix in _quarrels(self):
            if wrong:
                raise ConfigError(given, expected, fix)
        return self

    @property
    def groups(self) -> int:
        """The P of P x K: groups in a batch, or 0 where posts are drawn at random."""
        return self.batch // self.group_size if self.group_size else 0

    @classmethod
    def photo(cls, **changes: Any) -> "Recipe":
        """Return the default recipe for photos, changed where asked; raises ConfigError as `of` does."""
        return cls.preset("photo", **changes)

    @classmethod
    def title(cls, **changes: Any) -> "Recipe":
        """Return the default recipe for titles, changed where asked; raises ConfigError as `of` does."""
        return cls.preset("title", **changes)

    @classmethod
    def preset(cls, name: str, **changes: Any) -> "Recipe":
        """Return a recipe of `PRESETS` by name, changed where asked.

        Raises:
            ConfigError: an unknown name (the nearest one is named), or as `of` does.
        """
        if name not in PRESETS:
            fix = nearest(name, PRESETS).strip() or "Take one of these, or write a TOML file."
            raise ConfigError(f"recipe {name!r}", f"one of {', '.join(PRESETS)}", fix)
        return cls.of({**PRESETS[name], **changes})

    @classmethod
    def of(cls, tree: Mapping[str, Any]) -> "Recipe":
        """Build a recipe from a dict of options.

        Raises:
            ConfigError: an unknown option (the nearest one is named), a value out of range, options that disagree.
        """
        try:
            return cls.model_validate(tree)
        except ValidationError as error:
            raise explained(error, cls) from None

    @classmethod
    def read(cls, path: Path | str | None = None, settings: Iterable[str] = (), preset: str = "photo") -> "Recipe":
        """Read a recipe.

        Args:
            path: a TOML file; none where None.
            settings: changes such as "margin=0.8", applied in order after the file.
            preset: the recipe of `PRESETS` that the file and the settings change. A file of another modality than
                the preset starts from the default of its own modality.

        Returns:
            The recipe.

        Raises:
            ConfigError: a missing or broken file, or as `preset` and `of` do.
        """
        tree = read_toml(Path(path)) if path is not None else {}
        for setting in settings:
            set_option(tree, setting)
        modality = tree.get("modality")
        if preset in PRESETS and modality in ("title", "photo") and PRESETS[preset]["modality"] != modality:
            preset = modality
        return cls.preset(preset, **tree)

    def text(self) -> str:
        """Write the recipe as TOML, every option with its meaning."""
        lines: list[str] = []
        write_section(lines, self, "")
        return "\n".join(lines).strip() + "\n"

    def changed(self, **changes: Any) -> "Recipe":
        """Return this recipe with some options changed; raises ConfigError as `of` does."""
        return type(self).of({**self.model_dump(), **changes})


def _quarrels(recipe: Recipe) -> Iterable[tuple[bool, str, str, str]]:
    """List options that must not be combined: whether they are, what was given, what was expected, what to do."""
    metric = recipe.objective == "metric"
    grouped = metric and recipe.loss in ("triplet", "contrastive")
    size, batch = recipe.group_size, recipe.batch
    yield (
        not metric and recipe.modality != "title",
        f"objective {recipe.objective!r} for {recipe.modality}s",
        "objective 'metric'",
        "Sentence-BERT's objectives are for titles; choose a loss instead.",
    )
    yield (
        grouped and size < 2,
        f"loss {recipe.loss!r} with group_size {size}",
        "a group_size of at least 2",
        "It compares posts of one group inside a batch: try group_size=4.",
    )
    yield (
        size > 0 and batch % size != 0,
        f"batch {batch} with group_size {size}",
        "a batch that is a multiple of group_size",
        f"Try batch={max(2, batch // size) * size if size else batch}.",
    )
    yield (
        size > 0 and batch < 2 * size,
        f"batch {batch} with group_size {size}",
        "at least two groups in a batch",
        f"Try batch={2 * size}: a batch needs posts of other groups.",
    )
    yield (
        metric and recipe.loss in MARGINS and recipe.margin_ramp > 0 and recipe.margin_start > recipe.margin,
        f"margin_start {recipe.margin_start} with margin {recipe.margin}",
        "a margin that rises",
        "Lower margin_start, or set margin_ramp=0.",
    )
    yield (
        recipe.sam > 0 and recipe.precision == "float16",
        f"sam {recipe.sam} with precision 'float16'",
        "float32 or bfloat16",
        "The two gradients of SAM do not go through the scaling of float16; set precision='bfloat16'.",
    )
    yield (
        recipe.refit and recipe.holdout == 0,
        "refit with holdout 0",
        "a holdout above 0",
        "Without held-out groups the training already uses all posts: set refit=false, or holdout=0.2.",
    )


# Options that a write-up does not name are ours.
PRESETS: dict[str, dict[str, Any]] = {
    "photo": {"modality": "photo"},
    "title": {
        "modality": "title",
        "model": "ngrams",
        "drop": 0.2,
        "epochs": 15,
        "batch": 256,
        "lr": 2e-3,
        "head_lr": 5e-3,
        "neck": False,
        "weight_decay": 0.0,
        "workers": 0,
    },
    # Kaggle Shopee, 1st place: flip and cutmix alone, pooling, batch-norm, no layer after it, a late and large margin.
    "upstage-photo": {
        "modality": "photo",
        "model": "timm:eca_nfnet_l1",
        "augment": "flip",
        "cutmix": 0.1,
        "image_size": 512,
        "optimizer": "madgrad",
        "margin": 1.0,
        "margin_start": 0.2,
        "margin_ramp": 1.0,
        "class_margin": 0.1,
        "warmup": 0.2,
        "batch": 16,
        "precision": "bfloat16",
    },
    "upstage-title": {
        "modality": "title",
        "model": "st:cahya/bert-base-indonesian-1.5G",
        "pooling": "mean",
        "optimizer": "madgrad",
        "lr": 3e-5,
        "head_lr": 1e-3,
        "margin": 0.8,
        "margin_start": 0.2,
        "margin_ramp": 1.0,
        "class_margin": 0.2,
        "warmup": 0.2,
        "batch": 32,
        "precision": "bfloat16",
    },
    # 2nd place: CurricularFace with SAM; GeM with p 3 in training and 6 when encoding; larger photos when encoding.
    "lyakaap-photo": {
        "modality": "photo",
        "model": "timm:dm_nfnet_f0",
        "augment": "light",
        "image_size": 256,
        "test_size": 320,
        "pooling": "gem",
        "gem_test_p": 6.0,
        "projection": 256,
        "loss": "curricular",
        "scale": 50.0,
        "margin": 0.3,
        "margin_ramp": 0.0,
        "optimizer": "sgd",
        "lr": 1e-3,
        "head_lr": 0.0,
        "sam": 0.05,
        "weight_decay": 1e-5,
        "batch": 32,
        "epochs": 11,
        "precision": "bfloat16",
    },
    # 11th place: SAM around AdamW, a layer of 768.
    "eleventh-title": {
        "modality": "title",
        "model": "st:paraphrase-xlm-r-multilingual-v1",
        "pooling": "mean",
        "projection": 768,
        "margin_ramp": 0.0,
        "lr": 1e-4,
        "head_lr": 2e-4,
        "sam": 0.05,
        "batch": 16,
        "epochs": 7,
        "precision": "bfloat16",
    },
    # The published table of one configuration for many models (jingxuanyang): margin .9 was best for the NFNets.
    "table-photo": {
        "modality": "photo",
        "model": "timm:eca_nfnet_l0",
        "augment": "light",
        "image_size": 512,
        "margin": 0.9,
        "margin_ramp": 0.0,
        "batch": 8,
        "epochs": 8,
        "lr": 3.2e-4,
        "head_lr": 0.0,
        "precision": "bfloat16",
    },
    "table-title": {
        "modality": "title",
        "model": "st:paraphrase-xlm-r-multilingual-v1",
        "pooling": "mean",
        "projection": 768,
        "length": 128,
        "margin_ramp": 0.0,
        "lr": 1e-4,
        "head_lr": 0.0,
        "sam": 0.05,
        "batch": 8,
        "epochs": 8,
        "precision": "bfloat16",
    },
    # Reimers and Gurevych 2019, section 3.
    "sentence-bert": {
        "modality": "title",
        "model": "st:paraphrase-xlm-r-multilingual-v1",
        "pooling": "mean",
        "neck": False,
        "objective": "pair",
        "lr": 2e-5,
        "head_lr": 0.0,
        "batch": 16,
        "epochs": 1,
        "precision": "bfloat16",
    },
}
