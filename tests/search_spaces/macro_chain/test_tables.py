"""All 6,561 chains against the published table of parameters and multiply-accumulates."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pytest
import torch

from nas.arch import from_genotype
from nas.benchmarks.readers.chains import MACRO, MACRO_FILE
from nas.costs import Macs, Parameters, count_macs, count_parameters
from nas.dataspec import DataSpec
from nas.decision import Choice
from nas.space import blueprint, sample
from search_spaces.macro_chain import MacroChainSpace

SPACE = MacroChainSpace(DataSpec((3, 32, 32), "classes", 10))


def test_decisions_are_those_of_the_table() -> None:
    assert MACRO.name == SPACE.name
    assert MACRO.decisions == tuple(SPACE.decisions.values())


@pytest.mark.data
@pytest.mark.parametrize("step", [19, pytest.param(1, marks=pytest.mark.slow)], ids=["some", "all"])
def test_costs_of_chains_are_the_table_s(step: int, data_dir: Path) -> None:
    with gzip.open(data_dir / "tables" / MACRO_FILE, "rt") as file:
        rows = {row["arch"]: row for row in csv.DictReader(file)}
    assert len(rows) == 3**8
    costs = {
        "params": Parameters(blueprint(SPACE)),
        "flops": Macs(blueprint(SPACE), SPACE.data.input_shape),
    }
    for arch, row in list(rows.items())[::step]:
        weights = from_genotype(SPACE.decisions, SPACE.parse(f"macro_chain:{arch}"))
        for column, cost in costs.items():
            assert float(cost(weights)) == float(row[column]), (arch, column)
    generator = torch.Generator().manual_seed(0)
    for genotype in (sample(SPACE, generator) for _ in range(3)):
        _compare_built(genotype, rows[SPACE.format(genotype).removeprefix("macro_chain:")])


def _compare_built(genotype: dict[str, Choice], row: dict[str, str]) -> None:
    with torch.device("meta"):
        network = SPACE.network(genotype)
    assert count_parameters(network) == int(row["params"])
    assert count_macs(network, SPACE.data.input_shape) == int(row["flops"])
