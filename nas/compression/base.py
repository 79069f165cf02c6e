"""The contract of what ``compression=`` sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import nn


class Rules(Protocol):
    """What compression adds to the networks of a space.

    Where the supernet's form of a decision is not what costs are counted on, ``blueprint``, called
    like ``apply``, gives that form.
    """

    def apply(self, net: nn.Module, input_shape: Sequence[int] | None = None) -> nn.Module:
        """A supernet or a network with the decisions of compression, in place.

        Args:
            net: freshly built, or trained; with choices of its own or without.
            input_shape: of one input, without batch axis, where the space says it.
        """
        ...

    def settle(self, net: nn.Module, input_shape: Sequence[int] | None = None) -> nn.Module:
        """A frozen network with what was not chosen really gone; it may be changed."""
        ...
