"""Every file in configs/ composes, builds what it names, and is listed where users look."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf, open_dict

from nas.build import Parts, data_source
from nas.cli.paths import config_dir
from nas.data import ArrayData
from nas.errors import ConfigError
from nas.instantiate import loaded, target_of
from nas.strategies import Curriculum, Rotation

GROUPS = (
    "budget",
    "compression",
    "cost",
    "data",
    "debug",
    "experiment",
    "logger",
    "optim",
    "preset",
    "space",
    "strategy",
    "task",
    "trainer",
)
TARGETS = ("cacp", "conditional_gates")  # strategies that decide on widths and the like alone
GATES = ("space=superbit", "strategy=abs", "experiment=abs_superbit_cifar10")
# Data of the kind that a task is for, where that is not the classes of the digits.
CHAINS = ("space=chain", "space=toy", "space=macro_chain", "space=mobile")
MOBILE = CHAINS[2:]  # without partial channels, so not for the default strategy
DATA_OF = {
    "task=multi_label": "data=synthetic_labels",
    "task=segmentation": "data=synthetic_regions",
    "task=regression": "data=synthetic_fields",
}
PATHS = ("dinas", "fairnas", "spos")  # strategies whose policy draws paths and learns nothing
LEARNT = ("cnas", "enas")  # strategies with a controller
DRAWN = (*LEARNT, *PATHS)  # strategies whose policy draws paths of the space
FILES = sorted(config_dir().glob("*/*.yaml"))


def choices(group: str) -> list[str]:
    return sorted(path.stem for path in (config_dir() / group).glob("*.yaml"))


def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = compose("search", list(overrides))
    with open_dict(cfg):
        cfg.pop("hydra", None)
    return cfg


@pytest.fixture(autouse=True)
def no_leftover() -> Iterator[None]:
    yield
    assert not GlobalHydra.instance().is_initialized()


@pytest.fixture(scope="module")
def digits() -> ArrayData:
    return data_source(composed()).load().without("test")


def test_the_groups_are_those_of_the_documents() -> None:
    assert tuple(sorted(p.name for p in config_dir().iterdir() if p.is_dir())) == GROUPS
    text = Path(__file__).parents[2].joinpath("README.md").read_text(encoding="utf-8")
    listed = re.search(r"Config groups: ([^.]*)\.", text)
    assert listed is not None
    assert sorted(re.findall(r"`([\w/]+)`", listed.group(1))) == sorted([*GROUPS, "strategy/add"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_file_says_what_it_is_in_its_first_lines(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    comment = lines[1] if lines[0].startswith("# @package") else lines[0]
    assert comment.startswith("# ")
    assert comment.endswith((".", ";"))


@pytest.mark.parametrize("name", choices("experiment"))
def test_an_experiment_is_short_and_cites_its_paper(name: str) -> None:
    text = (config_dir() / "experiment" / f"{name}.yaml").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 25
    assert re.search(r"arXiv \d{4}\.\d{5}", text)


@pytest.mark.parametrize(
    "choice", [f"{group}={name}" for group in GROUPS for name in choices(group)]
)
def test_every_choice_builds_and_steps(choice: str, digits: ArrayData) -> None:
    """Two steps of the search with this choice; lengths and widths of the smoke preset.

    Of data the class alone, since what a step takes are the digits.
    """
    if choice.startswith("data="):
        node = composed("preset=smoke", choice).data
        if not OmegaConf.is_missing(node, "_target_"):  # of `dataset` the user names it
            assert loaded(target_of(node)).load
        return
    sizes = [] if choice.startswith("preset=") else ["preset=smoke"]
    small = ["space.cells=3", "space.channels=4", "space.network_cells=3", "data.test=540"]
    if choice in GATES:  # no cells, and each needs the others
        backbone = ["space.settings.channels=4", "data.test=540"]
        small = ["space=superbit", "strategy=abs", *backbone]
    elif choice.removeprefix("strategy=") in TARGETS:
        small = ["space=superbit", "compression=prune", "space.settings.channels=4"]
        small += ["data.test=540"]
    elif choice in CHAINS:  # one width, no cells
        small = ["space.channels=4", "data.test=540"]
    elif not choice.startswith("space="):  # these may be made for four nodes
        small.append("space.nodes=1")
    if choice in ("compression=prune", "compression=joint", "compression=whole"):
        small += ["space.channels=8"]  # a quarter of them is operated on
    if choice == "compression=low_rank":  # the cells of DARTS have dense convolutions of 1x1 alone
        small.append("compression.pointwise=true")
    if choice in MOBILE:
        small.append("strategy=darts")
    other = [DATA_OF[choice]] if choice in DATA_OF else []
    cfg = composed(*sizes, choice, *other, *small, "trainer.batch_size=16", "execution=plain")
    parts = Parts(cfg, data_source(cfg).load().without("test") if other else digits)
    if not parts.searches:
        with pytest.raises(ConfigError, match="trains no supernet"):
            parts.update  # noqa: B018
        return
    streams = parts.streams()
    for schedule in parts.schedules:
        schedule.on_epoch(0)
    learnt = list(parts.policy.parameters()) or list(parts.supernet.parameters())
    before = [p.detach().clone() for p in learnt]
    phase = parts.update.phases(10)[-1]
    for step in range(2):
        found = phase.step(*(streams[name].batch(0, step) for name in phase.streams))
        assert all(torch.isfinite(value) for value in found.values())
    moved = zip(before, learnt, strict=True)
    assert any(not torch.equal(a, b) for a, b in moved)


@pytest.mark.parametrize("strategy", choices("strategy"))
def test_strategies_differ_as_they_say(strategy: str, digits: ArrayData) -> None:
    alone = {"abs": ["space=superbit"]}
    alone |= {name: ["space=superbit", "compression=prune"] for name in TARGETS}
    cfg = composed("preset=smoke", f"strategy={strategy}", *alone.get(strategy, []))
    parts = Parts(cfg, digits)
    assert (parts.derivation is not None) == (strategy in ("random", *TARGETS, *DRAWN))
    assert parts.searches == (strategy != "random")
    if strategy == "cacp":
        assert not parts.learns
        assert [phase.name for phase in parts.update.phases(4)] == ["pretrain", "search"]
    if strategy == "conditional_gates":
        assert parts.learns
        assert isinstance(parts.update, Rotation)
        assert parts.update.targets == parts.derivation.targets.shares  # type: ignore[union-attr]
        assert [phase.name for phase in parts.update.phases(4)] == ["pretrain", "search"]
    if not parts.searches or strategy in alone:
        return
    inputs = [name for name in parts.policy.decisions if name.endswith("/inputs")]
    assert bool(inputs) == (strategy in ("pc_darts", *DRAWN))
    partial = [name for name, _ in parts.supernet.named_modules() if name.endswith(".inner")]
    assert bool(partial) == (strategy == "pc_darts")
    if strategy == "dinas":
        assert set(parts.update.transforms) == {"dinas", "disturbance"}  # type: ignore[attr-defined]
        assert not parts.learns
    elif strategy in PATHS:
        assert parts.update.fair == (strategy == "fairnas")  # type: ignore[attr-defined]
        assert not parts.learns
    elif strategy in LEARNT:
        assert parts.learns
        assert parts.policy().log_prob.requires_grad
        assert isinstance(parts.update, Curriculum) == (strategy == "cnas")
    else:
        order = parts.update.order  # type: ignore[attr-defined]
        assert order == (2 if strategy == "darts_2nd" else 1)
    if strategy in DRAWN:
        assert not parts.policy.mask("normal/0->2")[0, 0]  # none, which no genotype keeps
    edges = [w for name, w in parts.policy().arch.items() if not name.endswith("/inputs")]
    hard = all(len(weights.live) == 1 for weights in edges)  # type: ignore[union-attr]
    assert hard == (strategy in ("gdas", *DRAWN))


def test_no_limit_is_no_constraint_and_a_limit_is_one(digits: ArrayData) -> None:
    assert Parts(composed("preset=smoke"), digits).objective.constraints == ()
    limited = Parts(composed("preset=smoke", "budget.params=1000", "budget.macs=5e4"), digits)
    assert {c.cost.name: c.target for c in limited.objective.constraints} == {
        "params": 1000,
        "macs": 50000,
    }
