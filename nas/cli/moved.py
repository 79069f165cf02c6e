"""Where the data of an earlier run lie now: the only settings of it that a later verb may change.

The configs of these verbs hold no data settings, so Hydra has to add those that are allowed; it
refuses all others.
"""

from __future__ import annotations

from collections.abc import Sequence

from nas.cli.settings import key_of, runs_of, values_of
from nas.cli.verbs import Verb
from nas.plugins import granted
from nas.store.folder import resolve
from nas.store.settings import read_settings

VERBS = ("evaluate", "export", "rank")
"""Those that open a run again; what ``nas retrain`` and ``from=`` begin has all data settings."""


def moved(verb: Verb, settings: Sequence[str], *, multirun: bool = False) -> list[str]:
    """The settings, with those that say where the named run's data lie as ones that Hydra adds.

    Raises NasError where there is no such run, or its data's class may not be loaded.
    """
    given = values_of(settings)
    if verb.name not in VERBS or "run" not in given or not any(map(_of_data, given)):
        return list(settings)
    runs = given["run"].split(",") if multirun else [given["run"]]
    known = [_places(run, runs_of(settings), granted(settings)) for run in runs]
    both = set.intersection(*known)
    return [f"++{text.lstrip('+')}" if key_of(text) in both else text for text in settings]


def _of_data(key: str) -> bool:
    return key.startswith("data.")


def _places(run: str, runs: str, plugins: Sequence[str]) -> set[str]:
    from nas.app.config import places

    settings = read_settings(resolve(run, runs).config)
    return {f"data.{name}" for name in places(settings.get("data"), plugins)}
