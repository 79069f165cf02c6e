from __future__ import annotations

import networkx as nx
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator

from nas.dataspec import DataSpec
from nas.space import sample
from search_spaces.darts import DartsSpace
from search_spaces.darts.graph import graph_of
from search_spaces.darts.named import NAMED, named_cells

SPACE = DartsSpace(DataSpec((3, 32, 32), "classes", 10))


@given(seed=st.integers(0, 2**31))
def test_the_graph_holds_both_cells_and_nothing_else(seed: int) -> None:
    genotype = sample(SPACE, Generator().manual_seed(seed))
    graph = SPACE.graph(genotype)
    assert nx.is_directed_acyclic_graph(graph)
    assert nx.number_weakly_connected_components(graph) == 2
    expected = []
    for kind in ("normal", "reduce"):
        names = [f"{kind}/{name}" for name in ("c_{k-2}", "c_{k-1}", "0", "1", "2", "3")]
        for node in (2, 3, 4, 5):
            kept = genotype[f"{kind}/node{node}/inputs"]
            assert isinstance(kept, tuple)
            for i in kept:
                operation = genotype[f"{kind}/{i}->{node}"]
                expected.append((names[int(i)], names[node], operation))
        expected += [(name, f"{kind}/c_{{k}}", "") for name in names[2:]]
    assert sorted(graph.edges(data="label")) == sorted(expected)


def test_nodes_say_their_cell_label_and_kind() -> None:
    graph = graph_of(named_cells("AmoebaNet"))
    assert graph.nodes["reduce/c_{k-1}"] == {"cell": "reduce", "label": "c_{k-1}", "kind": "input"}
    assert graph.nodes["normal/4"] == {"cell": "normal", "label": "4", "kind": "node"}
    assert graph.nodes["normal/c_{k}"] == {"cell": "normal", "label": "c_{k}", "kind": "output"}
    into = {kind: set(graph.predecessors(f"{kind}/c_{{k}}")) for kind in ("normal", "reduce")}
    assert into["normal"] == {"normal/2", "normal/3", "normal/4"}  # states 4, 5, 6
    assert into["reduce"] == {"reduce/1", "reduce/2", "reduce/4"}  # states 3, 4, 6


def test_two_edges_between_the_same_states_are_both_there() -> None:
    graph = graph_of(named_cells("NASNet"))  # its normal node 5 pools input 0 twice
    labels = [d["label"] for d in graph.get_edge_data("normal/c_{k-2}", "normal/3").values()]
    assert labels == ["avg_pool_3x3", "avg_pool_3x3"]


def test_equal_cells_are_isomorphic_and_published_ones_differ() -> None:
    def same(a: str, b: str) -> bool:
        return bool(
            nx.is_isomorphic(
                graph_of(named_cells(a)),
                graph_of(named_cells(b)),
                node_match=lambda x, y: (x["cell"], x["kind"]) == (y["cell"], y["kind"]),
                edge_match=lambda x, y: (
                    sorted(e["label"] for e in x.values()) == sorted(e["label"] for e in y.values())
                ),
            )
        )

    assert same("DARTS_V1", "DARTS_V1")
    four_nodes = [name for name in NAMED if len(named_cells(name).normal.nodes) == 4]
    pairs = [(a, b) for i, a in enumerate(four_nodes) for b in four_nodes[:i]]
    assert not any(same(a, b) for a, b in pairs)
