"""`kembar match` in parts, from the command line."""

from pathlib import Path

import polars as pl
import pytest

from conftest import Cli
from kembar import memory


@pytest.fixture(scope="module")
def csv(posts: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "posts.csv"
    posts.head(120).write_csv(path)
    return path


def test_the_same_files_within_a_memory(cli: Cli, csv: Path, tmp_path: Path) -> None:
    for name, options in {"one": (), "parts": ("--memory", "1GiB")}.items():
        outcome = cli("match", csv, "-o", tmp_path / name, "--quiet", *options)
        assert outcome.exit_code == 0, outcome.output
    for file in ("matches.csv", "groups.csv"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "parts" / file).read_bytes()
    kept, whole = (pl.read_parquet(tmp_path / name / "pairs.parquet") for name in ("parts", "one"))
    assert whole.join(kept, on=["left", "right"], how="anti")["similarity"].sum() == 0
    assert whole.join(kept, on=["left", "right"], how="semi").equals(kept, null_equal=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "parts"]  # no work folder is left


@pytest.mark.parametrize("free", [200 << 20, 64 << 30, None])
def test_posts_that_may_not_fit_into_the_memory_are_warned_of(
    cli: Cli,
    csv: Path,
    tmp_path: Path,
    free: int | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: free)
    assert cli("match", csv, "-o", tmp_path / "run").exit_code == 0
    told = [message for message in caplog.messages if "GiB are free" in message]
    assert len(told) == (free == 200 << 20)
    if told:
        amount = told[0].rpartition("`--memory ")[2].partition("`")[0]
        assert told[0].startswith("120 posts take some 0.4 GiB of memory, and 0.2 GiB are free")
        assert cli("match", csv, "-o", tmp_path / "again", "--quiet", "--memory", amount).exit_code == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--memory", "much"), "memory 'much'; expected a number with a unit, such as 4GiB or 800MiB"),
        (("--memory", "100MiB"), "memory of 100 MiB for 120 posts; expected at least "),
        (("--memory", "4GiB", "--model", "nowhere"), "'nowhere', with no readable classifier.json"),
        (("--on", "spark"), "--on 'spark'; expected ray or ray:ADDRESS"),
        (("--workers", "2"), "--workers without --on ray"),
    ],
)
def test_bad_options(cli: Cli, csv: Path, tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    outcome = cli("match", csv, "-o", tmp_path / "run", *options)
    assert outcome.exit_code == 2
    assert message in outcome.output
    assert not list(tmp_path.iterdir())


def test_the_same_links_within_a_memory(cli: Cli, csv: Path, tmp_path: Path) -> None:
    for name, options in {"one": (), "parts": ("--memory", "1GiB")}.items():
        outcome = cli("link", csv, csv, "-o", tmp_path / name, "--quiet", *options)
        assert outcome.exit_code == 0, outcome.output
    for file in ("links.csv", "unmatched-left.csv", "matches.csv"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "parts" / file).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "parts"]


def test_not_against_an_earlier_run(cli: Cli, csv: Path, tmp_path: Path) -> None:
    assert cli("match", csv, "-o", tmp_path / "run", "--quiet").exit_code == 0
    outcome = cli("match", csv, "--against", tmp_path / "run", "-o", tmp_path / "next", "--memory", "4GiB")
    assert outcome.exit_code == 2
    assert "Leave out --against" in outcome.output


def test_a_folder_that_is_not_a_work_folder_is_left_alone(cli: Cli, csv: Path, tmp_path: Path) -> None:
    (tmp_path / "run.work").mkdir()
    (tmp_path / "run.work" / "mine.txt").write_text("mine")
    outcome = cli("match", csv, "-o", tmp_path / "run", "--memory", "4GiB")
    assert outcome.exit_code == 2
    assert "holds other files" in outcome.output
    assert [path.name for path in tmp_path.rglob("*")] == ["run.work", "mine.txt"]
    assert cli("match", csv, "-o", tmp_path / "run", "--quiet").exit_code == 0
    assert (tmp_path / "run.work" / "mine.txt").read_text() == "mine"
