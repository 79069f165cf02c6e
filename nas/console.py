"""Everything a person reads on the terminal: lines, tables and progress, at most 100 columns wide.

Results go to stdout and warnings to stderr. With ``configure(json=True)`` the lines and tables move
to stderr, so that stdout carries JSON only.
"""

from __future__ import annotations

import json as _json
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console, ConsoleDimensions
from rich.text import Text

from nas.files import jsonable

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress as LiveBars
    from rich.progress import TaskID

MAX_COLUMNS = 100


class NarrowConsole(Console):
    """A rich console that is never wider than 100 columns; NO_COLOR and COLUMNS are honored."""

    @property
    def size(self) -> ConsoleDimensions:
        """Width and height in characters; 100 columns where there is no terminal to ask."""
        size = super().size
        wanted = self._environ.get("COLUMNS", "")
        asked = size.width if self.is_terminal else MAX_COLUMNS
        # The user's word comes first: a dumb terminal claims to be 80 wide.
        width = int(wanted) if wanted.isdigit() else asked
        return ConsoleDimensions(min(width, MAX_COLUMNS), size.height)

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        self._width, self._height = new_size


console = NarrowConsole(highlight=False, emoji=False)
errors = NarrowConsole(stderr=True, highlight=False, emoji=False)


@dataclass
class _Output:
    json: bool = False
    emitted: bool = False
    bars: bool = False


_output = _Output()


def configure(*, quiet: bool = False, json: bool = False) -> None:
    """Choose what the terminal shows: only warnings, or JSON on stdout with text on stderr."""
    console.quiet = quiet
    console.stderr = json
    _output.json = json
    _output.emitted = False


def json_wanted() -> bool:
    """Return whether the user asked for ``--json``."""
    return _output.json


def json_emitted() -> bool:
    """Return whether ``emit`` was called since ``configure``."""
    return _output.emitted


def emit(value: Any) -> None:
    """Write one JSON document to stdout, quiet or not; NaN becomes null, paths become strings."""
    _output.emitted = True
    text = _json.dumps(jsonable(value), indent=2, ensure_ascii=False, allow_nan=False)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def emit_if_wanted(value: Any) -> None:
    """`emit` where the user asked for ``--json``, else nothing."""
    if _output.json:
        emit(value)


def say(text: str = "", style: str | None = None) -> None:
    """Print a line of plain text (square brackets are not markup), wrapped at 100 columns."""
    console.print(Text(text, style=style or "", overflow="fold"))


def verbatim(text: str) -> None:
    """Print lines that are to be copied or piped: as they are, however narrow the terminal."""
    console.print(Text(text), soft_wrap=True)


def hint(text: str) -> None:
    """Print a line on stderr, so that stdout holds nothing but what was asked for."""
    errors.print(Text(text, overflow="fold"))


def warn(text: str) -> None:
    """Print one sentence starting with ``warning:`` on stderr."""
    _complain("warning:", "bold yellow", text)


def fail(text: str) -> None:
    """Print one sentence starting with ``error:`` on stderr."""
    _complain("error:", "bold red", text)


def _complain(word: str, style: str, text: str) -> None:
    # Bars on the same screen belong to `console`; written past it, the text would run into them.
    target = console if _output.bars and errors.is_terminal else errors
    target.print(Text.assemble((word, style), " ", text, overflow="fold"))


def table(rows: Iterable[Sequence[object]], columns: Sequence[str] = ()) -> None:
    """Print rows as aligned columns; numbers to the right, long cells folded within 100 columns.

    Args:
        rows: cells by row, turned into text by ``str``.
        columns: headings; without them no heading is printed.
    """
    from rich.table import Table

    cells = [[str(cell) for cell in row] for row in rows]
    width = max((len(row) for row in cells), default=len(columns))
    grid = Table(box=None, show_header=bool(columns), pad_edge=False, header_style="bold")
    for index in range(max(width, len(columns))):
        column = [row[index] for row in cells if index < len(row) and row[index]]
        right = index > 0 and bool(column) and all(_is_number(cell) for cell in column)
        heading = columns[index] if index < len(columns) else ""
        grid.add_column(heading, justify="right" if right else "left", overflow="fold")
    for row in cells:
        grid.add_row(*(Text(cell) for cell in row))
    console.print(grid)


def _is_number(cell: str) -> bool:
    try:
        float(cell.removesuffix("%").replace(",", ""))
    except ValueError:
        return False
    return True


class Task:
    """The progress of one thing; made by ``Progress.task``."""

    def __init__(self, name: str, total: int, done: int, owner: Progress) -> None:
        """Start at ``done`` of ``total`` (a resumed run starts in the middle)."""
        self.name, self.total, self.done = name, total, done
        self.fields: dict[str, object] = {}
        self._owner = owner
        self._began = owner.clock()
        self._seen: deque[tuple[float, int]] = deque([(self._began, done)], maxlen=200)

    def advance(self, amount: int = 1, **fields: object) -> None:
        """Count ``amount`` more steps and show the given values beside the bar."""
        self.done += amount
        self.fields.update(fields)
        if amount:
            self._seen.append((self._owner.clock(), self.done))
        self._owner.show(self, force=False)

    def finish(self) -> None:
        """Print the last line now; otherwise it comes when the next task or the end does."""
        self._owner.flush()

    def mark(self, **fields: object) -> None:
        """Report an epoch's end: without a terminal this prints a line at once."""
        self.fields.update(fields)
        self._owner.show(self, force=True)

    def remaining(self) -> float | None:
        """Return the seconds left at the recent pace, or None before the first step."""
        (first, start), (last, now) = self._seen[0], self._seen[-1]
        if now <= start or last <= first:
            return None
        left = (self.total - self.done) * (last - first) / (now - start)
        return max(0.0, left - (self._owner.clock() - last))

    def timing(self) -> str:
        """Return ``0:41 left``, ``in 1:40`` once finished, or nothing while unknown."""
        if self.done >= self.total:
            return f"in {clock_text(self._owner.clock() - self._began)}"
        left = self.remaining()
        return "" if left is None else f"{clock_text(left)} left"

    def values(self) -> str:
        """Return the values beside the bar, e.g. ``val 98.1  entropy 1.42``."""
        return "  ".join(f"{key} {_value(value)}" for key, value in self.fields.items())

    def line(self) -> str:
        """Return the plain line, e.g. ``search  31/50  62 %  val 98.1  0:41 left``."""
        share = f"{100 * self.done // max(self.total, 1)} %"
        parts = (self.name, f"{self.done}/{self.total}", share, self.values(), self.timing())
        return "  ".join(part for part in parts if part)


class Progress:
    """Progress bars with the time left; plain lines where stdout is no terminal.

    Use as a context manager. Plain lines come at most every ``interval`` seconds, plus one for each
    ``mark`` (end of an epoch) and one at the end.
    """

    def __init__(self, interval: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        """Keep the interval between plain lines (seconds) and the clock they are measured by."""
        self.interval, self.clock = interval, clock
        self._bars: LiveBars | None = None
        self._ids: dict[Task, TaskID] = {}
        self._printed: dict[Task, float] = {}
        self._last: dict[Task, str] = {}
        self._finished: Task | None = None

    def __enter__(self) -> Self:
        """Show the bars when there is a terminal for them."""
        if console.is_terminal and not console.is_dumb_terminal and not console.quiet:
            self._bars = _live_bars()
            self._bars.start()
            _output.bars = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the bars and leave their last state on the screen."""
        self.flush()
        if self._bars is not None:
            self._bars.stop()
            self._bars, _output.bars = None, False

    def task(self, name: str, total: int, done: int = 0) -> Task:
        """Add a bar of ``total`` steps, ``done`` of which lie behind (a resumed run)."""
        self.flush()
        task = Task(name, total, done, self)
        self._printed[task] = self.clock()
        if self._bars is not None:
            self._ids[task] = self._bars.add_task(
                name, total=total, completed=done, values="", timing=""
            )
        return task

    def show(self, task: Task, *, force: bool) -> None:
        """Redraw the task's bar, or print its line when one is due."""
        if self._bars is not None:
            self._bars.update(
                self._ids[task],
                completed=task.done,
                values=task.values(),
                timing=task.timing(),
            )
            return
        if task.done >= task.total and not force:
            self._finished = task  # the last step's values often come after the step
        elif force or self.clock() - self._printed[task] >= self.interval:
            self._print(task)

    def flush(self) -> None:
        """Print the line of the task that is finished, if that is still due."""
        if self._finished is not None and self._bars is None:
            self._print(self._finished)
        self._finished = None

    def _print(self, task: Task) -> None:
        line = task.line()
        if line != self._last.get(task):
            say(line)
        self._printed[task], self._last[task] = self.clock(), line


def _live_bars() -> LiveBars:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as LiveBars
    from rich.table import Column

    def text(field: str, *, ratio: int | None = None) -> TextColumn:
        column = Column(no_wrap=True, overflow="ellipsis", ratio=ratio)
        return TextColumn(f"{{task.{field}}}", markup=False, table_column=column)

    return LiveBars(
        text("description"),
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        text("fields[values]"),
        text("fields[timing]"),
        console=console,
        refresh_per_second=4,
    )


def _value(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def clock_text(seconds: float) -> str:
    """Return a duration as ``m:ss``, or ``h:mm:ss`` from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
