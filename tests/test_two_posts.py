"""Two posts without a catalogue."""

import json
from pathlib import Path

import pytest

import kembar
from conftest import Cli
from kembar import CatalogError, Config, ConfigError, PhotoError
from kembar.config import BY_RULES


def test_two_titles() -> None:
    same = kembar.score("Denon AVR-4308CI receiver", "Denon AVR4308CI 7.1 home theater receiver")
    other = kembar.score("Nivea soft 100ml", "Nivea soft 250ml")
    assert same.probability > 0.5 > other.probability
    assert same.difference is None
    assert (other.sure, other.difference) == ("sure", "quantities (100 ml | 250 ml)")
    assert "two products, sure. Most against it: quantities (100 ml | 250 ml)" in str(other)
    assert "How rare a word is was not known" in str(same)


def test_nothing_in_common() -> None:
    assert kembar.score("acme lamp", "umbra shelf").probability == 0


def test_a_title_or_a_photo_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="the title '-'; expected a title with words"):
        kembar.score("acme lamp", "-")
    with pytest.raises(CatalogError, match="which is not there"):
        kembar.score("a", "b", images=(tmp_path / "a.jpg", tmp_path / "b.jpg"))
    for name in "ab":
        (tmp_path / f"{name}.jpg").write_bytes(b"no photo")
    with pytest.raises(PhotoError, match="two photos that can be used"):
        kembar.score("acme lamp", "acme lamp", images=(tmp_path / "a.jpg", tmp_path / "b.jpg"))
    with pytest.raises(ConfigError, match="hand-set rules"):
        kembar.score("acme lamp", "acme lamp", config=Config(model=BY_RULES))


def test_at_the_command_line(cli: Cli) -> None:
    told = json.loads(cli("score", "Nivea soft 100ml", "Nivea soft 250ml", "--json").stdout)
    assert told == {"probability": 0.0, "sure": "sure", "difference": "quantities (100 ml | 250 ml)"}
    one = cli("score", "a", "b", "--image-a", "a.jpg")
    assert one.exit_code == 2
    assert "--image-a and --image-b" in one.stderr
