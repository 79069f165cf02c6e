from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from nas import console

Say = Callable[..., "tuple[int, str, str]"]


def test_a_job_runs_in_silence_in_the_folder_its_config_names(
    say: Say, app: Any, checkout: Path
) -> None:
    argv = list(sys.argv)
    assert say("search", "strategy=darts", "seed=3") == (0, "", "")
    [(verb, cfg)] = app.seen
    assert verb == "search"
    assert (cfg["strategy"]["name"], cfg["seed"], cfg["mode"]) == ("darts", 3, "run")
    assert "hydra" not in cfg
    folder = checkout / "work" / "runs" / "search" / "s3"
    assert sorted(path.name for path in folder.iterdir()) == [".hydra"]
    saved = OmegaConf.load(folder / ".hydra" / "overrides.yaml")
    assert saved == ["strategy=darts", "seed=3"]
    assert app.argv == ["nas", "search", "strategy=darts", "seed=3"]
    assert sys.argv == argv
    assert "HYDRA_FULL_ERROR" not in os.environ


def test_a_positional_and_a_plan(say: Say, app: Any) -> None:
    assert say("evaluate", "latest") == (0, "", "")
    assert say("search", "--plan") == (0, "", "")
    assert [(verb, cfg.get("run"), cfg["mode"]) for verb, cfg in app.seen] == [
        ("evaluate", "latest", "run"),
        ("search", None, "plan"),
    ]
    assert say("evaluate", "latest", "seed=1")[0] == 2  # evaluate has no seed
    assert len(app.seen) == 2


def test_paths_arrive_as_typed(say: Say, app: Any) -> None:
    assert say("search", "data_root=~/my pets/(2)/tom's")[0] == 0
    assert app.seen[0][1]["data_root"] == "~/my pets/(2)/tom's"


def test_json_prints_the_value_and_the_result(say: Say, app: Any, checkout: Path) -> None:
    def act(cfg: DictConfig) -> float:
        console.say("text")
        return 0.25

    app.act = act
    status, out, err = say("search", "--json")
    assert (status, err) == (0, "text\n")
    assert json.loads(out) == {"verb": "search", "value": 0.25}
    folder = checkout / "work" / "runs" / "search" / "s0"
    (folder / "status.json").write_text("{}")
    assert json.loads(say("search", "--json")[1])["result"] is None
    (folder / "result.json").write_text('{"summary": "sep3 x3"}')
    printed = json.loads(say("search", "--json")[1])
    assert printed["folder"] == str(folder)
    assert printed["result"] == {"summary": "sep3 x3"}


def test_json_of_the_application_comes_alone(say: Say, app: Any) -> None:
    app.act = lambda cfg: console.emit({"own": 1})
    assert json.loads(say("search", "--json")[1]) == {"own": 1}


def test_quiet(say: Say, app: Any) -> None:
    app.act = lambda cfg: console.say("text")
    assert say("search", "--quiet") == (0, "", "")
    assert say("search") == (0, "text\n", "")


def test_the_job_config_is_printed(say: Say, app: Any) -> None:
    status, out, err = say("search", "seed=4", "--cfg", "job", "strategy=gdas")
    assert (status, err) == (0, "")
    printed = OmegaConf.create(out)
    assert (printed.seed, printed.strategy.name) == (4, "gdas")
    assert app.seen == []


def test_info_leaves_logging_as_it_was(say: Say, app: Any) -> None:
    before = (logging.getLogger().level, list(logging.getLogger().handlers))
    status, out, _ = say("search", "--info", "defaults")
    assert status == 0
    assert "strategy/pc_darts" in out
    assert (logging.getLogger().level, list(logging.getLogger().handlers)) == before


def test_a_folder_of_own_configs(say: Say, app: Any, tmp_path: Path) -> None:
    own = tmp_path / "own" / "strategy"
    own.mkdir(parents=True)
    (own / "mine.yaml").write_text("name: mine\nsecret: 1\n")
    status, _, err = say(
        "search", "strategy=mine", "strategy.secret=2", "-cd", str(tmp_path / "own")
    )
    assert (status, err) == (0, "")
    assert app.seen[0][1]["strategy"] == {"name": "mine", "secret": 2}
    status, _, err = say("search", "strategy=mien", "-cd", str(tmp_path / "own"))
    assert "did you mean 'mine'?" in err
    status, _, err = say(
        "search", "strategy=mine", "strategy.secrt=2", "-cd", str(tmp_path / "own")
    )
    assert "did you mean 'strategy.secret'?" in err


@pytest.mark.parametrize("group", ["job_logging", "hydra_logging"])
def test_hydras_logging_can_be_asked_for(say: Say, app: Any, group: str) -> None:
    handlers = list(logging.getLogger().handlers)
    assert say("search", f"hydra/{group}=disabled")[0] == 0
    logging.getLogger().handlers[:] = handlers


def test_two_lines_do_not_disturb_each_other(say: Say, app: Any) -> None:
    assert say("search", "strateg=x")[0] == 2
    assert say("search")[0] == 0
    assert say("search", "seed=1")[0] == 0
