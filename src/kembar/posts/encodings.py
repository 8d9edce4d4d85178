"""The encoding of a text file: given, marked, or the one in which its bytes make the likeliest text.

Without a byte order mark, text is UTF-16 where every second byte of ASCII is zero, and UTF-8 where it is valid or
nearly so (each broken byte becomes U+FFFD). Else every encoding of `languages.toml` is tried on the lines that have
bytes from 0x80. Each language gives a probability to each character; characters of two scripts within a word, signs
within a word and capitals after small letters count against a text. The likeliest text wins. How sure that is depends
on its distance to the next text that differs: where two encodings give the same text there is nothing to be unsure of.
"""

import codecs
import logging
import math
import re
import tomllib
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import islice
from typing import Final

import numpy as np

from kembar.errors import CatalogError, quoted
from kembar.posts.notes import Note

_MARKS: Final = (
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_BLOCK: Final = 1 << 24  # bytes looked at in one go
_SAMPLE: Final = 12_000  # bytes of lines that are tried in each encoding
_SEARCHED: Final = 1 << 18  # bytes of each of 64 places where such lines are looked for
_BEYOND: Final = re.compile(rb"[^\n]*[\x80-\xff][^\n]*")  # a line with bytes beyond ASCII
_ASCII: Final = math.log(1 / 40)  # of an ASCII character: every language has them
_SURE: Final = 6.0  # log-odds over the next text, from which on nobody needs to be asked
_WORST: Final = -9.0  # mean log probability of a character, below which a text is none
_RARELY: Final = {
    "mac_roman": 4.0,
    "mac_cyrillic": 6.0,
    "iso8859_2": 3.0,
    "cp866": 2.0,
    "euc_jp": 2.0,
    "koi8_u": 2.0,
    "cp1258": 2.0,
}
"""Log-odds against encodings that exports of today seldom have."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Reading:
    """One way to read a sample."""

    encoding: str
    language: str
    text: str
    likelihood: float  # log probability
    per_character: float  # mean log probability of a character beyond ASCII


def as_utf8(raw: bytes, source: str, encoding: str | None = None) -> tuple[bytes, Note]:
    """Find the encoding of a text and write it in UTF-8.

    Args:
        raw: the bytes of the file.
        source: what the file is called in messages.
        encoding: the encoding, where it is known.

    Returns:
        The text in UTF-8 without a byte order mark, and a note of the encoding and how sure it is.

    Raises:
        CatalogError: no text in any of the encodings, or not in the given one.
    """
    if encoding is not None:
        return _given(raw, source, encoding)
    for mark, name in _MARKS:
        if raw.startswith(mark):
            return _decoded(raw[len(mark) :], name, source, f"{name}, by its byte order mark")
    wide = _wide(raw)
    if wide:
        return _decoded(raw, wide, source, f"{wide} without a byte order mark, by its zero bytes")
    _check_binary(raw, source)
    if _is_utf8(raw):
        if b"\x1b$" in raw and _decodes(raw, "iso2022_jp"):
            return _decoded(raw, "iso2022_jp", source, "iso2022_jp, by its escape sequences")
        return raw, Note("encoding", "utf-8" if not raw.isascii() else "utf-8 (plain ASCII)")
    if _is_nearly_utf8(raw):
        return _decoded(raw, "utf-8", source, "utf-8")
    return _likeliest(raw, source)


def _given(raw: bytes, source: str, encoding: str) -> tuple[bytes, Note]:
    try:
        name = codecs.lookup(encoding).name
        "".encode(name)
        text = raw.decode(name)
    except (LookupError, TypeError) as error:
        raise CatalogError(
            f"{quoted(encoding)} as the encoding of {quoted(source)}",
            "the name of an encoding, such as utf-8, cp1252, gb18030, big5, cp932 or koi8-r",
            "Leave out encoding=... to have it found.",
        ) from error
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise CatalogError(
            f"{quoted(source)} line {line}, whose bytes {quoted(raw[error.start : error.end])} are not {name}",
            f"text in {name}, as encoding=... says",
            "Give another encoding=..., or leave it out to have it found.",
        ) from error
    return text.removeprefix("\ufeff").encode("utf-8", "replace"), Note("encoding", f"{name}, as given")


def _check_binary(raw: bytes, source: str) -> None:
    start = raw[:65536]
    if start.count(0) > len(start) // 20:  # a single null byte is a damaged title
        raise CatalogError(
            f"{quoted(source)}, which is not text (it starts with {quoted(raw[:12])})",
            "a CSV or TSV file, in UTF-8 or in one that encoding=... names",
            "Export the posts as CSV in UTF-8.",
        )


def _decodes(raw: bytes, encoding: str) -> bool:
    try:
        raw.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _wide(raw: bytes) -> str | None:
    """Tell UTF-16 without a mark by where its zero bytes are: beside separators, line ends and all ASCII."""
    start = np.frombuffer(raw[: 1 << 16], np.uint8)
    pairs = start[: len(start) // 2 * 2].reshape(-1, 2)
    if len(raw) % 2 or not len(pairs):
        return None
    zeros = (pairs == 0).mean(axis=0)
    for high, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        if zeros[high] > 0.1 and zeros[1 - high] < zeros[high] / 20 and _decodes(raw, name):  # a tenth: separators
            return name
    return None


def _is_utf8(raw: bytes) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    view = memoryview(raw)
    try:
        for start in range(0, len(raw), _BLOCK):  # in blocks: a str of the whole file can take 4 bytes a letter
            decoder.decode(view[start : start + _BLOCK])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _is_nearly_utf8(raw: bytes) -> bool:
    """Whether more letters of several bytes than breaks are left when it is read as UTF-8."""
    text = raw.decode("utf-8", "replace")
    broken = text.count("\ufffd")
    codes = np.frombuffer(raw, np.uint8)
    return bool(len(text) - broken - np.count_nonzero(codes < 0x80) > broken)


def _decoded(raw: bytes, encoding: str, source: str, how: str) -> tuple[bytes, Note]:
    text = raw.decode(encoding, "replace")
    broken = text.count("\ufffd")
    if broken > max(1, len(text) // 20):
        raise CatalogError(
            f"{quoted(source)}, which seems to be {how}, but whose bytes are not",
            f"text in {encoding}",
            "Name its encoding, encoding=..., or export the posts as CSV in UTF-8.",
        )
    if broken:
        log.warning("%s: %d places are not %s; each became U+FFFD", source, broken, encoding)
        how += "; bytes that are none became U+FFFD"
    return text.encode("utf-8", "replace"), Note("encoding", how, broken)


def _likeliest(raw: bytes, source: str) -> tuple[bytes, Note]:
    readings = sorted(_readings(_sample(raw)), key=lambda reading: -reading.likelihood)
    best = readings[0]
    other = next((reading for reading in readings[1:] if reading.text != best.text), None)
    margin = best.likelihood - other.likelihood if other else math.inf
    if best.per_character < _WORST:
        raise CatalogError(
            f"{quoted(source)}, which is no text in any encoding that kembar tells apart",
            "a CSV or TSV file in UTF-8, or in one of the encodings of docs/reference/files.md",
            "Name its encoding, encoding=..., or export the posts as CSV in UTF-8.",
        )
    sure = "sure" if margin >= _SURE else "not sure"
    how = f"{best.encoding} ({best.language}), by how its text reads; {sure}"
    if margin < _SURE and other is not None:
        log.warning(
            "%s: read as %s (%s); it might be %s (%s): look at a title, and name the encoding with --encoding",
            *(source, best.encoding, best.language, other.encoding, other.language),
        )
    return _decoded(raw, best.encoding, source, how)


def _sample(raw: bytes) -> bytes:
    """Take lines that have bytes beyond ASCII, spread over the file."""
    places = range(0, len(raw), max(_SEARCHED, len(raw) // 64))
    parts = (raw[at : at + _SEARCHED] for at in places)
    whole = (part if len(raw) <= _SEARCHED else part[part.find(b"\n") + 1 : part.rfind(b"\n") + 1] for part in parts)
    found = (line[0] for part in whole for line in _BEYOND.finditer(part))
    lines = list(dict.fromkeys(found)) or [line[0] for line in islice(_BEYOND.finditer(raw), 200)]
    step = max(1, sum(map(len, lines)) // _SAMPLE)
    return b"\n".join(lines[::step])[: 4 * _SAMPLE]


def _readings(sample: bytes) -> Iterator[_Reading]:
    for language in _languages():
        for encoding in language.encodings:
            text = sample.decode(encoding, "replace")
            likelihood, beyond = language.likelihood(text)
            mean = likelihood / max(1, beyond)
            total = likelihood + _ASCII * (len(text) - beyond) - _RARELY.get(encoding, 0.0)
            yield _Reading(encoding, language.name, text, total, mean)


class _Kinds(dict[int, str]):
    """The kind of each character, by its code: what the patterns of `_ODD` are made of."""

    def __missing__(self, code: int) -> str:
        self[code] = found = _kind(chr(code))
        return found


def _kind(sign: str) -> str:
    category = unicodedata.category(sign)
    if sign == "\ufffd" or (category in ("Cc", "Cn", "Co", "Cs") and sign not in "\t\n\r"):
        return "!"
    if category[0] == "M":
        return "m"
    if category[0] != "L":
        return "." if sign < "\x80" else "s"
    name = unicodedata.name(sign, "")
    if name.startswith("LATIN") or sign in "ªº":
        return "L" if sign.isupper() else "l"
    if name.startswith(("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "FULLWIDTH", "HALFWIDTH", "IDEOGRAPHIC")):
        return "k"
    return "C" if sign.isupper() else "c"


_KINDS: Final = _Kinds()
_ODD: Final = (  # what real words do not have, and what one of them costs
    (re.compile("(?<=[lc])(?=[LC])"), 4.0),  # iPhone, but seldom
    (re.compile("[lL](?=[cC])|[cC](?=[lL])"), 5.0),  # two scripts in a word
    (re.compile("(?<=[lLcC])s(?=[lLcC])"), 4.0),  # a sign in a word
    (re.compile("!"), 9.0),  # no character at all
)


@dataclass(frozen=True, slots=True)
class _Language:
    """What text in a language looks like."""

    name: str
    encodings: tuple[str, ...]
    known: dict[str, float]  # log probability of the characters of its words
    script: frozenset[str]  # further characters of its script
    other: float  # log probability of each of these

    def likelihood(self, text: str) -> tuple[float, int]:
        """Give the log probability of the characters beyond ASCII and of their order; and the number of them."""
        counts = Counter(text)
        beyond = {sign: n for sign, n in counts.items() if sign >= "\x80"}
        total = sum(n * self._of(sign) for sign, n in beyond.items())
        kinds = text.translate(_KINDS)
        odd = sum(cost * len(pattern.findall(kinds)) for pattern, cost in _ODD)
        return total - odd, sum(beyond.values())

    def _of(self, sign: str) -> float:
        return self.known.get(sign, self.other if sign in self.script else _ELSE)


_ELSE: Final = math.log(0.01 / 10_000)  # of a character that a language does not have
_SIGNS: Final = "“”‘’„«»–—…•·°®™©×²³½¼€£¥§±´¡¿№″′\u00a0、。，：；！？（）【】《》「」・～／＋％"
_SIGN: Final = math.log(0.05 / len(_SIGNS))
_CJK: Final = {"gb18030": ("gb2312", 0xB0, 0xD7), "big5hkscs": ("big5", 0xA4, 0xC6), "cp949": ("euc_kr", 0xB0, 0xC8)}
"""The rows of common characters of an encoding: GB 2312 and Big5 level 1, the syllables of KS X 1001."""


@cache
def _languages() -> tuple[_Language, ...]:
    tables = tomllib.loads(files("kembar.posts").joinpath("languages.toml").read_text(encoding="utf-8"))
    return tuple(_language(name, table["encodings"], table["words"]) for name, table in tables.items())


def _language(name: str, encodings: list[str], words: str) -> _Language:
    spelled = [_spelled(words, encoding) for encoding in encodings[:1]]
    letters = Counter(sign for text in spelled for sign in text if sign >= "\x80")
    script = _script(encodings[0], letters)
    share = 0.6 if encodings[0] in (*_CJK, "cp932") else 0.9
    total = sum(letters.values())
    known = dict.fromkeys(_SIGNS, _SIGN)
    known |= {sign: math.log(share * n / total) for sign, n in letters.items()}
    capitals = {sign.upper() for sign in letters if len(sign.upper()) == 1} - set(known)
    known |= {sign: known[sign.lower()] - 2.5 for sign in capitals if sign.lower() in known}
    other = math.log((1 - share) / (2 * len(script)))
    return _Language(name, tuple(encodings), known, script, other)


def _spelled(words: str, encoding: str) -> str:
    """Spell words as the encoding does: Vietnamese with its tone marks apart."""
    return "".join(sign if _encodes(sign, encoding) else _apart(sign) for sign in words)


def _apart(sign: str) -> str:
    """Part a letter from its tone mark, the last of its marks."""
    parts = unicodedata.normalize("NFD", sign)
    tones = [mark for mark in parts if mark in "\u0300\u0301\u0303\u0309\u0323"]
    rest = "".join(mark for mark in parts if mark not in tones)
    return unicodedata.normalize("NFC", rest) + "".join(tones)


def _encodes(sign: str, encoding: str) -> bool:
    try:
        sign.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _script(encoding: str, letters: Counter[str]) -> frozenset[str]:
    """List the further letters that an encoding has for the script of these letters."""
    if encoding in _CJK:
        name, first, last = _CJK[encoding]
        rows = (bytes((high, low)) for high in range(first, last + 1) for low in range(0x40, 0xFF))
        return frozenset(raw.decode(name, "ignore") for raw in rows) - {""}
    if encoding == "cp932":  # kana and JIS level 1
        rows = (bytes((high, low)) for high in (0x82, 0x83, *range(0x88, 0x99)) for low in range(0x40, 0xFD))
        return frozenset(raw.decode(encoding, "ignore") for raw in rows) - {""}
    every = bytes(range(0x80, 0x100)).decode(encoding, "ignore")
    kinds = {_kind(sign).lower() for sign in letters} & {"l", "c", "m"}
    return frozenset(sign for sign in every if _kind(sign).lower() in kinds)
