"""Compression from the command line: alone and joint, on several spaces, to a network that fits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import nas
from nas import genotype
from nas.analysis.summary import integers_text
from nas.build import Parts, data_source
from nas.cli import main
from nas.cli.compose import composed
from nas.cli.positional import parse
from nas.cli.verbs import VERBS
from nas.compression.quantizer import Quantizer
from nas.costs import KB, count_bitops, count_bytes, count_macs, count_parameters
from nas.space import decisions_of
from nas.store.folder import RunFolder, resolve

LINE = [
    "preset=smoke",
    "threads=1",
    "execution=plain",  # no kernels to compile
    "trainer.epochs=1",
    "trainer.network_epochs=1",
    "trainer.random_networks=0",
    "logger.tensorboard=false",
    "formats=[safetensors]",
]
ONNX = "formats=[safetensors,onnx]"
ALONE = ["space=superbit", "space.settings.channels=4"]
HARD_CONCRETE, BINARY = "+strategy/add=hard_concrete", "+strategy/add=binary_gates"
CASES = {
    "abs, filters": [*ALONE, "strategy=abs", "compression.filters=4", "init=inherit"],
    "drawn gates": ["space=chain", "strategy=darts", "compression=superbit", HARD_CONCRETE],
}
SLOW = {
    "abs": [*ALONE, "strategy=abs", "init=inherit", "budget.bitops=6e6"],
    "nasbench201": ["space=nasbench201", "strategy=pc_darts", "compression=superbit"],
    "nasbench201, paths": ["space=nasbench201", "strategy=spos", "compression=superbit"],
    "nasbench201, controller": ["space=nasbench201", "strategy=enas", "compression=superbit"],
    "darts": ["strategy=pc_darts", "compression=joint", "space.channels=8", "budget.bitops=4e6"],
    "superbit, controller": [*ALONE, "strategy=enas", "budget.bitops=6e6"],
    "torchvision": [
        *("space=superbit", "space.backbone=mobilenet_v2", "~space.settings"),
        *("strategy=spos", "compression=prune", "budget.macs=1e6"),
    ],
    "widths": [*ALONE, "strategy=darts", "compression=joint", "budget.size_kb=20"],
    "whole": [
        *("space=superbit", "space.settings.channels=12", "strategy=darts", "compression=whole"),
        *("budget.bitops=3e7", "budget.size_kb=20"),
    ],
    "darts, whole": ["strategy=darts", "compression=whole", "space.channels=8"],
    "drawn widths": [*ALONE, "strategy=darts", "compression=joint", BINARY, "budget.size_kb=20"],
    "darts, drawn gates": ["strategy=pc_darts", "compression=superbit", BINARY, "space.channels=8"],
    "mobile": ["space=mobile", "strategy=spos", "compression=joint", "space.last_channels=16"],
}


@pytest.fixture(scope="module", autouse=True)
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("compression")
    patch = pytest.MonkeyPatch()
    patch.chdir(folder)
    yield folder
    patch.undo()


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def searched(*words: str) -> RunFolder:
    assert main(["search", *LINE, *words, "--quiet"]) == 0
    return resolve("latest", "runs")


def check_integers(run: RunFolder, shown: str) -> None:
    """The file of a run is in integers, small, right layer by layer; people are told so."""
    (record,) = [each for each in read(run.result)["exports"] if each["format"] == "onnx"]
    facts, file = record["facts"], run.path / "export" / "model.onnx"
    assert (record["status"], facts["unmet"]) == ("written", [])
    assert facts["predicted_bytes"] == count_bytes(nas.load(str(run.path)))
    assert file.stat().st_size == record["bytes"]
    assert 0 < facts["computed"] <= facts["layers"]
    assert facts["steps_off"] <= 1
    sentence = integers_text(record)
    assert sentence in shown
    assert sentence in (run.path / "report.html").read_text(encoding="utf-8")


def check(run: RunFolder) -> None:
    """The network that comes out of a run has the cost that was promised, and keeps to limits."""
    file = read(run.genotype)
    net = nas.load(str(run.path))
    shape = run.data_spec().input_shape
    built = {
        "params": count_parameters(net),
        "macs": count_macs(net, shape),
        "size_kb": count_bytes(net) / KB,
        "bitops": count_bitops(net, shape),
    }
    predicted = {name: value for name, value in file["predicted"].items() if name in built}
    assert predicted == pytest.approx(built, abs=2e-3)
    if (run.path / "derivation.json").is_file():
        record = read(run.path / "derivation.json")
        for name, limit in record.get("limits", {}).items():
            assert built[name] <= limit
    assert file["compression"]
    assert all(part.slot is None for part in net.modules() if isinstance(part, Quantizer))
    (found,) = read(run.result)["networks"]
    assert found["test"]["count"] == 540


@pytest.mark.parametrize("case", CASES)
def test_what_is_found_is_built_and_fits(case: str) -> None:
    check(searched(*CASES[case]))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["space=chain", HARD_CONCRETE], "strategy.gates are for nested decisions such as bits"),
        (["space=chain", "compression=superbit", "strategy=enas", BINARY], "draws whole paths"),
        ([*ALONE, "strategy=spos", BINARY], "draws whole paths"),
        ([*ALONE, "strategy=gdas", BINARY], "nothing reads strategy.relaxation"),
        (
            [*ALONE, "strategy=conditional_gates", BINARY],
            "gates of its own, which are told a target",
        ),
    ],
)
def test_gates_are_refused_where_they_decide_nothing(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["search", *LINE, *words, "--plan", "--quiet"]) == 2
    assert sentence in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow
def test_what_is_found_is_written_in_integers(capsys: pytest.CaptureFixture[str]) -> None:
    run = searched("space=chain", "strategy=gdas", "compression=superbit", ONNX)
    check(run)
    assert main(["show", "latest"]) == 0
    check_integers(run, " ".join(capsys.readouterr().out.split()))


@pytest.mark.slow
@pytest.mark.parametrize("case", SLOW)
def test_what_is_found_is_built_and_fits_elsewhere(case: str) -> None:
    check(searched(*SLOW[case]))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_mixed_bits_are_not_worse_than_four_bits_everywhere() -> None:
    """Spec of ABS: equal bit operations, equal training, mean over seeds 0 to 2.

    On seed 0, on which lengths and rates were chosen, 0.9926 against 0.9944 of 540 digits; after a
    third of the training 0.969 against 0.980, so that a hundredth is allowed.
    """
    base = ["space=superbit", "space.settings.channels=8", "compression.filters=null", *LINE]
    base += ["execution=auto", "trainer.network_epochs=60"]
    search = [*base, "strategy=abs", "trainer.epochs=40", "optim.architecture.lr=0.02"]
    found, four = [], []
    for seed in range(3):
        cfg = composed(parse(VERBS["search"], search), search)
        parts = Parts(cfg, data_source(cfg).load().without("test"))
        uniform = {
            name: decision.choice([[decision.position(4 if len(decision) > 1 else 8)]])
            for name, decision in decisions_of(parts.space).items()
        }
        limit = parts.cost_of(uniform)["bitops"]
        own = [f"seed={seed}", f"budget.bitops={limit}", "budget.rate=0.01"]
        run = nas.search(*search, *own, quiet=True)
        found.append(read(run.folder / "result.json")["networks"][0]["test"]["accuracy"])
        file = genotype.load(run.folder / "genotype.json")
        assert 0.5 * limit < file.predicted["bitops"] <= limit
        same = genotype.make(
            *(file.space.name, file.space.fingerprint, uniform),
            args=file.space.args,
            compression=file.compression,
            macro=file.macro,
        )
        genotype.save(f"four{seed}.json", same)
        retrain = [word for word in base if not word.startswith("trainer.epochs")]
        other = nas.retrain(f"genotype=four{seed}.json", *retrain, f"seed={seed}", quiet=True)
        four.append(read(other.folder / "result.json")["networks"][0]["test"]["accuracy"])
    assert sum(found) / 3 >= sum(four) / 3 - 0.01, (found, four)


def test_a_budget_that_bits_cannot_meet_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    words = [*ALONE, "strategy=abs", "budget.bitops=1e5"]
    assert main(["search", *words, *LINE, "--quiet"]) == 2
    assert "budget.bitops=100000 cannot be met" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([*ALONE, "strategy=abs", "compression.weight_bits=[2,3]"], "the levels of 2 bits are not"),
        (
            ["space=toy", "strategy=abs", "compression=superbit"],
            "is no ladder of nested candidates",
        ),
        ([*ALONE, "strategy=darts", "compression=none"], "give it compression=superbit"),
        ([*ALONE, "strategy=darts", "compression.filters=3"], "does not divide the 4 filters of"),
    ],
)
def test_mistakes_end_in_a_sentence(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["search", *words, *LINE, "--quiet"]) in (1, 2)
    error = capsys.readouterr().err
    assert sentence in " ".join(error.split())
    assert "Traceback" not in error
