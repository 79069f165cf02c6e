"""Runs a verb as a Hydra application: composition, sweeps and run folders, with our own errors."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TextIO, cast

from nas import console
from nas.app.refused import STOPPED
from nas.cli.paths import config_dir, with_search_path
from nas.cli.settings import runs_of
from nas.errors import NasError
from nas.files import explain

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from nas.app.sweep import Sweep
    from nas.cli.positional import Line

_NOISE = "Error executing job with overrides"


def run(line: Line) -> int:
    """Run the verb of ``line`` and return the exit status.

    Raises:
        NasError: a mistake of the user, translated from Hydra's where it is one of the settings.
    """
    status, _ = run_jobs(line)
    return status


def run_jobs(line: Line) -> tuple[int, list[Path]]:
    """Run the verb of ``line``; return the exit status and the folders of the jobs that ended well.

    Raises as `run` does.
    """
    console.configure(quiet=line.quiet, json=line.json)
    jobs = Jobs(line)
    try:
        return _run(line, jobs), jobs.folders
    finally:
        console.configure()


def _run(line: Line, jobs: Jobs) -> int:
    import hydra

    import nas.app  # noqa: F401  (registers the resolvers that the run folders use)
    from nas.cli import mistakes
    from nas.cli.adds import check_adds
    from nas.cli.compose import VERSION_BASE
    from nas.cli.folders import check_folders
    from nas.cli.values import check_types

    check_folders(line)
    check_adds(line)
    check_types(line)
    jobs.prepare()
    application = hydra.main(
        config_path=str(config_dir()), config_name=line.verb.config, version_base=VERSION_BASE
    )(jobs.task)
    with jobs.closing(), _hydra_arguments(line, jobs.places):
        try:
            application()
        except SystemExit as stop:  # Hydra's parser and --hydra-help
            return stop.code if isinstance(stop.code, int) else 2
        except Exception as error:
            # Hydra makes the folder before anything of ours runs; its own errors have no number.
            if not jobs.failed and isinstance(error, OSError) and error.errno is not None:
                raise explain(error, error.filename or ".", "write") from error
            if not jobs.failed:
                _raise(mistakes.explain(error, line), error)
    return jobs.finish()


class Jobs:
    """The jobs of one line: one run, or as many as the sweep has in this process."""

    def __init__(self, line: Line) -> None:
        """Keep the line; nothing runs yet."""
        self.line = line
        self.failed: list[Exception] = []
        self.done = 0
        self.folders: list[Path] = []  # of the jobs that ended well
        self.sweep: Sweep | None = None
        runs = Path(runs_of(line.overrides))
        self.keep = runs if runs.is_dir() else None  # Hydra is about to make it

    def prepare(self) -> None:
        """Make the sweep of a line that is one."""
        if self.line.multirun:
            from nas.app.sweep import Sweep

            self.sweep = Sweep(self.line.verb.config, self.line.overrides)

    @property
    def places(self) -> tuple[str, ...]:
        """What tells Hydra where the sweep and its jobs are."""
        return () if self.sweep is None else self.sweep.settings

    @contextmanager
    def closing(self) -> Iterator[None]:
        """End the sweep with its table, also where it was stopped."""
        try:
            yield
        finally:
            if self.sweep is not None:
                console.configure(quiet=self.line.quiet, json=self.line.json)
                self.sweep.close(runs_of(self.line.overrides), self.keep)

    @property
    def task(self) -> Callable[[DictConfig], float | None]:
        """Return the function for Hydra; it keeps what was raised, so that Hydra stays silent."""

        def task(cfg: DictConfig) -> float | None:
            try:
                value = self._run(cfg) if self.sweep is None else self._run_in_sweep(cfg)
            except Exception as error:
                self.failed.append(error)
                if self.sweep is None:
                    return None
                if getattr(error, "exit_code", 0) >= STOPPED:
                    # Hydra would take a stopped job for a failed one and start the next.
                    raise KeyboardInterrupt(str(error)) from error
                raise
            self.done += 1
            self.folders.append(_folder())
            return value

        return task

    def _run(self, cfg: DictConfig) -> float | None:
        console.configure(quiet=self.line.quiet, json=self.line.json)
        sys.argv = list(self.line.command)  # what a run records as its command
        return run_job(self.line.verb.config, cfg, self.line.typed, keep=self.keep)

    def _run_in_sweep(self, cfg: DictConfig) -> float | None:
        from hydra.core.hydra_config import HydraConfig

        assert self.sweep is not None
        job = [str(text) for text in HydraConfig.get().overrides.task]
        sys.argv = ["nas", *self.line.verb.name.split(), *job]  # what repeats this run alone
        # With --json the sweep prints one document at its end, and its jobs none.
        console.configure(quiet=self.line.quiet)
        aside = redirect_stdout(sys.stderr) if self.line.json else nullcontext()
        try:
            with aside:
                value = run_job(
                    self.line.verb.config, cfg, self.line.typed, self.sweep.begin, self.keep
                )
        except BaseException as error:
            sentence = self._sentence(error)
            self.sweep.end(cfg, error, sentence)
            if isinstance(error, Exception) and getattr(error, "exit_code", 0) < STOPPED:
                console.fail(f"{self.sweep.label}: {sentence}")
            raise
        with redirect_stdout(sys.stderr) if self.line.json else nullcontext():
            self.sweep.end(cfg, None)
        return value

    def _sentence(self, error: BaseException) -> str:
        """Say why a job of a sweep failed, while the others go on."""
        from nas.cli import mistakes

        if not isinstance(error, Exception):
            return "stopped; the same command resumes it"
        known = mistakes.explain_job(error, self.line)
        return str(known) if isinstance(known, NasError) else f"{type(known).__name__}: {known}"

    def finish(self) -> int:
        """Return 0 when every job ended well.

        Raises:
            NasError: a job failed; of a sweep, how many of how many.
        """
        from nas.cli import mistakes

        if not self.failed:
            return 0
        error = self.failed[-1]
        if self.sweep is None or self.sweep.folder is None:
            _raise(mistakes.explain_job(error, self.line), error)
        count, total = len(self.failed), self.done + len(self.failed)
        where = f"; {self.sweep.folder.markdown} says why" if self.sweep.writes else ""
        raise NasError(f"{count} of {total} jobs failed{where}") from error


def _raise(told: Exception, error: Exception) -> NoReturn:
    if told is error:
        raise error
    raise told from error


def _folder() -> Path:
    from hydra.core.hydra_config import HydraConfig

    return Path(HydraConfig.get().runtime.output_dir)


def run_job(
    verb: str,
    cfg: DictConfig,
    typed: Sequence[str] = (),
    begin: Callable[[DictConfig], None] = lambda cfg: None,
    keep: Path | None = None,
) -> float | None:
    """Run one composed job; with ``--json`` print its result unless the verb did so itself.

    ``begin`` is called first. A job that is refused before it does anything leaves no folder, nor
    does a plan; ``keep`` was there before.
    """
    from hydra.core.hydra_config import HydraConfig

    from nas.app import run as run_verb
    from nas.app.refused import nothing_left
    from nas.cli.ls import read_result
    from nas.store.folder import RunFolder

    root, plan = Path(str(cfg.get("runs", "runs"))), cfg.get("mode") == "plan"
    with nothing_left(_folder(), root, keep, plan=plan):
        begin(cfg)
        value = run_verb(verb, cfg, typed)
    if console.json_wanted() and not console.json_emitted():
        folder = RunFolder(Path(HydraConfig.get().runtime.output_dir))
        told: dict[str, object] = {"verb": verb, "value": value}
        if folder.is_run():
            told |= {"folder": folder.path, "result": read_result(folder) or None}
        console.emit(told)
    return value


@contextmanager
def _hydra_arguments(line: Line, places: Sequence[str]) -> Iterator[None]:
    """Hand the line to Hydra by ``sys.argv``, and let exceptions through to us."""
    silent = [
        f"{group}=none"
        for group in ("hydra/job_logging", "hydra/hydra_logging")
        if not any(text.startswith(f"{group}=") for text in line.overrides)
    ]
    named = [] if any("hydra.job.name=" in text for text in line.overrides) else [_job_name(line)]
    argv, full = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    settings = [*silent, *named, *places, *with_search_path(line.overrides)]
    sys.argv = ["nas", *line.options, *settings]
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        with redirect_stderr(cast(TextIO, _WithoutNoise(sys.stderr))):
            yield
    finally:
        sys.argv = argv
        root.handlers[:] = handlers  # --info adds one and lowers the level
        root.setLevel(level)
        if full is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = full


def _job_name(line: Line) -> str:
    return f"hydra.job.name={line.verb.config}"


class _WithoutNoise:
    """Stderr without Hydra's line about a failed job, which says less than our own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return len(text) if text.startswith(_NOISE) else self._stream.write(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)
