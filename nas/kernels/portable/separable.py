"""Normalization, ReLU, depthwise and pointwise convolution of several edges at once."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from nas.kernels.normalization import Normalization
from nas.kernels.portable.depthwise import depthwise as depthwise_conv
from nas.kernels.portable.normalized import normalized
from nas.kernels.portable.pointwise import grouped_pointwise


def separable(
    x: Tensor,
    norm: Normalization | None,
    depthwise: Tensor,
    pointwise: Tensor,
    *,
    stride: int,
    dilation: int,
    edges: int,
) -> tuple[Tensor, None, None]:
    """``pointwise(depthwise(relu(norm(x))))`` for each edge, without its moments.

    Args:
        x: (N, C, ...), read by all edges, or (N, edges * C, ...), edge-major.
        norm: of ``x``, without weight and bias; None leaves it out.
        depthwise: (edges * C, 1, k, ...), k odd; padded so that stride 1 keeps the size.
        pointwise: (edges * C, C, 1, ...).
        stride: of the depthwise convolution, as is ``dilation``.
        dilation: spacing of its taps.
        edges: how many.

    Returns:
        The value (N, edges * C, ... / stride); kernels that get them on the way add its mean and
        biased variance per channel, which are outside the graph.
    """
    if norm is not None:
        x = normalized(x, norm)
    a = F.relu(x)
    if a.shape[1] != depthwise.shape[0]:
        a = a.repeat(1, edges, *([1] * (a.dim() - 2)))
    spatial = depthwise_conv(a, depthwise, stride, dilation)
    y = grouped_pointwise(spatial, pointwise.view(edges, -1, pointwise.shape[1]))
    return y, None, None
