"""How the nodes of a supernet are computed: one operation after the other, or fused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from nas.kernels import Kernels, UsesKernels
from nas.searchable.mixed import MixedOp
from nas.searchable.node import Node, SumOfEdges
from nas.searchable.nodes import Memory, Nodes
from nas.searchable.partial import PartialChannels


def set_execution(net: nn.Module, kernels: Kernels | None, memory: Memory = "normal") -> list[str]:
    """Let every cell's nodes run fused by ``kernels``, or plain if None.

    Returns a sentence for each kind of nodes that runs plain although kernels were given, and why.
    """
    reasons: dict[str, None] = {}
    for nodes in (part for part in net.modules() if isinstance(part, Nodes)):
        reason = None if kernels is None else _unfit(nodes)
        nodes.use(None if reason else kernels, memory)
        if reason:
            reasons[reason] = None
    for part in net.modules():
        if isinstance(part, UsesKernels) and not isinstance(part, Nodes):
            part.use(kernels)
    return list(reasons)


def _unfit(nodes: Nodes) -> str | None:
    """Why these nodes cannot run fused; None if they can."""
    for node in nodes:
        if not isinstance(node, Node | SumOfEdges):
            return f"nodes of type {type(node).__name__} run one operation after the other"
        for edge in node.edges:
            inner = edge.inner if isinstance(edge, PartialChannels) else edge
            if not isinstance(inner, MixedOp):
                return f"edges of type {type(inner).__name__} run one after the other"
            if inner._forward_hooks or inner._forward_pre_hooks:
                return "mixed operations with hooks run one after the other"
    return None


@contextmanager
def plain_execution(net: nn.Module) -> Iterator[None]:
    """Every module of ``net`` runs inside, and so do its hooks."""
    parts = [part for part in net.modules() if isinstance(part, UsesKernels)]
    before = [part.kernels for part in parts]
    for part in parts:
        part.kernels = None
    try:
        yield
    finally:
        for part, kernels in zip(parts, before, strict=True):
            part.kernels = kernels
