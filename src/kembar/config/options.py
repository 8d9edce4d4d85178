"""What a user sets, in one frozen tree: read from TOML, changed by `key=value`, written back."""

import logging
from collections.abc import Iterable, Mapping
from math import log2
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from kembar.config.advanced import Absent, Advanced, Cosines, Cut, Section, one_of
from kembar.config.recipes import merged
from kembar.config.recipes import recipe as recipe_options
from kembar.config.renamed import current_name, current_tree
from kembar.config.toml import explained, read_toml, set_option, write_section
from kembar.errors import ConfigError
from kembar.posts.units import CATEGORIES, VETO

SHIPPED: Final = "kembar-classifier"
"""The pair classifier that ships with the package; see classifier/shipped/card.md."""
PHOTOS_ALONE: Final = "kembar-classifier-photos"
"""The pair classifier that ships for posts without titles; see classifier/shipped_photos/card.md."""
BY_RULES: Final = "rules"
"""In place of a classifier: hand-set rules."""
CONFIG_FILE: Final = "config.toml"
"""The configuration in a run or model folder."""
MODEL_FILE: Final = "model.json"
"""What a model folder is known by; run folders have a configuration too."""
HERE: Final = "."
"""In place of a classifier's folder: that of the configuration file."""

_Auto: Final = BeforeValidator(lambda value: None if value in ("auto", "none") else value)

log = logging.getLogger(__name__)


class Vectors(Cosines):
    """More dense vectors, of another encoder or brought along; one section for each, by name."""

    use: bool = Field(True, description="compare these vectors")
    least: float = Field(0.0, ge=0, lt=1, description="cosine above which a pair becomes a candidate")
    encoder: Annotated[str | None, Absent] = Field(None, description="the encoder, where no file of vectors is given")
    modality: Literal["title", "photo"] = Field("photo", description="what the vectors were made from")


class Config(Section):
    """The whole configuration; `[advanced]` is for those who measure."""

    word: bool = Field(True, description="compare the words of titles")
    char: bool = Field(True, description="compare the character n-grams of titles")
    title: bool = Field(True, description="compare titles by the vectors of an encoder")
    title_encoder: str = Field("kembar-title", description="its name or folder; see docs/tasks/own-encoder.md")
    hash: bool = Field(True, description="compare photos by their perceptual hashes")
    photo: bool = Field(True, description="compare photos by the vectors of an encoder")
    photo_encoder: str = Field("kembar-photo", description="its name or folder; see docs/tasks/own-encoder.md")
    model: str = Field(
        SHIPPED, description='a pair classifier: the one that ships or a folder of `kembar tune`; or "rules" for none'
    )
    cut: Annotated[Cut | None, _Auto] = Field(
        None,
        examples=["auto"],
        description="mean probability (for rules: similarity) that still joins two groups; auto: the model's own",
    )
    veto: Annotated[bool | None, _Auto] = Field(
        None,
        examples=["auto"],
        description="whether a conflict of quantities forbids a match; auto: yes for rules and for the classifier that "
        "ships, no for one of `kembar tune`",
    )
    variants: Literal["apart", "together"] = Field(
        "apart",
        description="whether another size, quantity, colour or edition is another product; together: what names them "
        "is left out of the titles before they are compared, and veto is off unless it is set",
    )
    rule: Literal["group", "threshold", "chisel", "expected", "one-to-one", "one-to-many", "many-to-many"] = Field(
        "group",
        description="how a post's matches are chosen: the members of its group, a cut on similarity, the expected list "
        "lengths, or the highest expected F1 by a classifier's probabilities; of two sources: links between them",
    )
    target_size: Annotated[float | None, Absent] = Field(
        None, ge=1, description="join groups up to this mean size, whatever the cut"
    )
    single: Annotated[Cut | None, Absent] = Field(
        None, description="a post left alone joins its nearest group if the mean similarity to it reaches this"
    )
    categories: tuple[str, ...] = Field(tuple(VETO), description="the kinds of quantity that can conflict")
    vectors: dict[str, Vectors] = Field({}, description="more dense vectors by name")
    advanced: Advanced = Advanced()

    @model_validator(mode="after")
    def _known(self) -> Self:
        for name in self.categories:
            one_of("categories", name, tuple(CATEGORIES))
        return self

    @classmethod
    def read(
        cls, path: Path | str | None = None, settings: Iterable[str] = (), *, recipe: str | None = None
    ) -> "Config":
        """Read a configuration.

        Args:
            path: a TOML file; the defaults where None. A `model` of "." is the folder that the file lies in.
            settings: changes such as "cut=0.5", applied in order after the file.
            recipe: a published solution that the file and the settings change; see `kembar.config.recipes`.

        Returns:
            The configuration. Options under the names of older versions are read, and told in the log.

        Raises:
            ConfigError: a missing or broken file, an unknown key (the nearest one is named) or a value out of range.
        """
        tree = current_tree(read_toml(Path(path))) if path is not None else {}
        if path is not None and tree.get("model") == HERE:
            tree["model"] = str(Path(path).parent)
        if recipe is not None:
            tree = merged(recipe_options(recipe), tree)
        for setting in settings:
            set_option(tree, current_name(setting))
        config = cls.of(tree)
        if not config.by_rules and "cut" in config.advanced.group.model_fields_set and path is None:
            log.warning("advanced.group.cut does nothing where a classifier decides; set cut, or model=rules")
        return config

    @classmethod
    def of(cls, tree: Mapping[str, Any]) -> "Config":
        """Build a configuration from nested dicts; raises ConfigError as `read` does."""
        try:
            return cls.model_validate(current_tree(tree))
        except ValidationError as error:
            raise explained(error, cls) from None

    def with_settings(self, settings: Iterable[str]) -> "Config":
        """Apply changes such as "cut=0.5", in order; raises ConfigError as `read` does."""
        tree = self.model_dump(mode="json")
        for setting in settings:
            set_option(tree, current_name(setting))
        return Config.of(tree)

    def text(self, header: str = "") -> str:
        """Write the configuration as TOML, every key with its meaning, the lines of a header above it as comments."""
        lines: list[str] = []
        write_section(lines, self, "")
        comments = "".join(f"# {line}\n" for line in header.splitlines())
        return f"{comments}\n".lstrip() + "\n".join(lines).strip() + "\n"

    @property
    def by_rules(self) -> bool:
        """Whether hand-set rules decide about the pairs, not a classifier."""
        return self.model == BY_RULES

    def with_model(self, model: str) -> "Config":
        """Give the same with another model; a cut that was meant for the earlier kind of model is forgotten."""
        kept = (model == BY_RULES) == self.by_rules
        return self.model_copy(update={"model": model} if kept else {"model": model, "cut": None, "veto": None})

    def settled(self, cut: float | None = None, *, veto: bool = False) -> "Config":
        """Put numbers in the place of "auto".

        Args:
            cut: the classifier's own; for rules None.
            veto: likewise; rules have `advanced.fusion.veto`.

        Returns:
            A configuration whose `cut` and `veto` are not None.
        """
        own = self.advanced.group.cut if cut is None else cut
        usual = self.advanced.fusion.veto if self.by_rules else veto
        usual = usual and self.variants == "apart"
        chosen = usual if self.veto is None else self.veto
        return self.model_copy(update={"cut": own if self.cut is None else self.cut, "veto": chosen})

    def encoder_of(self, name: str) -> str | None:
        """Name the encoder of a view of vectors; None where vectors are brought along."""
        own = {"title": self.title_encoder, "photo": self.photo_encoder}
        return own[name] if name in own else self.vectors.get(name, Vectors()).encoder

    @property
    def fusion_veto(self) -> bool:
        """Whether a conflict of quantities makes the rules' similarity 0."""
        return self.advanced.fusion.veto if self.veto is None or not self.by_rules else self.veto

    @property
    def group_cut(self) -> float:
        """The cut of the groups, on similarities or on probabilities.

        Raises:
            ConfigError: it is the classifier's own and nobody has asked the classifier; see `settled`.
        """
        if self.cut is None and not self.by_rules:
            raise ConfigError("cut 'auto' with a classifier", "a number", "Call settled(classifier.cut) first.")
        return self.advanced.group.cut if self.cut is None else self.cut

    def at_pool(self, n: int) -> "Config":
        """Move every cut on the fused similarity to a pool of n posts; cuts on probabilities hold for any pool.

        Args:
            n: posts in the pool, >= 1.

        Returns:
            A configuration for exactly this pool: `advanced.pool.size` is n.
        """
        pool = self.advanced.pool
        by = pool.slope * log2(max(1, n) / pool.size)
        moved = self.with_option("advanced.pool.size", max(1, n))
        for section, keys in _CUTS.items():
            for key in keys if self.by_rules or section != "decide" else ():
                own = getattr(getattr(self.advanced, section), key)
                moved = moved.with_option(f"advanced.{section}.{key}", _moved(own, by))
        return moved.with_option("cut", _moved(self.cut, by)) if self.by_rules else moved


_CUTS: Final = {"blend": ("threshold", "min2", "later"), "decide": ("threshold", "min2"), "group": ("cut",)}
_LOWEST_CUT, _HIGHEST_CUT = 0.2, 0.95  # beyond these a shift for the pool's size stops


def _moved(cut: float | None, by: float) -> float | None:
    if cut is None:
        return None
    low, high = min(cut, _LOWEST_CUT), max(cut, _HIGHEST_CUT)
    return round(min(max(cut + by, low), high), 6)
