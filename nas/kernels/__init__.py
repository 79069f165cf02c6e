"""What fused cells are computed with: separable convolutions, mixtures, poolings."""

from nas.kernels.choice import (
    Kernels,
    Moments,
    UsesKernels,
    native_kernels,
    portable_kernels,
)
from nas.kernels.levels import Levels
from nas.kernels.normalization import Normalization
from nas.kernels.quantization import Quantization
from nas.kernels.term import Term

__all__ = [
    "Kernels",
    "Levels",
    "Moments",
    "Normalization",
    "Quantization",
    "Term",
    "UsesKernels",
    "native_kernels",
    "portable_kernels",
]
