"""Everything that can be set, in one frozen tree: read from TOML, changed by `a.b=value`, written back."""

import logging
from collections.abc import Iterable, Mapping
from math import log2
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from kembar.errors import ConfigError, mend
from kembar.posts.units import CATEGORIES, VETO
from kembar.toml import explained, read_toml, set_option, write_section

SHIPPED: Final = "kembar-classifier"
"""The classifier that ships with the package, learned from labelled Shopee posts; see classifier/shipped/card.md."""
BY_RULES: Final = "rules"
"""In place of a classifier: hand-set rules judge the pairs."""
CONFIG_FILE: Final = "config.toml"
"""The configuration in a run or model folder."""
MODEL_FILE: Final = "model.json"
"""What a model folder is known by; run folders have a configuration too."""
HERE: Final = "."
"""In place of a classifier's folder: that of the configuration file."""

FUSION_RULES: Final = ("mean", "max", "product", "soft_or", "squares", "convex", "union")
"""How similarities of title and photo become one; see kembar.evidence.gathering.fusion."""

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Cut = Annotated[float, Field(gt=0, le=1)]
_Absent = BeforeValidator(lambda value: None if value == "none" else value)  # TOML has no null

log = logging.getLogger(__name__)


def _one_of(key: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"{key} = {value!r}", f"one of {', '.join(known)}", mend(value, known))


def _check_min2(section: str, min2: float | None, threshold: float) -> None:
    if min2 is not None and min2 > threshold:
        raise ConfigError(
            f"{section}.min2 {min2} with {section}.threshold {threshold}",
            "min2 at or below the threshold",
            f"Lower {section}.min2.",
        )


class Section(BaseModel):
    """A frozen part of the configuration; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


class View(Section):
    """One kind of evidence: whether and how it counts."""

    use: bool = Field(True, description="whether this view takes part")
    k: int = Field(51, ge=2, description="neighbours searched for each post, the post itself counted")
    floor: float = Field(0.0, ge=-1, lt=1, description="similarity that means nothing in common; becomes 0")
    weight: Positive = Field(1.0, description="weight among the views of the same modality")


class Cosines(View):
    """Vectors compared by their cosines."""

    least: float = Field(0.2, ge=0, lt=1, description="cosine above which a pair becomes a candidate")


class Words(Cosines):
    """TF-IDF over words."""

    n_gram: tuple[int, int] = Field((1, 1), description="shortest and longest run of words")
    max_df: Positive = Field(1.0, le=1, description="leave out words in more than this share of the titles")


class Characters(Cosines):
    """TF-IDF over character n-grams inside word bounds."""

    n_gram: tuple[int, int] = Field((4, 4), description="shortest and longest run of characters")
    max_df: Positive = Field(0.05, le=1, description="leave out n-grams in more than this share of the titles")


class Hashes(View):
    """64-bit perceptual hashes of photos."""

    floor: float = Field(1 - 20 / 64, ge=0, lt=1, description="share of equal bits that means nothing in common")
    radius: int = Field(7, ge=0, le=64, description="differing bits up to which a pair becomes a candidate")


class Titles(Cosines):
    """Vectors of titles, by an encoder."""

    weight: Positive = Field(2.0, description="weight among the views of the same modality")
    encoder: str = Field("kembar-title", description="name or folder of the encoder; see docs/training.md")


class Photos(Cosines):
    """Vectors of photos, by an encoder."""

    floor: float = Field(0.7, ge=-1, lt=1, description="cosine that means nothing in common; becomes 0")
    encoder: str = Field("kembar-photo", description="name or folder of the encoder; see docs/training.md")


class Vectors(Cosines):
    """More dense vectors, of another encoder or brought along; one section for each, by name."""

    least: float = Field(0.0, ge=0, lt=1, description="cosine above which a pair becomes a candidate")
    encoder: Annotated[str | None, _Absent] = Field(None, description="the encoder, where no file of vectors is given")
    modality: Literal["title", "photo"] = Field("photo", description="what the vectors were made from")


class Fusion(Section):
    """How the views of a pair become one similarity: a mean within a modality, a rule across."""

    rule: str = Field("soft_or", description=f"across title and photo, one of {', '.join(FUSION_RULES)}")
    thresholds: dict[str, Cut] = Field({}, description="for rule union: a cut for 'title' and for 'photo'")

    @model_validator(mode="after")
    def _known(self) -> Self:
        _one_of("fusion.rule", self.rule, FUSION_RULES)
        for name in self.thresholds:
            _one_of("fusion.thresholds", name, ("title", "photo"))
        return self


class Learned(Section):
    """The learned judge of pairs, whose probability replaces the fused similarity in decisions."""

    model: str = Field(
        SHIPPED, description='a classifier: the one that ships, a folder of `kembar tune`; or "rules": none'
    )
    cut: Cut = Field(0.44, description="mean probability (or any one, for link any) that still joins groups")
    veto: bool = Field(
        False, description="whether a conflict of quantities forbids a match whatever the classifier says"
    )


class Blend(Section):
    """Neighbourhood blending: titles and vectors learn from their sure neighbours before the last comparison."""

    steps: int = Field(1, ge=0, le=5, description="0 for none, 1 for one-step, 2 for the iterated three-stage form")
    threshold: Fraction = Field(0.75, description="fused similarity of a sure neighbour")
    min2: Annotated[Fraction | None, _Absent] = Field(0.3, description="a post without one takes its best above this")
    later: Fraction = Field(0.8, description="blended similarity of a sure neighbour, in steps after the first")
    keep: Fraction = Field(0.25, description="share of the unblended similarity in the final one")
    single: dict[str, Fraction] = Field({}, description="first step: a view's own cut that also makes a neighbour")
    direct: dict[str, Fraction] = Field({}, description="at the end: an unblended view's own cut that makes a match")
    expansion: int = Field(
        0,
        ge=0,
        description="query expansion by this many nearest before blending, the post itself counted; 0: none",
    )
    alpha: float = Field(0.5, ge=0, description="query expansion: power of the similarity that weighs a neighbour")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _check_min2("blend", self.min2, self.threshold)
        return self


class Units(Section):
    """Quantities in titles."""

    veto: bool = Field(True, description="whether a conflict of quantities forbids a match")
    categories: tuple[str, ...] = Field(tuple(VETO), description="the kinds of quantity that can conflict")

    @model_validator(mode="after")
    def _known(self) -> Self:
        for name in self.categories:
            _one_of("units.categories", name, tuple(CATEGORIES))
        return self


class Decide(Section):
    """How scored pairs become the matches of each post."""

    rule: Literal["group", "threshold", "chisel", "expected"] = Field(
        "group",
        description="the members of the post's group, a cut on similarity, the expected list lengths, or the highest "
        "expected F1 by a classifier's probabilities",
    )
    alone: Fraction = Field(0.1, description="for rule expected: how far to believe that a post has no match at all")
    threshold: Fraction = Field(0.6, description="for rule threshold")
    min2: Annotated[Fraction | None, _Absent] = Field(
        0.35, description="for rule threshold: a post left alone takes its best above this"
    )
    mutual: bool = Field(False, description="keep a match only where both posts chose it")
    cap: int = Field(51, ge=1, description="longest list, the post itself counted")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _check_min2("decide", self.min2, self.threshold)
        return self


class Group(Section):
    """How scored pairs become a partition; where a classifier judges, `learned.cut` stands for the cut."""

    link: Literal["average", "any"] = Field("average", description="average link, or connected components")
    cut: Cut = Field(0.62, description="mean similarity (any one, for link any) that still joins")
    target_size: Annotated[float | None, _Absent] = Field(
        None, ge=1, description="for average link: join up to this mean group size, whatever the cut"
    )
    single: Annotated[Cut | None, _Absent] = Field(
        None, description="a post left alone joins its nearest group if the mean similarity to it reaches this"
    )


class Pool(Section):
    """Cuts rise with the pool: among more posts, more strangers look alike."""

    size: int = Field(27_399, ge=1, description="number of posts for which the cuts hold as written")
    slope: float = Field(0.05, ge=0, le=0.2, description="what a cut gains for each doubling of the pool")


class Config(Section):
    """The whole configuration. The defaults were tuned on labelled Shopee posts (see docs/tuning.md)."""

    word: Words = Words()
    char: Characters = Characters()
    title: Titles = Titles()
    hash: Hashes = Hashes()
    photo: Photos = Photos()
    vectors: dict[str, Vectors] = Field({}, description="more dense vectors by name")
    fusion: Fusion = Fusion()
    learned: Learned = Learned()
    blend: Blend = Blend()
    units: Units = Units()
    decide: Decide = Decide()
    group: Group = Group()
    pool: Pool = Pool()

    @classmethod
    def read(cls, path: Path | str | None = None, settings: Iterable[str] = ()) -> "Config":
        """Read a configuration.

        Args:
            path: a TOML file; the defaults where None. A `learned.model` of "." is the folder that the file lies in.
            settings: changes such as "blend.steps=2", applied in order after the file.

        Returns:
            The configuration.

        Raises:
            ConfigError: a missing or broken file, an unknown key (the nearest one is named) or a value out of range.
        """
        settings = tuple(settings)
        tree = read_toml(Path(path)) if path is not None else {}
        if path is not None and tree.get("learned", {}) == {**tree.get("learned", {}), "model": HERE}:
            tree["learned"]["model"] = str(Path(path).parent)
        for setting in settings:
            set_option(tree, setting)
        config = cls.of(tree)
        if not config.by_rules and any(setting.strip().startswith("group.cut") for setting in settings):
            log.warning("group.cut does nothing where a classifier judges; set learned.cut, or learned.model=rules")
        return config

    @classmethod
    def of(cls, tree: Mapping[str, Any]) -> "Config":
        """Build a configuration from nested dicts; raises ConfigError as `read` does."""
        try:
            return cls.model_validate(tree)
        except ValidationError as error:
            raise explained(error, cls) from None

    def text(self, header: str = "") -> str:
        """Write the configuration as TOML, every key with its meaning, the lines of a header above it as comments."""
        lines: list[str] = []
        write_section(lines, self, "")
        comments = "".join(f"# {line}\n" for line in header.splitlines())
        return f"{comments}\n".lstrip() + "\n".join(lines).strip() + "\n"

    @property
    def by_rules(self) -> bool:
        """Whether hand-set rules judge the pairs, not a classifier."""
        return self.learned.model == BY_RULES

    def judged_by(self, model: str) -> "Config":
        """Give the same with another judge, see `learned.model`."""
        return self.model_copy(update={"learned": self.learned.model_copy(update={"model": model})})

    @property
    def cut(self) -> float:
        """The cut of the groups, on similarities or on probabilities."""
        return self.group.cut if self.by_rules else self.learned.cut

    def at_pool(self, n: int) -> "Config":
        """Move every cut on the fused similarity to a pool of n posts; cuts on probabilities hold for any pool.

        Args:
            n: posts in the pool, >= 1.

        Returns:
            A configuration for exactly this pool: `pool.size` is n.
        """
        doublings = log2(max(1, n) / self.pool.size)
        moved: dict[str, Any] = {"pool": self.pool.model_copy(update={"size": max(1, n)})}
        for section in tuple(_CUTS) if self.by_rules else ("blend", "group"):
            keys = _CUTS[section]
            part = getattr(self, section)
            cuts = {key: _moved(getattr(part, key), self.pool.slope * doublings) for key in keys}
            moved[section] = part.model_copy(update=cuts)
        return self.model_copy(update=moved)


_CUTS = {"blend": ("threshold", "min2", "later"), "decide": ("threshold", "min2"), "group": ("cut",)}
_LOWEST_CUT, _HIGHEST_CUT = 0.2, 0.95  # beyond these a shift for the pool's size stops


def _moved(cut: float | None, by: float) -> float | None:
    if cut is None:
        return None
    low, high = min(cut, _LOWEST_CUT), max(cut, _HIGHEST_CUT)
    return round(min(max(cut + by, low), high), 6)
