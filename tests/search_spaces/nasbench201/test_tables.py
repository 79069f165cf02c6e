"""All 15,625 cells against the table of strings, parameters and multiply-accumulates."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from nas.arch import from_genotype
from nas.costs import Macs, Parameters, count_macs, count_parameters
from nas.costs.base import TreeCost
from nas.dataspec import DataSpec
from nas.space import blueprint, sample
from nas.supernet import Supernet
from search_spaces.nasbench201 import EDGES, NAMED, OPERATIONS, NasBench201Space
from search_spaces.nasbench201.cells import format_cell, parse_cell

# The table counts multiply-adds of convolutions and of the classifier, and its bias as well.
SETTINGS = {
    "CIFAR-10": (DataSpec((3, 32, 32), "classes", 10), "params_10", "flops_c10"),
    "CIFAR-100": (DataSpec((3, 32, 32), "classes", 100), "params_100", "flops_c100"),
    "ImageNet16-120": (DataSpec((3, 16, 16), "classes", 120), "params_120", "flops_in16"),
}

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def table(data_dir: Path) -> list[dict[str, str]]:
    with gzip.open(data_dir / "tables" / "nb201_architectures.csv.gz", "rt") as file:
        return list(csv.DictReader(file))


def test_every_string_is_read_and_written_as_it_is(table: list[dict[str, str]]) -> None:
    texts = [row["arch"] for row in table]
    assert [format_cell(parse_cell(text)) for text in texts] == texts
    assert len({parse_cell(text) for text in texts}) == len(texts) == 15_625


def test_the_named_cell_stands_where_it_is_said_to(table: list[dict[str, str]]) -> None:
    assert table[11472]["arch"] == NAMED["NB201_ResNet"]


@pytest.mark.parametrize(
    "name",
    [
        "CIFAR-10",
        pytest.param("CIFAR-100", marks=pytest.mark.slow),
        pytest.param("ImageNet16-120", marks=pytest.mark.slow),
    ],
)
def test_costs_of_all_cells_are_the_table_s(table: list[dict[str, str]], name: str) -> None:
    data, parameters, flops = SETTINGS[name]
    space = NasBench201Space(data)
    slots = Supernet(blueprint(space)).decisions
    generator = torch.Generator().manual_seed(0)
    chosen = np.array(
        [[OPERATIONS.index(op) for op in parse_cell(row["arch"]).operations] for row in table]
    )
    costs: dict[str, TreeCost] = {
        parameters: Parameters(blueprint(space)),
        flops: Macs(blueprint(space), data.input_shape),
    }
    for column, cost in costs.items():

        def of(genotype: dict[str, str], cost: TreeCost = cost) -> int:
            return int(cost(from_genotype(slots, genotype)))

        none = dict.fromkeys(space.decisions, "none")
        base = of(none)
        more = np.array(
            [[of({**none, f"cell/{i}->{j}": op}) - base for op in OPERATIONS] for i, j in EDGES]
        )
        found = base + more[np.arange(len(EDGES)), chosen].sum(1)
        bias = data.outputs if column == flops else 0
        assert (found + bias == [int(row[column]) for row in table]).all()
        for _ in range(20):  # the cost itself is that sum over edges
            genotype = sample(space, generator)
            rows = [OPERATIONS.index(str(choice)) for choice in genotype.values()]
            assert of(genotype) == base + more[np.arange(len(EDGES)), rows].sum()


@pytest.mark.parametrize("name", SETTINGS)
def test_built_networks_have_the_table_s_sizes(table: list[dict[str, str]], name: str) -> None:
    data, parameters, flops = SETTINGS[name]
    space = NasBench201Space(data)
    for index in (0, 8888):
        row = table[index]
        with torch.device("meta"):
            network = space.network(space.parse(row["arch"]))
        assert count_parameters(network) == int(row[parameters])
        assert count_macs(network, data.input_shape) + data.outputs == int(row[flops])
