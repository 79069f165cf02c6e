"""Latency by a table: what it adds up to, and every table that is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nas.arch import from_genotype
from nas.compression import Compressed, Compression
from nas.costs import Latency, count_macs, count_parameters
from nas.costs.latency import latency_tree
from nas.costs.latency_table import Calibration, LatencyTable, Row, write_latency
from nas.costs.units import Unit, fingerprint_of, units
from nas.dataspec import DataSpec
from nas.errors import ConfigError, NasError
from nas.space import SearchSpace, blueprint, fingerprint, name_of, sample
from nas.supernet import Supernet
from nas.testing import check_cost
from search_spaces.chain import ChainSpace
from search_spaces.darts import DartsSpace
from search_spaces.macro_chain import MacroChainSpace
from search_spaces.mobile import MobileSpace
from search_spaces.nasbench201 import NasBench201Space
from search_spaces.superbit import BackboneSpace
from search_spaces.toy import ToySpace

DATA = DataSpec((3, 8, 8), "classes", 5)
SMALL = {"channels": 4, "cells": 3, "network_channels": 4, "network_cells": 3}
TINY = {"channels": 2, "cells": 1, "network_channels": 2, "network_cells": 1}
OWN = {f"normal/{i}->2": ("skip_connect", "sep_conv_3x3") for i in (0, 1)}
SPACES: dict[str, Callable[[], SearchSpace]] = {
    "darts": lambda: DartsSpace(DATA, nodes=2, **SMALL),
    "own candidates of edges": lambda: DartsSpace(DATA, nodes=2, edge_operations=OWN, **SMALL),
    "nasbench201": lambda: NasBench201Space(DATA, **TINY),
    "chain": lambda: ChainSpace(DATA, channels=2, network_channels=2),
    "macro_chain": lambda: MacroChainSpace(DATA, channels=2, network_channels=2, last_channels=4),
    "mobile": lambda: MobileSpace(DATA, channels=2, network_channels=2, last_channels=4),
    "toy": lambda: ToySpace(DATA),
}
HERE = {"cpu": {"model": "mine", "cores": 2}, "threads": 1}


def parameters(unit: Unit) -> float:
    return float(count_parameters(unit.module))


def macs(unit: Unit) -> float:
    return float(sum(count_macs(unit.module, call[0]) for call in unit.calls))


@pytest.mark.parametrize("make", SPACES.values(), ids=SPACES.keys())
def test_units_at_their_shapes_make_up_every_network(make: Callable[[], SearchSpace]) -> None:
    """What units cost alone, here parameters and MACs, adds up to what a built network costs."""
    space, plan = make(), blueprint(make())
    found, decisions = units(plan, DATA.input_shape), Supernet(plan).decisions
    assert len({unit.key for unit in found}) == len(found)
    assert not any(isinstance(part, torch.nn.ModuleList) for part in (u.module for u in found))
    genotype = sample(space, torch.Generator().manual_seed(1))
    network, arch = space.network(genotype), from_genotype(decisions, genotype)
    for cost, counted in (
        (parameters, count_parameters(network)),
        (macs, count_macs(network, DATA.input_shape)),
    ):
        rows = {unit.key: Row(cost(unit), 0.0, 0.0) for unit in found}
        tree = latency_tree(plan, found, rows, Calibration(3.0, 0.5, 1))
        assert float(tree.expect(arch)) == pytest.approx(3 + 0.5 * counted)


class Made:
    """A table of a space in a file; a unit takes as many ms as it has parameters."""

    def __init__(self, space: SearchSpace, folder: Path) -> None:
        self.space, self.file = space, folder / "latency.json"
        self.found = units(blueprint(space), DATA.input_shape)
        about = {
            "name": name_of(space),
            "fingerprint": fingerprint(space),
            "blueprint": fingerprint_of(self.found),
            "input_shape": list(DATA.input_shape),
        }
        rows = {u.key: Row(parameters(u) + 1e-9, 0.0, 0.0) for u in self.found}
        device = {"name": "mine", "source": "here", "batch": 1, **HERE}
        table = LatencyTable(about, device, rows, Calibration(5.0, 2.0, 9))
        write_latency(self.file, table, self.found)

    def cost(self, **changed: Any) -> Latency:
        given: dict[str, Any] = {
            "input_shape": DATA.input_shape,
            "fingerprint": fingerprint(self.space),
            "here": HERE,
            "table": str(self.file),
        }
        return Latency(blueprint(self.space), **{**given, **changed})

    def change(self, **parts: Any) -> None:
        record = json.loads(self.file.read_text())
        for name, part in parts.items():
            record[name] = {**record[name], **part} if isinstance(part, dict) else part
        self.file.write_text(json.dumps(record))


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(ToySpace(DATA), tmp_path)


def test_it_is_the_average_over_all_genotypes_with_the_calibration(tmp_path: Path) -> None:
    """By enumeration, with gradients, on a space of two kept inputs and one of alternatives."""
    operations = ("none", "skip_connect", "sep_conv_3x3")
    for space in (DartsSpace(DATA, nodes=1, operations=operations, **SMALL), ToySpace(DATA)):
        cost = Made(space, tmp_path).cost()
        assert (cost.name, cost.unit) == ("latency_ms", "ms")
        assert "batch 1 on mine" in cost.rule
        check_cost(cost, space, data=DATA, count=lambda net: 5 + 2 * count_parameters(net))


def test_a_table_of_the_target_is_taken_as_it_is(made: Made) -> None:
    other = {"cpu": {"model": "another", "cores": 8}, "threads": 4}
    made.cost(here=other, machine="any")
    made.change(device={"source": "csv"})
    made.cost(here=other)


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "space": ({"fingerprint": "0" * 12}, {}, "is of another space, toy.*profile this one by nas"),
    "inputs": ({"input_shape": (3, 9, 8)}, {}, "inputs of 3x8x8, this run's are 3x9x8"),
    "widths": ({}, {"space": {"blueprint": "0" * 12}}, "other widths, cells or operations"),
    "machine": ({"here": {**HERE, "cpu": {"model": "a"}}}, {}, "another machine.*machine=any says"),
    "threads": ({"here": {**HERE, "threads": 2}}, {}, "threads=1, this run has threads=2; set"),
    "no such machine": ({"machine": "that"}, {}, "must be one of this, any"),
    "absent": ({"table": "none.json"}, {}, "none.json"),
    "foreign": ({}, {"schema": "nas.result/1"}, "is no table of latencies"),
    "no rows": ({}, {"candidates": []}, "is damaged: it has no row for operations.0 skip_connect"),
    "a time below 0": ({}, {"calibration": {"factor": -1}}, "is damaged .*a time of -1 ms"),
    "no device": ({}, {"device": 3}, "is damaged"),
    "nothing told apart": ({}, {"calibration": {"factor": 0}}, "the same latency.*networks="),
}


@pytest.mark.parametrize(("given", "changed", "told"), REFUSED.values(), ids=REFUSED.keys())
def test_a_table_that_does_not_fit_is_refused(
    made: Made, given: dict[str, Any], changed: dict[str, Any], told: str
) -> None:
    made.change(**changed)
    with pytest.raises(NasError, match=told):
        made.cost(**given)


@pytest.mark.parametrize(
    "compression", [Compression(widths=(0.5, 1.0)), Compression(weight_bits=(4,), ends=None)]
)
def test_compressed_networks_have_no_table(made: Made, compression: Compression) -> None:
    compressed = Compressed(BackboneSpace(DATA, "resnet20", {"channels": 4}), compression)
    given: dict[str, Any] = {"input_shape": DATA.input_shape, "fingerprint": "", "here": HERE}
    with pytest.raises(ConfigError, match=r"neither bits nor widths nor ranks.*set compression"):
        Latency(blueprint(compressed), **given, table=str(made.file))


def test_a_cut_file_is_refused(made: Made) -> None:
    made.file.write_bytes(made.file.read_bytes()[:200])
    with pytest.raises(NasError, match="is damaged"):
        made.cost()
