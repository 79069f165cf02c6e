"""Quantized networks as integers: what is stored, how it is computed, whether that is so."""

from nas.export.integers.convert import integer_network, quantized_layers
from nas.export.integers.exporter import OnnxFile
from nas.export.integers.layers import IntegerLayer

__all__ = ["IntegerLayer", "OnnxFile", "integer_network", "quantized_layers"]
