"""Config folders of a user's own: nothing hidden, no code run by Hydra that was not allowed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nas.cli.folders import check_folders
from nas.cli.positional import parse
from nas.cli.verbs import VERBS
from nas.errors import ConfigError

CALLBACK = """\
# @package _global_
hydra:
  callbacks:
    mine: {_target_: my_lab.Callback}
"""
LOGGER = """\
# @package _global_
hydra:
  job_logging:
    handlers:
      mine: {(): my_lab.handler}
"""


@pytest.fixture
def conf(tmp_path: Path) -> Callable[[str, str], list[str]]:
    """Write one file into a config folder; returns the option that adds the folder."""

    def write(name: str, text: str) -> list[str]:
        file = tmp_path / "conf" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return ["--config-dir", str(tmp_path / "conf")]

    return write


def check(*words: str) -> None:
    check_folders(parse(VERBS["search"], list(words)))


def test_a_folder_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match="--config-dir nowhere: there is no such folder"):
        check("--config-dir", "nowhere")


@pytest.mark.parametrize("name", ["strategy/darts.yaml", "search.yaml"])
def test_a_file_that_a_shipped_one_would_hide_is_refused(
    conf: Callable[[str, str], list[str]], name: str
) -> None:
    with pytest.raises(ConfigError, match=f"conf/{name} is hidden by .*configs/{name}"):
        check(*conf(name, "edge_weights: true\n"))


def test_a_file_of_another_name_is_not(conf: Callable[[str, str], list[str]]) -> None:
    check(*conf("strategy/mine.yaml", "defaults: [darts, _self_]\n"), "strategy=mine")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (CALLBACK, ["experiment=evil"]),
        (LOGGER, ["experiment=evil"]),
        (CALLBACK, ["-m", "experiment=darts_digits,evil"]),
        (LOGGER, ["-m", "experiment=glob(e*)"]),
    ],
    ids=["callback", "logger", "swept", "found"],
)
def test_what_hydra_would_call_must_be_allowed(
    conf: Callable[[str, str], list[str]], text: str, words: list[str]
) -> None:
    option = conf("experiment/evil.yaml", text)
    with pytest.raises(ConfigError, match=r"makes Hydra call 'my_lab\..*add plugins=\[my_lab\]"):
        check(*option, *words)


def test_what_the_line_allows_hydra_may_call(conf: Callable[[str, str], list[str]]) -> None:
    check(*conf("experiment/evil.yaml", CALLBACK), "experiment=evil", "plugins=[my_lab]")


def test_an_experiment_of_ones_own_with_nothing_of_hydras_is_fine(
    conf: Callable[[str, str], list[str]],
) -> None:
    text = "# @package _global_\nhydra: {sweeper: {max_batch_size: 2}}\nseed: 3\n"
    check(*conf("experiment/mine.yaml", text), "experiment=mine")
