"""A convolution in quantized numbers."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from nas.kernels.portable.ladder import ladder
from nas.kernels.quantization import Quantization


def quantized(
    x: Tensor,
    of_x: Quantization,
    weight: Tensor,
    of_weight: Quantization,
    *,
    stride: int,
    dilation: int,
) -> Tensor:
    """The convolution (N, C', H', W') of ``x`` by ``weight``, both quantized.

    Args:
        x: (N, C, H, W).
        of_x: what quantizes ``x``.
        weight: (C, 1, k, k) of a depthwise convolution, k odd, padded so that stride 1 keeps the
            size; or (C', C, 1, 1) of a pointwise one.
        of_weight: what quantizes ``weight``.
        stride: of the convolution, as is ``dilation``.
        dilation: spacing of its taps.
    """
    q = ladder(x, of_x.clip, of_x.gates, of_x.levels)
    taps = ladder(weight, of_weight.clip, of_weight.gates, of_weight.levels)
    padding = dilation * (weight.shape[-1] - 1) // 2
    return F.conv2d(q, taps, None, stride, padding, dilation, x.shape[1] // weight.shape[1])
