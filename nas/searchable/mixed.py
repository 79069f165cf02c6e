"""Alternatives on an edge: a weighted sum of candidate operations."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import Tensor, nn

from nas.arch import Weights
from nas.cost_tree import Alternatives, CostNode
from nas.decision import Candidate, Decision
from nas.searchable.scope import candidate
from nas.supernet import Slot, frozen

MakeOperation = Callable[..., nn.Module]


class MixedOp(nn.Module):
    """``sum_o w_o op_o(x)`` over the candidates of one decision (DARTS, arXiv 1806.09055, eq. 2).

    Args:
        decision: its candidates name the operations; only live ones are executed.
        make: ``make(candidate)`` builds an operation, or ``make(candidate, channels)`` if
            ``channels`` is given.
        channels: set where every candidate keeps this number of channels; partial channels can then
            be applied.
        stride: of every candidate; what a bypass of partial channels must match.
    """

    def __init__(
        self,
        decision: Decision,
        make: MakeOperation,
        channels: int | None = None,
        stride: int = 1,
    ) -> None:
        super().__init__()
        self.slot = Slot(decision)
        self.make, self.channels, self.stride = make, channels, stride
        width = () if channels is None else (channels,)
        operations = [
            candidate(make(each, *width), decision.name, each) for each in decision.candidates
        ]
        self.ops = nn.ModuleDict(dict(zip(_keys(decision.candidates), operations, strict=True)))

    def forward(self, x: Tensor) -> Tensor:
        """The weighted sum of what the live operations make of ``x`` (N, C, ...)."""
        weights: Weights = self.slot()
        return weights.mix(tuple(self.ops.values()), x)

    def resized(self, channels: int) -> MixedOp:
        """A new mixed operation of the same decision on another number of channels."""
        return MixedOp(self.slot.decision, self.make, channels, self.stride)

    def freeze(self) -> nn.Module:
        """A copy of the chosen operation; choices inside it are frozen too."""
        return frozen(tuple(self.ops.values())[self.slot().index])

    def cost(self, visit: Callable[[nn.Module], CostNode]) -> CostNode:
        """One alternative per candidate."""
        parts = tuple(visit(op) for op in self.ops.values())
        return Alternatives(self.slot.decision.name, parts)


def _keys(candidates: Iterable[Candidate]) -> list[str]:
    """The candidates as names that a ``ModuleDict`` takes: ``double`` is one of its attributes."""
    taken, keys = nn.ModuleDict(), list[str]()
    for each in candidates:
        key = str(each).replace(".", "_")
        while not key or key in keys or hasattr(taken, key):
            key += "_"
        keys.append(key)
    return keys
