"""Errors speak of options at the command line, and of arguments in Python."""

import re
from pathlib import Path

import polars as pl
import pytest

from conftest import Cli
from kembar import Catalog, Columns
from kembar.cli.columns import OPTIONS
from kembar.cli.words import as_options, told
from kembar.errors import CatalogError, InputError, MissingExtraError


@pytest.mark.parametrize("field", OPTIONS)
def test_every_column_has_its_option(field: str) -> None:
    assert as_options(f"Name it: Columns({field}=...).") == f"Name it: {OPTIONS[field]}."
    assert as_options(f"Columns({field}=None)") == f"{OPTIONS[field]} ''"


def test_other_arguments() -> None:
    assert as_options("replace it: overwrite=True.") == "replace it: --overwrite."
    assert as_options("Fitting(method=...) or images=...") == "--method or --images"
    assert as_options("VectorStore(...)") == "--cache"
    assert as_options("Use device='cuda:0,1' (or 'auto').") == "Use --device cuda:0,1 (or 'auto')."
    assert as_options("cut=0.5, Columns, a = b") == "cut=0.5, Columns, a = b"


def test_what_was_given_stays_as_it_was() -> None:
    error = InputError("'Columns(title=...)'", "another", "Name Columns(title=...).")
    assert told(error) == "'Columns(title=...)'; expected another. Name --title."
    assert told(MissingExtraError("torch", "train")) == str(MissingExtraError("torch", "train"))


def test_one_mistake_in_both_words(cli: Cli, tmp_path: Path) -> None:
    pl.DataFrame({"posting_id": ["a"], "name": ["b"]}).write_csv(tmp_path / "posts.csv")
    with pytest.raises(CatalogError) as error:
        Catalog.read(tmp_path / "posts.csv", columns=Columns(title="naam"))
    assert "Columns(title=...)" in str(error.value)
    assert "--" not in str(error.value)
    outcome = cli("match", tmp_path / "posts.csv", "--title", "naam", "-o", tmp_path / "run")
    assert outcome.exit_code == 2
    assert "Name the right one: --title. Nearest: 'name'" in outcome.stderr
    assert "Columns" not in outcome.stderr


def test_no_error_of_the_library_names_an_option() -> None:
    """The messages that InputError and its kin are raised with."""
    source = Path(__file__).parents[2] / "src" / "kembar"
    raised = re.compile(r"raise \w*Error\((?:[^()]|\([^()]*\))*\)", re.DOTALL)
    found = [
        (path.name, match)
        for path in source.rglob("*.py")
        if "cli" not in path.parts
        for match in raised.findall(path.read_text(encoding="utf-8"))
        if re.search(r"(?<![\w`-])--[a-z]{2,}", re.sub(r"`[^`]*`", "", match))
    ]
    assert found == []


def test_an_empty_name_ignores_a_column(cli: Cli, tmp_path: Path) -> None:
    pl.DataFrame({"posting_id": ["a"], "title": ["b"], "image_phash": ["wrong"]}).write_csv(tmp_path / "posts.csv")
    refused = cli("match", tmp_path / "posts.csv", "-o", tmp_path / "run")
    assert "ignore the column, --hash ''" in refused.stderr
    assert cli("match", tmp_path / "posts.csv", "--hash", "", "-o", tmp_path / "run").exit_code == 0


def test_completion_offers_commands() -> None:
    from typer.testing import CliRunner

    from kembar.cli.app import app

    asked = {"_KEMBAR_COMPLETE": "complete_bash", "COMP_WORDS": "kembar ma", "COMP_CWORD": "1"}
    assert CliRunner().invoke(app, [], prog_name="kembar", env=asked).stdout.split() == ["match"]
