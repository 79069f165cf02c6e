"""The search space: a decision per input channel, and data that one genotype is best for."""

from __future__ import annotations

import torch
from torch import nn

from nas.batch import Batch
from nas.dataspec import DataSpec
from nas.decision import Candidate, Decision, Genotype
from nas.errors import SpaceError
from nas.searchable import MixedOp, candidate
from search_spaces.heads import check_output_size
from search_spaces.ops import operation, relu_conv_bn
from search_spaces.toy.network import Network

OPERATIONS = ("skip_connect", "noise", "nor_conv_1x1", "nor_conv_3x3")
PLANTED = DataSpec((2, 8, 8), "classes", 4)
NOISE = 0.5  # standard deviation of what is added to the stripes


class ToySpace:
    """One of four operations on each input channel; on its own data 3x3 convolutions are best.

    Decisions: ``channel1``, ``channel2``, ... In the data of ``batch`` each channel has stripes
    along rows or columns, which is one bit of the class. A single position says nothing of it: only
    an operation that sees neighbors can.

    Args:
        data: input shape, kind and number of outputs; the kind decides the head.
        channels: of the supernet's operations.
        network_channels: of the derived network's operations.

    Raises:
        SpaceError: for less than one channel, or outputs of another size than the inputs.
    """

    name = "toy"
    supernet_arguments = ("channels",)

    def __init__(
        self, data: DataSpec = PLANTED, channels: int = 4, network_channels: int = 4
    ) -> None:
        check_output_size(self.name, data)
        for argument, number in (("channels", channels), ("network_channels", network_channels)):
            if number < 1:
                raise SpaceError(f"space.{argument} must be at least 1, got {number}")
        self.data, self.channels, self.network_channels = data, channels, network_channels
        names = [f"channel{place}" for place in range(1, data.channels + 1)]
        self.decisions = {name: Decision(name, OPERATIONS) for name in names}
        self.best: Genotype = dict.fromkeys(names, "nor_conv_3x3")

    def supernet(self) -> nn.Module:
        """All operations open."""
        return self._open(self.channels)

    def blueprint(self) -> nn.Module:
        """All operations open at the derived network's width; for costs."""
        return self._open(self.network_channels)

    def network(self, genotype: Genotype) -> Network:
        """The derived network, freshly initialized; outputs (N, outputs), or one per position."""
        width = self.network_channels
        chosen = {name: str(genotype[name]) for name in self.decisions}
        operations = [
            candidate(self._operation(each, width), name, each) for name, each in chosen.items()
        ]
        return Network(operations, data=self.data, channels=width)

    def batch(self, count: int, generator: torch.Generator) -> Batch:
        """Fresh inputs (count, C, H, W) and classes (count,), for which ``best`` is best.

        A class spells one bit per channel: stripes along rows or along columns, of either sign.
        Raises SpaceError for data that are no images in ``2**channels`` classes.
        """
        count_bits = self.data.channels
        if self.data.dims != 2 or self.data.kind != "classes" or self.data.outputs != 2**count_bits:
            raise SpaceError(
                f"the planted data are images of C channels in 2**C classes, as {PLANTED}; "
                f"this space has {self.data}"
            )
        bits = torch.randint(2, (count, count_bits), generator=generator)
        signs = 2.0 * torch.randint(2, (count, count_bits, 1, 1), generator=generator) - 1.0
        rows, columns = (1.0 - 2.0 * (torch.arange(size) % 2) for size in self.data.size)
        along = torch.where(bits[..., None, None] == 1, rows[:, None], columns[None, :])
        noise = NOISE * torch.randn(count, *self.data.input_shape, generator=generator)
        return Batch(signs * along + noise, (bits * 2 ** torch.arange(count_bits)).sum(1))

    def _operation(self, name: Candidate, channels: int) -> nn.Module:
        if name in ("skip_connect", "noise"):
            return operation(str(name), channels, 1, dims=self.data.dims)
        kernel = {"nor_conv_1x1": 1, "nor_conv_3x3": 3}[str(name)]
        return relu_conv_bn(channels, channels, kernel, dims=self.data.dims)

    def _open(self, channels: int) -> Network:
        mixed = [
            MixedOp(each, self._operation, channels=channels) for each in self.decisions.values()
        ]
        return Network(mixed, data=self.data, channels=channels)
