"""Formulas and classes of all cells against the table, and against built networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from nas.benchmarks.query import Query, select
from nas.benchmarks.readers import published
from nas.benchmarks.readers.nasbench201 import EDGES, FILES, OPERATIONS, SPACE, nasbench201
from nas.costs import count_macs, count_parameters
from nas.dataspec import DataSpec
from search_spaces import nasbench201 as cells
from search_spaces.nasbench201.cells import Cell, parse_cell
from search_spaces.nasbench201.counts import multiply_adds, parameters
from search_spaces.nasbench201.isomorphism import canonical

SETTINGS = {"cifar10": (10, 32), "cifar100": (100, 32), "ImageNet16-120": (120, 16)}


@pytest.mark.data
def test_formulas_give_all_figures_of_the_table(data_dir: Path) -> None:
    table = nasbench201(data_dir)
    for dataset, (outputs, size) in SETTINGS.items():
        known = select(table, Query("parameters", dataset)).mean
        assert (parameters(table.codes, outputs) == known).all()
        known = select(table, Query("macs", dataset)).mean
        assert (multiply_adds(table.codes, outputs, (size, size)) + outputs == known).all()


@pytest.mark.data
def test_classes_are_those_of_the_table(data_dir: Path) -> None:
    head, lines = published.lines_of(data_dir, FILES[0])
    rows = [line.split(",") for line in lines]
    texts = [canonical(parse_cell(row[head.index("arch")])) for row in rows]
    classes = [row[head.index("iso_class")] for row in rows]
    assert len(set(texts)) == len(set(classes)) == len(set(zip(texts, classes, strict=True)))
    assert len(set(texts)) == 6466


def test_the_reader_has_the_space_s_decisions() -> None:
    space = cells.NasBench201Space(DataSpec((3, 32, 32), "classes", 10))
    assert SPACE.by_name == space.decisions
    assert (OPERATIONS, EDGES) == (cells.OPERATIONS, cells.EDGES)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 9, 7)])
def test_formulas_give_the_sizes_of_built_networks(shape: tuple[int, int, int]) -> None:
    space = cells.NasBench201Space(
        DataSpec(shape, "classes", 7), network_channels=4, network_cells=2
    )
    for codes in np.random.default_rng(0).integers(5, size=(3, 6)).astype(np.uint8):
        cell = Cell(tuple(OPERATIONS[code] for code in codes))
        with torch.device("meta"):
            net = space.build(cell)
        row = codes[None]
        assert parameters(row, 7, 4, 2, shape[0])[0] == count_parameters(net)
        assert multiply_adds(row, 7, shape[1:], 4, 2, shape[0])[0] == count_macs(net, shape)


def test_equal_functions_of_different_cells_have_one_text() -> None:
    other = parse_cell("|none~0|+|nor_conv_3x3~0|none~1|+|none~0|none~1|skip_connect~2|")
    swapped = parse_cell("|skip_connect~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|skip_connect~2|")
    assert canonical(swapped) == canonical(other)
