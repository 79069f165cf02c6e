"""ENAS from the command line: every space, a budget, and the same end in several sittings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nas.app.candidates import QUERIES
from nas.cli import main
from nas.store.folder import RunFolder, resolve

LINE = [
    "strategy=enas",
    "preset=smoke",
    "threads=1",
    "execution=plain",  # no kernels to compile
    "trainer.network_epochs=1",
    "logger.tensorboard=false",
    "formats=[safetensors]",
]
SHORT = [*LINE, "trainer.epochs=1", "strategy.derivation.queries=2", "stages=[search,derive]"]


@pytest.fixture(scope="module", autouse=True)
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("controller")
    patch = pytest.MonkeyPatch()
    patch.chdir(folder)
    yield folder
    patch.undo()


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def searched(*words: str) -> RunFolder:
    assert main(["search", *words, "--quiet"]) == 0
    return resolve("latest", "runs")


@pytest.mark.parametrize(
    "words",
    [
        ["space=toy"],
        ["space=darts", "space.nodes=1"],
        ["space=nasbench201"],
        ["space=mobile", "space.depths=[1,1,1]", "space.last_channels=16"],
    ],
    ids=["toy", "darts", "nasbench201", "mobile"],
)
def test_every_kind_of_space_can_be_searched(words: list[str]) -> None:
    run = searched(*words, *SHORT, "strategy.derivation.batches=1")
    derivation = read(run.path / "derivation.json")
    assert derivation["method"] == "policy"
    assert derivation["drawn"] == 2


def test_a_whole_run_says_how_the_architecture_was_found(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = searched("space=chain", *LINE, "trainer.random_networks=0", "+strategy/add=warmup")
    result = read(run.result)
    assert result["search"]["architecture_parameters"] > 0
    rows = [json.loads(line) for line in (run.path / QUERIES).read_text().splitlines()]
    assert len(rows) == result["derivation"]["queries"] <= result["derivation"]["drawn"] == 6
    best = max(rows, key=lambda row: row["score"])
    assert best["score"] == result["derivation"]["score"]
    assert read(run.genotype)["choices"] == best["choices"]
    assert "drawn, on held-out data" in (run.path / "report.html").read_text()
    epochs = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    warm, *search = (row for row in epochs if row["stage"] == "search")
    assert (warm["phase"], [row["phase"] for row in search]) == ("warmup", ["search"] * 2)
    told = {"reward", "baseline", "entropy", "log_prob", "accuracy/architecture"}
    assert told <= set(search[-1]["metrics"])
    assert not told & set(warm["metrics"])
    # What the policy prefers after each epoch, and what is scored first, is the same.
    assert read(run.genotype_at(2))["choices"] == rows[0]["choices"]
    capsys.readouterr()
    assert main(["derive", str(run.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["same_as_run"]
    assert main(["search", "space=chain", *LINE, "--plan"]) == 0
    assert "6 paths scored at most" in capsys.readouterr().out


def test_a_killed_derivation_goes_on_and_ends_equal() -> None:
    line = ["space=chain", *SHORT[:-2], "strategy.derivation.queries=5", SHORT[-1], "seed=1"]
    run = searched(*line)
    names = (QUERIES, "derivation.json")
    whole = {name: (run.path / name).read_text() for name in names}
    genotype = read(run.genotype)
    run.genotype.unlink()
    (run.path / "derivation.json").unlink()
    (run.path / QUERIES).write_text("".join(whole[QUERIES].splitlines(keepends=True)[:2]))
    searched(*line)
    assert {name: (run.path / name).read_text() for name in names} == whole
    assert read(run.genotype) == genotype


def test_a_budget_moves_the_policy_and_is_kept() -> None:
    limit = 4e4  # most of the space is above it
    run = searched("space=chain", *LINE, f"budget.macs={limit}", "stages=[search,derive,report]")
    result = read(run.result)
    assert result["budget"][0]["met"]
    assert "over budget.macs=40000 refused" in result["derivation"]["sentence"]
    last = json.loads(run.metrics.read_text().splitlines()[-1])["metrics"]
    assert {"derived/macs", "multiplier/macs"} <= set(last)


def test_a_derivation_from_a_policy_needs_one(capsys: pytest.CaptureFixture[str]) -> None:
    target = "strategy.derivation._target_=nas.strategies.PolicySearch"
    words = ["space=chain", "strategy=random", *LINE[1:], target]
    assert main(["search", *words, "stages=[search,derive]"]) == 2
    assert "there is none to draw from" in " ".join(capsys.readouterr().err.split())
