"""``nas report``: result and page of a run, or the table of a sweep, anew from what they stored."""

from __future__ import annotations

from pathlib import Path

from nas import console
from nas.cli.look import Look
from nas.errors import NasError
from nas.store.folder import RunFolder, resolve
from nas.store.sweep import SweepFolder, find, renewed


def look(line: Look) -> int:
    """``nas report [RUN | SWEEP]``."""
    word = line.word(0, "latest")
    sweep = find(word, line.runs)
    if sweep is not None:
        path = _sweep_again(sweep)
        following = f"nas compare {word}"
    else:
        folder = resolve(word, line.runs)
        path = report_again(folder, line.plugins)
        following = f"nas show {word}"
    if line.json:
        console.emit({"report": path})
    else:
        console.say(f"report  {path}")
        console.say(f"next    {following}")
    return 0


def report_again(folder: RunFolder, plugins: tuple[str, ...] = ()) -> Path:
    """Write ``result.json`` and ``report.html`` of a run from its other files; trains nothing.

    Raises:
        NasError: the run has no genotype yet, or a file of it is missing or damaged.
    """
    from nas.app.reopen import reopen, saved_config

    if not folder.genotype.is_file():
        raise NasError(
            f"{folder.path} has no genotype yet, so there is nothing to report; the command that "
            "began this run goes on with it"
        )
    from nas.app.stages.report import report

    saved = saved_config(folder, plugins)
    saved.device = "cpu"
    with reopen(saved, folder) as session:
        report(session)
    return folder.report


def _sweep_again(sweep: SweepFolder) -> Path:
    sweep.write(renewed(sweep))
    return sweep.markdown
