"""Titles in scripts that are written without spaces."""

import re

import pytest

from kembar.posts.scripts import SIGNS, SPACELESS, words_of


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("", []),
        ("kopi  susu", ["kopi", "susu"]),
        ("韩版帽子", ["韩版", "版帽", "帽子"]),
        ("ins韩版 帽 250ml", ["ins", "韩版", "帽", "250ml"]),
        ("ครีมกันแดด 50", ["ครีมกันแดด", "50"]),
    ],
)
def test_words_of_a_title(title: str, words: list[str]) -> None:
    assert words_of(title) == words


def test_signs_are_some_of_what_has_no_spaces() -> None:
    everything = "".join(map(chr, range(0x20, 0x32500)))
    signs, spaceless = (set(re.findall(f"[{kind}]", everything)) for kind in (SIGNS, SPACELESS))
    assert signs < spaceless
    assert {"\u4e2d", "\u30c4"} <= signs
    assert "\u0e01" in spaceless - signs
