"""Progress bars of the loop, one per stage."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from nas.analysis.summary import ACCURACY, is_share
from nas.console import Progress, Task

# What a bar shows beside the task's metric, in few words.
SHOWN = {"entropy/normal": "entropy", "skip/normal": "skip"}


class ProgressBars:
    """Listens to the loop and shows stage, steps, figures and time left.

    ``metric`` is the one whose values are shown; ``loops`` says whether the loop's are.
    """

    def __init__(self, metric: str = ACCURACY, *, loops: bool = True) -> None:
        self.metric, self.loops = metric, loops
        self._progress = Progress()
        self._task: Task | None = None

    def __enter__(self) -> ProgressBars:
        self._progress.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.__exit__(kind, error, trace)

    def task(self, name: str, total: int, done: int = 0) -> Task:
        """A bar for something else than the loop."""
        return self._progress.task(name, total, done)

    def begin(self, stage: str, total: int, done: int) -> None:
        """A new bar for a stage."""
        if self.loops:
            self._task = self._progress.task(stage, total, done)

    def step(self, metrics: Mapping[str, float]) -> None:
        """One step further."""
        if self._task is not None:
            self._task.advance()

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Show the epoch's figures."""
        if self._task is not None:
            self._task.fields.update(shown(row["metrics"], self.metric))
            self._task.advance(0)

    def end(self) -> None:
        """The stage is done; its bar stays as it is."""
        if self._task is not None:
            self._task.finish()
        self._task = None


def shown(metrics: Mapping[str, float], metric: str = ACCURACY) -> dict[str, str]:
    """The few figures that fit beside a bar, as short text."""
    own = {f"{metric}/validation": "val", f"{metric}/train": "train", f"{metric}/weights": "train"}
    found: dict[str, str] = {}
    for name, label in {**own, **SHOWN}.items():
        if name in metrics and label not in found:
            value = metrics[name]
            share = name in own and is_share(metric)
            found[label] = f"{100 * value:.1f}" if share else f"{value:.3g}"
    return found
