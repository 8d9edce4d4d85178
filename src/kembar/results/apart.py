"""What tells two posts apart, by titles and brands, kind by kind; which difference spoke most against a match."""

from collections.abc import Sequence
from typing import Final

import polars as pl

from kembar.evidence.tokens import CODE, COLOR, NUMBER, VARIANT, WORD, tokens
from kembar.posts.quantities import Quantities

Apart = dict[str, tuple[str, str]]

_OF_WORDS: Final = ("word alone ", "words alone ", "first word")
_KINDS: Final = (
    ("model codes", CODE, ("code ", "codes ")),
    ("numbers", NUMBER, ("number ", "numbers ")),
    ("variant words", VARIANT, ("variant ", "short ")),
    ("colours", COLOR, ("color ",)),
    ("words", WORD, _OF_WORDS),
)
_QUANTITIES: Final = "quantities"
_BRANDS: Final = "brands"
_OF_QUANTITIES: Final = ("unit ", "units ", "pack ")
_LEAST: Final = -0.05  # log-odds from which on a difference counts for something


def apart(titles: pl.Series, brands: pl.Series | None = None) -> Apart:
    """Compare two titles, and two brands.

    Args:
        titles: (2,) String in normal form.
        brands: (2,) String in normal form, "" where unknown; None where no column has them.

    Returns:
        For each kind in which they differ, what each has alone, "nothing" where it has nothing; in the order from the
        most to the least telling: quantities, brands, model codes, numbers, variant words, colours, words.
    """
    found: Apart = {}
    quantities = Quantities.parse(titles)
    said = quantities.describe(0), quantities.describe(1)
    if said[0] != said[1]:
        found[_QUANTITIES] = (said[0] or "nothing", said[1] or "nothing")
    if brands is not None and brands[0] != brands[1]:
        found[_BRANDS] = (brands[0] or "nothing", brands[1] or "nothing")
    table = tokens(titles, pl.Series([], dtype=pl.String))
    alone = table.filter(pl.len().over("kind", "token") == 1)
    for name, kind, _ in _KINDS:
        sides = [alone.filter((pl.col("kind") == kind) & (pl.col("row") == row))["token"] for row in (0, 1)]
        if any(len(side) for side in sides):
            found[name] = (_listed(sides[0]), _listed(sides[1]))
    return found


def decisive(found: Apart, shares: Sequence[tuple[str, float | None, float]], *, vetoed: bool) -> str | None:
    """Name the difference that spoke most against a match.

    Args:
        found: what `apart` returned.
        shares: column, value, and what the column added to the log-odds, of all columns.
        vetoed: whether a conflict of quantities alone decided.

    Returns:
        "numbers (64 | 128)" and the like; None where no difference of the titles spoke against it.
    """
    if vetoed and _QUANTITIES in found:
        return _named(_QUANTITIES, found)
    prefixes = {_QUANTITIES: _OF_QUANTITIES, _BRANDS: _OF_WORDS, **{name: starts for name, _, starts in _KINDS}}
    against = {name: sum(share for column, _, share in shares if column.startswith(prefixes[name])) for name in found}
    worst = min(against, key=lambda name: against[name], default=None)
    return _named(worst, found) if worst is not None and against[worst] < _LEAST else None


def _listed(side: pl.Series) -> str:
    return " ".join(side) or "nothing"


def _named(kind: str, found: Apart) -> str:
    return f"{kind} ({found[kind][0]} | {found[kind][1]})"
