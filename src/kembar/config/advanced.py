"""The tables of `[advanced]`: what a person who measures may change, and a pair classifier owns.

The columns that a classifier learned from depend on most of these options, so its folder keeps those it was trained
with (see kembar.classifier.ownership); with `model = "rules"` all of them are free.
"""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from kembar.errors import ConfigError, look_up

FUSION_RULES: Final = ("mean", "max", "product", "soft_or", "squares", "convex", "union")
"""How similarities of title and photo become one; see kembar.evidence.fusion."""

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Cut = Annotated[float, Field(gt=0, le=1)]
Absent: Final = BeforeValidator(lambda value: None if value == "none" else value)  # TOML has no null


def one_of(key: str, value: str, known: tuple[str, ...]) -> None:
    """Refuse a value that is not known; raises ConfigError."""
    if value not in known:
        raise ConfigError(f"{key} = {value!r}", f"one of {', '.join(known)}", look_up(value, known))


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

    def with_option(self, key: str, value: Any) -> Self:
        """Change one option, such as "advanced.blend.steps"; the value is taken as it is."""
        head, dot, rest = key.partition(".")
        changed = getattr(self, head).with_option(rest, value) if dot else value
        return self.model_copy(update={head: changed})


class ViewOptions(Section):
    """One kind of evidence: how it finds candidates and how it counts."""

    k: int = Field(51, ge=2, description="neighbours searched for each post, the post itself counted")
    floor: float = Field(0.0, ge=-1, lt=1, description="similarity that means nothing in common; becomes 0")
    weight: Positive = Field(1.0, description="weight among the views of the same modality")


class Cosines(ViewOptions):
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


class TitleVectors(Cosines):
    """Vectors of titles, by an encoder."""

    weight: Positive = Field(2.0, description="weight among the views of the same modality")


class PerceptualHashes(ViewOptions):
    """64-bit perceptual hashes of photos."""

    floor: float = Field(1 - 20 / 64, ge=0, lt=1, description="share of equal bits that means nothing in common")
    radius: int = Field(7, ge=0, le=64, description="differing bits up to which a pair becomes a candidate")


class PhotoVectors(Cosines):
    """Vectors of photos, by an encoder."""

    floor: float = Field(0.7, ge=-1, lt=1, description="cosine that means nothing in common; becomes 0")


class Fusion(Section):
    """How the views of a pair become one similarity: a mean within a modality, a rule across."""

    rule: str = Field("soft_or", description=f"across title and photo, one of {', '.join(FUSION_RULES)}")
    thresholds: dict[str, Cut] = Field({}, description="for rule union: a cut for 'title' and for 'photo'")
    veto: bool = Field(True, description="whether a conflict of quantities makes the similarity 0")

    @model_validator(mode="after")
    def _known(self) -> Self:
        one_of("advanced.fusion.rule", self.rule, FUSION_RULES)
        for name in self.thresholds:
            one_of("advanced.fusion.thresholds", name, ("title", "photo"))
        return self


class Blend(Section):
    """Neighbourhood blending: titles and vectors learn from their sure neighbours before the last comparison."""

    steps: int = Field(1, ge=0, le=5, description="0 for none, 1 for one-step, 2 for the iterated three-stage form")
    threshold: Fraction = Field(0.75, description="fused similarity of a sure neighbour")
    min2: Annotated[Fraction | None, Absent] = Field(0.3, description="a post without one takes its best above this")
    later: Fraction = Field(0.8, description="blended similarity of a sure neighbour, in steps after the first")
    keep: Fraction = Field(0.25, description="share of the unblended similarity in the final one")
    search: bool = Field(False, description="compare also what is near after blending alone")
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
        _check_min2("advanced.blend", self.min2, self.threshold)
        return self


class Decide(Section):
    """What the decision rules other than "group" need."""

    threshold: Fraction = Field(0.6, description="for rule threshold")
    min2: Annotated[Fraction | None, Absent] = Field(
        0.35, description="for rule threshold: a post left alone takes its best above this"
    )
    alone: Fraction = Field(0.1, description="for rule expected: how far to believe that a post has no match at all")
    mutual: bool = Field(False, description="keep a match only where both posts chose it")
    cap: int = Field(51, ge=1, description="longest list, the post itself counted")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _check_min2("advanced.decide", self.min2, self.threshold)
        return self


class Group(Section):
    """How scored pairs become a partition."""

    link: Literal["average", "any"] = Field("average", description="average link, or connected components")
    cut: Cut = Field(0.62, description='for rules, where the option "cut" is auto: mean similarity that still joins')


class Pool(Section):
    """Cuts on similarities rise with the pool: among more posts, more unrelated ones look alike."""

    size: int = Field(27_399, ge=1, description="number of posts for which the cuts hold as written")
    slope: float = Field(0.05, ge=0, le=0.2, description="what a cut gains for each doubling of the pool")


class Advanced(Section):
    """Options that tables need; those that a classifier's columns depend on belong to its folder."""

    word: Words = Words()
    char: Characters = Characters()
    title: TitleVectors = TitleVectors()
    hash: PerceptualHashes = PerceptualHashes()
    photo: PhotoVectors = PhotoVectors()
    fusion: Fusion = Fusion()
    blend: Blend = Blend()
    decide: Decide = Decide()
    group: Group = Group()
    pool: Pool = Pool()
