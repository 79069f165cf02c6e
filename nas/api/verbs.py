"""The run verbs as functions: the same settings as on the command line, no state left behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

from nas.api.isolation import own_hydra
from nas.api.run import Run
from nas.errors import ConfigError, NasError
from nas.files import as_seen

if TYPE_CHECKING:
    from nas.cli.positional import Line

Name = str | PathLike[str]


def search(*overrides: str, quiet: bool = False, **settings: Any) -> Run:
    """Search, retrain, evaluate, export and report, as ``nas search`` does.

    Args:
        overrides: settings as typed on the command line, ``"strategy=gdas"``.
        quiet: print warnings only.
        settings: the same by keyword; those with a dot as ``**{"trainer.epochs": 10}``.

    Returns:
        The run; one that is finished already is not run again.

    Raises:
        NasError: a wrong setting, or a run that failed.
    """
    return _run("search", overrides, settings, quiet)


def retrain(genotype: Name | Run, *overrides: str, quiet: bool = False, **settings: Any) -> Run:
    """Train the network of a genotype (run, file or published name), as ``nas retrain`` does.

    Raises NasError for a wrong setting, or a run that failed.
    """
    return _run("retrain", (_word(genotype), *overrides), settings, quiet)


def evaluate(run: Name | Run, *overrides: str, quiet: bool = False, **settings: Any) -> Run:
    """Measure a run's network on the test split, as ``nas evaluate`` does: it prints them.

    Raises NasError for a wrong setting, or a run without a network.
    """
    return _on_run("evaluate", (_word(run), *overrides), settings, quiet)


def export(run: Name | Run, *overrides: str, quiet: bool = True, **settings: Any) -> Run:
    """Write a run's network in other formats, as ``nas export`` does.

    Raises NasError for a wrong setting, or a run without a network.
    """
    return _on_run("export", (_word(run), *overrides), settings, quiet)


def text_of(value: object) -> str:
    """A Python value as the text of a setting: ``None`` is null, lists and mappings are nested."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{','.join(map(text_of, value))}]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{text_of(entry)}" for key, entry in value.items()) + "}"
    return str(value)


def _run(verb: str, overrides: Sequence[str], settings: Mapping[str, Any], quiet: bool) -> Run:
    """The run that a line makes or finds."""
    from nas.cli.hydra_app import run_jobs

    with own_hydra():
        status, folders = run_jobs(_line(verb, overrides, settings, quiet))
    if status != 0 or not folders:
        raise NasError(f"nas {verb} ended with status {status}")
    return Run(as_seen(folders[-1]))


def _on_run(verb: str, overrides: Sequence[str], settings: Mapping[str, Any], quiet: bool) -> Run:
    """The run that a line names, after the verb was done with it."""
    from nas.cli.hydra_app import run_jobs
    from nas.cli.settings import runs_of, values_of
    from nas.store.folder import resolve

    with own_hydra():
        line = _line(verb, overrides, settings, quiet)
        named = values_of(line.overrides)["run"]
        found = resolve(named, runs_of(line.overrides))
        status, _ = run_jobs(line)
    if status != 0:
        raise NasError(f"nas {verb} ended with status {status}")
    return Run(found.path)


def _line(verb: str, overrides: Sequence[str], settings: Mapping[str, Any], quiet: bool) -> Line:
    from nas.cli.positional import parse
    from nas.cli.verbs import VERBS

    wrong = [text for text in overrides if not isinstance(text, str)]
    if wrong:
        raise ConfigError(f"settings are text such as 'strategy=gdas', got {wrong[0]!r}")
    words = [*overrides, *(f"{key}={text_of(value)}" for key, value in settings.items())]
    line = parse(VERBS[verb], [*words, *(["--quiet"] if quiet else [])])
    if line.multirun:
        raise ConfigError("a call from Python is one run; loop over seeds, or use nas search -m")
    if "mode=plan" in line.overrides:
        raise ConfigError("a plan leaves no run; type nas search --plan")
    return line


def _word(run: Name | Run) -> str:
    return str(run.folder) if isinstance(run, Run) else str(run)
