"""The views that come with kembar: what each looks at, and what its number says. Their names stand here alone."""

from dataclasses import dataclass
from typing import Final, Literal

Modality = Literal["title", "photo", "identifier"]
Family = Literal["terms", "vectors", "hash"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A view that comes with kembar.

    Attributes:
        name: of the evidence column and of the option.
        modality: what it looks at.
        family: how it compares.
        meaning: what its number says, in words.
    """

    name: str
    modality: Modality
    family: Family
    meaning: str


WORD: Final = Kind("word", "title", "terms", "cosine of the words of the titles (TF-IDF)")
CHAR: Final = Kind("char", "title", "terms", "cosine of the character n-grams of the titles (TF-IDF)")
TITLE: Final = Kind("title", "title", "vectors", "cosine of the titles' vectors, by the title encoder")
HASH: Final = Kind("hash", "photo", "hash", "share of equal bits of the photos' perceptual hashes")
PHOTO: Final = Kind("photo", "photo", "vectors", "cosine of the photos' vectors, by the photo encoder")
KINDS: Final = {kind.name: kind for kind in (WORD, CHAR, TITLE, HASH, PHOTO)}


def meaning(name: str) -> str:
    """Say what the number of a view means, in words; of vectors that were brought by their name."""
    return KINDS[name].meaning if name in KINDS else f"cosine of the vectors {name!r}"
