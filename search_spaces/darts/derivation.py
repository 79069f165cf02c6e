"""From the weights of a search to a genotype."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from nas.arch import Arch, Weights
from nas.decision import Choice
from search_spaces.darts.decisions import (
    ALIKE,
    KEPT,
    KINDS,
    EdgeOperations,
    edge_name,
    inputs_name,
    node_range,
    without_none,
)


class Best(NamedTuple):
    """The strongest operation of an edge, and how strong the edge is by it."""

    score: float
    operation: str


def derive(
    arch: Arch, nodes: int, operations: Sequence[str], own: EdgeOperations = ALIKE
) -> dict[str, Choice]:
    """Two inputs per node by ``b_i max_{o != none} p_io``, on each the best operation but ``none``.

    ``p`` are the weights of the operations, after the softmax; ``b`` those of the inputs, 1 where
    ``arch`` has none (1806.09055, section 2.4; 1907.05737, section 3.3). Ties go to the smaller
    index.

    Args:
        arch: weights by decision; their rows are over ``operations``, with or without ``none``.
        nodes: intermediate nodes of a cell.
        operations: in the order of the rows.
        own: operations of edges that have other ones, by decision.
    """
    genotype: dict[str, Choice] = {}
    for kind in KINDS:
        for node in node_range(nodes):
            best = {
                source: _best(
                    arch, kind, source, node, own.get(edge_name(kind, source, node), operations)
                )
                for source in range(node)
            }
            order = sorted(best, key=lambda source: (-best[source].score, source))
            kept = sorted(order[:KEPT])
            genotype[inputs_name(kind, node)] = tuple(kept)
            for source in kept:
                genotype[edge_name(kind, source, node)] = best[source].operation
    return genotype


def _best(arch: Arch, kind: str, source: int, node: int, operations: Sequence[str]) -> Best:
    """The best operation of an edge; an edge that was not executed scores below all others."""
    weights = arch.get(edge_name(kind, source, node))
    if not isinstance(weights, Weights):
        return Best(-1.0, without_none(operations)[0])
    row = weights.row.tolist()
    names = operations if len(row) == len(operations) else without_none(operations)
    pairs = [Best(p, op) for p, op in zip(row, names, strict=True) if op != "none"]
    score, operation = max(pairs, key=lambda pair: pair.score)  # the first of equals
    inputs = arch.get(inputs_name(kind, node))
    share = float(inputs.row[source]) if isinstance(inputs, Weights) else 1.0
    return Best(score * share, operation)
