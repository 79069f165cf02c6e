"""The search space: a decision per block, supernet, network, text form."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from nas.dataspec import DataSpec
from nas.decision import Choice, Decision, Genotype
from nas.errors import SpaceError, nearest
from nas.searchable import MixedOp, candidate
from search_spaces.heads import check_output_size
from search_spaces.mobile.network import (
    PREFIXES,
    Block,
    Network,
    Site,
    candidates,
    even,
    operation,
    sites,
)
from search_spaces.numbered import format_numbers, parse_numbers


class MobileSpace:
    """Blocks of mobile networks in a row; kernel and expansion of each are searched.

    Decisions: ``layer1``, ``layer2``, ...; candidates such as ``mbconv_k3_e6``, every kernel with
    every expansion, and ``identity`` where a block keeps its shape. By default 7 blocks.

    Args:
        data: input shape, kind and number of outputs; the kind decides the head.
        channels: of the supernet's stem.
        network_channels: of the derived network's stem.
        block: ``inverted_residual`` (1801.04381) or ``shuffle`` (1807.11164).
        kernels: of the depthwise convolutions; odd.
        expansions: channels inside a block per channel: of its input in an inverted residual, of
            what its branch gives in a shuffle unit.
        widths: channels of each stage in multiples of the stem's, rounded up to an even number.
        depths: blocks of each stage.
        strides: of the first block of each stage, 1 or 2.
        stem_stride: of the stem, 1 or 2; 2 for images of 224x224.
        last_channels: of the convolution before the head.

    Raises:
        SpaceError: for settings that make no network, or outputs of another size than the inputs.
    """

    name = "mobile"
    supernet_arguments = ("channels",)

    def __init__(
        self,
        data: DataSpec,
        channels: int = 32,
        network_channels: int = 32,
        block: Block = "inverted_residual",
        kernels: Sequence[int] = (3, 5, 7),
        expansions: Sequence[int] = (3, 6),
        widths: Sequence[float] = (1.0, 2.0, 4.0),
        depths: Sequence[int] = (2, 3, 2),
        strides: Sequence[int] = (1, 2, 2),
        stem_stride: int = 1,
        last_channels: int = 1280,
    ) -> None:
        check_output_size(self.name, data)
        if block not in PREFIXES:
            raise SpaceError(
                f"space.block must be one of {', '.join(PREFIXES)}, got {block!r}"
                f"{nearest(block, PREFIXES)}"
            )
        _check_numbers(
            channels=[channels],
            network_channels=[network_channels],
            last_channels=[last_channels],
            kernels=kernels,
            expansions=expansions,
            widths=widths,
            depths=depths,
        )
        _check_stages(kernels, widths, depths, [stem_stride, *strides])
        self.data, self.block = data, block
        self.channels, self.network_channels = channels, network_channels
        self.widths, self.depths, self.strides = tuple(widths), tuple(depths), tuple(strides)
        self.stem_stride, self.last_channels = stem_stride, last_channels
        # rounding may change a shape at one width and keep it at the other
        kept = zip(self._sites(channels), self._sites(network_channels), strict=True)
        layers = [
            candidates(block, kernels, expansions, all(s.keeps_shape for s in k)) for k in kept
        ]
        names = [f"layer{place}" for place in range(1, len(layers) + 1)]
        self.decisions = {n: Decision(n, each) for n, each in zip(names, layers, strict=True)}

    def supernet(self) -> nn.Module:
        """All blocks open."""
        return self._open(self.channels)

    def blueprint(self) -> nn.Module:
        """All blocks open at the derived network's width; for costs."""
        return self._open(self.network_channels)

    def network(self, genotype: Genotype) -> Network:
        """The derived network, freshly initialized; outputs (N, outputs), or one per position."""
        places = zip(self.decisions, self._sites(self.network_channels), strict=True)
        layers = [
            candidate(operation(str(genotype[n]), site, self.data.dims), n, str(genotype[n]))
            for n, site in places
        ]
        return self._network(layers, self.network_channels)

    def parse(self, text: str) -> dict[str, Choice]:
        """The genotype of ``mobile:0123456``: for each block the number of its candidate."""
        return parse_numbers(text, self.name, self.decisions)

    def format(self, genotype: Genotype) -> str:
        """``mobile:0123456``; ``parse`` reads it back."""
        return format_numbers(genotype, self.name, self.decisions)

    def _sites(self, channels: int) -> list[Site]:
        return list(sites(channels, self.widths, self.depths, self.strides))

    def _open(self, channels: int) -> Network:
        places = zip(self.decisions.values(), self._sites(channels), strict=True)
        return self._network([self._mixed(each, site) for each, site in places], channels)

    def _mixed(self, decision: Decision, site: Site) -> MixedOp:
        # Without `channels`: a block's width is that of its neighbors, a part of it would not fit.
        return MixedOp(
            decision, lambda name: operation(name, site, self.data.dims), stride=site.stride
        )

    def _network(self, layers: Sequence[nn.Module], channels: int) -> Network:
        return Network(
            layers,
            data=self.data,
            channels=channels,
            stem_stride=self.stem_stride,
            inside=even(self.widths[-1] * channels),
            last_channels=self.last_channels,
        )


def _check_numbers(**settings: Sequence[float]) -> None:
    for name, numbers in settings.items():
        least = 0 if name == "widths" else 1
        if not numbers or any(number < least or not number for number in numbers):
            wanted = "more than 0" if name == "widths" else "at least 1"
            raise SpaceError(f"space.{name} must be {wanted}, got {_told(numbers)}")


def _check_stages(
    kernels: Sequence[int], widths: Sequence[float], depths: Sequence[int], strides: Sequence[int]
) -> None:
    """``strides`` are those of the stem and of the stages."""
    if any(kernel % 2 == 0 for kernel in kernels):
        raise SpaceError(f"space.kernels must be odd to keep sizes, got {_told(kernels)}")
    if not len(widths) == len(depths) == len(strides) - 1:
        raise SpaceError(
            "space.widths, space.depths and space.strides need one number for each stage, got "
            f"{len(widths)}, {len(depths)} and {len(strides) - 1}"
        )
    if any(stride not in (1, 2) for stride in strides):
        raise SpaceError(
            f"space.stem_stride and space.strides must be 1 or 2, got {_told(strides)}"
        )


def _told(numbers: Sequence[float]) -> str:
    return ", ".join(map(str, numbers)) or "none"
