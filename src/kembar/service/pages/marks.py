"""What tells two titles apart, marked where it stands in them: words, codes and numbers, quantities."""

import re
from dataclasses import dataclass
from typing import Final

import polars as pl

from kembar.evidence.tokens import CODE, NUMBER, tokens
from kembar.posts.quantities import Quantities
from kembar.posts.scripts import SIGNS
from kembar.posts.titles import normalize

LONGEST: Final = 300  # characters of a title that are shown and compared
_NONE: Final = pl.Series([], dtype=pl.String)
_PIECES: Final = re.compile(  # a number and its unit; a Chinese or Japanese sign; a word; blanks at the start
    rf"[0-9][0-9.,]*\s*[{SIGNS}]{{1,2}}\s*|[{SIGNS}]\s*|[^\s{SIGNS}]+\s*|^\s+"
)

Amounts = frozenset[tuple[int, int]]  # categories and values


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a title.

    Attributes:
        text: as the seller wrote it, blanks after it.
        kind: "quantity", "code" (a model code or a number), "word", or "" where there is nothing to compare.
        alone: whether the other title does not have it.
    """

    text: str
    kind: str
    alone: bool


def marked(left: str, right: str) -> tuple[list[Piece], list[Piece]]:
    """Compare two titles piece by piece.

    Args:
        left: a title.
        right: another one.

    Returns:
        The pieces of each, in their order; neighbours that are alike are joined.
    """
    titles = [_cut(title) for title in (left, right)]
    pieces = [_PIECES.findall(title) for title in titles]
    texts = [*titles, *(text for own in pieces for text in (*own, *_pairs(own)))]
    plain = normalize(pl.Series(texts, dtype=pl.String))  # all at once: a call costs more than what it does here
    amounts, words = _amounts(plain), _words(plain)
    first, second = (len(own) for own in pieces)
    spans = [slice(2, 2 + first), slice(2 + 2 * first, 2 + 2 * first + second)]
    found = []
    for row, (own, span) in enumerate(zip(pieces, spans, strict=True)):
        read = _with_pairs(amounts[span], amounts[span.stop : span.stop + len(own)])
        # A piece may read otherwise alone than in its title: "0+" before a Chinese sign.
        said = (words[1 - row], *words[spans[1 - row]])
        their_words = {token for their in said for kind, token in their if kind != CODE}
        each = zip(own, read, words[span], strict=True)
        found.append(_joined([_piece(*piece, amounts[1 - row], their_words) for piece in each]))
    return found[0], found[1]


def _cut(title: str) -> str:
    return title if len(title) <= LONGEST else f"{title[: LONGEST - 1]}…"


def _pairs(pieces: list[str]) -> list[str]:
    """Join each piece with the next one."""
    return [f"{one.strip()} {other.strip()}" for one, other in zip(pieces, [*pieces[1:], ""], strict=False)]


def _with_pairs(own: list[Amounts], both: list[Amounts]) -> list[Amounts]:
    """Say which pieces are of a quantity: "500 ml" says what neither "500" nor "ml" does."""
    read = list(own)
    for at in range(len(read) - 1):
        found = both[at] - read[at] - read[at + 1]
        if found and not (read[at] or read[at + 1]):
            read[at] = read[at + 1] = found
    return read


def _piece(
    text: str, amounts: Amounts, words: frozenset[tuple[int, str]], others: Amounts, their_words: set[str]
) -> Piece:
    if amounts:
        return Piece(text, "quantity", not amounts <= others)
    kinds = {kind for kind, _ in words}
    alone = any(kind != CODE and token not in their_words for kind, token in words)
    return Piece(text, "code" if kinds & {CODE, NUMBER} else "word" if kinds else "", alone)


def _joined(pieces: list[Piece]) -> list[Piece]:
    """Join neighbours that are alike."""
    found: list[Piece] = []
    for piece in pieces:
        alike = bool(found) and (found[-1].kind, found[-1].alone) == (piece.kind, piece.alone)
        if alike and piece.kind != "code":
            found[-1] = Piece(found[-1].text + piece.text, piece.kind, piece.alone)
        else:
            found.append(piece)
    return found


def _amounts(titles: pl.Series) -> list[Amounts]:
    """Read the quantities of each title."""
    read = Quantities.parse(titles)
    pairs = list(zip(read.categories.tolist(), read.values.tolist(), strict=True))
    return [frozenset(pairs[begin:end]) for begin, end in zip(read.offsets[:-1], read.offsets[1:], strict=True)]


def _words(titles: pl.Series) -> list[frozenset[tuple[int, str]]]:
    """Read the tokens of each title: kinds and texts."""
    found: list[set[tuple[int, str]]] = [set() for _ in range(len(titles))]
    for row, kind, token in tokens(titles, _NONE).iter_rows():
        found[row].add((kind, token))
    return [frozenset(own) for own in found]
