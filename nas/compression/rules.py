"""Which compression a network gets as decisions: what ``compression=`` sets."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from nas.compression.grid import check_bits, grid_of
from nas.compression.quantized import Layer, quantized_layer
from nas.compression.quantizer import Quantizer
from nas.decision import Decision
from nas.errors import SpaceError
from nas.searchable.scope import Scope, scopes

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Linear)
WEIGHT_BITS, INPUT_BITS = "weight_bits", "activation_bits"


class Compression:
    """Bits of weights and activations as decisions of every layer of a network.

    Layers of one scope (an operation on an edge of a cell, in all cells of its kind) share their
    decisions; elsewhere each layer has its own. They are named ``<scope>/weight_bits`` and
    ``<scope>/activation_bits``.

    Args:
        weight_bits: candidates, of which each divides the next; one alone fixes the bits, None
            leaves weights in fp32.
        activation_bits: of the layers' inputs, likewise.
        ends: bits of weights and inputs of the first and of the last layer, of those that are
            in every network (8 in ABS, arXiv 2101.04935, section 4); None leaves both in fp32.
        grid: of the weights: ``midtread`` has a zero and is what integers hold, ``midrise`` is the
            published one and cannot be exported as integers.
        normalized: whether weights are brought to mean 0 and deviation 1 before they are quantized.

    Raises:
        SpaceError: for bits whose grids are not nested, another grid, or nothing to decide on.
    """

    def __init__(
        self,
        weight_bits: Sequence[int] | None = (2, 4, 8),
        activation_bits: Sequence[int] | None = (2, 4, 8),
        ends: int | None = 8,
        grid: str = "midtread",
        normalized: bool = False,
    ) -> None:
        self.weight_bits = _bits(weight_bits, "compression.weight_bits")
        self.activation_bits = _bits(activation_bits, "compression.activation_bits")
        self.ends = None if ends is None else check_bits((ends,), "compression.ends")[0]
        self.grid, self.normalized = grid_of(grid), normalized
        if not self.weight_bits and not self.activation_bits:
            raise SpaceError(
                "this compression decides on nothing; set compression.weight_bits or "
                "compression.activation_bits, or compression=none"
            )

    def apply(self, net: nn.Module) -> nn.Module:
        """The network with its layers replaced, in place; weights stay the same parameters.

        Raises SpaceError where there is no layer to compress.
        """
        found = [
            (name, layer, scope) for name, layer, scope in scopes(net) if type(layer) in LAYERS
        ]
        if not found:
            raise SpaceError(
                "this network has no convolution or linear layer to compress; set compression=none"
            )
        fixed = [name for name, _, scope in found if scope.owner is None]  # in every network
        ends = {*fixed[:1], *fixed[-1:]}
        for name, layer, scope in found:
            assert isinstance(layer, LAYERS)
            made = self._end(layer) if name in ends else self._inner(layer, scope)
            if name:
                net.set_submodule(name, made)
            else:
                net = made
        return net

    def _inner(self, layer: Layer, scope: Scope) -> nn.Module:
        weights = _decision(scope, WEIGHT_BITS, self.weight_bits)
        inputs = _decision(scope, INPUT_BITS, self.activation_bits)
        return quantized_layer(layer, self._of_weights(weights), _of_inputs(inputs))

    def _end(self, layer: Layer) -> nn.Module:
        if self.ends is None:
            return layer
        weights = self.ends if self.weight_bits else None
        inputs = self.ends if self.activation_bits else None
        return quantized_layer(layer, self._of_weights(weights), _of_inputs(inputs))

    def _of_weights(self, bits: Decision | int | None) -> nn.Module:
        return nn.Identity() if bits is None else Quantizer(bits, self.grid, self.normalized)


def _of_inputs(bits: Decision | int | None) -> nn.Module:
    return nn.Identity() if bits is None else Quantizer(bits)


def _decision(scope: Scope, what: str, bits: Sequence[int]) -> Decision | int | None:
    if not bits:
        return None
    return bits[0] if len(bits) == 1 else Decision(f"{scope.name}/{what}", tuple(bits), "nested")


def _bits(bits: Sequence[int] | None, what: str) -> tuple[int, ...]:
    return () if bits is None else check_bits(bits, what)
