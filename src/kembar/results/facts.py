"""What two posts have in common and what not, read off them: words, quantities, codes, photos."""

import numpy as np

from kembar.posts.catalog import Catalog
from kembar.posts.identifiers import holds_gtins
from kembar.posts.quantities import Quantities
from kembar.posts.scripts import words_of
from kembar.posts.titles import normalize
from kembar.results.apart import Apart


def facts_of(catalog: Catalog, i: int, j: int, parted: Apart) -> list[str]:
    """Tell what two posts have in common and what not, in words.

    Args:
        catalog: the posts.
        i: a row.
        j: another row.
        parted: what only one of the two titles says, see `kembar.results.apart`.

    Returns:
        A line for each fact.
    """
    titles = normalize(catalog.titles.gather([i, j]))
    first, second = (set(words_of(title)) for title in titles)
    facts = [
        f"words in both titles: {', '.join(sorted(first & second)) or 'none'}",
        f"words in one only: {', '.join(sorted(first ^ second)) or 'none'}",
    ]
    quantities = Quantities.parse(titles)
    said = [quantities.describe(row) or "nothing" for row in (0, 1)]
    facts.append(f"quantities: {said[0]} | {said[1]}")
    told = [(kind, sides) for kind, sides in parted.items() if kind not in ("quantities", "words")]
    facts += [f"{kind} in one title only: {one} | {other}" for kind, (one, other) in told]
    facts += _same_identifiers(catalog, i, j)
    one, other = (catalog.take([row]).photos() for row in (i, j))
    if one.hashed.any() and other.hashed.any():
        apart = np.bitwise_count(one.hashes[one.hashed][:, None] ^ other.hashes[other.hashed])
        bits = int(apart.min())  # of the two most alike, where a post has several photos
        facts.append(f"photos: the perceptual hashes differ in {bits} of 64 bits")
    else:
        facts.append("photos: at least one post has no perceptual hash")
    return facts


def _same_identifiers(catalog: Catalog, i: int, j: int) -> list[str]:
    """Tell of each kind of code that both posts have."""
    told = []
    for codes in () if catalog.identifiers is None else catalog.identifiers:
        one, other = codes[i], codes[j]
        kind = "GTIN" if holds_gtins(codes) else codes.name
        if one and other:
            told.append(f"same {kind} {one}" if one == other else f"another {kind}: {one} | {other}")
    return told
