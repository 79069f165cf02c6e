"""Published cells: their sizes, counted on the built networks, against facts and a closed form.

The numbers in ``counts.json`` under ``cells`` were computed elsewhere (a table of published cells,
compared there with the released code); those under ``ours`` are of cells that the table leaves out.
``digests`` are of that table's listings of the cells, since sizes alone do not see most inputs.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nas.costs import count_macs, count_parameters
from nas.dataspec import DataSpec
from nas.errors import GenotypeError
from nas.space import sample
from search_spaces.darts import NAMED, Cells, DartsSpace, Edge, Plan
from search_spaces.darts.named import named_cells

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
COUNTS = json.loads((HERE / "counts.json").read_text())
KNOWN: dict[str, list[int]] = {**COUNTS["cells"], **COUNTS["ours"]}
CIFAR = DartsSpace(DataSpec((3, 32, 32), "classes", 10))
IMAGENET = DartsSpace(
    DataSpec((3, 224, 224), "classes", 1000), network_channels=48, network_cells=14
)


def counted(space: DartsSpace, cells: Cells) -> list[int]:
    """Parameters without the head, those of the head, MACs."""
    with torch.device("meta"):
        net = space.build(cells)
    assert net.auxiliary is not None
    head, own = sum(p.numel() for p in net.auxiliary.parameters()), count_parameters(net)
    assert sum(p.numel() for p in net.parameters()) == own + head
    without_norms(net)
    return [own, head, count_macs(net, space.data.input_shape)]


def without_norms(net: nn.Module) -> None:
    """Take normalizations out: they count no MACs, and are slow on the meta device."""
    for module in list(net.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.Identity())


@cache
def both(name: str) -> list[int]:
    return counted(CIFAR, named_cells(name)) + counted(IMAGENET, named_cells(name))


# against facts


def test_every_named_cell_has_its_counts() -> None:
    assert set(KNOWN) == set(NAMED)


# One of each kind: four nodes, other outputs of the cell, five nodes, other edges. The closed form
# says the same of all of them, below.
BUILT = ("DARTS_V2", "PC_DARTS_image", "AmoebaNet", "FairDARTS_b")


@pytest.mark.parametrize(
    "name", [n if n in BUILT else pytest.param(n, marks=pytest.mark.slow) for n in NAMED]
)
def test_parameters_with_and_without_head_and_macs_are_exact(name: str) -> None:
    assert both(name) == KNOWN[name]


@pytest.mark.parametrize(
    ("name", "parameters", "macs"),
    [("FairDARTS_b", 3.88, 536), ("FairDARTS_d", 3.84, 532), ("FairDARTS_f", 3.62, 497)],
)
def test_fair_darts_published_sizes_are_ours_cut_off_the_head_included(
    name: str, parameters: float, macs: int
) -> None:
    size, head, multiplications = KNOWN[name][:3]
    assert (size + head) // 10_000 / 100 == parameters
    assert multiplications // 1_000_000 == macs


@pytest.mark.parametrize("name", NAMED)
def test_cells_are_those_of_the_table(name: str) -> None:
    record: list[object] = []
    for plan in (named_cells(name).normal, named_cells(name).reduce):
        nodes = [[[edge.operation, edge.input] for edge in edges] for edges in plan.nodes]
        record += [nodes, list(plan.concat)]
    digest = hashlib.sha256(json.dumps(record).encode()).hexdigest()[:16]
    assert digest == COUNTS["digests"][name]


@pytest.mark.data
def test_the_table_in_the_data_folder_says_the_same(data_dir: Path) -> None:
    table = json.loads((data_dir / "tables" / "genotypes.json").read_text())["genotypes"]
    computed = {}
    for name, entry in table.items():
        if name in NAMED:
            assert named_cells(name) == cells_of_entry(entry), name
        if entry["computed"] is not None:
            small, large = (
                entry["computed"]["cifar10_C36_L20"],
                entry["computed"]["imagenet_C48_L14"],
            )
            keys = ("params", "aux_head_params")
            computed[name] = [small[k] for k in (*keys, "macs_32")] + [
                large[k] for k in (*keys, "macs_224")
            ]
    assert computed == COUNTS["cells"]
    missing = set(table) - set(NAMED)
    assert missing == {f"FairDARTS_{letter}" for letter in "aceg"}
    assert all(has_a_node_without_input(table[name]) for name in missing)


def cells_of_entry(entry: dict[str, list[list[str | int]]]) -> Cells:
    plans = []
    for kind in ("normal", "reduce"):
        edges = entry[kind]
        if len(edges[0]) == 3:  # operation, target node, input
            nodes = [[(e[0], e[2]) for e in edges if e[1] == node] for node in (2, 3, 4, 5)]
        else:
            nodes = [[tuple(e) for e in edges[i : i + 2]] for i in range(0, len(edges), 2)]
        plan = tuple(tuple(Edge(str(o), int(i)) for o, i in node) for node in nodes)
        plans.append(Plan(plan, tuple(int(c) for c in entry[f"{kind}_concat"])))  # type: ignore[call-overload]
    return Cells(*plans)


def has_a_node_without_input(entry: dict[str, list[list[int]]]) -> bool:
    return any({edge[1] for edge in entry[kind]} < {2, 3, 4, 5} for kind in ("normal", "reduce"))


# against a closed form

Size = tuple[int, int]  # parameters, MACs


def operation_size(name: str, c: int, stride: int, out: int) -> Size:
    """Of an operation on ``c`` channels whose output has ``out * out`` positions."""
    positions, k = out * out, int(name[-1]) if name[-1].isdigit() else 0
    if name.startswith("sep"):
        weights = 2 * (c * k * k + c * c)
        return weights + 4 * c, weights * positions
    if name.startswith("dil"):
        weights = c * k * k + c * c
        return weights + 2 * c, weights * positions
    if name.startswith("conv"):  # the first of the two strides along one axis only
        weights = c * c * k
        return 2 * weights + 2 * c, weights * positions * (1 + stride)
    if name == "skip_connect" and stride == 2:
        return c * c + 2 * c, c * c * positions
    return 0, 0


def stem_size(space: DartsSpace) -> tuple[Size, int, list[int]]:
    """Size, positions on a side, and channels of the two cell inputs."""
    c, side = space.network_channels, space.data.size[0]
    if space.stem == "cifar":
        weights = 27 * 3 * c
        return (weights + 6 * c, weights * side * side), side, [3 * c, 3 * c]
    convs = [(27 * c // 2, side // 2), (9 * c // 2 * c, side // 4), (9 * c * c, side // 8)]
    size = sum(w for w, _ in convs) + c + 2 * c + 2 * c, sum(w * s * s for w, s in convs)
    return size, side // 8, [c, c]


def closed_form(space: DartsSpace, cells: Cells) -> list[int]:
    number, c, classes = space.network_cells, space.network_channels, space.data.outputs
    (parameters, macs), side, (before, previous) = stem_size(space)
    head = 0

    def add(size: Size) -> None:
        nonlocal parameters, macs
        parameters, macs = parameters + size[0], macs + size[1]

    for index in range(number):
        reduction = index in (number // 3, 2 * number // 3)
        c = 2 * c if reduction else c
        for width in (before, previous):  # 1x1, or two of half the width each: the same
            add((width * c + 2 * c, width * c * side * side))
        side = side // 2 if reduction else side
        plan = cells.reduce if reduction else cells.normal
        for edges in plan.nodes:
            for name, source in edges:
                add(operation_size(name, c, 2 if reduction and source < 2 else 1, side))
        before, previous = previous, c * len(plan.concat)
        if index == 2 * number // 3:
            norms = 2 * 128 + (2 * 768 if space.stem == "cifar" else 0)
            head = previous * 128 + 128 * 768 * 4 + norms + 769 * classes
    return [parameters + (previous + 1) * classes, head, macs + previous * classes]


@pytest.mark.parametrize("name", NAMED)
def test_facts_agree_with_the_closed_form(name: str) -> None:
    cells = named_cells(name)
    assert closed_form(CIFAR, cells) + closed_form(IMAGENET, cells) == KNOWN[name]


@settings(max_examples=8)
@given(st.integers(0, 2**31), st.integers(3, 6), st.sampled_from([2, 6]))
def test_so_do_networks_of_drawn_genotypes(seed: int, number: int, channels: int) -> None:
    space = DartsSpace(
        DataSpec((3, 32, 32), "classes", 7), network_channels=channels, network_cells=number
    )
    cells = space.to_cells(sample(space, torch.Generator().manual_seed(seed)))
    assert counted(space, cells) == closed_form(space, cells)


# the page and the names


def test_the_page_lists_every_cell_with_these_counts() -> None:
    page = (ROOT / "docs" / "spaces" / "darts.md").read_text()
    rows = {}
    for line in page.splitlines():
        cells = [cell.strip(" `*") for cell in line.strip("|").split("|")]
        if cells[0] in NAMED:
            rows[cells[0]] = [int(cell.replace(",", "")) for cell in cells[1:7]]
            assert cells[7] == NAMED[cells[0]].source
    assert rows == KNOWN


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(GenotypeError, match=r"'DARTS_V3'; known are NASNet, .*did you mean"):
        named_cells("DARTS_V3")


@pytest.mark.parametrize("name", NAMED)
def test_named_cells_are_sound(name: str) -> None:
    cells = named_cells(name)
    assert CIFAR.named()[name] == cells
    for plan in (cells.normal, cells.reduce):
        assert all(c in range(2, 2 + len(plan.nodes)) for c in plan.concat)
        for node, edges in enumerate(plan.nodes, start=2):
            assert edges
            assert all(0 <= edge.input < node for edge in edges)


FIVE_NODES = {"NASNet", "AmoebaNet", "PNASNet", "ENASNet"}
OTHER_EDGES = {"SETN", "SNAS_aggressive", "FairDARTS_b", "FairDARTS_f"}


@pytest.mark.parametrize("name", [n for n in NAMED if n not in FIVE_NODES | OTHER_EDGES])
def test_cells_inside_the_space_are_genotypes_and_build_the_same_network(name: str) -> None:
    genotype = CIFAR.from_cells(named_cells(name))
    again = CIFAR.to_cells(genotype)
    for kind in ("normal", "reduce"):
        ours, published = again.of(kind), named_cells(name).of(kind)
        assert [sorted(e) for e in ours.nodes] == [sorted(e) for e in published.nodes]
    assert closed_form(CIFAR, again) == KNOWN[name][:3]
