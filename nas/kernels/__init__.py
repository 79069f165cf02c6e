"""What fused cells are computed with: separable convolutions, mixtures, poolings."""

from nas.kernels.choice import Kernels, Moments, native_kernels, portable_kernels
from nas.kernels.normalization import Normalization
from nas.kernels.term import Term

__all__ = ["Kernels", "Moments", "Normalization", "Term", "native_kernels", "portable_kernels"]
