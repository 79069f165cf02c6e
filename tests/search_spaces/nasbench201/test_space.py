from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nas.arch import from_genotype, k_hot
from nas.dataspec import DataSpec
from nas.errors import GenotypeError, SpaceError
from nas.space import (
    SearchSpace,
    check_genotype,
    discretize,
    enumerate_genotypes,
    fingerprint,
    sample,
    size,
)
from search_spaces.nasbench201 import EDGES, NAMED, OPERATIONS, NasBench201Space

CIFAR = DataSpec((3, 32, 32), "classes", 10)
SPACE = NasBench201Space(CIFAR)
NAMES = [f"cell/{i}->{j}" for i, j in EDGES]


def test_it_is_a_search_space_of_six_decisions_with_none_among_the_candidates() -> None:
    assert isinstance(SPACE, SearchSpace)
    assert list(SPACE.decisions) == NAMES
    assert {d.candidates for d in SPACE.decisions.values()} == {OPERATIONS}
    assert OPERATIONS == ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")


def test_it_has_15625_genotypes_and_all_strings_of_them_differ() -> None:
    every = enumerate_genotypes(SPACE)
    assert size(SPACE) == len(every) == 15_625
    assert len({SPACE.format(genotype) for genotype in every}) == 15_625


def test_fewer_operations_are_another_space() -> None:
    fewer = NasBench201Space(CIFAR, operations=("skip_connect", "nor_conv_3x3"))
    assert size(fewer) == 2**6
    assert fingerprint(fewer) != fingerprint(SPACE)
    wider = NasBench201Space(CIFAR, channels=8, cells=1, network_channels=32, network_cells=2)
    assert fingerprint(wider) == fingerprint(SPACE)
    with pytest.raises(SpaceError, match="edge 0->2: operation 'none' is not in this space"):
        fewer.parse(NAMED["NB201_ResNet"])


@given(seed=st.integers(0, 2**31))
def test_string_cell_and_weights_are_forms_of_the_same_genotype(seed: int) -> None:
    genotype = sample(SPACE, torch.Generator().manual_seed(seed))
    assert check_genotype(SPACE, genotype) == genotype
    assert SPACE.parse(SPACE.format(genotype)) == genotype
    assert SPACE.from_cells(SPACE.to_cells(genotype)) == genotype
    assert discretize(SPACE, from_genotype(SPACE.decisions, genotype)) == genotype
    rows = SPACE.view(genotype)["cell"]
    seen = {f"cell/{i}->{node}": op for node, row in enumerate(rows, 1) for op, i in row}
    assert seen == genotype


def test_every_edge_takes_its_best_operation_none_included_whatever_the_inputs_weigh() -> None:
    arch = {}
    for place, (name, decision) in enumerate(SPACE.decisions.items()):
        row = torch.full((5,), 0.1)
        row[place % 5] = 0.6
        arch[name] = type(k_hot(decision, [[0]]))(row[None], tuple(range(5)))
    expected = {name: OPERATIONS[place % 5] for place, name in enumerate(NAMES)}
    assert expected["cell/0->1"] == expected["cell/2->3"] == "none"
    assert discretize(SPACE, arch) == expected


def test_the_named_cell_is_the_residual_block() -> None:
    named = SPACE.named()
    assert list(named) == ["NB201_ResNet"]
    genotype = SPACE.from_cells(named["NB201_ResNet"])
    convs = [name for name, choice in genotype.items() if choice == "nor_conv_3x3"]
    assert convs == ["cell/0->1", "cell/1->2"]
    assert genotype["cell/0->3"] == genotype["cell/2->3"] == "skip_connect"


def test_the_graph_has_four_nodes_and_an_edge_for_all_but_none() -> None:
    graph = SPACE.graph(SPACE.parse(NAMED["NB201_ResNet"]))
    assert dict(graph.nodes(data="kind")) == {
        "cell/0": "input",
        "cell/1": "node",
        "cell/2": "node",
        "cell/3": "output",
    }
    assert {data["cell"] for _, data in graph.nodes(data=True)} == {"cell"}
    assert sorted(graph.edges(data="label")) == [
        ("cell/0", "cell/1", "nor_conv_3x3"),
        ("cell/0", "cell/3", "skip_connect"),
        ("cell/1", "cell/2", "nor_conv_3x3"),
        ("cell/2", "cell/3", "skip_connect"),
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"cells": 0}, r"space\.cells must be at least 1, got 0"),
        ({"network_channels": -2}, r"space\.network_channels must be at least 1, got -2"),
        ({"operations": ["none"]}, "at least one operation besides none"),
        ({"operations": []}, "at least one operation besides none"),
        ({"operations": ["skip_connect"] * 2}, "candidates must be distinct"),
        (
            {"operations": ["none", "nor_conv_3x"]},
            "unknown operation 'nor_conv_3x'; known are .*did you mean 'nor_conv_3x3'",
        ),
        (
            {"data": DataSpec((3, 8, 8), "image", 2, output_size=(16, 16))},
            "outputs of its inputs' size 8x8, the data has 16x16",
        ),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, object], sentence: str) -> None:
    with pytest.raises(SpaceError, match=sentence):
        NasBench201Space(**{"data": CIFAR, **arguments})  # type: ignore[arg-type]


def test_genotypes_of_other_spaces_are_refused() -> None:
    genotype = sample(SPACE, torch.Generator().manual_seed(0))
    with pytest.raises(GenotypeError, match="unknown candidate 'sep_conv_3x3'"):
        check_genotype(SPACE, {**genotype, "cell/0->1": "sep_conv_3x3"})
    with pytest.raises(GenotypeError, match=r"lacks 1 decision.*cell/2->3"):
        check_genotype(SPACE, {n: c for n, c in genotype.items() if n != "cell/2->3"})
