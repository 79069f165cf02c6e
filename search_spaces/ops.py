"""The one definition of each primitive, for 1-D (N, C, L) and 2-D (N, C, H, W) inputs.

No operation's convolution has a bias. ``affine`` is that of the batch normalization: off in a
supernet's cells, on in a derived network. Odd sizes are rounded up by every operation of stride 2,
so that all candidates of an edge agree; even sizes are what the papers use and are not touched.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn

from nas.errors import SpaceError, nearest
from nas.searchable.fusable import Chain, Fusable, ReLUConvBN
from nas.searchable.primitives import AvgPool, Halves, MaxPool, Noise, Zero, shifted

_CONV: dict[int, type[nn.Conv1d | nn.Conv2d]] = {1: nn.Conv1d, 2: nn.Conv2d}
_NORM: dict[int, type[nn.BatchNorm1d | nn.BatchNorm2d]] = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d}


def conv(
    c_in: int,
    c_out: int,
    kernel: int,
    stride: int = 1,
    *,
    dims: int = 2,
    padding: int | None = None,
    dilation: int = 1,
    groups: int = 1,
    bias: bool = False,
) -> nn.Conv1d | nn.Conv2d:
    """A convolution, without bias unless asked; padding keeps the size at stride 1 unless given."""
    if padding is None:
        padding = dilation * (kernel - 1) // 2
    return _CONV[dims](
        c_in,
        c_out,
        kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        bias=bias,
    )


def norm(
    channels: int, *, affine: bool = True, dims: int = 2, statistics: bool = True
) -> nn.BatchNorm1d | nn.BatchNorm2d:
    """Batch normalization over (N, C, ...); without ``statistics`` by those of the batch alone."""
    return _NORM[dims](channels, affine=affine, track_running_stats=statistics)


def named(**modules: nn.Module) -> nn.Sequential:
    """A sequence whose parts have names, so that checkpoints stay readable."""
    return nn.Sequential(OrderedDict(modules))


class FactorizedReduce(Fusable):
    """ReLU, then two 1x1 convolutions of stride 2, side by side, then batch normalization.

    The second convolution reads the input shifted by one pixel along every axis. Where the size is
    odd the shifted input is padded by one zero at its end, so that both halves agree.

    Args:
        c_in: channels of the input.
        c_out: channels of the output, half of them from each convolution.
        affine: of the batch normalization.
        dims: number of spatial dimensions.

    Raises:
        SpaceError: if ``c_out`` is odd.
    """

    def __init__(self, c_in: int, c_out: int, *, affine: bool = True, dims: int = 2) -> None:
        super().__init__()
        if c_out % 2:
            raise SpaceError(
                f"a factorized reduction needs an even number of output channels, got {c_out}; "
                "choose space.channels (and space.network_channels) even, with partial channels "
                "also after the division by strategy.partial_channels"
            )
        self.relu = nn.ReLU()
        self.conv1 = conv(c_in, c_out // 2, 1, 2, dims=dims)
        self.conv2 = conv(c_in, c_out // 2, 1, 2, dims=dims)
        self.norm = norm(c_out, affine=affine, dims=dims)

    def leaves(self) -> list[nn.Module]:
        """ReLU, the two convolutions, batch normalization."""
        return [self.relu, Halves(self.conv1, self.conv2), self.norm]

    def plain(self, x: Tensor) -> Tensor:
        """Half the size (rounded up): (N, c_in, ...) to (N, c_out, ... / 2)."""
        x = self.relu(x)
        y: Tensor = self.norm(torch.cat([self.conv1(x), self.conv2(shifted(x))], 1))
        return y


def relu_conv_bn(
    c_in: int,
    c_out: int,
    kernel: int = 1,
    stride: int = 1,
    *,
    affine: bool = True,
    dims: int = 2,
    statistics: bool = True,
) -> ReLUConvBN:
    """ReLU, convolution, batch normalization."""
    return ReLUConvBN(
        conv(c_in, c_out, kernel, stride, dims=dims),
        norm(c_out, affine=affine, dims=dims, statistics=statistics),
    )


def sep_conv(channels: int, kernel: int, stride: int, affine: bool, dims: int) -> Chain:
    """Two rounds of ReLU, depthwise convolution, pointwise convolution, batch normalization."""
    parts: dict[str, nn.Module] = {}
    for number, s in (("1", stride), ("2", 1)):
        parts[f"relu{number}"] = nn.ReLU()
        parts[f"depthwise{number}"] = conv(
            channels, channels, kernel, s, dims=dims, groups=channels
        )
        parts[f"pointwise{number}"] = conv(channels, channels, 1, dims=dims)
        parts[f"norm{number}"] = norm(channels, affine=affine, dims=dims)
    return Chain(**parts)


def dil_conv(channels: int, kernel: int, stride: int, affine: bool, dims: int) -> Chain:
    """ReLU, depthwise convolution of dilation 2, pointwise convolution, batch normalization."""
    return Chain(
        relu=nn.ReLU(),
        depthwise=conv(channels, channels, kernel, stride, dims=dims, dilation=2, groups=channels),
        pointwise=conv(channels, channels, 1, dims=dims),
        norm=norm(channels, affine=affine, dims=dims),
    )


def factorized_conv(channels: int, kernel: int, stride: int, affine: bool) -> nn.Sequential:
    """ReLU, 1xk convolution, kx1 convolution, batch normalization; 2-D only."""
    half = kernel // 2
    return named(
        relu=nn.ReLU(),
        row=nn.Conv2d(channels, channels, (1, kernel), (1, stride), (0, half), bias=False),
        column=nn.Conv2d(channels, channels, (kernel, 1), (stride, 1), (half, 0), bias=False),
        norm=nn.BatchNorm2d(channels, affine=affine),
    )


def pooling(pool: nn.Module, channels: int, affine: bool, dims: int, normalized: bool) -> nn.Module:
    """A pooling, followed by batch normalization in a supernet."""
    return named(pool=pool, norm=norm(channels, affine=affine, dims=dims)) if normalized else pool


def skip(channels: int, stride: int, affine: bool, dims: int) -> nn.Module:
    """Identity, or a factorized reduction where the size must be halved."""
    if stride == 1:
        return nn.Identity()
    return FactorizedReduce(channels, channels, affine=affine, dims=dims)


Build = Callable[[int, int, bool, int, bool], nn.Module]

# channels, stride, affine, dims, normalized pooling -> module
_OPERATIONS: dict[str, Build] = {
    "none": lambda c, s, a, d, p: Zero(s),
    "noise": lambda c, s, a, d, p: Noise(s),
    "max_pool_3x3": lambda c, s, a, d, p: pooling(MaxPool(s), c, a, d, p),
    "avg_pool_3x3": lambda c, s, a, d, p: pooling(AvgPool(s), c, a, d, p),
    "skip_connect": lambda c, s, a, d, p: skip(c, s, a, d),
    "sep_conv_3x3": lambda c, s, a, d, p: sep_conv(c, 3, s, a, d),
    "sep_conv_5x5": lambda c, s, a, d, p: sep_conv(c, 5, s, a, d),
    "sep_conv_7x7": lambda c, s, a, d, p: sep_conv(c, 7, s, a, d),
    "dil_conv_3x3": lambda c, s, a, d, p: dil_conv(c, 3, s, a, d),
    "dil_conv_5x5": lambda c, s, a, d, p: dil_conv(c, 5, s, a, d),
    "conv_7x1_1x7": lambda c, s, a, d, p: factorized_conv(c, 7, s, a),
    "conv_3x1_1x3": lambda c, s, a, d, p: factorized_conv(c, 3, s, a),
}
OPERATIONS = tuple(_OPERATIONS)
_TWO_DIMENSIONAL = ("conv_7x1_1x7", "conv_3x1_1x3")


def check_operation(name: str, dims: int = 2) -> None:
    """Raise SpaceError if there is no operation ``name``, or none for ``dims`` dimensions."""
    if name not in _OPERATIONS:
        raise SpaceError(
            f"unknown operation {name!r}; known are {', '.join(OPERATIONS)}"
            f"{nearest(name, OPERATIONS)}"
        )
    if dims != 2 and name in _TWO_DIMENSIONAL:
        raise SpaceError(f"operation {name!r} is defined for 2-D inputs only")


def operation(
    name: str,
    channels: int,
    stride: int,
    *,
    affine: bool = True,
    dims: int = 2,
    normalized_pooling: bool = False,
) -> nn.Module:
    """The primitive ``name`` on ``channels`` channels: (N, C, ...) to (N, C, ... / stride).

    Args:
        name: one of ``OPERATIONS``.
        channels: in and out.
        stride: 1 or 2.
        affine: of the batch normalization.
        dims: number of spatial dimensions, 1 or 2.
        normalized_pooling: whether batch normalization follows a pooling (the supernet's form).

    Raises:
        SpaceError: for an unknown name, or a 2-D operation on 1-D inputs.
    """
    check_operation(name, dims)
    return _OPERATIONS[name](channels, stride, affine, dims, normalized_pooling)
