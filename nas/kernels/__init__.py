"""What fused cells are computed with: separable convolutions, mixtures, poolings."""

from nas.kernels.choice import Kernels, native_kernels, portable_kernels
from nas.kernels.term import Term

__all__ = ["Kernels", "Term", "native_kernels", "portable_kernels"]
