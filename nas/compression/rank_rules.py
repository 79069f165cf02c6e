"""Ranks of convolutions as decisions: what ``compression=low_rank`` sets."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import cast

from torch import nn

from nas.compression.forms import form_of, sizes_of, why_not
from nas.compression.low_rank import WORTH, worth
from nas.compression.owner import check_alone
from nas.compression.quantized import QUANTIZED, taken_apart
from nas.compression.ranked import FULL, Convolution, rank_of, ranked, with_choices
from nas.compression.widths import LAYERS
from nas.decision import Decision
from nas.errors import SpaceError
from nas.searchable.scope import Scope, scopes


class LowRank:
    """The rank of convolutions as a decision, with ``full`` for the layer as it is.

    Convolutions of one scope (an operation on an edge of a cell, in all cells of its kind) share
    their decision ``<scope>/rank``; elsewhere each has its own. The first and the last layer of
    those in every network stay dense, and so do grouped convolutions and linear layers.

    Args:
        ranks: shares of the break-even rank, at which two layers have as many weights as one,
            increasing up to 0.8. A layer's rank is rounded down and at least 1, so that in narrow
            layers several shares may give the same one.
        form: of the two layers: channel, spatial or decouple. Convolutions with a stride stay dense
            in the last two, where two layers would multiply more.
        pointwise: whether 1x1 convolutions are decided on as well.

    Raises:
        SpaceError: for shares that do not rise between 0 and 0.8, and an unknown form.
    """

    def __init__(
        self,
        ranks: Sequence[float] = (0.25, 0.5, 0.75),
        form: str = "channel",
        pointwise: bool = False,
    ) -> None:
        shares = tuple(float(share) for share in ranks)
        rising = all(low < high for low, high in pairwise(shares))
        if not shares or not rising or not shares[0] > 0 or not shares[-1] <= WORTH:
            raise SpaceError(
                "compression.ranks are shares of the break-even rank that rise between 0 and "
                f"{WORTH}, above which two layers save too little, such as [0.25,0.5,0.75]; got "
                f"{list(shares)}"
            )
        self.ranks, self.form, self.pointwise = shares, form_of(form).name, pointwise

    def apply(self, net: nn.Module, input_shape: Sequence[int] | None = None) -> nn.Module:
        """The network with factors in place of weights, in place.

        Raises SpaceError for a network that is compressed already.
        """
        check_alone(net)
        return self.open(net)

    def open(self, net: nn.Module) -> nn.Module:
        """The same of a network whose layers may be quantized; the ends stay as they are."""
        for name, layer, scope in list(self._places(net)):
            decision = Decision(f"{scope.name}/rank", (*self.ranks, FULL), "nested")
            net.set_submodule(name, ranked(layer, self.form, decision))
        return net

    def blueprint(self, net: nn.Module, input_shape: Sequence[int] | None = None) -> nn.Module:
        """The network with every rank's two layers side by side, in place: costs are theirs.

        Raises SpaceError where there is no layer to decide on, one too narrow for a rank to pay, or
        the network is compressed already.
        """
        check_alone(net)
        self.check(net)
        return with_choices(self.open(net))

    def check(self, net: nn.Module) -> None:
        """Raise SpaceError where there is nothing to decide on, or a layer is too narrow."""
        places = list(self._places(net))
        for name, layer, _ in places:
            plain = cast(Convolution, taken_apart(layer)[0])
            if not worth(rank_of(plain, self.form, self.ranks[-1]), plain, self.form):
                raise SpaceError(
                    f"{name!r} with {layer.in_channels} input and {layer.out_channels} output "
                    f"channels is so narrow that no rank is below {WORTH} of break-even; make the "
                    "network wider, or decide on no ranks (compression.ranks=null beside bits and "
                    "widths, else compression=none)"
                )
        if not places:
            raise SpaceError(
                "there is no convolution to take apart between the first and the last layer: "
                f"compression.form={self.form} takes those in one group"
                + ("" if self.form == "channel" else " and without a stride")
                + (
                    "; set compression=none"
                    if self.pointwise
                    else " with a kernel above 1x1; set compression.pointwise=true for 1x1 ones "
                    "as well, or compression=none"
                )
            )

    def settle(self, net: nn.Module, input_shape: Sequence[int] | None = None) -> nn.Module:
        """The frozen network, in which layers have their ranks already."""
        return net

    def _places(self, net: nn.Module) -> Iterator[tuple[str, Convolution, Scope]]:
        """The convolutions to decide on, with name and scope."""
        found = [each for each in scopes(net) if type(each[1]) in (*LAYERS, *QUANTIZED)]
        fixed = [name for name, _, scope in found if scope.owner is None]  # in every network
        ends = {*fixed[:1], *fixed[-1:]}
        for name, layer, scope in found:
            if name in ends or not isinstance(layer, Convolution):
                continue
            if self._takes(cast(Convolution, taken_apart(layer)[0])):
                yield name, layer, scope

    def _takes(self, layer: Convolution) -> bool:
        kernel = math.prod(sizes_of(layer)[2:])
        strided = set(layer.stride) != {1}
        return (
            not why_not(layer, self.form)
            and (kernel > 1 or self.pointwise)
            and (self.form == "channel" or not strided)
        )
