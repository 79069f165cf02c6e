"""Cells as a graph: for drawing, and for comparing genotypes."""

from __future__ import annotations

import networkx as nx

from search_spaces.darts.cells import Cells, Plan


def graph_of(cells: Cells) -> nx.MultiDiGraph[str]:
    """Both cells in one graph: operations on edges, inputs and output as nodes.

    Node attributes are ``cell``, ``label`` and ``kind`` (input, node or output); the attribute
    ``label`` of an edge is its operation, empty on the way into the concatenation.
    """
    graph: nx.MultiDiGraph[str] = nx.MultiDiGraph()
    for kind in ("normal", "reduce"):
        _add_cell(graph, kind, cells.of(kind))
    return graph


def _add_cell(graph: nx.MultiDiGraph[str], kind: str, plan: Plan) -> None:
    labels = ["c_{k-2}", "c_{k-1}", *(str(i) for i in range(len(plan.nodes)))]
    names = [f"{kind}/{label}" for label in labels]
    for index, (name, label) in enumerate(zip(names, labels, strict=True)):
        graph.add_node(name, cell=kind, label=label, kind="input" if index < 2 else "node")
    output = f"{kind}/c_{{k}}"
    graph.add_node(output, cell=kind, label="c_{k}", kind="output")
    for node, edges in enumerate(plan.nodes, start=2):
        for edge in edges:
            graph.add_edge(names[edge.input], names[node], label=edge.operation)
    for state in plan.concat:
        graph.add_edge(names[state], output, label="")
