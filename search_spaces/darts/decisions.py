"""What is chosen in a cell: the names and candidates of its decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from types import MappingProxyType

from nas.decision import Decision, Genotype
from nas.errors import SpaceError, nearest
from search_spaces.ops import check_operation

KINDS = ("normal", "reduce")
KEPT = 2  # inputs that a node of a genotype keeps
EdgeOperations = Mapping[str, Sequence[str]]  # of edges that have other candidates than the rest
ALIKE: EdgeOperations = MappingProxyType({})


def edge_name(kind: str, source: int, node: int) -> str:
    """The decision over the operations on the edge from state ``source`` to ``node``."""
    return f"{kind}/{source}->{node}"


def inputs_name(kind: str, node: int) -> str:
    """The decision over the states that ``node`` keeps as inputs."""
    return f"{kind}/node{node}/inputs"


def node_range(nodes: int) -> range:
    """The states that are nodes: 2, 3, ...; states 0 and 1 are the two previous cells."""
    return range(2, 2 + nodes)


def without_none(operations: Sequence[str]) -> tuple[str, ...]:
    """The operations that a genotype can hold."""
    return tuple(op for op in operations if op != "none")


def edge_names(nodes: int) -> list[str]:
    """The decisions over operations: for each kind and node, its edges."""
    return [
        edge_name(kind, source, node)
        for kind in KINDS
        for node in node_range(nodes)
        for source in range(node)
    ]


def edge_decision(
    kind: str, source: int, node: int, operations: Sequence[str], own: EdgeOperations = ALIKE
) -> Decision:
    """One of ``operations`` on an edge, or one of the edge's ``own``."""
    name = edge_name(kind, source, node)
    return Decision(name, tuple(own.get(name, operations)))


def inputs_decision(kind: str, node: int) -> Decision:
    """Two of the states before ``node``."""
    return Decision(inputs_name(kind, node), tuple(range(node)), pick=KEPT)


def schema(
    nodes: int, operations: Sequence[str], own: EdgeOperations = ALIKE
) -> dict[str, Decision]:
    """The decisions of a genotype by name: for each kind and node, its edges, then its inputs."""
    candidates = without_none(operations)
    own = {name: without_none(candidates) for name, candidates in own.items()}
    found: list[Decision] = []
    for kind in KINDS:
        for node in node_range(nodes):
            found += [edge_decision(kind, source, node, candidates, own) for source in range(node)]
            found.append(inputs_decision(kind, node))
    return {decision.name: decision for decision in found}


def kept_inputs(choices: Genotype, kind: str, node: int) -> tuple[int, ...]:
    """The inputs that ``choices`` keep at a node; none where they do not say."""
    kept = choices.get(inputs_name(kind, node), ())
    return tuple(int(source) for source in kept) if isinstance(kept, tuple) else ()


def active_names(choices: Genotype, nodes: int) -> Set[str]:
    """The inputs of every node, and the operations on the edges they keep."""
    names: set[str] = set()
    for kind in KINDS:
        for node in node_range(nodes):
            names.add(inputs_name(kind, node))
            kept = kept_inputs(choices, kind, node)
            names.update(edge_name(kind, source, node) for source in kept)
    return names


def check_operations(
    operations: Sequence[str], own: EdgeOperations, nodes: int, dims: int = 2
) -> None:
    """Raise SpaceError for an unknown operation or edge, or one with nothing besides ``none``."""
    edges = edge_names(nodes)
    for name in own:
        if name not in edges:
            raise SpaceError(
                f"space.edge_operations: no edge {name!r} in cells of {nodes} nodes; edges are "
                f"{edges[0]} to {edges[-1]}{nearest(str(name), edges)}"
            )
    named = {f"space.edge_operations[{name}]": candidates for name, candidates in own.items()}
    for label, candidates in {"space.operations": operations, **named}.items():
        for each in candidates:
            check_operation(each, dims)
        if not without_none(candidates):
            raise SpaceError(f"{label} needs at least one operation besides none")
