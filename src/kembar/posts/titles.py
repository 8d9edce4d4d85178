r"""The normal form of a title: the same for two sellers who typed the same words.

Real titles arrive as the repr of a Python byte string (``b"L'Oreal \xe2\x9c\x93 30ml\n"``), with HTML
entities left in, with zero-width and bidi controls, in full-width letters. In this order :func:`normalize`

1. removes a byte-string wrapping and decodes the byte escapes ``\xNN``, ``\n``, ``\r``, ``\t``, ``\\``,
   ``\'`` and ``\"``. Bytes that are not UTF-8 become a blank. ``\n``, ``\r`` and ``\t`` before a lower-case
   letter are left to step 6: there they are more likely a separator (``celana\rok``) than an escape;
2. replaces HTML entities that end in a semicolon (``R&D`` and ``black&gold`` stay);
3. removes what has no width: Unicode's format characters (Cf: zero-width blanks and joiners, bidi controls, soft
   hyphen, byte order mark), variation selectors and fillers. An emoji joined from several becomes its members;
4. applies Unicode NFKC;
5. lowers the case and folds what lower-casing leaves different: ``ß`` is ``ss``, final ``ς`` is ``σ``, the ``i`` of
   a lowered ``İ`` loses its dot above; and turns the digits of all scripts into ASCII ones, the Arabic decimal sign
   between them into a point;
6. turns control characters (null bytes and line ends among them), backslashes, the replacement character U+FFFD
   and every run of white space into one blank, and strips;
7. cuts to :data:`LONGEST` characters, at the last blank within the final :data:`REACH` if there is one.

The form is idempotent: steps repeat on the few titles in which one uncovers work for another (``&amp;quot;``),
and a title nested deeper than :data:`ROUNDS` loses its ampersands and quotes instead.
"""

import html
import re
import unicodedata
from collections.abc import Callable
from html.entities import html5

import polars as pl

from kembar.errors import CatalogError
from kembar.posts.patterns import contains, one_by_one, replaced
from kembar.threads import unforked

LONGEST = 1000
"""The longest normal form, in characters; the longest real Shopee title has 249."""
REACH = 100
"""How many characters a cut may go back to end at a blank."""
ROUNDS = 8
"""How deeply entities and byte-string wrappings may be nested."""

# The same patterns serve Rust's regex (to find the rows) and Python's (to rewrite them).
_WRAPPED = r"""(?s)^[bB](?:"([^"]*)"|'((?:[^'\\]|\\.)*)')$"""
_ESCAPE = r"""(?:\\x[0-9a-fA-F]{2})+|\\[\\'"]|\\[nrt]"""
_ENTITY = r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});"
_INVISIBLE = "[\\p{Cf}\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]+"
_BLANK = r"[\p{Cc}\s\\\x{FFFD}]+"
_CONTROL = {r"\n": "\n", r"\r": "\r", r"\t": "\t"}

_FOREIGN_DIGIT = "[\\p{Nd}--0-9]|[\u066b\u066c]"
_FOREIGN = [chr(code) for code in range(0x80, 0x1FC00) if unicodedata.category(chr(code)) == "Nd"]
_ASCII = [str(unicodedata.digit(sign)) for sign in _FOREIGN]
_FOLDED = (["ß", "ς"], ["ss", "σ"])
_MARKS = (("([0-9])\u066b([0-9])", "${1}.${2}"), ("([0-9])\u066c([0-9])", "${1}${2}"))
_QUOTES = r"[&'\"\s]+"

_folded = str.maketrans(dict(zip(*_FOLDED, strict=True)))
_digits = str.maketrans(dict(zip(_FOREIGN, _ASCII, strict=True)))

_wrapped = re.compile(_WRAPPED)
_escape = re.compile(_ESCAPE)
_entity = re.compile(_ENTITY)


@unforked
def normalize(titles: pl.Series) -> pl.Series:
    """Bring titles to their normal form (see the top of this module); each independently of the others.

    Args:
        titles: (n,) String; null is a missing title.

    Returns:
        (n,) String, at most :data:`LONGEST` characters each, "" where the title is null or nothing is left.

    Raises:
        CatalogError: the series is not text.
    """
    few = one_by_one(titles) if titles.dtype == pl.String else None
    if few is not None:
        return pl.Series(titles.name, [_normal(title) for title in few], dtype=pl.String)
    done = _step(_text(titles))
    rows = done.str.contains(f"{_WRAPPED}|{_ENTITY}").arg_true()
    for _ in range(ROUNDS):
        if not len(rows):
            return done
        before = done.gather(rows)
        after = _step(before)
        rows, after = rows.filter(after != before), after.filter(after != before)
        done = done.scatter(rows, after)
    return done.scatter(rows, _blanked(done.gather(rows), _QUOTES))


def _normal(title: str) -> str:
    """Bring one title to its normal form."""
    done = _step_one(title)
    if not contains(f"{_WRAPPED}|{_ENTITY}", done):
        return done
    for _ in range(ROUNDS):
        before, done = done, _step_one(done)
        if done == before:
            return done
    return replaced(_QUOTES, " ", done).strip(" ")


def unescape(titles: pl.Series) -> pl.Series:
    """Decode the escapes alone (steps 1 and 2 of the normal form, once), for display: case and blanks are kept.

    Args:
        titles: (n,) String; null is a missing title.

    Returns:
        (n,) String, "" where the title is null.

    Raises:
        CatalogError: the series is not text.
    """
    plain = _rewrite(_text(titles), f"{_WRAPPED}|{_ESCAPE}", _undo_bytes)
    return _rewrite(plain, _ENTITY, _undo_entities)


def _text(titles: pl.Series) -> pl.Series:
    if titles.dtype not in (pl.String, pl.Null):
        raise CatalogError(
            f"titles of type {titles.dtype}",
            "a series of text (pl.String)",
            "Cast the titles to pl.String first.",
        )
    return titles.cast(pl.String).fill_null("")


def _step(titles: pl.Series) -> pl.Series:
    visible = unescape(titles).str.replace_all(_INVISIBLE, "")
    plain = visible.str.contains(r"^[\x00-\x7F]*$")
    folded = visible.str.to_lowercase()  # enough for ASCII, which is most of most catalogues
    if not plain.all():
        rows = (~plain).arg_true()
        folded = folded.scatter(rows, _fold(visible.gather(rows)))
    return _cut(_blanked(folded, _BLANK))


def _fold(titles: pl.Series) -> pl.Series:
    lowered = titles.str.normalize("NFKC").str.replace_all(_INVISIBLE, "").str.to_lowercase()
    folded = lowered.str.replace_many(*_FOLDED).str.replace_all("i\u0307+", "i")
    folded = folded.str.normalize("NFKC")  # a lowered letter can compose with the mark behind it
    if not folded.str.contains(_FOREIGN_DIGIT).any():
        return folded
    plain = folded.str.replace_many(_FOREIGN, _ASCII)
    for mark, written in _MARKS:
        plain = plain.str.replace_all(mark, written)
    return plain


def _step_one(title: str) -> str:
    """Do what `_step` does with one title."""
    shown = _undo_bytes(title) if contains(f"{_WRAPPED}|{_ESCAPE}", title) else title
    visible = replaced(_INVISIBLE, "", _undo_entities(shown))
    folded = visible.lower() if visible.isascii() else _fold_one(visible)
    plain = replaced(_BLANK, " ", folded).strip(" ")
    return plain if len(plain) <= LONGEST else _cut_one(plain)


def _fold_one(title: str) -> str:
    """Do what `_fold` does with one title."""
    lowered = replaced(_INVISIBLE, "", unicodedata.normalize("NFKC", title)).lower()
    folded = unicodedata.normalize("NFKC", re.sub("i\u0307+", "i", lowered.translate(_folded)))
    if not contains(_FOREIGN_DIGIT, folded):
        return folded
    plain = folded.translate(_digits)
    for mark, written in _MARKS:
        plain = replaced(mark, written, plain)
    return plain


def _blanked(titles: pl.Series, pattern: str) -> pl.Series:
    return titles.str.replace_all(pattern, " ").str.strip_chars(" ")


def _cut(titles: pl.Series) -> pl.Series:
    rows = (titles.str.len_chars() > LONGEST).arg_true()
    if not len(rows):
        return titles
    return titles.scatter(rows, pl.Series([_cut_one(title) for title in titles.gather(rows)]))


def _cut_one(title: str) -> str:
    bound = title.rfind(" ", LONGEST - REACH, LONGEST + 1)
    return title[: bound if bound > 0 else LONGEST]


def _rewrite(titles: pl.Series, pattern: str, rewrite: Callable[[str], str]) -> pl.Series:
    """Apply a Python function to the few titles that hold a pattern; the rest never leave polars."""
    rows = titles.str.contains(pattern).arg_true()
    if not len(rows):
        return titles
    rewritten = pl.Series([rewrite(title) for title in titles.gather(rows)], dtype=pl.String)
    return titles.clone().scatter(rows, rewritten)


def _undo_bytes(title: str) -> str:
    wrapped = _wrapped.match(title)
    inner = (wrapped[1] or wrapped[2] or "") if wrapped else title
    return _escape.sub(_undo_escape, inner)


def _undo_escape(match: re.Match[str]) -> str:
    escape = match[0]
    if escape.startswith(r"\x"):
        return bytes.fromhex(escape.replace(r"\x", "")).decode("utf-8", "replace").replace("\ufffd", " ")
    if escape not in _CONTROL:
        return escape[1]
    following = match.string[match.end() : match.end() + 1]
    return escape if "a" <= following <= "z" else _CONTROL[escape]


def _undo_entities(title: str) -> str:
    return _entity.sub(_undo_entity, title)


def _undo_entity(match: re.Match[str]) -> str:
    entity = match[0]
    # html.unescape alone would take "&notes;" for "&not" + "es;"
    return html.unescape(entity) if entity[1] == "#" else html5.get(entity[1:], entity)
