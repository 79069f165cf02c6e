"""``architecture=RUN``: the choices of a genotype in the place of the word that names it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from nas.cli.settings import key_of, runs_of, values_of
from nas.errors import ConfigError, nearest

KEY = "architecture"


def with_choices(settings: Sequence[str]) -> list[str]:
    """The settings with the choices of the run or genotype file that ``architecture=`` names.

    So a run's own settings hold what it began with, whatever becomes of the file.

    Raises:
        ConfigError: there is no such genotype, or compression is a part of it already.
        NasError: the file cannot be read.
    """
    word = values_of(settings).get(KEY, "null")
    if word == "null" or word.startswith("{"):
        return list(settings)
    from nas.app.located import locate
    from nas.genotype import load
    from nas.store.folder import runs

    if "," in word and not Path(word).is_file():
        raise ConfigError(f"{KEY}={word}: a command keeps one architecture; run one for each")
    path = locate(word, runs_of(settings))
    if path is None:
        names = [run.name for run, _ in runs(runs_of(settings))]
        raise ConfigError(f"{KEY}={word}: no run or .json file has that name{nearest(word, names)}")
    file = load(path)
    if file.compression:
        raise ConfigError(
            f"{KEY}={word}: compression is a part of that genotype already; name one that was "
            "found with compression=none"
        )
    choices = json.dumps(dict(file.choices), separators=(",", ":"))
    quoted = re.sub(r"(\\*)'", r"\1\1\\'", choices)  # as Hydra reads it
    return [f"{KEY}='{quoted}'" if key_of(text) == KEY else text for text in settings]
