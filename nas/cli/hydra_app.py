"""Runs a verb as a Hydra application: composition, sweeps and run folders, with our own errors."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TextIO, cast

from nas import console
from nas.cli.paths import config_dir
from nas.errors import NasError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from nas.cli.positional import Line

_NOISE = "Error executing job with overrides"
_STOPPED = 128  # statuses from here on mean that a signal stopped the job


def run(line: Line) -> int:
    """Run the verb of ``line`` and return the exit status.

    Raises:
        NasError: a mistake of the user, translated from Hydra's where it is one of the settings.
    """
    console.configure(quiet=line.quiet, json=line.json)
    try:
        return _run(line)
    finally:
        console.configure()


def _run(line: Line) -> int:
    import hydra

    import nas.app  # noqa: F401  (registers the resolvers that the run folders use)
    from nas.cli import mistakes
    from nas.cli.compose import VERSION_BASE
    from nas.cli.values import check_types

    jobs = Jobs(line)
    check_types(line)
    application = hydra.main(
        config_path=str(config_dir()), config_name=line.verb.name, version_base=VERSION_BASE
    )(jobs.task)
    with _hydra_arguments(line):
        try:
            application()
        except SystemExit as stop:  # Hydra's parser and --hydra-help
            return stop.code if isinstance(stop.code, int) else 2
        except Exception as error:
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

    @property
    def task(self) -> Callable[[DictConfig], float | None]:
        """Return the function for Hydra; it keeps what was raised, so that Hydra stays silent."""

        def task(cfg: DictConfig) -> float | None:
            console.configure(quiet=self.line.quiet, json=self.line.json)
            sys.argv = list(self.line.command)  # what a run records as its command
            try:
                value = run_job(self.line.verb.name, cfg)
            except Exception as error:
                self.failed.append(error)
                if not self.line.multirun:
                    return None
                if getattr(error, "exit_code", 0) >= _STOPPED:
                    # Hydra would take a stopped job for a failed one and start the next.
                    raise KeyboardInterrupt(str(error)) from error
                self._tell(error)
                raise
            self.done += 1
            return value

        return task

    def _tell(self, error: Exception) -> None:
        """Say which job of a sweep failed, and why, while the others go on."""
        from hydra.core.hydra_config import HydraConfig

        from nas.cli import mistakes

        known = mistakes.explain_job(error, self.line)
        text = str(known) if isinstance(known, NasError) else f"{type(known).__name__}: {known}"
        console.fail(f"{' '.join(HydraConfig.get().overrides.task)}: {text}")

    def finish(self) -> int:
        """Return 0 when every job ended well.

        Raises:
            NasError: a job failed; of a sweep, how many of how many.
        """
        from nas.cli import mistakes

        if not self.failed:
            return 0
        error = self.failed[-1]
        if not self.line.multirun:
            _raise(mistakes.explain_job(error, self.line), error)
        total = self.done + len(self.failed)
        summary = NasError(f"{len(self.failed)} of {total} jobs failed; 'nas ls' shows which")
        raise summary from error


def _raise(told: Exception, error: Exception) -> NoReturn:
    if told is error:
        raise error
    raise told from error


def run_job(verb: str, cfg: DictConfig) -> float | None:
    """Run one composed job; with ``--json`` print its result unless the verb did so itself."""
    from hydra.core.hydra_config import HydraConfig

    from nas.app import run as run_verb
    from nas.cli.ls import read_result
    from nas.runs.folder import RunFolder

    value = run_verb(verb, cfg)
    if console.json_wanted() and not console.json_emitted():
        folder = RunFolder(Path(HydraConfig.get().runtime.output_dir))
        told: dict[str, object] = {"verb": verb, "value": value}
        if folder.is_run():
            told |= {"folder": folder.path, "result": read_result(folder) or None}
        console.emit(told)
    return value


@contextmanager
def _hydra_arguments(line: Line) -> Iterator[None]:
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
    sys.argv = ["nas", *line.options, *silent, *named, *line.overrides]
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
    return f"hydra.job.name={line.verb.name}"


class _WithoutNoise:
    """Stderr without Hydra's line about a failed job, which says less than our own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return len(text) if text.startswith(_NOISE) else self._stream.write(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)
