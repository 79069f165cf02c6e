"""What is chosen in a cell: the names and candidates of its decisions."""

from __future__ import annotations

from collections.abc import Sequence, Set

from nas.decision import Decision, Genotype

KINDS = ("normal", "reduce")
KEPT = 2  # inputs that a node of a genotype keeps


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


def edge_decision(kind: str, source: int, node: int, operations: Sequence[str]) -> Decision:
    """One of ``operations`` on an edge."""
    return Decision(edge_name(kind, source, node), tuple(operations))


def inputs_decision(kind: str, node: int) -> Decision:
    """Two of the states before ``node``."""
    return Decision(inputs_name(kind, node), tuple(range(node)), pick=KEPT)


def schema(nodes: int, operations: Sequence[str]) -> dict[str, Decision]:
    """The decisions of a genotype by name: for each kind and node, its edges, then its inputs."""
    candidates = without_none(operations)
    found: list[Decision] = []
    for kind in KINDS:
        for node in node_range(nodes):
            found += [edge_decision(kind, source, node, candidates) for source in range(node)]
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
