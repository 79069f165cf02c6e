from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, pairwise
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression

from nas.analysis import layout
from nas.analysis.crossings import Item
from nas.analysis.layout import Box, Layout, arrange
from nas.errors import NasError


def arranged(graph: Any) -> Layout:
    return arrange(graph, lambda node: (30.0, 24.0), lambda name: (8.0 * len(name), 16.0))


def apart(a: Box, b: Box) -> bool:
    return (
        abs(a.x - b.x) * 2 >= a.width + b.width - 1e-9
        or abs(a.y - b.y) * 2 >= a.height + b.height - 1e-9
    )


@st.composite
def graphs(draw: st.DrawFn) -> Any:
    """Any directed multigraph without cycles, with and without inputs and outputs."""
    count = draw(st.integers(1, 7))
    graph = nx.MultiDiGraph()
    for index in range(count):
        kind = draw(st.sampled_from(["input", "node", "output"]))
        graph.add_node(str(index), kind=kind, label=str(index))
    if count > 1:
        pairs = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1))
        for a, b in draw(st.lists(pairs.filter(lambda p: p[0] != p[1]), max_size=12)):
            label = draw(st.sampled_from(["", "skip", "sep_conv_3x3"]))
            graph.add_edge(str(min(a, b)), str(max(a, b)), label=label)
    return graph


@settings(max_examples=40)
@given(graphs())
def test_any_graph_gets_disjoint_boxes_and_edges_from_left_to_right(graph: Any) -> None:
    found = arranged(graph)
    boxes = [*found.nodes.values(), *(r.label for r in found.routes if r.label)]
    assert all(apart(a, b) for a, b in combinations(boxes, 2))
    assert len(found.routes) == graph.number_of_edges()
    for route in found.routes:
        xs = [x for x, _ in route.points]
        assert xs == sorted(xs)
        assert found.nodes[route.source].x < found.nodes[route.target].x
        assert (route.label is not None) == bool(route.name)
    for box in boxes:
        assert box.x - box.width / 2 >= -1e-9
        assert box.x + box.width / 2 <= found.width + 1e-9
        assert box.y - box.height / 2 >= -1e-9
        assert box.y + box.height / 2 <= found.height + 1e-9


@settings(max_examples=40)
@given(graphs())
def test_straight_pieces_of_edges_keep_clear_of_foreign_boxes(graph: Any) -> None:
    found = arranged(graph)
    for route in found.routes:
        own = {id(found.nodes[route.source]), id(found.nodes[route.target]), id(route.label)}
        boxes = [*found.nodes.values(), *(r.label for r in found.routes if r.label)]
        for (x0, y), (x1, same) in zip(route.points[0::2], route.points[1::2], strict=True):
            assert y == same
            piece = Box((x0 + x1) / 2, y, x1 - x0, 0.0)
            assert all(apart(piece, box) for box in boxes if id(box) not in own)


def test_inputs_are_first_and_the_output_stands_alone_at_the_end(
    make_cell: Callable[..., Any],
) -> None:
    graph = make_cell(3)
    found = arranged(graph)
    by_x = sorted(found.nodes, key=lambda name: found.nodes[name].x)
    assert {name.partition("/")[2] for name in by_x[:2]} == {"c_{k-2}", "c_{k-1}"}
    assert by_x[-1] == "normal/c_{k}"
    assert found.nodes[by_x[-2]].x < found.nodes[by_x[-1]].x


def test_parallel_edges_have_labels_of_their_own() -> None:
    graph = nx.MultiDiGraph()
    graph.add_node("a", kind="input")
    graph.add_node("b", kind="node")
    graph.add_edge("a", "b", label="skip")
    graph.add_edge("a", "b", label="skip")
    labels = [route.label for route in arranged(graph).routes]
    assert labels[0] is not None
    assert labels[1] is not None
    assert abs(labels[0].y - labels[1].y) >= 16.0


def test_a_cycle_is_refused() -> None:
    graph = nx.MultiDiGraph([("a", "b"), ("b", "a")])
    with pytest.raises(NasError, match="cycle"):
        arranged(graph)


def test_the_layout_is_the_same_every_time(make_cell: Callable[..., Any]) -> None:
    assert arranged(make_cell(5)) == arranged(make_cell(5))


@given(
    st.lists(
        st.tuples(st.floats(-99, 99), st.floats(0.1, 9), st.floats(0, 30)), min_size=1, max_size=8
    )
)
def test_settling_a_column_is_isotonic_regression(items: list[tuple[float, float, float]]) -> None:
    column = [Item("", 0, (0.0, height), 5.0) for _, _, height in items]
    wishes, weights = [w for w, _, _ in items], [w for _, w, _ in items]
    layout._settle(column, list(wishes), list(weights))
    gaps = [(a.size[1] + b.size[1]) / 2 + 5.0 for a, b in pairwise(column)]
    offsets = np.cumsum([0.0, *gaps])
    truth = isotonic_regression(np.array(wishes) - offsets, weights=np.array(weights)).x + offsets
    np.testing.assert_allclose([item.y for item in column], truth, atol=1e-9)
