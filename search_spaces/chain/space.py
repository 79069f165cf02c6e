"""The search space: five decisions, supernet, network, text form."""

from __future__ import annotations

from torch import nn

from nas.dataspec import DataSpec
from nas.decision import Choice, Decision, Genotype
from nas.errors import SpaceError
from nas.searchable import MixedOp, candidate
from search_spaces.chain.network import LAYERS, OPERATIONS, Network, operation
from search_spaces.heads import check_output_size
from search_spaces.numbered import format_numbers, parse_numbers


class ChainSpace:
    """Five layers in a row, each one of four operations: 4^5 = 1,024 genotypes.

    Decisions: ``layer1`` to ``layer5``. The width is the same everywhere; max pooling halves the
    size after layers 2 and 4. It is small enough to be known completely: the benchmark ``chain``
    holds three trainings of every network on digits.

    Args:
        data: input shape, kind and number of outputs; the kind decides the head.
        channels: of the supernet.
        network_channels: of the derived network; 8 in the benchmark.

    Raises:
        SpaceError: for less than one channel, or outputs of another size than the inputs.
    """

    name = "chain"
    supernet_arguments = ("channels",)

    def __init__(self, data: DataSpec, channels: int = 8, network_channels: int = 8) -> None:
        check_output_size(self.name, data)
        for argument, number in (("channels", channels), ("network_channels", network_channels)):
            if number < 1:
                raise SpaceError(f"space.{argument} must be at least 1, got {number}")
        self.data, self.channels, self.network_channels = data, channels, network_channels
        names = [f"layer{place}" for place in range(1, LAYERS + 1)]
        self.decisions = {name: Decision(name, OPERATIONS) for name in names}

    def supernet(self) -> nn.Module:
        """All layers open."""
        return self._open(self.channels)

    def blueprint(self) -> nn.Module:
        """All layers open at the derived network's width; for costs."""
        return self._open(self.network_channels)

    def network(self, genotype: Genotype) -> Network:
        """The derived network, freshly initialized; outputs (N, outputs), or one per position."""
        width = self.network_channels
        chosen = {name: str(genotype[name]) for name in self.decisions}
        layers = [
            candidate(operation(each, width, self.data.dims), name, each)
            for name, each in chosen.items()
        ]
        return Network(layers, data=self.data, channels=width)

    def parse(self, text: str) -> dict[str, Choice]:
        """The genotype of ``chain:20302``: for each layer the number of its operation."""
        return parse_numbers(text, self.name, self.decisions)

    def format(self, genotype: Genotype) -> str:
        """``chain:20302``; ``parse`` reads it back."""
        return format_numbers(genotype, self.name, self.decisions)

    def _open(self, channels: int) -> Network:
        def make(name: str | int | float, width: int) -> nn.Module:
            return operation(name, width, self.data.dims)

        layers = [MixedOp(each, make, channels=channels) for each in self.decisions.values()]
        return Network(layers, data=self.data, channels=channels)
