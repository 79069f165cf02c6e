"""CPU kernels in C++ for dense NCHW tensors (float32 or float64), compiled on first use.

Each function does in one pass over memory what PyTorch does in many, and keeps little for the
backward pass. Ask `available` first: without a compiler there is nothing to call.
"""

from nas.kernels.native.build import available
from nas.kernels.native.ladder import ladder
from nas.kernels.native.mixture import mixture
from nas.kernels.native.normalization import normalized, pointwise
from nas.kernels.native.pooling import avg_pool, max_pool
from nas.kernels.native.quantized import convolves, quantized
from nas.kernels.native.separable import separable

__all__ = [
    "available",
    "avg_pool",
    "convolves",
    "ladder",
    "max_pool",
    "mixture",
    "normalized",
    "pointwise",
    "quantized",
    "separable",
]
