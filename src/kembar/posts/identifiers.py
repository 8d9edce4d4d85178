"""Codes that name a product wherever it is sold: GTIN (EAN, UPC, ISBN), part numbers, model numbers.

Shops write one code in many ways: with hyphens, with leading zeros or without them, as the ISBN of 10 or of 13 digits.
Here each becomes one text, so that equal codes are equal texts; what is no code, or names no product, becomes "".
"""

import logging
from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl

from kembar.posts.further import read_text
from kembar.posts.problems import PROBLEMS, problems, quoted_each

LENGTH: Final = 14
"""Digits of a GTIN in normal form: shorter ones (GTIN-8, UPC, EAN-13, ISBN) have zeros before them."""

_NAMED: Final = r"(?i)(^|[^a-z])(gtin|ean|upc|isbn|jan|barcode)([^a-z]|$)"
_FEW: Final = 10  # different values that a column needs to be taken for GTINs without such a name
_DRESS: Final = r"(?i)^[='\"\s]*(?:(?:gtin|ean|upc|isbn|jan)(?:-?1[0-4]|-?8|-?a)?[:\s]+)?"
_SCIENTIFIC: Final = r"^[0-9](?:[.,][0-9]+[eE]\+?|[eE]\+)[0-9]{1,2}$"  # 8.80123E+12; but 12E5 is a part number
_WHOLE_FLOAT: Final = r"^([0-9]+)\.0+$"
_SHORTEST_GTIN: Final = 8
_SHORTEST: Final = 3  # characters of a code: a shorter one names a kind, a size or a row
_NO_CODE: Final = (
    r"^(?:does ?not ?apply|not ?applicable|not ?available|no ?aplica|non ?applicable|nicht ?zutreffend|no ?barcode|"
    r"no ?gtin|no ?ean|no ?upc|ex?empt|gtin ?exempt|tba|tbd|tidak ?ada|test|n ?a|none|null|nan|unknown|"
    + "|".join(f"{sign}+" for sign in "0123456789X")
    + ")$"
)
_NOT_TRUSTED: Final = r"^0(?:02|04|2)|^000000[02][0-9]{7}$"  # numbered by each shop for itself

log = logging.getLogger(__name__)


def read_identifiers(
    frame: pl.DataFrame, names: Sequence[str], ids: pl.Series
) -> tuple[pl.DataFrame | None, pl.DataFrame]:
    """Take columns of identifiers; warns in the log of those that tell nothing, and leaves them out.

    Args:
        frame: n rows, the cells as they were read.
        names: columns of it.
        ids: (n,) ids, for the problems.

    Returns:
        One String column per name in normal form, "" where there is none; None where all are left out. And the
        problems: see `normalized`.

    Raises:
        CatalogError: a column that holds neither text nor numbers.
    """
    kept, found = [], [pl.DataFrame(schema=PROBLEMS)]
    for name in dict.fromkeys(names):
        codes, bad = normalized(frame[name], ids)
        found.append(bad)
        given = codes.filter(codes != "")
        if given.n_unique() > 1:
            kept.append(codes)
        elif len(given):
            log.warning("identifier %r is %r in all %d posts that have one; left out", name, given[0], len(given))
        else:
            log.warning("identifier %r: no post has a usable one; left out", name)
    return (pl.DataFrame(kept) if kept else None), pl.concat(found)


def normalized(cells: pl.Series, ids: pl.Series, part: str = "identifier") -> tuple[pl.Series, pl.DataFrame]:
    """Write the codes of a column in one way.

    A column holds GTINs if its name says so, or if most of its values, at least ten, have the right check digit. A GTIN
    becomes 14 digits. Of other codes the upper-case letters and the digits are kept.

    Args:
        cells: (n,) text or numbers.
        ids: (n,) ids, for the problems.
        part: of the problems.

    Returns:
        (n,) String, "" where there is none or it cannot be used, under the name of the cells; and the problems: numbers
        in scientific notation, GTINs of a wrong length or check digit, or of those that shops give out themselves.

    Raises:
        CatalogError: cells that hold neither text nor numbers.
    """
    text = _undressed(read_text(cells))
    lost = text.str.contains(_SCIENTIFIC)
    codes, valid = _codes(text.set(lost, "")), gtins(text)
    found = problems(ids, lost, part, quoted_each(text) + " is in scientific notation: digits were lost")
    if not holds_gtins(text.alias(cells.name)):
        return codes.alias(cells.name), found
    own = valid.str.contains(_NOT_TRUSTED)
    wrong = (codes != "") & (valid == "")
    more = [
        problems(ids, wrong, part, quoted_each(text) + " is no GTIN: its length or check digit is wrong"),
        problems(ids, own, part, quoted_each(text) + " is a number that shops give out themselves"),
    ]
    return valid.set(own | (codes == ""), "").alias(cells.name), pl.concat([found, *more])


def holds_gtins(texts: pl.Series) -> bool:
    """Tell whether a column holds GTINs: (n,) String, named as in its file."""
    plain = _undressed(texts.unique())
    given = plain.filter(_codes(plain) != "")
    named = bool(pl.Series([texts.name]).str.contains(_NAMED)[0])
    if not named and 2 * int((given.str.len_chars() >= _SHORTEST_GTIN).sum()) <= len(given):
        return False
    valid = int((gtins(given) != "").sum())
    return valid > 0 if named else valid >= _FEW and 2 * valid > len(given)


def gtins(texts: pl.Series) -> pl.Series:
    """Find GTINs: (n,) String to (n,) String of 14 digits, "" where the length or the check digit is wrong.

    Leading zeros may be lacking. Ten digits (the last may be X) are an ISBN if they can be one.
    """
    digits = texts.str.to_uppercase().str.replace_all(r"[\s\-\u2010-\u2015._]", "")
    isbn = _isbn(digits)
    padded = isbn.zip_with(isbn != "", digits.set(~digits.str.contains(r"^[0-9]{8,14}$"), "")).str.zfill(LENGTH)
    return padded.set(~_adds_up(padded, [3, 1] * 7, 10) | (padded == "0" * LENGTH), "")


def _isbn(digits: pl.Series) -> pl.Series:
    """Write ISBNs of 10 signs as those of 13: "" for all else."""
    shaped = digits.str.contains(r"^[0-9]{9}[0-9X]$")
    ten = shaped & _adds_up(digits.set(~shaped, ""), range(10, 0, -1), 11)
    body = ("978" + digits.str.head(9)).set(~ten, "0" * 12)
    check = (-_weighed(body, [1, 3] * 6)) % 10
    return (body + check.cast(pl.String)).set(~ten, "")


def _adds_up(digits: pl.Series, weights: Sequence[int], modulus: int) -> pl.Series:
    return _weighed(digits, weights) % modulus == 0


def _weighed(digits: pl.Series, weights: Sequence[int]) -> pl.Series:
    """Sum up weighed digits, an X for ten: (n,) String, "" or one ASCII sign per weight, to (n,) Int64; "" gives 0."""
    texts = digits.to_numpy().astype(f"S{len(weights)}")
    signs = texts.view(np.uint8).reshape(len(texts), len(weights))
    values = np.where(signs == ord("X"), 10, np.maximum(signs, ord("0")).astype(np.int64) - ord("0"))
    return pl.Series(values @ np.array(weights, dtype=np.int64))


def _undressed(texts: pl.Series) -> pl.Series:
    """Take off what spreadsheets and people put around a code: ="0123", 'ISBN: ...', the .0 of a float."""
    return texts.str.normalize("NFKC").str.replace(_DRESS, "").str.strip_chars("\"' \t").str.replace(_WHOLE_FLOAT, "$1")


def _codes(texts: pl.Series) -> pl.Series:
    """Keep letters and digits: (n,) String in upper case, "" for what says that there is no code, or too little."""
    upper = texts.str.to_uppercase()
    bare = upper.str.replace_all(r"[^\p{L}\p{M}\p{N}]", "")
    code = bare.str.normalize("NFKC")  # again: an accent may now stand behind a letter
    words = upper.str.replace_all(r"[^\p{L}\p{M}\p{N}]+", " ").str.strip_chars()
    nothing = words.str.contains(f"(?i){_NO_CODE}") | code.str.contains(_NO_CODE) | (code.str.len_chars() < _SHORTEST)
    return code.set(nothing, "")
