"""The kernels in plain PyTorch: any device, 1-D and 2-D, any floating type."""

from nas.kernels.portable.ladder import ladder
from nas.kernels.portable.mixture import mixture
from nas.kernels.portable.normalized import normalized
from nas.kernels.portable.pointwise import pointwise
from nas.kernels.portable.pooling import avg_pool, max_pool
from nas.kernels.portable.quantized import quantized
from nas.kernels.portable.separable import separable

__all__ = [
    "avg_pool",
    "ladder",
    "max_pool",
    "mixture",
    "normalized",
    "pointwise",
    "quantized",
    "separable",
]
