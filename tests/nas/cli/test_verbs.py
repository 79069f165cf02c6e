from __future__ import annotations

import shlex

import pytest
from hydra import compose, initialize_config_dir

from nas.cli.help import groups, settings
from nas.cli.paths import config_dir
from nas.cli.positional import parse
from nas.cli.verbs import VERBS

RUN = [verb for verb in VERBS.values() if verb.kind == "run"]
EXAMPLES = [
    (verb.name, line)
    for verb in RUN
    for line, _ in verb.examples
    if shlex.split(line)[2:3] == [] or shlex.split(line)[2] not in verb.looks
]


@pytest.mark.parametrize(("name", "line"), EXAMPLES)
def test_every_example_composes_with_the_shipped_configs(name: str, line: str) -> None:
    found = parse(VERBS[name], shlex.split(line)[2:])
    single = [text.split(",")[0] if found.multirun else text for text in found.overrides]
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        compose(name, overrides=single)


@pytest.mark.parametrize("verb", RUN, ids=lambda verb: verb.name)
def test_every_shipped_setting_is_explained(verb: object) -> None:
    found = settings(config_dir(), verb.name)  # type: ignore[attr-defined]
    assert found, "no settings"
    assert [key for key, text in found.items() if not text] == []
    assert verb.positional in ("", *found)  # type: ignore[attr-defined]


def test_the_shipped_groups_are_known_to_the_help() -> None:
    from nas.cli.help import GROUPS

    assert {name.split("/")[0] for name in groups((config_dir(),))} <= set(GROUPS)


def test_usage() -> None:
    assert VERBS["search"].usage == "nas search [key=value ...] [options]"
    assert VERBS["retrain"].usage == "nas retrain [GENOTYPE] [key=value ...] [options]"
    assert VERBS["show"].usage == "nas show [RUN] [options]"
