"""Progress on the terminal: one line per stage, ticked with its seconds when the next one begins."""

from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn
from rich.text import Text

_SHORTEST: Final = 0.05  # seconds of a stage whose line stays


class Bars:
    """A progress callback that draws a line per stage; a stage ends when the next one begins.

    A stage that ends at once, such as one that only names what it calls, leaves no line.

    Args:
        console: where to.
        quiet: draw nothing; nor is anything drawn where the console is no terminal.
    """

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        tick = "✓" if console.encoding.startswith("utf") else "+"
        columns = (
            SpinnerColumn(finished_text=f"[green]{tick}"),
            TextColumn("{task.description:<16}", markup=False),
            BarColumn(),
            _Counts(),
            _Seconds(),
        )
        self.lines = Progress(*columns, console=console, disable=quiet or not console.is_terminal, transient=True)
        self._stage: str | None = None
        self._task = TaskID(0)
        self._ended: dict[str, tuple[TaskID, float]] = {}

    def __enter__(self) -> Self:
        self.lines.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.lines.stop()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Tell how far a stage is; total is 0 where it is not known."""
        if stage != self._stage:
            self._end()
            self._begin(stage)
        self.lines.update(self._task, completed=done, total=max(done, total) or None, counted=total > 0)

    def _begin(self, stage: str) -> None:
        before = 0.0
        if stage in self._ended:  # it goes on after another one: its line moves down
            task, before = self._ended.pop(stage)
            self.lines.remove_task(task)
        self._task = self.lines.add_task(stage, total=None, before=before, counted=False)
        self._stage = stage

    def _end(self) -> None:
        """Tick the line of the present stage."""
        task = next((each for each in self.lines.tasks if each.id == self._task), None)
        if task is None or self._stage is None:
            return
        seconds = _seconds(task)
        if seconds < _SHORTEST:
            self.lines.remove_task(self._task)
            return
        self._ended[self._stage] = self._task, seconds
        full = max(task.completed, 1)
        self.lines.update(self._task, completed=full, total=full)


class _Counts(ProgressColumn):
    """Done and total, where they are known."""

    def render(self, task: Task) -> Text:
        """Draw the column."""
        known = task.fields["counted"]
        return Text(f"{int(task.completed):,}/{int(task.total or 0):,}" if known else "", style="progress.download")


class _Seconds(ProgressColumn):
    """Seconds of a stage, and those it has left where that is known."""

    def render(self, task: Task) -> Text:
        """Draw the column."""
        left = "" if task.finished or not task.time_remaining else f", {task.time_remaining:.0f} s left"
        return Text(f"{_seconds(task):.1f} s{left}", style="progress.elapsed")


def _seconds(task: Task) -> float:
    own = task.finished_time if task.finished else task.elapsed
    return float(task.fields["before"]) + (own or 0.0)
