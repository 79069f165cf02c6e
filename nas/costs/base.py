"""The contract of a cost."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from nas.arch import Arch
from nas.cost_tree import Chosen, CostNode


class Cost(Protocol):
    """A scalar cost of an architecture: exact for one-hot weights, an expectation otherwise.

    A cost may say by a ``rule`` what it counts; it is printed beside its figures.
    """

    name: str
    unit: str

    def __call__(self, arch: Arch) -> Tensor:
        """The cost in ``unit``; scalar, differentiable in the weights of ``arch``."""
        ...


class TreeCost:
    """A cost evaluated on a cost tree.

    Attributes:
        rule: what is counted, printed beside figures.
    """

    rule = ""

    def __init__(self, name: str, unit: str, tree: CostNode) -> None:
        self.name, self.unit, self.tree = name, unit, tree

    def __call__(self, arch: Arch) -> Tensor:
        """The expected cost in ``unit``; scalar, float64."""
        return self.tree.expect(arch)

    def exact(self, chosen: Chosen) -> float:
        """The cost of one genotype in ``unit``, without tensors: many can be compared."""
        return self.tree.exact(chosen)


def rule_of(cost: object) -> str:
    """What a cost, or a class of costs, says that it counts; empty where it says nothing."""
    return str(getattr(cost, "rule", ""))
