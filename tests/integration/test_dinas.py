"""DI-NAS from the command line, as a strategy and beside others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nas.cli import main
from nas.store.folder import resolve

LINE = [
    "preset=smoke",
    "threads=1",
    "execution=plain",  # no kernels to compile
    "trainer.epochs=2",
    "strategy.transforms.dinas.rank=4",
    "logger.tensorboard=false",
    "stages=[search,derive]",
    "--quiet",
]


@pytest.fixture(scope="module", autouse=True)
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("dinas")
    patch = pytest.MonkeyPatch()
    patch.chdir(folder)
    yield folder
    patch.undo()


def last_metrics(*words: str) -> dict[str, Any]:
    assert main(["search", *words, *LINE]) == 0
    run = resolve("latest", "runs")
    assert run.genotype.is_file()
    rows = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    found: dict[str, Any] = rows[-1]["metrics"]
    return found


def check_projected(found: dict[str, Any]) -> None:
    assert 0 < found["dinas/kept"] < 1  # the change of the weights is another one
    assert 0 < found["dinas/projected"] <= 1
    assert 0 < found["dinas/free"] < 1


FEW = ["strategy.derivation.queries=2", "strategy.derivation.batches=1"]


@pytest.mark.parametrize(
    "space",
    [
        "mobile",
        pytest.param("darts", marks=pytest.mark.slow),
        pytest.param("nasbench201", marks=pytest.mark.slow),
    ],
)
def test_steps_are_projected_on_every_space(space: str) -> None:
    every = "strategy.transforms.disturbance.every=1"
    few = "strategy.transforms.disturbance.architectures=2"
    found = last_metrics("strategy=dinas", f"space={space}", *FEW, every, few)
    check_projected(found)
    assert abs(found["disturbance"]) > 0


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["fairnas", "enas", "gdas", "darts", "darts_2nd"])
def test_steps_of_other_strategies_are_projected_too(strategy: str) -> None:
    few = FEW if strategy in ("fairnas", "enas") else []
    found = last_metrics(f"strategy={strategy}", "+strategy/add=[dinas]", "space=chain", *few)
    check_projected(found)
    assert "disturbance" not in found


@pytest.mark.parametrize(
    "space",
    [
        "nasbench201",
        pytest.param("darts", marks=pytest.mark.slow),
        pytest.param("mobile", marks=pytest.mark.slow),
    ],
)
def test_a_curriculum_goes_with_it(space: str) -> None:
    found = last_metrics("strategy=cnas", "+strategy/add=[dinas]", f"space={space}", *FEW)
    check_projected(found)
    assert found["curriculum/candidates"] > 4  # from 1: the second of two stages has all


def test_what_it_costs_is_told_and_a_strategy_without_weights_has_no_use_for_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    capsys.readouterr()
    line = ["search", "strategy=dinas", "space=chain", "preset=smoke", "execution=plain"]
    assert main([*line, "--plan"]) == 0
    assert "projectors of" in capsys.readouterr().out
    assert main([*line, "strategy.transforms.dinas.memory_mib=0.001"]) == 2
    assert "more than memory_mib=0.001; raise it" in " ".join(capsys.readouterr().err.split())
    assert main(["search", "strategy=random", "+strategy/add=dinas", "space=chain"]) == 2
    assert "strategy.transforms" in " ".join(capsys.readouterr().err.split())
