"""Variants of one product: the same thing in another size, quantity, colour or edition, taken together if wanted.

Where `variants` is "together", what names a variant is left out of the titles before anything is compared: quantities
(kembar.posts.units), variant words and colours (token_kinds.toml) and sizes of garments. Model codes and bare numbers
stay: another model is another product. Flavours and scents of which no table knows still tell titles apart a little.
"""

from functools import cache
from typing import Final

import polars as pl

from kembar.evidence.tokens import special
from kembar.posts.mentions import without_quantities
from kembar.posts.titles import normalize

_SIZES: Final = ("xs", "s", "m", "l", "xl", "xxl", "xxxl", "small", "medium", "large", "kecil", "sedang", "besar")


def without_variants(titles: pl.Series) -> pl.Series:
    """Leave out of titles what names a variant.

    Args:
        titles: (n,) String.

    Returns:
        (n,) String in normal form; a title that would be empty stays whole.
    """
    plain = normalize(titles)
    whole, bare = plain, _bare(plain)
    while not whole.equals(bare):  # "85 merah g": a quantity can appear where a word goes
        whole, bare = bare, _bare(bare)
    return bare.zip_with(bare != "", plain)


def _bare(titles: pl.Series) -> pl.Series:
    bare = without_quantities(titles)
    for _ in range(2):  # neighbours share the blank between them
        bare = bare.str.replace_all(_words(), "${1} ${2}")
    return normalize(bare)


@cache
def _words() -> str:
    variants, colors = special()
    longest = sorted({*variants, *colors, *_SIZES}, key=lambda word: (-len(word), word))
    return rf"(^|[^\p{{L}}\p{{M}}\p{{N}}])(?:{'|'.join(longest)})($|[^\p{{L}}\p{{M}}\p{{N}}])"
