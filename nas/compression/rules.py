"""Which compression a network gets as decisions: what ``compression=`` sets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from itertools import pairwise

from torch import nn

from nas.compression.grid import check_bits, grid_of
from nas.compression.owner import check_alone
from nas.compression.quantized import Layer, quantized_layer
from nas.compression.quantizer import Quantizer
from nas.compression.rank_rules import LowRank
from nas.compression.ranked import with_choices
from nas.compression.widths import LAYERS, Widths, cut, has_layers
from nas.decision import Decision
from nas.errors import SpaceError
from nas.searchable.scope import Scope, scopes

WEIGHT_BITS, INPUT_BITS = "weight_bits", "activation_bits"


class Compression:
    """Bits of weights and activations, and channels kept, as decisions of a network's layers.

    Layers of one scope (an operation on an edge of a cell, in all cells of its kind) share their
    bits; elsewhere each layer has its own: ``<scope>/weight_bits``, ``<scope>/activation_bits``.
    Channels are decided on by groups that can only be cut together, named by the layer that makes
    them: ``<layer>/width`` or, filter by filter, ``<layer>/filters``.

    Args:
        weight_bits: candidates, of which each divides the next; one alone fixes the bits, None
            leaves weights in fp32.
        activation_bits: of the layers' inputs, likewise.
        ends: bits of weights and inputs of the first and of the last layer, of those that are
            in every network (8 in ABS, arXiv 2101.04935, section 4); None leaves both in fp32.
        grid: of the weights: ``midtread`` has a zero and is what integers hold, ``midrise`` is the
            published one and cannot be exported as integers.
        normalized: whether weights are brought to mean 0 and deviation 1 before they are quantized.
        widths: shares of a group's channels that can be kept, up to 1.0; the first ones are. None
            keeps all.
        filters: filters that one gate keeps or drops together (4 for ResNet-20 in ABS); the first
            of a group always stay. For networks of one width, in place of ``widths``.
        residual: whether groups that a sum runs through are decided on as well.
        round_to: numbers of channels are rounded up to a multiple of it.
        ranks: shares of the break-even rank of a convolution (`LowRank`); None decides on none.
        form: of the two layers in a convolution's place: channel or spatial, beside bits alone also
            decouple.
        pointwise: whether 1x1 convolutions have ranks as well.
        skip: names of layers that stay in fp32, with ``*`` for any part of a name.

    Raises:
        SpaceError: for bits whose grids are not nested, shares that do not rise to 1, another grid,
            or nothing to decide on.
    """

    def __init__(
        self,
        weight_bits: Sequence[int] | None = (2, 4, 8),
        activation_bits: Sequence[int] | None = (2, 4, 8),
        ends: int | None = 8,
        grid: str = "midtread",
        normalized: bool = False,
        widths: Sequence[float] | None = None,
        filters: int | None = None,
        residual: bool = False,
        round_to: int = 1,
        ranks: Sequence[float] | None = None,
        form: str = "channel",
        pointwise: bool = False,
        skip: Sequence[str] = (),
    ) -> None:
        self.skip = tuple(skip)
        self.low_rank = _low_rank(ranks, form, pointwise)
        self.weight_bits = _bits(weight_bits, "compression.weight_bits")
        self.activation_bits = _bits(activation_bits, "compression.activation_bits")
        self.ends = None if ends is None else check_bits((ends,), "compression.ends")[0]
        self.grid, self.normalized = grid_of(grid), normalized
        self.widths = _widths(widths, filters, residual, round_to)
        decides = self.weight_bits or self.activation_bits or self.widths or self.low_rank
        if not decides:
            raise SpaceError(
                "this compression decides on nothing; set compression.weight_bits, "
                "compression.activation_bits, compression.widths, compression.filters or "
                "compression.ranks, or compression=none"
            )
        if self.low_rank and self.widths and form == "decouple":
            raise SpaceError(
                "compression.form=decouple has as many groups as outputs, which cannot be cut; use "
                "form=channel or spatial beside widths"
            )

    def apply(self, net: nn.Module, input_shape: Sequence[int] | None = None) -> nn.Module:
        """The network with its decisions, in place; weights stay the same parameters.

        Args:
            net: freshly built, or trained; with choices of its own or without.
            input_shape: of one input, without batch axis; needed for widths of a network without
                candidate operations.

        Raises:
            SpaceError: there is no layer to compress, or the network cannot be traced; with the
                layer's name and what to do.
        """
        check_alone(net)
        if not has_layers(net):
            raise SpaceError(
                "this network has no convolution or linear layer to compress; set compression=none"
            )
        if self.weight_bits or self.activation_bits:
            net = self._quantized(net)
        if self.low_rank is not None:
            net = self.low_rank.open(net)
        if self.widths is not None:
            self.widths.open(net, input_shape)
        return net

    def blueprint(self, net: nn.Module, input_shape: Sequence[int] | None = None) -> nn.Module:
        """The network with every rank's layers side by side, in place: costs are theirs.

        Raises SpaceError as ``apply``, and for layers too narrow for a rank to pay.
        """
        if self.low_rank is not None:
            self.low_rank.check(net)
        return with_choices(self.apply(net, input_shape))

    def settle(self, net: nn.Module, input_shape: Sequence[int] | None = None) -> nn.Module:
        """A frozen network with the channels really gone that were not chosen."""
        return net if self.widths is None else cut(net, input_shape)

    def _quantized(self, net: nn.Module) -> nn.Module:
        found = list(self._layers(net))
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

    def _layers(self, net: nn.Module) -> Iterator[tuple[str, nn.Module, Scope]]:
        """The layers to quantize; SpaceError for one that there is no rule for."""
        for name, layer, scope in scopes(net):
            if any(fnmatch(name, pattern) for pattern in self.skip):
                continue
            if type(layer) in LAYERS:
                yield name, layer, scope
            elif any(p.dim() > 1 for p in layer.parameters(recurse=False)):
                raise SpaceError(
                    f"layer {name!r} of type {type(layer).__name__} has weights and no rule for "
                    "quantizing them: convolutions of 1 and 2 dimensions and linear layers have; "
                    f"leave it in fp32 by 'compression.skip=[{name}]'"
                )

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


def _low_rank(ranks: Sequence[float] | None, form: str, pointwise: bool) -> LowRank | None:
    if ranks is not None:
        return LowRank(ranks, form, pointwise)
    if form != "channel" or pointwise:
        raise SpaceError(
            "compression.form and compression.pointwise belong to compression.ranks; set these, or "
            "leave them out"
        )
    return None


def _widths(
    shares: Sequence[float] | None, filters: int | None, residual: bool, round_to: int
) -> Widths | None:
    if shares is None and filters is None:
        if residual or round_to != 1:
            raise SpaceError(
                "compression.residual and compression.round_to belong to compression.widths or "
                "compression.filters; set one of these, or leave them out"
            )
        return None
    if shares is not None and filters is not None:
        raise SpaceError(
            "compression.widths and compression.filters both decide on channels; set one of them"
        )
    if round_to < 1:
        raise SpaceError(f"compression.round_to must be at least 1, got {round_to}")
    if filters is not None:
        if filters < 1 or round_to != 1:
            raise SpaceError(
                f"compression.filters must be at least 1 and goes without round_to, got {filters} "
                f"and round_to={round_to}"
            )
        return Widths((), filters, residual)
    found = tuple(float(share) for share in shares or ())
    rising = all(low < high for low, high in pairwise(found))
    if len(found) < 2 or not rising or found[0] <= 0 or found[-1] != 1.0:
        raise SpaceError(
            "compression.widths are shares of the channels that rise to 1.0, such as "
            f"[0.25,0.5,1.0], got {list(found)}"
        )
    return Widths(found, 0, residual, round_to)
