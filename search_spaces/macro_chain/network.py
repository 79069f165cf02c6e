"""Operations and the macro structure of the chain; shared by supernet and derived network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from torch import Tensor, nn

from nas.dataspec import DataSpec
from nas.decision import Candidate
from search_spaces.blocks import InvertedResidual, conv_norm, pass_on
from search_spaces.heads import head_of

OPERATIONS = ("identity", "mbconv_k3_e3", "mbconv_k5_e6")
DEPTHS = (2, 3, 3)  # layers of a stage; the first halves the size and doubles the channels
LAYERS = sum(DEPTHS)
_KERNEL_EXPANSION = {"mbconv_k3_e3": (3, 3), "mbconv_k5_e6": (5, 6)}


class Site(NamedTuple):
    """Where a layer stands: channels in and out, and its stride."""

    c_in: int
    c_out: int
    stride: int


def sites(channels: int) -> Iterator[Site]:
    """The eight places of a chain whose stem has ``channels``."""
    for depth in DEPTHS:
        yield Site(channels, 2 * channels, 2)
        channels *= 2
        yield from [Site(channels, channels, 1)] * (depth - 1)


def operation(name: Candidate, site: Site, dims: int = 2) -> nn.Module:
    """The operation ``name`` at a site: (N, c_in, ...) to (N, c_out, ... / stride)."""
    if name == "identity":
        return pass_on(site.c_in, site.c_out, site.stride, dims)
    kernel, expansion = _KERNEL_EXPANSION[str(name)]
    return InvertedResidual(site.c_in, site.c_out, kernel, expansion, site.stride, dims)


class Network(nn.Module):
    """A 3x3 stem, eight layers, a pointwise convolution and a head (2103.11922).

    Args:
        layers: the eight layers, in the shapes of ``sites(channels)``.
        data: input shape, kind and number of outputs.
        channels: of the stem; the last layer has eight times as many.
        last_channels: of the pointwise convolution before the head.
    """

    def __init__(
        self, layers: Iterable[nn.Module], *, data: DataSpec, channels: int, last_channels: int
    ) -> None:
        super().__init__()
        dims = data.dims
        self.stem = conv_norm(data.channels, channels, 3, dims=dims)
        self.layers = nn.ModuleList(layers)
        self.last = conv_norm(channels * 2 ** len(DEPTHS), last_channels, dims=dims)
        self.pool, self.classifier, self.resize = head_of(data, last_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (N, outputs) of inputs (N, C, ...), or (N, outputs, ...) for each position."""
        x = self.stem(x)
        for layer in self.layers:
            x = layer(x)
        outputs: Tensor = self.resize(self.classifier(self.pool(self.last(x))))
        return outputs
