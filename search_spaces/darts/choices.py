"""A genotype's choices as cells, and back."""

from __future__ import annotations

from collections.abc import Sequence

from nas.decision import Choice, Genotype
from nas.errors import SpaceError
from search_spaces.darts.cells import Cells, Edge, Plan
from search_spaces.darts.decisions import (
    ALIKE,
    KEPT,
    KINDS,
    EdgeOperations,
    edge_name,
    inputs_name,
    kept_inputs,
    node_range,
    without_none,
)


def cells_of(genotype: Genotype, nodes: int) -> Cells:
    """The cells of a genotype, the inputs of a node in ascending order."""
    return Cells(*(_plan_of(genotype, kind, nodes) for kind in KINDS))


def _plan_of(genotype: Genotype, kind: str, nodes: int) -> Plan:
    states = node_range(nodes)
    edges = (
        tuple(
            Edge(str(genotype[edge_name(kind, source, node)]), source)
            for source in kept_inputs(genotype, kind, node)
        )
        for node in states
    )
    return Plan(tuple(edges), tuple(states))


def choices_of(
    cells: Cells, nodes: int, operations: Sequence[str], own: EdgeOperations = ALIKE
) -> dict[str, Choice]:
    """The genotype of a pair of cells; raises SpaceError for cells outside the space."""
    genotype: dict[str, Choice] = {}
    for kind in KINDS:
        plan = cells.of(kind)
        wanted = tuple(node_range(nodes))
        if plan.concat != wanted or len(plan.nodes) != nodes:
            raise SpaceError(
                f"the {kind} cell has {len(plan.nodes)} nodes and concatenates {plan.concat}; "
                f"this space has {nodes} and concatenates {wanted}; "
                "DartsSpace.build makes its network"
            )
        for node, edges in zip(wanted, plan.nodes, strict=True):
            genotype.update(_choices_at(kind, node, edges, operations, own))
    return genotype


def _choices_at(
    kind: str, node: int, edges: Sequence[Edge], operations: Sequence[str], own: EdgeOperations
) -> dict[str, Choice]:
    inputs = sorted({edge.input for edge in edges})
    if len(edges) != KEPT or len(inputs) != KEPT:
        raise SpaceError(
            f"{kind} node {node} has inputs {[edge.input for edge in edges]}; "
            f"this space keeps {KEPT} different ones"
        )
    choices: dict[str, Choice] = {inputs_name(kind, node): tuple(inputs)}
    for edge in edges:
        name = edge_name(kind, edge.input, node)
        known = without_none(own.get(name, operations))
        if edge.operation not in known:
            where = f" on the edge {name}" if name in own else ""
            raise SpaceError(
                f"{kind} node {node}: operation {edge.operation!r} is not in this space, "
                f"which has {', '.join(known)}{where}"
            )
        choices[name] = edge.operation
    return choices
