"""The nodes of a cell: each reads every state before it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from nas.kernels import Kernels
from nas.searchable.fused.nodes import Fusion
from nas.searchable.mixed import MixedOp
from nas.searchable.node import Node, SumOfEdges
from nas.searchable.recompute import recomputed

Memory = Literal["normal", "low", "lowest"]


class Nodes(nn.ModuleList):
    """Modules from the list of states to the next state, run one after the other.

    A supernet's nodes can also run fused, all edges of a source together: the same values to
    rounding, in a fraction of the time. ``set_execution`` chooses; sampled architectures, of which
    every edge runs a single operation, run one after the other all the same. With less memory,
    ``low`` computes every node (fused: all edges of a source) again for the backward pass,
    ``lowest`` also the nodes of the cell together.
    """

    def __init__(self, nodes: Iterable[nn.Module]) -> None:
        super().__init__(nodes)
        self.memory: Memory = "normal"
        self.use(None)

    def forward(self, states: Sequence[Tensor]) -> list[Tensor]:
        """The given states (N, C, ...) and those of the nodes."""
        if self.memory == "lowest" and torch.is_grad_enabled():
            found: list[Tensor] = recomputed(self, lambda *given: self._run(given), *states)
            return found
        return self._run(states)

    def _run(self, given: Sequence[Tensor]) -> list[Tensor]:
        again = self.memory != "normal" and torch.is_grad_enabled()
        if self.kernels is not None and self.kernels.usable() and self._soft():
            nodes = cast(list[Node | SumOfEdges], list(self))
            return self._fusion(nodes, given, self.kernels.for_input(given[0]), again)
        states = list(given)
        for node in self:
            states.append(_recomputed(node, states) if again else node(states))
        return states

    def use(self, kernels: Kernels | None, memory: Memory = "normal") -> None:
        """Run fused by ``kernels`` from now on, or one after the other if None."""
        self.kernels, self.memory, self._fusion = kernels, memory, Fusion()
        self._mixed = tuple(part for part in self.modules() if isinstance(part, MixedOp))

    def _soft(self) -> bool:
        return any(len(mixed.slot().live) > 1 for mixed in self._mixed)

    def __getstate__(self) -> dict[str, Any]:
        # A copy has other modules, perhaps frozen ones, which only run one after the other.
        plain = {"kernels": None, "memory": "normal", "_fusion": Fusion(), "_mixed": ()}
        return {**self.__dict__, **plain}


def _recomputed(node: nn.Module, states: Sequence[Tensor]) -> Tensor:
    value: Tensor = recomputed(node, lambda *given: node(given), *states)
    return value
