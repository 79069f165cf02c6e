"""Modules outside the nodes of a cell that can run fused as well."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from nas.kernels import Kernels
from nas.searchable.fused.stack import Input, Stack
from nas.searchable.fused.value import Follow


class Fusable(nn.Module, ABC):
    """A module that is its leaves, one after the other; ``set_execution`` says how they run."""

    def __init__(self) -> None:
        super().__init__()
        self.use(None)

    @abstractmethod
    def leaves(self) -> Sequence[nn.Module]:
        """Modules that hold this one's own parts, in the order in which they run."""

    @abstractmethod
    def plain(self, x: Tensor) -> Tensor:
        """What the leaves make of ``x``, without kernels."""

    def use(self, kernels: Kernels | None) -> None:
        """Run fused by ``kernels`` from now on, or plain if None."""
        self.kernels = kernels
        self._stack: Stack | None = None

    def run(self, x: Tensor) -> Tensor:
        """What the leaves make of ``x`` (N, C, ...), fused or plain."""
        if self.kernels is None or not self.kernels.usable():
            return self.plain(x)
        if self._stack is None:
            self._stack = Stack([self])
        follow = Follow()
        kernels = self.kernels.for_input(x)
        value = self._stack(Input(x, follow), kernels).settled(follow, kernels)
        follow.apply()
        return value

    def forward(self, x: Tensor) -> Any:
        """What the leaves make of ``x`` (N, C, ...)."""
        return self.run(x)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "kernels": None, "_stack": None}  # a copy has other parts


class ReLUConvBN(Fusable):
    """ReLU, a convolution, batch normalization.

    Args:
        conv: any convolution.
        norm: over its output's channels.
    """

    def __init__(self, conv: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.relu, self.conv, self.norm = nn.ReLU(), conv, norm

    def leaves(self) -> Sequence[nn.Module]:
        """All three."""
        return [self.relu, self.conv, self.norm]

    def plain(self, x: Tensor) -> Tensor:
        """One after the other."""
        y: Tensor = self.norm(self.conv(self.relu(x)))
        return y


class Chain(Fusable):
    """Named modules, one after the other: a sequence that can run fused."""

    def __init__(self, **modules: nn.Module) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)

    def leaves(self) -> Sequence[nn.Module]:
        """The modules."""
        return list(self.children())

    def plain(self, x: Tensor) -> Tensor:
        """One after the other."""
        for module in self.children():
            x = module(x)
        return x
