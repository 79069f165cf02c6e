"""Budgets as they are typed: they hold in the network that is built, or nothing is trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nas import genotype as files
from nas.cli import main
from nas.costs import count_macs, count_parameters
from nas.dataspec import DataSpec
from search_spaces.nasbench201 import NasBench201Space

SEARCH = ("search", "space=nasbench201", "preset=smoke", "stages=[search,derive]")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_in(here: Path) -> Path:
    (found,) = here.glob("runs/search/nasbench201-*")
    return found


@pytest.mark.parametrize(
    "strategy",
    [
        "darts",
        pytest.param("gdas", marks=pytest.mark.slow),  # derived as darts is
        "spos",
        "enas",
        "random",
    ],
)
def test_three_limits_hold_in_the_network_itself(
    here: Path, capfd: pytest.CaptureFixture[str], strategy: str
) -> None:
    limits = {"macs": 40000, "params": 5900, "size_kb": 25.0}
    words = [f"budget.{name}={limit}" for name, limit in limits.items()]
    trained = [] if strategy == "random" else ["trainer.epochs=2"]
    assert main([*SEARCH, f"strategy={strategy}", *trained, *words]) == 0
    told = " ".join(capfd.readouterr().out.split())
    assert "of 200 random networks keep to the budget" in told
    run = run_in(here)
    file = files.load(run / "genotype.json")
    spec = DataSpec.from_json(json.loads((run / "data.json").read_text()))
    space = NasBench201Space(spec, **file.space.args)
    network = space.network(file.choices)
    assert count_parameters(network) <= limits["params"]
    assert count_macs(network, spec.input_shape) <= limits["macs"]
    assert file.predicted["size_kb"] <= limits["size_kb"]
    record = json.loads((run / "derivation.json").read_text())
    assert record["sentence"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["budget.macs=10"], "budget.macs=10 cannot be met: the smallest network found has macs"),
        (
            ["budget.macs=10", "budget.params=1e6"],
            "budget.params=1000000, budget.macs=10 cannot be met: the nearest network found has",
        ),
        (["budget.latency_ms=3"], "budget.latency_ms=3 needs cost.latency_ms.table=FILE"),
        (["budget.rate=1"], "budget.rate would have no effect: the budget has no limit"),
        (["budget.macs=1e5", "budget.rate=1", "budget.weight=1"], "budget.weight fixes the weight"),
    ],
)
def test_what_cannot_be_met_is_told_before_anything_is_trained(
    here: Path, capfd: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert main([*SEARCH, "strategy=darts", *words]) == 2
    out, err = capfd.readouterr()
    assert said in " ".join(err.split())
    assert "Traceback" not in out + err
    assert not list(here.rglob("*.json"))
