"""Blocks and the macro structure of the chain; shared by supernet and derived network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from torch import Tensor, nn

from nas.dataspec import DataSpec
from nas.decision import Candidate
from search_spaces.blocks import InvertedResidual, ShuffleUnit, conv_norm
from search_spaces.heads import head_of

Block = Literal["inverted_residual", "shuffle"]
PREFIXES: dict[Block, str] = {"inverted_residual": "mbconv", "shuffle": "shuffle"}
_BLOCKS = {"mbconv": InvertedResidual, "shuffle": ShuffleUnit}


class Site(NamedTuple):
    """Where a block stands: channels in and out, and its stride."""

    c_in: int
    c_out: int
    stride: int

    @property
    def keeps_shape(self) -> bool:
        """Whether what comes out has the shape of what comes in."""
        return self.stride == 1 and self.c_in == self.c_out


def sites(
    channels: int, widths: Sequence[float], depths: Sequence[int], strides: Sequence[int]
) -> Iterator[Site]:
    """The places of the blocks, stage by stage; the first of a stage changes shapes.

    Args:
        channels: of the stem.
        widths: of each stage, in multiples of ``channels``; rounded up to an even number.
        depths: blocks of each stage.
        strides: of the first block of each stage.
    """
    before = channels
    for width, depth, stride in zip(widths, depths, strides, strict=True):
        inside = even(width * channels)
        yield Site(before, inside, stride)
        yield from [Site(inside, inside, 1)] * (depth - 1)
        before = inside


def even(number: float) -> int:
    """The next even number from ``number`` on, as two branches share the channels."""
    return 2 * -int(-number // 2)


def candidates(
    block: Block, kernels: Sequence[int], expansions: Sequence[int], identity: bool
) -> tuple[str, ...]:
    """Names of all kernels with all expansions, such as ``mbconv_k3_e6``; then ``identity``."""
    names = [f"{PREFIXES[block]}_k{k}_e{e}" for k in kernels for e in expansions]
    return (*names, *(["identity"] if identity else []))


def operation(name: Candidate, site: Site, dims: int = 2) -> nn.Module:
    """The block of a name at a site: (N, c_in, ...) to (N, c_out, ... / stride)."""
    if name == "identity":
        return nn.Identity()
    kind, kernel, expansion = str(name).split("_")
    return _BLOCKS[kind](
        site.c_in, site.c_out, int(kernel[1:]), int(expansion[1:]), site.stride, dims
    )


class Network(nn.Module):
    """A 3x3 stem, blocks, a pointwise convolution and a head (1801.04381).

    Args:
        layers: the blocks, in the shapes of ``sites``.
        data: input shape, kind and number of outputs.
        channels: of the stem.
        stem_stride: of the stem.
        inside: channels that the last block gives.
        last_channels: of the pointwise convolution before the head.
    """

    def __init__(
        self,
        layers: Iterable[nn.Module],
        *,
        data: DataSpec,
        channels: int,
        stem_stride: int,
        inside: int,
        last_channels: int,
    ) -> None:
        super().__init__()
        dims = data.dims
        self.stem = conv_norm(data.channels, channels, 3, stem_stride, dims=dims)
        self.layers = nn.ModuleList(layers)
        self.last = conv_norm(inside, last_channels, dims=dims)
        self.pool, self.classifier, self.resize = head_of(data, last_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (N, outputs) of inputs (N, C, ...), or (N, outputs, ...) for each position."""
        x = self.stem(x)
        for layer in self.layers:
            x = layer(x)
        outputs: Tensor = self.resize(self.classifier(self.pool(self.last(x))))
        return outputs
