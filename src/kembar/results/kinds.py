"""Evidence columns by kinds that a shop person knows."""

import re
from collections.abc import Iterable
from typing import Final

from kembar.evidence.identifier_view import EQUAL
from kembar.evidence.pairs import BLENDED

BASE: Final = "base"
_CROWD: Final = "other posts like these two"
_KINDS: Final = (
    (rf"{BASE}$", "before looking at the two"),
    (r".* (rank|ratio|nearest|above|top|shared|company)\b.* (low|high)$|title copies|candidates|company", _CROWD),
    (r"(unit|units|pack)\b|conflict", "quantities and packs"),
    (r"(code|codes|number|numbers)\b", "codes and numbers"),
    (r"(variant|short|color)\b", "variants and colours"),
    (r"price\b", "prices"),
    (EQUAL, "identifiers"),
    (r"(hash|photo)\b", "photos"),
    (r"(similarity|rules)\b", "titles and photos taken together"),
    (r"(word|words|char|characters|title|titles|token|edit|same title|first word)\b", "words of the titles"),
)


def kind_of(column: str) -> str:
    """Name the kind of an evidence column, in words, such as "photos" or "vectors 'clip'"."""
    view = column.replace(BLENDED, "")
    return next((words for start, words in _KINDS if re.match(start, view)), f"vectors {view!r}")


def gathered(contributions: Iterable[tuple[str, float | None, float]]) -> list[tuple[str, float]]:
    """Sum up shares of the log-odds by kind.

    Args:
        contributions: columns, their values (None where missing) and what they added; the base among them.

    Returns:
        Kinds and sums, the largest first, the base last; together they are what the shares are together. A kind of
        which the posts have nothing says so: that it is missing adds something too.
    """
    sums: dict[str, float] = {}
    given = {kind_of(BASE)}
    for column, value, share in contributions:
        kind = kind_of(column)
        sums[kind] = sums.get(kind, 0.0) + share
        if value is not None:
            given.add(kind)
    base = kind_of(BASE)
    ordered = sorted(sums.items(), key=lambda each: (each[0] == base, -abs(each[1]), each[0]))
    return [(kind if kind in given else f"{kind} (none given)", total) for kind, total in ordered]
