"""Compression as a dimension of any search space."""

from nas.compression.rules import Compression
from nas.compression.space import Compressed

__all__ = ["Compressed", "Compression"]
