from __future__ import annotations

from typing import Any

import pytest

from nas.analysis.cells import cell_graph, cell_title, cells_of
from nas.errors import NasError


def test_cells_are_named_in_the_order_of_the_graph(pc_darts: Any) -> None:
    assert cells_of(pc_darts) == ["normal", "reduce"]


def test_the_part_of_one_cell_has_all_its_edges(pc_darts: Any) -> None:
    part = cell_graph(pc_darts, "reduce")
    assert all(name.startswith("reduce/") for name in part.nodes)
    assert part.number_of_edges() == 8 + 4


def test_an_unknown_cell_is_refused_with_the_known_ones(pc_darts: Any) -> None:
    with pytest.raises(NasError, match=r"'norml' .* normal, reduce; .*did you mean 'normal'"):
        cell_graph(pc_darts, "norml")


@pytest.mark.parametrize(
    ("cell", "title"), [("normal", "normal cell"), ("cell", "cell"), ("", "cell")]
)
def test_the_only_cell_of_a_space_is_not_called_cell_cell(cell: str, title: str) -> None:
    assert cell_title(cell) == title
