"""Two posts without a catalogue: how likely they sell one product, by their titles and photos alone."""

import os.path
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from kembar.config import Config
from kembar.errors import CatalogError, ConfigError, PhotoError, quoted, visible
from kembar.evidence.pairs import SIMILARITY
from kembar.matcher import Matcher
from kembar.posts.catalog import Catalog
from kembar.posts.problems import PROBLEMS
from kembar.threads import unforked

_SURE: Final = ((0.95, "sure"), (0.8, "fairly sure"), (0.0, "not sure"))
_ALONE: Final = (
    "How rare a word is was not known: that takes the titles of a whole catalogue. In a run over yours the same pair\n"
    "is judged with that knowledge, and can come out otherwise."
)


@dataclass(frozen=True, slots=True)
class PairScore:
    """How likely two posts sell one product.

    Attributes:
        probability: in [0, 1]; 0 where quantities contradict each other, or the two have nothing in common.
        sure: "sure", "fairly sure" or "not sure", by how far the probability is from a half.
        difference: what spoke most against it, such as "numbers (64 | 128)"; None where nothing did or the two match.
    """

    probability: float
    sure: str
    difference: str | None

    def __str__(self) -> str:
        verdict = "one product" if self.probability >= 0.5 else "two products"
        against = f" Most against it: {self.difference}." if self.difference else ""
        return visible(f"Probability of one product {self.probability:.3f}: {verdict}, {self.sure}.{against}\n{_ALONE}")


@unforked
def score(
    a: str, b: str, *, images: tuple[Path | str, Path | str] | None = None, config: Config | None = None
) -> PairScore:
    """Tell how likely two posts sell one product, without a run.

    Args:
        a: a title.
        b: another title.
        images: the photo files of the two.
        config: what can be set; the defaults where None.

    Returns:
        The probability, and how sure it is. No catalogue says how rare words are: see `kembar.match` for that.

    Raises:
        CatalogError: a title without a letter or digit where there are no photos, or no such photo.
        PhotoError: a photo that cannot be used.
        ConfigError: hand-set rules decide, which give no probability.
    """
    posts = _posts([a, b], images)
    result = Matcher(config).match(posts)
    if result.config.by_rules:
        raise ConfigError("hand-set rules", "a classifier, which gives probabilities", "Choose another model.")
    damaged = result.catalog.problems.filter(pl.col("part") == "image")
    if len(damaged):
        raise PhotoError(f"a photo: {damaged['problem'][0]}", "two photos that can be used", "Give another one.")
    pairs = result.pairs.evidence[SIMILARITY]
    probability = float(pairs[0]) if len(pairs) else 0.0
    sure = next(word for least, word in _SURE if max(probability, 1 - probability) >= least)
    return PairScore(probability, sure, result.explain("a", "b").difference)


def _posts(titles: Sequence[str], images: tuple[Path | str, Path | str] | None) -> Catalog:
    """Make a catalogue of two posts."""
    read = Catalog.read({"posting_id": ["a", "b"], "title": list(titles)})
    if images is None:
        bare = [title for title, known in zip(titles, read.has_titles, strict=True) if not known]
        if bare:
            raise CatalogError(f"the title {quoted(bare[0])}", "a title with words", "Give one, or the photos of both.")
        return read
    files = [Path(image).absolute() for image in images]
    for file in files:
        if not file.is_file():
            raise CatalogError(f"{quoted(file)}, which is not there", "a photo", "Check the path.")
    folder = Path(os.path.commonpath([file.parent for file in files]))
    names = pl.Series([file.relative_to(folder).as_posix() for file in files])
    unknown = np.zeros(2, dtype=np.uint64), np.zeros(2, dtype=bool)
    return Catalog(read.ids, read.titles, names, *unknown, None, folder, pl.DataFrame(schema=PROBLEMS))
