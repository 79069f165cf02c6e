"""3-wide poolings with the moments of their values."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def max_pool(x: Tensor, stride: int) -> tuple[Tensor, None, None]:
    """Maxima (N, C, ... / stride) of ``x`` (N, C, ...); their moments are not computed."""
    pool = F.max_pool1d if x.dim() == 3 else F.max_pool2d
    y: Tensor = pool(x, 3, stride, 1)
    return y, None, None


def avg_pool(x: Tensor, stride: int) -> tuple[Tensor, None, None]:
    """Means without the padding, (N, C, ... / stride); their moments are not computed."""
    if x.dim() == 3:
        y = F.avg_pool1d(x, 3, stride, 1, count_include_pad=False)
    else:
        y = F.avg_pool2d(x, 3, stride, 1, count_include_pad=False)
    return y, None, None
