"""Runs from Python: the same settings, the same folders, and no state of Hydra left behind."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

import nas
from nas.api.verbs import text_of
from nas.cli.paths import config_dir

TINY = (
    "preset=smoke",
    "space.nodes=1",
    "trainer.epochs=1",
    "logger.tensorboard=false",
    "threads=1",
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # Tests of the command line that ran in this process before leave what a process's end clears.
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)


def search(seed: int) -> nas.Run:
    return nas.search(*TINY, seed=seed, stages=["search", "derive"], quiet=True)


def surroundings() -> tuple[list[str], dict[str, str], str]:
    """What a call could leave behind outside of Hydra; torch names its cache when imported."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TORCH")}
    return list(sys.argv), kept, os.getcwd()


def test_two_searches_in_one_process_leave_no_state_behind() -> None:
    before = surroundings()
    first, second = search(0), search(1)
    assert not GlobalHydra.instance().is_initialized()
    assert not HydraConfig.initialized()
    assert surroundings() == before
    assert first.folder != second.folder
    assert [row["epoch"] for row in second.metrics if row["stage"] == "search"] == [0]
    assert {row["folder"] for row in nas.runs()} == {str(first.folder), str(second.folder)}
    assert search(0).genotype.choices == first.genotype.choices


def test_a_caller_that_uses_hydra_keeps_its_own() -> None:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        mine = GlobalHydra.instance().hydra
        search(0)
        assert GlobalHydra.instance().hydra is mine


def test_mistakes_are_the_errors_of_the_command_line() -> None:
    with pytest.raises(nas.ConfigError, match=r"unknown setting 'trainer\.epoch'; did you mean"):
        nas.search("trainer.epoch=3", quiet=True)
    with pytest.raises(nas.ConfigError, match="one run; loop over seeds"):
        nas.search("-m", "seed=0,1", quiet=True)
    with pytest.raises(nas.ConfigError, match="a plan leaves no run"):
        nas.search(mode="plan", quiet=True)
    with pytest.raises(nas.ConfigError, match="settings are text such as"):
        nas.search(3, quiet=True)  # type: ignore[arg-type]
    with pytest.raises(nas.NasError, match="no run 'nowhere'"):
        nas.load("nowhere")
    assert not GlobalHydra.instance().is_initialized()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (3, "3"),
        (1e-4, "0.0001"),
        ("gdas", "gdas"),
        (["search", "derive"], "[search,derive]"),
        ({"lr": 0.1, "betas": (0.5, 0.9)}, "{lr:0.1,betas:[0.5,0.9]}"),
        (Path("a/b"), "a/b"),
    ],
)
def test_values_become_settings(value: object, text: str) -> None:
    assert text_of(value) == text


def test_published_networks_have_their_published_sizes() -> None:
    sizes = {"PC_DARTS_cifar": 3_634_678, "DARTS_V2": 3_349_342, "GDAS_V1": 3_368_782}
    for name, size in sizes.items():
        net = nas.network(name, auxiliary=False)
        assert sum(p.numel() for p in net.parameters()) == size


def test_a_network_has_the_shapes_that_were_asked_for() -> None:
    net = nas.network("DARTS_V1", channels=4, cells=3, input_shape=(1, 28, 28), classes=7)
    assert net(torch.zeros(2, 1, 28, 28)).shape == (2, 7)
    with pytest.raises(nas.GenotypeError, match=r"no genotype 'DARTS_V3'.*did you mean 'DARTS_V"):
        nas.network("DARTS_V3")
    with pytest.raises(nas.NasError, match="no space 'dart'; did you mean 'darts'"):
        nas.network("DARTS_V1", space="dart")
    with pytest.raises(nas.NasError, match="space 'darts' has no argument 'widht'"):
        nas.network("DARTS_V1", widht=3)
