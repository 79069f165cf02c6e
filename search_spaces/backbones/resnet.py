"""Residual networks for small images, with projections where shapes change."""

from __future__ import annotations

from torch import Tensor, nn

from nas.dataspec import DataSpec
from nas.errors import SpaceError
from search_spaces.backbones.common import Classifier, check_at_least, initialized
from search_spaces.blocks import conv_norm, pass_on
from search_spaces.ops import named

STAGES = 3


class Residual(nn.Module):
    """ReLU of the sum of a body and a shortcut; the shortcut projects where shapes change.

    Args:
        body: convolutions with batch normalization, without the last ReLU.
        shortcut: identity, or a 1x1 convolution with batch normalization (option B of 1512.03385).
    """

    def __init__(self, body: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.body, self.shortcut, self.relu = body, shortcut, nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(N, c_in, ...) to (N, c_out, ... / stride)."""
        y: Tensor = self.relu(self.body(x) + self.shortcut(x))
        return y


def cifar_resnet(
    data: DataSpec, depth: int = 20, bottleneck: bool = False, channels: int = 16
) -> nn.Module:
    """The residual network of 1512.03385, section 4.2, with projections (option B).

    A 3x3 stem, three stages of ``n`` blocks with 1, 2 and 4 times ``channels``, the mean over
    positions and a linear layer. A basic block has two 3x3 convolutions and the depth is 6n + 2; a
    bottleneck has 1x1, 3x3 and 1x1 convolutions, the last four times as wide, and the depth is
    9n + 2. ReLU comes after each normalization and after the sum, also in bottlenecks.

    Args:
        data: input shape, kind and number of outputs; the kind decides the head.
        depth: convolutions and the linear layer, projections not counted.
        bottleneck: which blocks.
        channels: of the stem and of the first stage's 3x3 convolutions.

    Raises:
        SpaceError: for a depth that has no whole number of blocks, and for no channels.
    """
    check_at_least("channels", channels, 1)
    layers = 3 if bottleneck else 2
    blocks, rest = divmod(depth - 2, STAGES * layers)
    if rest or blocks < 1:
        kind = "a bottleneck" if bottleneck else "a basic"
        formula = f"{STAGES * layers}n + 2"
        near = [STAGES * layers * n + 2 for n in (max(blocks, 1), max(blocks, 1) + 1)]
        raise SpaceError(
            f"the depth of {kind} residual network is {formula}, got {depth}; "
            f"the nearest are {near[0]} and {near[1]}"
        )
    dims, width = data.dims, channels
    parts: dict[str, nn.Module] = {"stem": conv_norm(data.channels, channels, 3, dims=dims)}
    for stage in range(STAGES):
        inner = channels * 2**stage
        made: list[nn.Module] = []
        for index in range(blocks):
            stride = 2 if stage > 0 and index == 0 else 1
            made.append(_block(width, inner, stride, bottleneck, dims))
            width = inner * (4 if bottleneck else 1)
        parts[f"stage{stage + 1}"] = nn.Sequential(*made)
    return initialized(Classifier(named(**parts), width, data))


def _block(c_in: int, inner: int, stride: int, bottleneck: bool, dims: int) -> Residual:
    if bottleneck:
        c_out = 4 * inner
        body = named(
            reduce=conv_norm(c_in, inner, dims=dims),
            conv=conv_norm(inner, inner, 3, stride, dims=dims),
            widen=conv_norm(inner, c_out, relu=False, dims=dims),
        )
    else:
        c_out = inner
        body = named(
            conv1=conv_norm(c_in, inner, 3, stride, dims=dims),
            conv2=conv_norm(inner, inner, 3, relu=False, dims=dims),
        )
    return Residual(body, pass_on(c_in, c_out, stride, dims))
