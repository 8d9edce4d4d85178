import logging
from io import StringIO

import pytest
from rich.console import Console

from kembar.cli.progress import Bars


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> Bars:
    """Lines whose clock is moved by hand: a list of one number."""
    found = Bars(Console(file=StringIO(), force_terminal=True, width=100, color_system=None))
    found.lines.live.auto_refresh = False
    clock = [0.0]
    found.lines.get_time = lambda: clock[0]  # type: ignore[assignment]
    found.clock = clock  # type: ignore[attr-defined]
    return found


def drawn(bars: Bars) -> list[str]:
    console = Console(file=StringIO(), width=100, color_system=None)
    console.print(bars.lines.get_renderable())
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def tell(bars: Bars, at: float, stage: str, done: int = 0, total: int = 0) -> None:
    bars.clock[0] = at  # type: ignore[attr-defined]
    bars(stage, done, total)


def test_a_stage_that_has_ended_is_ticked_and_its_clock_stands_still(bars: Bars) -> None:
    tell(bars, 0, "photo hashes")
    tell(bars, 9, "encoders")
    tell(bars, 30, "neighbours")
    lines = drawn(bars)
    assert ["✓" in line for line in lines] == [True, True, False]
    assert ["9.0 s" in lines[0], "21.0 s" in lines[1], "0.0 s" in lines[2]] == [True, True, True]
    assert "?" not in "".join(lines)


def test_counts_and_time_left_where_they_are_known(bars: Bars) -> None:
    for second in range(6):
        tell(bars, second, "encode titles", 1000 * second, 20_000)
    (line,) = drawn(bars)
    assert "5,000/20,000" in line
    assert "5.0 s, 15 s left" in line
    tell(bars, 20, "encode titles", 20_000, 20_000)
    tell(bars, 21, "blending")
    assert "20,000/20,000" in drawn(bars)[0]
    assert "left" not in drawn(bars)[0]


def test_a_stage_that_only_names_what_it_calls_leaves_no_line(bars: Bars) -> None:
    tell(bars, 0, "encoders")
    tell(bars, 0.01, "encode titles", 0, 5)
    tell(bars, 3, "encode photos", 0, 5)
    assert ["encode titles" in line or "encode photos" in line for line in drawn(bars)] == [True, True]


def test_a_stage_that_goes_on_has_one_line_and_all_its_seconds(bars: Bars) -> None:
    tell(bars, 0, "vectors")
    tell(bars, 2, "neighbours")
    tell(bars, 5, "vectors")
    tell(bars, 6, "results")
    assert [line.split()[1] for line in drawn(bars)] == ["neighbours", "vectors", "results"]
    assert "3.0 s" in drawn(bars)[1]


def test_nothing_is_drawn_where_nobody_looks() -> None:
    screen = StringIO()
    with Bars(Console(file=screen)) as bars:
        bars("encoders", 0, 0)
        bars("encoders", 1, 2)
    with Bars(Console(file=screen, force_terminal=True), quiet=True) as bars:
        bars("encoders", 1, 2)
    assert screen.getvalue() == ""


def test_a_quiet_run_leaves_the_log_as_it_was(cli, posts, tmp_path):
    """Whoever runs a command inside a program hears the warnings of what comes after it."""
    posts.head(20).write_csv(tmp_path / "posts.csv")
    outcome = cli("match", tmp_path / "posts.csv", "-o", tmp_path / "run", "--quiet", "--model", "rules")
    assert outcome.exit_code == 0
    assert logging.getLogger("kembar").getEffectiveLevel() <= logging.WARNING
