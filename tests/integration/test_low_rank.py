"""Retraining to a low rank from the command line: what is stored is really factorized."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import nas
from nas.cli import main
from nas.compression.forms import Factorized
from nas.costs import count_macs, count_parameters
from nas.export.weights import load_weights
from nas.store.folder import RunFolder, resolve

QUICK = (
    *("space=superbit", "compression=none", "strategy=random", "preset=smoke", "threads=1"),
    *("data.test=540", "trainer=low_rank", "trainer.random_networks=0", "formats=[safetensors]"),
)
ENERGY = "trainer.low_rank.energy=0.8"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("low_rank")
    patch = pytest.MonkeyPatch()
    patch.chdir(folder)
    yield folder
    patch.undo()


@pytest.fixture(scope="module")
def run(here: Path) -> RunFolder:
    assert main(["search", *QUICK, ENERGY]) == 0
    return resolve("latest", "runs")


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_loaded_network_is_factorized_as_the_ranks_say(run: RunFolder) -> None:
    net = nas.load(run.path)
    record = read(run.retrain("found") / "ranks.json")
    pairs = {name: m for name, m in net.named_modules() if isinstance(m, Factorized)}
    assert record["form"] == "channel"
    assert record["ranks"]
    assert {name: m.first.weight.shape[0] for name, m in pairs.items()} == record["ranks"]
    assert len(record["ranks"]) + len(record["dense"]) == 15  # of the 19 convolutions of 3x3


def test_figures_are_those_of_the_factors(run: RunFolder) -> None:
    net = nas.load(run.path)
    dense = nas.network(
        run.genotype, space="superbit", input_shape=(1, 8, 8), settings={"channels": 4}
    )
    record = read(run.retrain("found") / "result.json")
    assert record["parameters"] == count_parameters(net) < count_parameters(dense)
    assert record["macs"] == count_macs(net, (1, 8, 8)) < count_macs(dense, (1, 8, 8))
    stored, _ = load_weights(run.retrain("found") / "weights.safetensors")
    assert sum(v.numel() for v in stored.values()) == sum(
        v.numel() for v in net.state_dict().values()
    )
    exported, _ = load_weights(run.export / "model.safetensors")
    assert all(torch.equal(value, exported[name]) for name, value in stored.items())
    assert read(run.export / "ranks.json") == read(run.retrain("found") / "ranks.json")


def test_evaluating_again_gives_the_same(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = read(run.path / "evaluation.json")["test"]["found"]
    assert main(["evaluate", str(run.path), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["test"] == pytest.approx(stored)


def test_ranks_that_do_not_fit_are_told(run: RunFolder) -> None:
    file = run.retrain("found") / "ranks.json"
    before = file.read_text(encoding="utf-8")
    for broken in ('{"form": "channel", "ranks": {"features.none": 2}}', '{"ranks": 3}'):
        file.write_text(broken, encoding="utf-8")
        with pytest.raises(nas.NasError, match=r"ranks\.json does not fit .*retrain it"):
            nas.load(run.path)
    file.write_text(before, encoding="utf-8")


def test_a_training_that_was_done_is_finished_alike(run: RunFolder) -> None:
    folder = run.retrain("found")
    before = (folder / "weights.safetensors").read_bytes()
    for file in (folder / "result.json", folder / "ranks.json", run.path / "retrain.json"):
        file.unlink()
    assert main(["search", *QUICK, ENERGY]) == 0
    assert (folder / "weights.safetensors").read_bytes() == before


def test_a_space_without_such_layers_is_refused_before_the_search(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["search", "space=darts", "strategy=darts", "preset=smoke", "trainer=low_rank"]
    assert main(line) != 0
    told = " ".join(capsys.readouterr().err.split())
    assert "there is no layer to train to a low rank" in told
    assert not list(here.glob("runs/**/darts*/checkpoints/search/*"))


def test_a_search_of_ranks_gives_the_network_that_it_predicts(here: Path) -> None:
    """The superbit space brings bits of its own; the command's compression takes their place."""
    line = ["search", "space=superbit", "compression=low_rank", "strategy=darts", "preset=smoke"]
    line += ["threads=1", "trainer.random_networks=0", "formats=[safetensors]"]
    assert main([*line, "compression.ranks=[0.4,0.8]"]) == 0
    run = resolve("latest", "runs")
    genotype = read(run.genotype)
    assert {name.rpartition("/")[2] for name in genotype["choices"]} == {"rank"}
    assert {str(choice) for choice in genotype["choices"].values()} <= {"0.4", "0.8", "full"}
    record = read(run.retrain("found") / "result.json")
    assert record["parameters"] == genotype["predicted"]["params"]
    assert record["macs"] == genotype["predicted"]["macs"]
    net = nas.load(run.path)
    pairs = sum(isinstance(module, Factorized) for module in net.modules())
    assert pairs == sum(choice != "full" for choice in genotype["choices"].values())
    assert not (run.retrain("found") / "ranks.json").exists()


def test_both_ways_to_a_low_rank_at_once_are_refused(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["search", "space=superbit", "compression=low_rank", "strategy=darts", "preset=smoke"]
    assert main([*line, "trainer=low_rank"]) != 0
    assert "is of low rank already" in " ".join(capsys.readouterr().err.split())
