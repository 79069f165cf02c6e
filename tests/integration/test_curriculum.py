"""CNAS from the command line: candidates come in, whole runs end, mistakes are told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nas.cli import main
from nas.store.folder import RunFolder, resolve

LINE = [
    "preset=smoke",
    "threads=1",
    "execution=plain",  # no kernels to compile
    "trainer.network_epochs=1",
    "trainer.random_networks=0",
    "logger.tensorboard=false",
    "formats=[safetensors]",
]
SHORT = [*LINE, "strategy.derivation.queries=2", "strategy.derivation.batches=1"]


@pytest.fixture(scope="module", autouse=True)
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("curriculum")
    patch = pytest.MonkeyPatch()
    patch.chdir(folder)
    yield folder
    patch.undo()


def searched(*words: str) -> RunFolder:
    assert main(["search", *words, "--quiet"]) == 0
    return resolve("latest", "runs")


def epochs(run: RunFolder) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    return [row for row in rows if row["stage"] == "search"]


@pytest.mark.parametrize(
    ("space", "counts"),
    [
        pytest.param("darts", [1, 4, 7], marks=pytest.mark.slow),
        ("nasbench201", [1, 3, 5]),
        pytest.param("mobile", [1, 3.7142856, 6.7142858], marks=pytest.mark.slow),
    ],
)
def test_the_mask_grows_on_every_space(space: str, counts: list[float]) -> None:
    run = searched(f"space={space}", "strategy=cnas", *SHORT)
    rows = epochs(run)
    assert [row["metrics"]["curriculum/candidates"] for row in rows] == pytest.approx(counts)
    assert [row["phase"] for row in rows] == ["1 search", "2 search", "3 search"]
    assert json.loads(run.result.read_text())["derivation"]["method"] == "policy"


@pytest.mark.parametrize(
    ("strategy", "settings"),
    [
        ("spos", ["space=chain"]),
        pytest.param("pc_darts", ["space=darts"], marks=pytest.mark.slow),
        pytest.param(
            "cnas", ["space=darts", "strategy.curriculum.grow=nodes"], marks=pytest.mark.slow
        ),
    ],
)
def test_other_strategies_grow_as_well(strategy: str, settings: list[str]) -> None:
    added = [] if strategy == "cnas" else ["+strategy/add=curriculum"]
    run = searched(f"strategy={strategy}", *added, *settings, *LINE, "stages=[search,derive]")
    counts = [row["metrics"]["curriculum/candidates"] for row in epochs(run)]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["strategy=random", "+strategy/add=curriculum"], "trains no supernet"),
        (["strategy=cnas", "strategy.curriculum.stages=5"], "needs as many epochs"),
        (["strategy=cnas", "strategy.curriculum.first=[sep]"], "no decision has the candidate"),
        (["strategy=cnas", "strategy.curriculum.grow=nodes"], "strategy.edge_weights=true"),
    ],
)
def test_what_cannot_be_is_refused(
    settings: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["search", "space=chain", *LINE, *settings]) == 2
    assert sentence in " ".join(capsys.readouterr().err.split())
