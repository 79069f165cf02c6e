from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from nas.errors import NasError

Say = Callable[..., "tuple[int, str, str]"]


@dataclass
class Typed:
    count: int = 3
    rate: float = 0.5
    flag: bool = True


def told(say: Say, line: str) -> str:
    """Run a line that must fail with 2, and return its sentence on one line."""
    status, out, err = say(*line.split("  "))
    assert (status, out) == (2, "")
    assert err.count("error:") == 1
    assert "Traceback" not in err
    assert max(map(len, err.splitlines())) <= 100
    return err.replace("\n", " ").removeprefix("error: ").strip()


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            "strategy=pc_dart",
            "unknown strategy 'pc_dart'; did you mean 'pc_darts'? "
            "(the choices are darts, gdas, pc_darts)",
        ),
        ("strategy=xyz", "unknown strategy 'xyz'; the choices are darts, gdas, pc_darts"),
        ("strategy=", "strategy needs a value: the choices are darts, gdas, pc_darts"),
        ("strategy=3", "strategy=3 is not a choice; the choices are darts, gdas, pc_darts"),
        ("+strategy/add=dina", "unknown strategy/add 'dina'; did you mean 'dinas'? "
         "(the choices are dinas)"),
        ("+strategy=gdas", "strategy is chosen twice; write strategy=gdas once, without '+'"),
        ("strateg=darts", "unknown setting 'strateg'; did you mean 'strategy'?"),
        ("sede=1", "unknown setting 'sede'; did you mean 'seed'?"),
        ("xyzzy=1", "unknown setting 'xyzzy'; 'nas search --cfg job' prints every setting"),
        ("cost=macs", "nas search does not use the group 'cost'"),
        ("optim.weights.lrr=1", "unknown setting 'optim.weights.lrr'; "
         "did you mean 'optim.weights.lr'?"),
        ("optim.weights.xyz=1", "unknown setting 'optim.weights.xyz'; "
         "optim.weights has decay, lr"),
        ("lr=1", "unknown setting 'lr'; "
         "did you mean 'optim.weights.lr' or 'optim.architecture.lr'?"),
        ("strategy=gdas  strategy.channels=2", "unknown setting 'strategy.channels'; "
         "strategy has name"),
        ("seed.x=1", "unknown setting 'seed.x'; did you mean 'seed'?"),
        ("~sede", "unknown setting 'sede'; did you mean 'seed'?"),
        ("+seed=1", "'seed' exists already; write seed=1 without '+'"),
        ("seed=0,1", "seed=0,1 has several values; add -m to run each of them, "
         "or write seed=[0,1] for a list"),
        ("seed=range(3)", "seed=range(3) has several values; add -m to run each of them"),
        ("seed=[1,2", "'seed=[1,2' cannot be read; close its brackets and quotes, "
         "or quote the whole value: \"seed='...'\""),
        ("seed=${nope}", "the settings do not compose: Interpolation key 'nope' not found"),
        ("hydra/launcher=joblip", "unknown hydra/launcher 'joblip'; the choices are basic"),
        ("--config-dir=/nowhere/at/all",
         "--config-dir /nowhere/at/all: there is no such folder"),
        ("seed=many", "seed=many is not a number (the default is 0)"),
        ("optim.weights=3", "optim.weights=3 is not a group of settings "
         "(the default is {lr, decay})"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence(say: Say, app: Any, line: str, sentence: str) -> None:
    said = told(say, f"search  {line}")
    assert said.split() == sentence.split()
    assert app.seen == []


def test_a_missing_value_names_the_verbs_own_form(say: Say, app: Any) -> None:
    app.act = lambda cfg: cfg.run
    assert told(say, "evaluate") == "nas evaluate needs a run, e.g. nas evaluate latest"
    app.act = lambda cfg: cfg.must
    assert told(say, "search") == "'must' needs a value: add must=VALUE"


def test_a_fault_in_an_experiment_names_its_file(say: Say, app: Any) -> None:
    assert told(say, "search  experiment=broken").startswith("experiment/broken.yaml: unknown ")
    assert say("search", "experiment=first")[0] == 0
    assert (app.seen[0][1]["seed"], app.seen[0][1]["strategy"]) == (5, {"name": "gdas"})


def test_a_group_that_must_be_chosen(say: Say, app: Any, checkout: Path) -> None:
    file = checkout / "configs" / "search.yaml"
    file.write_text(file.read_text().replace("space: darts", "space: ???"))
    assert told(say, "search") == "space is not chosen; add space=CHOICE, one of darts"


def test_damaged_yaml_names_its_file(say: Say, app: Any, checkout: Path) -> None:
    (checkout / "configs" / "space" / "darts.yaml").write_text("a: [1\nb: {")
    assert "darts.yaml" in told(say, "search")


@pytest.fixture
def mine(checkout: Path) -> Path:
    """A config folder of the user's own, beside the shipped one."""
    folder = checkout / "mine"
    (folder / "strategy").mkdir(parents=True)
    (folder / "strategy" / "sandwich.yaml").write_text("name: sandwich\n")
    return folder


def test_the_users_choices_are_listed_with_ours(say: Say, app: Any, mine: Path) -> None:
    said = told(say, f"search  --config-dir={mine}  strategy=sandwhich")
    assert " ".join(said.split()) == (
        "unknown strategy 'sandwhich'; did you mean 'sandwich'? "
        "(the choices are darts, gdas, pc_darts, sandwich)"
    )


def test_a_choice_of_a_saved_run_that_is_not_here_is_told(
    say: Say, app: Any, checkout: Path
) -> None:
    folder = checkout / "work" / "runs" / "search" / "darts-mine-s0-abc123"
    (folder / ".hydra").mkdir(parents=True)
    (folder / "status.json").write_text('{"state": "finished"}')
    (folder / ".hydra" / "overrides.yaml").write_text("- strategy=sandwich\n")
    said = told(say, f"search  --from  {folder}")
    assert " ".join(said.split()) == (
        "that run was made with strategy=sandwich, which is no choice here; "
        "add the --config-dir of its command, or choose another strategy"
    )


@pytest.mark.parametrize("settings", ["", "  seed=1"], ids=["alone", "with a setting"])
def test_a_damaged_file_of_the_users_is_named(
    say: Say, app: Any, mine: Path, settings: str
) -> None:
    (mine / "strategy" / "sandwich.yaml").write_text("name: [1\nb: {")
    said = told(say, f"search  --config-dir={mine}  strategy=sandwich{settings}")
    # A long path is broken off at the edge of the terminal, so spaces say nothing.
    assert "sandwich.yaml,line2:thisisnotYAML" in "".join(said.split())


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            "search  optim.weight._target_=a.B",
            "optim.weight._target_ replaces no class of the settings; "
            "did you mean 'optim.weights'?",
        ),
        (
            "search  spaec._target_=a.B",
            "spaec._target_ replaces no class of the settings; did you mean 'space'?",
        ),
        ("search  cost.energy._target_=a.B", "nas search does not use the group 'cost'"),
        ("evaluate  latest  space._target_=a.B", "nas evaluate does not use the group 'space'"),
    ],
)
def test_a_class_in_the_place_of_nothing(say: Say, app: Any, line: str, sentence: str) -> None:
    assert " ".join(told(say, line).split()) == sentence
    assert app.seen == []


def test_a_verb_without_config(say: Say, app: Any) -> None:
    assert told(say, "export  latest").startswith("there is no config 'export' in ")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("typed.count=1.5", "typed.count=1.5 is not a whole number"),
        ("++typed.rate=abc", "typed.rate=abc is not a number"),
        ("++typed.flag=maybe", "typed.flag=maybe is not true or false"),
        ("typed.flag=maybe", "typed.flag=maybe is not true or false (the default is true)"),
        ("typed.cuont=4", "unknown setting 'typed.cuont'; did you mean 'typed.count'?"),
    ],
)
def test_typed_settings(say: Say, app: Any, checkout: Path, line: str, sentence: str) -> None:
    ConfigStore.instance().store(group="typed", name="base_typed", node=Typed)
    file = checkout / "configs" / "search.yaml"
    file.write_text(
        file.read_text().replace("  - space: darts\n", "  - space: darts\n  - typed: base_typed\n")
    )
    assert told(say, f"search  {line}") == sentence


def test_a_resolvers_own_error_is_kept(say: Say, app: Any, checkout: Path) -> None:
    def refuse(name: str) -> str:
        raise NasError(f"no data at {name}; give data_root=FOLDER")

    OmegaConf.register_new_resolver("refuse_for_test", refuse, replace=True)
    file = checkout / "configs" / "base.yaml"
    file.write_text(file.read_text().replace("${runs}/search", "${refuse_for_test:here}/search"))
    assert say("search") == (1, "", "error: no data at here; give data_root=FOLDER\n")


def test_a_settings_error_inside_a_job_is_translated(say: Say, app: Any) -> None:
    def act(cfg: DictConfig) -> float:
        return float(cfg.stages.nope)

    app.act = act
    assert say("search")[0] == 2
