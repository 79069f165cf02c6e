"""Gates by target from the command line: a genotype of every target, none above it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

import nas
from nas.app.reopen import saved_config
from nas.build import Parts
from nas.cli import main
from nas.costs import count_macs, count_parameters
from nas.data import ArrayData
from nas.decision import Genotype
from nas.space import decisions_of
from nas.store.folder import RunFolder, resolve
from nas.strategies.targets import at_end

SPACE = ["space=superbit", "space.settings.channels=4"]
LINE = [
    "preset=smoke",
    "threads=1",
    "execution=plain",  # no kernels to compile
    "trainer.network_epochs=1",
    "trainer.random_networks=0",
    "logger.tensorboard=false",
    "formats=[safetensors]",
]
GATES = [*SPACE, *LINE, "strategy=conditional_gates", "trainer.epochs=2"]
SHORT = ["stages=[search,derive]", "strategy.derivation.batches=1"]
TARGETS = "strategy.derivation.targets="


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


def parts_of(run: RunFolder) -> Parts:
    spec = SimpleNamespace(spec=run.data_spec())
    return Parts(saved_config(run, ()), cast(ArrayData, spec))


def chosen(run: RunFolder, told: Mapping[str, Any]) -> Genotype:
    return cast(Genotype, read(run.path / told["genotype"])["choices"])


def test_one_search_gives_a_network_for_every_target() -> None:
    run = searched(*GATES, "compression=prune", f"{TARGETS}[0.5,0.3,0.8]", "budget.params=8000")
    result, shape = read(run.result), run.data_spec().input_shape
    told = result["derivation"]["targets"]
    assert [row["target"] for row in told] == [0.5, 0.3, 0.8]
    assert chosen(run, told[0]) == read(run.genotype)["choices"]
    space = parts_of(run).space
    whole = count_macs(space.network(at_end(decisions_of(space))), shape)
    for row in told:
        network = space.network(chosen(run, row))
        macs = count_macs(network, shape)
        assert macs == pytest.approx(row["kept"] * whole, abs=0.5)
        assert macs <= row["target"] * whole
        assert count_parameters(network) <= 8000
        assert 0 <= row["score"] <= 1
    kept = {row["target"]: row["kept"] for row in told}
    assert kept[0.3] <= kept[0.5] <= kept[0.8]
    for text in ((run.path / "report.html").read_text(), result["derivation"]["sentence"]):
        assert "conditional gates: accuracy by target share of macs" in text
    # Limits and multipliers are told by target; every one of them had its steps.
    rows = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    (metrics,) = [row["metrics"] for row in rows if row["phase"] == "search"]
    assert {name for name in metrics if name.startswith("derived/macs")} == {
        "derived/macs/0.3",
        "derived/macs/0.5",
        "derived/macs/0.8",
    }
    # The found network was retrained, and is of the first target.
    assert count_macs(nas.load(str(run.path)), shape) <= 0.5 * whole


@pytest.mark.slow
def test_bits_and_widths_together_keep_to_targets_of_bit_operations() -> None:
    words = ["compression=joint", "strategy.derivation.cost=bitops", f"{TARGETS}[0.2,0.6]"]
    run = searched(*GATES, *SHORT, *words)
    parts = parts_of(run)
    whole = parts.cost_of(at_end(decisions_of(parts.space)))["bitops"]
    for row in read(run.path / "derivation.json")["targets"]:
        choices = chosen(run, row)
        assert any(name.endswith("/weight_bits") for name in choices)
        assert any(name.endswith("/width") for name in choices)
        assert parts.cost_of(choices)["bitops"] == pytest.approx(row["kept"] * whole)
        assert row["kept"] <= row["target"]


@pytest.mark.slow
def test_a_derivation_that_is_done_again_ends_equal(capfd: pytest.CaptureFixture[str]) -> None:
    line = [*GATES, *SHORT, "compression=prune", f"{TARGETS}[0.4,0.7]"]
    run = searched(*line)
    files = ("derivation.json", "genotypes/target_0.4.json", "genotypes/target_0.7.json")
    whole = {name: (run.path / name).read_text() for name in files}
    run.genotype.unlink()
    for name in files:
        (run.path / name).unlink()
    searched(*line)
    assert {name: (run.path / name).read_text() for name in files} == whole
    # From the checkpoint alone, without a look at what the run derived.
    capfd.readouterr()
    assert main(["derive", str(run.path), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["same_as_run"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([f"{TARGETS}[0.01]"], "cannot be met: the smallest network of this"),
        ([f"{TARGETS}[1.5]"], "shares of the cost above 0 and up to 1"),
        ([f"{TARGETS}[]"], "shares of the cost above 0 and up to 1"),
        ([f"{TARGETS}[0.5,0.5]"], "different shares of the cost"),
        (["compression=none"], "ladders of nested candidates (widths, bits), and this space has"),
        (["strategy.derivation.cost=mac"], "did you mean"),
        (["stages=[search]", "strategy.derivation.cost=mac"], "did you mean"),
        (["strategy.policy._target_=nas.policies.FreeLogits"], "FreeLogits has no condition"),
    ],
)
def test_mistakes_end_in_a_sentence_before_anything_is_trained(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["search", *GATES, "compression=prune", *words, "--quiet"]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert sentence in error
    assert "Traceback" not in error
