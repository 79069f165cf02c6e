"""CACP from the command line: a genotype of every target, each of which can be retrained."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import nas
from nas.app.candidates import QUERIES
from nas.cli import main
from nas.costs import count_macs
from nas.store.folder import RunFolder, resolve

SPACE = ["space=superbit", "space.settings.channels=4", "compression=prune"]
LINE = [
    "preset=smoke",
    "threads=1",
    "execution=plain",  # no kernels to compile
    "trainer.network_epochs=1",
    "trainer.random_networks=0",
    "logger.tensorboard=false",
    "formats=[safetensors]",
]
CACP = [*SPACE, *LINE, "strategy=cacp", "trainer.epochs=2"]
SHORT = ["stages=[search,derive]", "strategy.derivation.batches=1"]


@pytest.fixture(scope="module", autouse=True)
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("conditional")
    patch = pytest.MonkeyPatch()
    patch.chdir(folder)
    yield folder
    patch.undo()


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def searched(*words: str) -> RunFolder:
    assert main(["search", *words, "--quiet"]) == 0
    return resolve("latest", "runs")


def test_one_search_gives_a_network_for_every_target() -> None:
    run = searched(*CACP, "strategy.derivation.targets=[0.5,0.3,0.8]")
    result, shape = read(run.result), run.data_spec().input_shape
    told = result["derivation"]["targets"]
    assert [row["target"] for row in told] == [0.5, 0.3, 0.8]
    files = {row["target"]: run.path / row["genotype"] for row in told}
    assert read(files[0.5])["choices"] == read(run.genotype)["choices"]
    rows = [json.loads(line) for line in (run.path / QUERIES).read_text().splitlines()]
    assert len(rows) <= result["derivation"]["queries"] == 6
    for row in told:
        assert row["score"] in {each["score"] for each in rows}
    for text in ((run.path / "report.html").read_text(), result["derivation"]["sentence"]):
        assert "best accuracy by target share of macs" in text
    whole = read(run.genotype)["predicted"]["macs"] / told[0]["kept"]
    assert count_macs(nas.load(str(run.path)), shape) <= 0.5 * whole
    # Any of them can be retrained on its own.
    words = [f"genotype={files[0.3]}", *SPACE, *LINE, "--quiet"]
    assert main(["retrain", *words]) == 0
    network = nas.load(str(resolve("latest", "runs").path))
    assert count_macs(network, shape) == pytest.approx(told[1]["kept"] * whole, abs=1)
    assert count_macs(network, shape) <= 0.3 * whole


def test_a_killed_derivation_goes_on_and_ends_equal() -> None:
    line = [*CACP, *SHORT, "strategy.derivation.queries=8", "budget.params=5500"]
    run = searched(*line)
    kept = (QUERIES, "derivation.json", *(f"genotypes/target_{t}.json" for t in (0.3, 0.5, 0.7)))
    whole = {name: (run.path / name).read_text() for name in kept}
    for name in kept[2:]:
        assert read(run.path / name)["predicted"]["params"] <= 5500
    run.genotype.unlink()
    for name in kept[1:]:
        (run.path / name).unlink()
    (run.path / QUERIES).write_text("".join(whole[QUERIES].splitlines(keepends=True)[:2]))
    searched(*line)
    assert {name: (run.path / name).read_text() for name in kept} == whole


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["strategy.derivation.targets=[0.01]"], "cannot be met: the smallest network of this"),
        (["strategy.derivation.targets=[1.5]"], "shares of the cost above 0 and up to 1"),
        (["compression=superbit"], "CACP decides on widths alone, and"),
        (["compression=none"], "this space has none"),
        (["strategy.derivation.cost=mac"], "did you mean"),
    ],
)
def test_mistakes_end_in_a_sentence_before_anything_is_trained(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["search", *CACP, *words, "--quiet"]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert sentence in error
    assert "Traceback" not in error
