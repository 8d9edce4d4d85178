"""Scripts that are written without spaces between words: Chinese, Japanese, Thai and their neighbours."""

import re
from typing import Final

SCRIPTS_WITHOUT_SPACES: Final = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
"""Inside a character class of Rust's regular expressions (polars)."""

_LETTERS: Final = (
    (0x0E01, 0x0E3A),  # Thai, without the sign of the baht
    (0x0E40, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
)
_SIGNS: Final = (
    (0x3005, 0x3007),
    (0x3041, 0x3096),  # Hiragana, Katakana, without the dot that parts words
    (0x309D, 0x309F),
    (0x30A1, 0x30FA),
    (0x30FC, 0x30FF),
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x323AF),
)
SIGNS: Final = "".join(f"{chr(low)}-{chr(high)}" for low, high in _SIGNS)
"""Chinese and Japanese signs alone, each a syllable or a word, as ranges like those of SPACELESS."""
SPACELESS: Final = "".join(f"{chr(low)}-{chr(high)}" for low, high in _LETTERS) + SIGNS
"""Much the same as SCRIPTS_WITHOUT_SPACES, as ranges of code points: in a character class of Rust's or Python's."""

_RUNS: Final = re.compile(rf"[{SIGNS}]+|[^\s{SIGNS}]+")
_sign = re.compile(f"[{SIGNS}]")


def words_of(title: str) -> list[str]:
    """Split a title at blanks, and a run of Chinese or Japanese signs into its overlapping pairs, as search does."""
    found = []
    for run in _RUNS.findall(title):
        pairs = len(run) > 1 and _sign.match(run)
        found += [run[at : at + 2] for at in range(len(run) - 1)] if pairs else [run]
    return found
