"""The search space: eight decisions, supernet, network, text form."""

from __future__ import annotations

from torch import nn

from nas.dataspec import DataSpec
from nas.decision import Choice, Decision, Genotype
from nas.errors import SpaceError
from nas.searchable import MixedOp, candidate
from search_spaces.heads import check_output_size
from search_spaces.macro_chain.network import (
    LAYERS,
    OPERATIONS,
    Network,
    Site,
    operation,
    sites,
)
from search_spaces.numbered import format_numbers, parse_numbers


class MacroChainSpace:
    """Eight layers in a row, each one of three operations: 3^8 = 6,561 genotypes (2103.11922).

    Decisions: ``layer1`` to ``layer8``, as in the table ``nas_bench_macro``. Layers 1, 3 and 6
    halve the size and double the channels. Where shapes stay, an identity can
    change places with its neighbor, so that some genotypes are one network.

    Args:
        data: input shape, kind and number of outputs; the kind decides the head.
        channels: of the supernet's stem.
        network_channels: of the derived network's stem; 32 in the benchmark.
        last_channels: of the convolution before the head, in both; 1,280 in the benchmark.

    Raises:
        SpaceError: for less than one channel, or outputs of another size than the inputs.
    """

    name = "macro_chain"
    supernet_arguments = ("channels",)

    def __init__(
        self,
        data: DataSpec,
        channels: int = 32,
        network_channels: int = 32,
        last_channels: int = 1280,
    ) -> None:
        check_output_size(self.name, data)
        for argument, number in {
            "channels": channels,
            "network_channels": network_channels,
            "last_channels": last_channels,
        }.items():
            if number < 1:
                raise SpaceError(f"space.{argument} must be at least 1, got {number}")
        self.data, self.channels, self.network_channels = data, channels, network_channels
        self.last_channels = last_channels
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
        places = zip(self.decisions, sites(self.network_channels), strict=True)
        layers = [
            candidate(operation(str(genotype[n]), site, self.data.dims), n, str(genotype[n]))
            for n, site in places
        ]
        return self._network(layers, self.network_channels)

    def parse(self, text: str) -> dict[str, Choice]:
        """The genotype of ``macro_chain:22212202``: for each layer the number of its operation."""
        return parse_numbers(text, self.name, self.decisions)

    def format(self, genotype: Genotype) -> str:
        """``macro_chain:22212202``; ``parse`` reads it back."""
        return format_numbers(genotype, self.name, self.decisions)

    def _open(self, channels: int) -> Network:
        places = zip(self.decisions.values(), sites(channels), strict=True)
        return self._network([self._mixed(each, site) for each, site in places], channels)

    def _mixed(self, decision: Decision, site: Site) -> MixedOp:
        # Without `channels`: expansion is per channel, so that partial channels would not fit.
        return MixedOp(
            decision, lambda name: operation(name, site, self.data.dims), stride=site.stride
        )

    def _network(self, layers: list[nn.Module] | list[MixedOp], channels: int) -> Network:
        return Network(layers, data=self.data, channels=channels, last_channels=self.last_channels)
