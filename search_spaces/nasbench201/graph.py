"""A cell as a graph: for drawing, and for comparing genotypes."""

from __future__ import annotations

import networkx as nx

from search_spaces.nasbench201.cells import EDGES, NODES, Cell
from search_spaces.nasbench201.decisions import PREFIX

_KINDS = {0: "input", NODES - 1: "output"}


def graph_of(cell: Cell) -> nx.MultiDiGraph[str]:
    """Nodes 0 to 3 and an edge per operation but ``none``, which passes nothing on.

    Node attributes are ``cell``, ``label`` and ``kind`` (input, node or output); the attribute
    ``label`` of an edge is its operation.
    """
    graph: nx.MultiDiGraph[str] = nx.MultiDiGraph()
    names = [f"{PREFIX}/{node}" for node in range(NODES)]
    for node, name in enumerate(names):
        graph.add_node(name, cell=PREFIX, label=str(node), kind=_KINDS.get(node, "node"))
    for (source, node), operation in zip(EDGES, cell.operations, strict=True):
        if operation != "none":
            graph.add_edge(names[source], names[node], label=operation)
    return graph
