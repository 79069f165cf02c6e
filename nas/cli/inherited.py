"""Settings that a line takes over from an earlier run that it names."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from nas.cli.settings import key_of, runs_of, values_of
from nas.cli.verbs import Verb
from nas.errors import ConfigError, NasError

if TYPE_CHECKING:
    from nas.store.folder import RunFolder

# Of how a run was done, not of what it computed; and what its line said of another verb.
_NOT_TAKEN = (
    *("stages", "resume", "fresh", "mode", "runs"),
    *("genotype", "from", "hydra", "init", "plugins"),
)


def inherited(verb: Verb, settings: Sequence[str]) -> list[str]:
    """The saved settings of the run that ``genotype=`` or ``from=`` names.

    A retraining takes data, space, task and the like from the run whose genotype it trains, and
    nothing of its search. Empty for a genotype that is no run's.
    """
    named, runs = values_of(settings), runs_of(settings)
    if verb.name == "search" and named.get("from", "null") != "null":
        return without(saved_overrides(named["from"], runs), settings)
    if verb.name != "retrain" or "genotype" not in named:
        return []
    folder = _run_of(named["genotype"], runs)
    if folder is None or not (folder / ".hydra" / "overrides.yaml").is_file():
        return []
    return [text for text in without(_read(folder), settings) if not _of_search(text)]


def pinned(settings: Sequence[str]) -> list[str]:
    """The settings with the own names of the runs they go on from: ``latest`` is about to move."""
    from nas.store.folder import resolve
    from nas.store.pointer import LATEST

    named, runs = values_of(settings), runs_of(settings)
    new: dict[str, str] = {}
    if named.get("from", "null") != "null":
        new["from"] = resolve(named["from"], runs).label
    run, at, epoch = named.get("genotype", "").partition("@")
    with suppress(NasError):  # without any run the verb itself says so
        if run == LATEST:
            new["genotype"] = f"{resolve(run, runs).label}{at}{epoch}"
    return [
        f"{key_of(text)}={new[key_of(text)]}" if key_of(text) in new else text for text in settings
    ]


def saved_overrides(run: str, runs: str) -> list[str]:
    """The settings that the command of a run gave; ConfigError where they are not there."""
    from nas.store.folder import resolve

    return _read(resolve(run, runs).path)


def without(saved: Sequence[str], given: Sequence[str]) -> list[str]:
    """The saved settings without those that are given again.

    Values of a group that is chosen anew go with it, and so do those of a class that stood in its
    place.
    """
    again = {key_of(text) for text in given}
    own = {key_of(text) for text in saved if text.startswith("~")} & again
    return [
        text
        for text in saved
        if again.isdisjoint((key_of(text), key_of(text).split(".")[0]))
        and not any(key_of(text).startswith(f"{key}.") for key in own)
    ]


def _read(folder: Path) -> list[str]:
    from omegaconf import OmegaConf

    file = folder / ".hydra" / "overrides.yaml"
    try:
        saved = OmegaConf.to_container(OmegaConf.load(file))
    except FileNotFoundError:
        raise ConfigError(f"{file} is missing, so that run's settings cannot be repeated") from None
    except Exception as error:  # of the disk, of YAML or of OmegaConf
        raise ConfigError(f"{file} cannot be read ({type(error).__name__})") from None
    texts = [str(text) for text in saved or []]
    return [text for text in texts if key_of(text).split(".")[0] not in _NOT_TAKEN]


def _run_of(genotype: str, runs: str) -> Path | None:
    """The folder of the run whose genotype this is: a run, RUN@epoch, or a file inside one."""
    from nas.store.folder import resolve

    path = Path(genotype).expanduser()
    if path.suffix == ".json":
        inside = [
            parent for parent in path.absolute().parents if (parent / "config.yaml").is_file()
        ]
        return inside[0] if inside else None
    try:
        found: RunFolder = resolve(genotype.partition("@")[0], runs)
    except NasError:  # a published name, or one that the run verb will complain about
        return None
    return found.path


def _of_search(text: str) -> bool:
    from nas.app.effect import SEARCH_ONLY
    from nas.store.settings import covered

    return covered(key_of(text), SEARCH_ONLY)
