"""A sweep while it runs: its jobs, the table of them that is on disk at every moment, its end."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import OmegaConf

from nas import console
from nas.analysis.summary import figure, in_words, seconds
from nas.app import finished
from nas.app.refused import STOPPED, remove_empty
from nas.app.sweep_table import short, swept, tell
from nas.errors import ConfigError, NasError
from nas.files import as_seen
from nas.store.folder import RunFolder, resolve
from nas.store.pointer import SWEEPS
from nas.store.sweep import Row, SweepFolder, inside, job_row, sweep_id

if TYPE_CHECKING:
    from hydra.conf import HydraConf
    from omegaconf import DictConfig


def jobs_of(overrides: Sequence[str]) -> list[tuple[str, ...]]:
    """The settings of every job, in the order of Hydra's basic sweeper.

    A setting whose values only the sweeper knows (an interval, say) stays as it is.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.utils import filter_overrides
    from hydra.errors import HydraException

    try:
        parsed = OverridesParser.create().parse_overrides(list(filter_overrides(overrides)))
        values = {
            each.get_key_element(): list(each.sweep_string_iterator())
            if each.is_discrete_sweep()
            else [each.get_value_element_as_str()]
            for each in parsed
        }
    except HydraException:  # Hydra will say so in its turn
        return [tuple(overrides)]
    return [tuple(job) for job in product(*([f"{k}={v}" for v in vs] for k, vs in values.items()))]


def job_folder(root: DictConfig) -> str:
    """Where a job works, as seen from its sweep's folder: where it would as a single run.

    If the run cannot be named, that job fails and no other; until then it has a folder here.
    """
    try:
        return os.path.relpath(str(root.hydra.run.dir), str(root.hydra.sweep.dir))
    except Exception:
        return f"unnamed-{root.hydra.job.num}"


class Sweep:
    """The jobs of one line with ``-m``; its table is written anew after each of them.

    Jobs run in this process, one after the other. Where a sweeper decides on them as it goes, the
    table grows as they come.
    """

    def __init__(self, verb: str, overrides: Sequence[str]) -> None:
        """Name the sweep; nothing is written yet. ConfigError for a folder of the user's own."""
        if any(text.lstrip("+").startswith("hydra.sweep.") for text in overrides):
            raise ConfigError(
                "the folder of a sweep follows from its settings; runs=FOLDER moves all runs"
            )
        planned = jobs_of([text for text in overrides if text != "mode=plan"])
        self.id = sweep_id(verb, planned)
        self.rows = [Row(" ".join(job)) for job in planned]
        self.folder: SweepFolder | None = None
        self.writes = self._points = self._skips = False
        self._lock = ExitStack()
        OmegaConf.register_new_resolver(
            "job_folder", lambda *, _root_: job_folder(_root_), replace=True
        )

    @property
    def settings(self) -> tuple[str, ...]:
        """What tells Hydra where the sweep and its jobs are."""
        return (
            f"hydra.sweep.dir=${{runs}}/{SWEEPS}/{self.id}",
            "hydra.sweep.subdir=${job_folder:}",
        )

    def begin(self, cfg: DictConfig) -> None:
        """Announce the job that Hydra runs now; raises what kept its run from being named."""
        from hydra.core.hydra_config import HydraConfig

        hydra = HydraConfig.get()
        if self.folder is None:
            self._open(SweepFolder(as_seen(str(hydra.sweep.dir))), cfg)
        number, text = int(hydra.job.num), _text(hydra)
        if number >= len(self.rows) or self.rows[number].overrides != text:
            self.rows = [*self.rows[:number], Row(text)]  # the sweeper has a plan of its own
        folder = RunFolder(as_seen(str(hydra.run.dir)))
        self._set(number, Row(text, self._inside(folder), "running"))
        title = f"job {number + 1}/{len(self.rows)}  {self.label}"
        self._skips = self._points and finished.finished(cfg, folder, list(cfg.stages))
        console.say(f"{title}: {finished.already(folder)}" if self._skips else title)

    @property
    def label(self) -> str:
        """What tells the job at hand from the others."""
        from hydra.core.hydra_config import HydraConfig

        return short(Row(_text(HydraConfig.get())), swept(self.rows))

    def _open(self, folder: SweepFolder, cfg: DictConfig) -> None:
        self.writes = cfg.get("mode") != "plan"
        self._points = self.writes and "stages" in cfg
        if self.writes:
            self._lock.enter_context(RunFolder(folder.path).lock())
        self.folder = folder

    def _inside(self, folder: RunFolder) -> str:
        """The path of a run's folder as the table says it; empty for verbs that make none."""
        assert self.folder is not None
        return inside(folder, self.folder.runs) if self._points else ""

    def end(self, cfg: DictConfig, error: BaseException | None, sentence: str = "") -> None:
        """Write what became of the job that Hydra ran; ``sentence`` says why it failed."""
        from hydra.core.hydra_config import HydraConfig

        hydra = HydraConfig.get()
        number, text = int(hydra.job.num), _text(hydra)
        if self.folder is None or number >= len(self.rows):
            return
        row = job_row(text, _run_of(cfg, Path(hydra.runtime.output_dir)), self.folder.runs)
        row = replace(row, state=_state(error), message="" if error is None else sentence)
        self._set(number, row)
        if error is None and row.test is not None and self._points and not self._skips:
            value = f"test {in_words(row.metric)} {figure(row.metric, row.test)}"
            console.say(f"        {value} after {seconds(row.seconds or 0.0)} of training")

    def _set(self, number: int, row: Row) -> None:
        self.rows[number] = row
        if self.writes and self.folder is not None:
            self.folder.write(self.rows)

    def close(self, root: str, keep: Path | None = None) -> None:
        """Point ``latest`` here and print the table; without any job leave no folder behind.

        ``keep`` is a folder that was there before, as of `nas.app.refused.nothing_left`.
        """
        if self.folder is None or not self.writes:
            _discard(SweepFolder(Path(root) / SWEEPS / self.id), keep)
            return
        self._lock.close()
        if self._points:
            self.folder.point_latest()
        tell(self.folder, self.rows, json=console.json_wanted())


def _run_of(cfg: DictConfig, output: Path) -> RunFolder:
    """The folder of a job's run: its own, or the one that ``nas evaluate`` and the like name."""
    folder = RunFolder(output)
    if folder.is_run() or not cfg.get("run"):
        return folder
    try:
        return resolve(str(cfg.run), str(cfg.runs))
    except NasError:
        return folder


def _text(hydra: HydraConf) -> str:
    """The settings of the job at hand; what ``--plan`` stands for is not one of them."""
    return " ".join(str(text) for text in hydra.overrides.task if text != "mode=plan")


def _state(error: BaseException | None) -> str:
    if error is None:
        return "finished"
    stopped = int(getattr(error, "exit_code", 0)) >= STOPPED
    return "interrupted" if stopped or not isinstance(error, Exception) else "failed"


def _discard(sweep: SweepFolder, keep: Path | None) -> None:
    """Remove what Hydra wrote for a sweep that never began."""
    if sweep.is_sweep() or not sweep.path.is_dir():
        return
    (sweep.path / "multirun.yaml").unlink(missing_ok=True)
    remove_empty(sweep.path, sweep.runs, keep)
