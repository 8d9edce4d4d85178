r"""The regular expressions of polars (Rust's), applied to single texts.

A call of polars takes a third of a millisecond, whether of one title or of a thousand, and a title is read by a hundred
of them. So few titles are read one by one in Python, by the same patterns: they are written once, as Rust reads them,
and said here as Python's `re` does. What a class such as `\p{L}` or `\w` holds is asked of Rust itself, for the two
know Unicode in different versions.
"""

import re
import unicodedata
from functools import cache
from typing import Final

import numpy as np
import polars as pl

FEW: Final = 32
"""Titles up to which reading them one by one is quicker."""
LONG: Final = 400
"""Characters from which on a text is left to Rust, whose time grows with the length alone, whatever the text."""

_PART: Final = re.compile(
    r"(?P<set>\[\^?(?:\\.|\[[^\]]*\]|[^\]\\])*\]|\\p\{\w+\}|\\[wds])|(?P<end>\$)|(?P<bytes>\(\?-u:)|\\.|[^\\]",
    re.DOTALL,
)
_PLAIN_SET: Final = re.compile(r"\[(?:(?!\\[pwdsx]|--)(?:\\.|[^\\]))*\]", re.DOTALL)
_GROUP: Final = re.compile(r"\$\{?(\d+)\}?")
_NOTHING: Final = "[^\x00-\U0010ffff]"


def one_by_one(texts: pl.Series) -> list[str] | None:
    """List texts that are better read one by one.

    Args:
        texts: (n,) String; a null is "".

    Returns:
        The texts; None where they are many, or one of them is long or has signs that Python may not know.
    """
    if len(texts) > FEW:
        return None
    few = [text or "" for text in texts.to_list()]
    return few if all(len(text) <= LONG and _known(text) for text in few) else None


def _known(text: str) -> bool:
    """Tell whether this Python's Unicode has all signs of a text: their case and their forms never change then."""
    return text.isascii() or all(unicodedata.category(sign) != "Cn" for sign in text)


def contains(pattern: str, text: str) -> bool:
    """Tell whether a pattern is found in a text, as `str.contains` does."""
    return _compiled(pattern, text.isascii()).search(text) is not None


def extracted(pattern: str, text: str) -> list[re.Match[str]]:
    """Find all places of a pattern in a text, as `str.extract_all` does."""
    return list(_compiled(pattern, text.isascii()).finditer(text))


def replaced(pattern: str, written: str, text: str, count: int = 0) -> str:
    """Write something in place of a pattern, as `str.replace_all` does, or (count 1) `str.replace`."""
    return _compiled(pattern, text.isascii()).sub(_template(written), text, count)


@cache
def _template(written: str) -> str:
    return _GROUP.sub(r"\\g<\1>", written)


@cache
def _compiled(pattern: str, plain: bool) -> re.Pattern[str]:
    """Say a pattern of Rust in Python's words, for any text or for plain ASCII alone, which is quicker."""

    def said(part: re.Match[str]) -> str:
        """Give a part of the pattern."""
        if part["set"]:
            return part[0] if _PLAIN_SET.fullmatch(part[0]) else _members(part[0], plain)
        return r"\Z" if part["end"] else "(?a:" if part["bytes"] else part[0]

    return re.compile(_PART.sub(said, pattern))


@cache
def _members(signs: str, plain: bool) -> str:
    """List what a class of Rust holds, as a class of Python's."""
    runs = pl.Series([_signs()[: 128 if plain else None]]).str.extract_all(f"(?:{signs})+")[0]
    return f"[{''.join(map(_range, runs))}]" if len(runs) else _NOTHING


def _range(run: str) -> str:
    return f"{re.escape(run[0])}-{re.escape(run[-1])}"


@cache
def _signs() -> str:
    """Give all characters in the order of their code points."""
    codes = np.arange(0x110000, dtype="<u4")
    return codes[(codes < 0xD800) | (codes > 0xDFFF)].tobytes().decode("utf-32-le")
