"""Parts of a network that read decisions of compression, and no others."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import nn

from nas.decision import Decision
from nas.errors import SpaceError


@runtime_checkable
class Owner(Protocol):
    """A module with decisions that compression added."""

    @property
    def owned(self) -> tuple[Decision, ...]:
        """What it reads; empty where all is fixed."""
        ...


def has_bits(module: nn.Module) -> bool:
    """Whether a layer computes in quantized numbers, searched or fixed."""
    return hasattr(module, "weight_quantizer")


def check_alone(net: nn.Module) -> None:
    """Raise SpaceError where another compression is at work in ``net`` already."""
    for name, module in net.named_modules():
        if isinstance(module, Owner) or has_bits(module):
            raise SpaceError(
                f"{name!r} is compressed already; set compression=none, or give the network "
                "uncompressed"
            )
