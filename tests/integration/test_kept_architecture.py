"""``architecture=``: the compression of a found network, searched from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import nas
from nas.cli import main
from nas.costs import count_bitops
from nas.genotype import load
from nas.store.folder import resolve

LINE = [
    *("preset=smoke", "threads=1", "execution=plain", "trainer.random_networks=0"),
    *("trainer.network_epochs=1", "logger.tensorboard=false"),
    *("formats=[safetensors]", "space=chain", "--quiet"),
]
FOUND = ["strategy=random", "stages=[search,derive]"]


def test_the_architecture_stays_and_its_bits_are_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["search", *LINE, *FOUND]) == 0
    before = resolve("latest", "runs")
    words = ["architecture=latest", "strategy=darts", "compression=superbit", "trainer.epochs=1"]
    assert main(["search", *LINE, *words, "budget.bitops=4e6"]) == 0
    run = resolve("latest", "runs")
    kept, found = load(before.genotype), load(run.genotype)
    assert {name: found.choices[name] for name in kept.choices} == kept.choices
    assert len(found.choices) > len(kept.choices)
    net, shape = nas.load(str(run.path)), run.data_spec().input_shape
    assert count_bitops(net, shape) == pytest.approx(found.predicted["bitops"])
    assert count_bitops(net, shape) <= 4e6
    # The genotype is one of the whole space, so that the first run need not be there.
    before.genotype.unlink()
    assert main(["show", str(run.genotype)]) == 0
    file = json.loads(run.genotype.read_text())
    assert file["space"]["name"] == "chain"
    capsys.readouterr()
    assert main(["search", *LINE, f"architecture={run.genotype}", "compression=superbit"]) == 2
    assert "compression is a part of that genotype" in " ".join(capsys.readouterr().err.split())


def test_gates_for_several_targets_go_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["search", *LINE, *FOUND]) == 0
    kept = load(resolve("latest", "runs").genotype).choices
    words = ["strategy=conditional_gates", "strategy.derivation.cost=bitops", "trainer.epochs=2"]
    words += ["architecture=latest", "compression=superbit", "stages=[search,derive]"]
    assert main(["search", *LINE, *words]) == 0
    run = resolve("latest", "runs")
    files = sorted(run.path.glob("genotypes/target_*.json"))
    assert len(files) == 3
    costs = [load(file).predicted["bitops"] for file in files]
    assert costs == sorted(costs)
    for file in files:
        assert {name: load(file).choices[name] for name in kept} == kept


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["architecture=nothing", "compression=superbit"], "no run or .json file has that name"),
        (["architecture=a,b", "compression=superbit"], "keeps one architecture; run one for each"),
        (
            ["architecture='{}'", "compression=superbit", "strategy=darts", "space.channels=8"],
            "space.channels would have no effect",
        ),
        (
            ["architecture='{}'", "strategy=darts"],
            "leaves nothing to search but compression, and there is none",
        ),
    ],
)
def test_mistakes_end_in_a_sentence(
    words: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["search", *LINE, *words]) == 2
    assert sentence in " ".join(capsys.readouterr().err.split())
